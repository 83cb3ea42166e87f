//! Looks at a key before anybody needs it. Signs nothing that says anything, and changes nothing.

use jitney_core::time::Timestamp;

use super::{Shown, VaultKey};

/// The fewest bits of a key.
const BITS_MIN: usize = 2_048;
/// A key that ends sooner than this should have a successor, in days.
const DAYS_LEFT_MIN: i64 = 30;
const DAY_SECONDS: i64 = 86_400;
/// What is signed to see whether it can be. It is the digest of nothing that anybody knows, so the
/// signature is good for nothing.
const PROBE: [u8; 32] = *b"jitney doctor looks, says naught";

impl VaultKey {
    /// What there is to know of the key. `signs` when it must be able to sign now.
    ///
    /// # Errors
    /// What is wrong with it, each for itself.
    pub async fn examine(&self, signs: bool, now: Timestamp) -> Result<String, Vec<String>> {
        let shown = self.shown().await;
        let shown = shown.map_err(|fault| vec![fault.to_string()])?;
        let mut wrong = self.wrongs(&shown, now);
        if wrong.is_empty()
            && signs
            && let Err(fault) = self.sign(&PROBE).await
        {
            wrong.push(fault.to_string());
        }
        if wrong.is_empty() {
            let does = if signs { "signs" } else { "is there" };
            Ok(format!("the key `{}` {does}", self.id()))
        } else {
            Err(wrong)
        }
    }

    fn wrongs(&self, shown: &Shown, now: Timestamp) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut tell = |what: String| wrong.push(format!("the key `{}` {what}", self.id()));
        match shown.rsa(&self.id) {
            Err(why) => tell(format!("cannot be used: {why}")),
            Ok(public) => {
                let bits = public.modulus.len().saturating_mul(8);
                if bits < BITS_MIN {
                    tell(format!("has {bits} bits: expected {BITS_MIN} at least"));
                }
            }
        }
        let attributes = &shown.attributes;
        if attributes.enabled == Some(false) {
            tell("is disabled".to_owned());
        }
        if !shown
            .key
            .key_ops
            .iter()
            .any(|operation| operation == "sign")
        {
            let may = &shown.key.key_ops;
            tell(format!("may {may:?} and not `sign`"));
        }
        let days_from = |seconds: i64| seconds.saturating_sub(now.as_seconds()) / DAY_SECONDS;
        if let Some(from) = attributes.nbf.filter(|from| *from > now.as_seconds()) {
            tell(format!("is not valid for {} days yet", days_from(from)));
        }
        match attributes.exp {
            Some(end) if end <= now.as_seconds() => tell("has ended".to_owned()),
            Some(end) if days_from(end) < DAYS_LEFT_MIN => tell(format!(
                "ends in {} days: make a new version and publish it as `next_key`",
                days_from(end)
            )),
            Some(_) | None => {}
        }
        wrong
    }
}
