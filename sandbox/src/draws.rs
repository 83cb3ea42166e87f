//! Random bytes for the names that a cloud gives.
//!
//! All come from one keyed stream, so that a seeded sandbox gives the same names in the same order.
//! Nothing here guards anything but the sandbox itself.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;

/// A stream of bytes that do not repeat.
pub(crate) struct Draws {
    key: hmac::Key,
    drawn: AtomicU64,
}

impl Draws {
    /// With a seed the draws repeat from run to run; without one they do not.
    pub(crate) fn new(seed: Option<u64>) -> Draws {
        let key = match seed {
            Some(seed) => seed.to_be_bytes().to_vec(),
            None => [
                *uuid::Uuid::new_v4().as_bytes(),
                *uuid::Uuid::new_v4().as_bytes(),
            ]
            .concat(),
        };
        Draws {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            drawn: AtomicU64::new(0),
        }
    }

    /// The next 32 bytes.
    pub(crate) fn draw(&self) -> [u8; 32] {
        let number = self.drawn.fetch_add(1, Ordering::SeqCst);
        let tag = hmac::sign(&self.key, &number.to_be_bytes());
        // SHA-256's length.
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}
