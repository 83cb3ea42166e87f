//! Names for things that may be used once. A name is a digest, so that whoever stores it stores
//! nothing that could be used.

use aws_lc_rs::digest::{Context, SHA256};
use jitney_core::principal::OnceKey;

/// Names the one use of what `parts` describe. Each part goes in with its length, so that no two
/// lists of parts have the same name.
pub(crate) fn once_key(parts: &[&str]) -> OnceKey {
    let mut context = Context::new(&SHA256);
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(part.as_bytes());
    }
    OnceKey(hex(context.finish().as_ref()))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_choice_of_parts_gives_the_name_of_another() {
        let name = once_key(&["https://a", "1"]);
        assert_eq!(name, once_key(&["https://a", "1"]));
        for other in [
            once_key(&["https://a1", ""]),
            once_key(&["https://a1"]),
            once_key(&["https://a", "1", ""]),
            once_key(&["1", "https://a"]),
            once_key(&[]),
        ] {
            assert_ne!(name, other);
        }
    }

    #[test]
    fn a_name_is_a_sha_256_digest_in_hexadecimal() {
        // SHA-256 of nothing.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(once_key(&[]).0, empty);
    }
}
