//! The name of a policy: a hash over everything that decides.

use aws_lc_rs::digest::{Context, SHA256};
use jitney_core::decision::PolicyDigest;

/// SHA-256 over named texts. Each text is preceded by its length, so that moving a byte from the
/// end of one to the beginning of the next is another policy.
pub(crate) fn digest_of<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> PolicyDigest {
    let mut context = Context::new(&SHA256);
    for (name, text) in texts {
        for part in [name, text] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(part.as_bytes());
        }
    }
    let bytes = context.finish();
    PolicyDigest(
        bytes
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_files_share_a_name() {
        let of = |texts: &[(&str, &str)]| digest_of(texts.iter().copied());
        assert_eq!(of(&[("a", "xy")]), of(&[("a", "xy")]));
        assert_ne!(of(&[("a", "xy")]), of(&[("ax", "y")]));
        assert_ne!(of(&[("a", "x"), ("b", "y")]), of(&[("a", "xb"), ("", "y")]));
        assert_ne!(of(&[("a", "x"), ("b", "y")]), of(&[("b", "y"), ("a", "x")]));
        assert_eq!(
            of(&[]).0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
