//! What is wrong with a configuration, as its author should read it: the file, the key, what was
//! seen, what was expected, and the key that was probably meant.

use std::path::Path;

use crate::failure::Failure;
use crate::terminal::inline;

/// How alike two words must be, from 0 to 1, for one to be offered for the other.
const ALIKE_MIN: f64 = 0.7;

/// A failure about one key.
pub fn about(file: &Path, key: &str, wrong: &str) -> Failure {
    let file = file.display();
    Failure::configuration(
        "bad_configuration",
        format!("{file}: `{}` {}", inline(key), inline(wrong)),
    )
}

/// A failure as the reader of a section told it.
pub fn told(file: &Path, path: &str, error: &str) -> Failure {
    let place = if path == "." { "" } else { path };
    if let Some((seen, known)) = unknown_field(error) {
        return unknown_key(file, &parent(place, seen), seen, &known);
    }
    let words = error.trim();
    let file = file.display();
    let told = if place.is_empty() {
        format!("{file}: {}", inline(words))
    } else {
        format!("{file}: `{}`: {}", inline(place), inline(words))
    };
    Failure::configuration("bad_configuration", told)
}

fn unknown_key(file: &Path, section: &str, seen: &str, known: &[&str]) -> Failure {
    let full = |key: &str| {
        if section.is_empty() {
            key.to_owned()
        } else {
            format!("{section}.{key}")
        }
    };
    let hint = match nearest(seen, known) {
        Some(meant) => format!("did you mean `{}`", full(meant)),
        None => format!("expected one of {}", list(known)),
    };
    Failure::configuration(
        "unknown_key",
        format!(
            "{}: there is no key `{}`: {hint}",
            file.display(),
            inline(&full(seen))
        ),
    )
}

fn list(known: &[&str]) -> String {
    let quoted: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

/// The known word that is most like what was written, when one is.
pub fn nearest<'a>(seen: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(seen, key), *key))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, key)| key)
}

/// The section of a path that may or may not end in the unknown key itself.
fn parent(place: &str, seen: &str) -> String {
    let last = place.rsplit('.').next().unwrap_or_default();
    let section = if last == seen || last == "?" {
        place.strip_suffix(last).unwrap_or(place)
    } else {
        place
    };
    section.trim_end_matches('.').to_owned()
}

/// Takes serde's complaint about an unknown field apart: the field, and the known ones.
fn unknown_field(error: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = error.strip_prefix("unknown field `")?.split('`');
    let seen = words.next()?;
    // Every second piece between backticks is a name.
    let known = words.skip(1).step_by(2).collect();
    Some((seen, known))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_and_nothing_far_fetched() {
        let known = ["listen", "public_url", "tls"];
        assert_eq!(nearest("listn", &known), Some("listen"));
        assert_eq!(nearest("public-url", &known), Some("public_url"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn serdes_words_are_taken_apart() {
        let error = "unknown field `listn`, expected one of `listen`, `tls`";
        assert_eq!(
            unknown_field(error).unwrap(),
            ("listn", vec!["listen", "tls"])
        );
        let error = "unknown field `x`, expected `path`";
        assert_eq!(unknown_field(error).unwrap(), ("x", vec!["path"]));
        assert_eq!(
            unknown_field("unknown field `x`, there are no fields")
                .unwrap()
                .1
                .len(),
            0
        );
        assert!(unknown_field("missing field `x`").is_none());
    }

    #[test]
    fn control_characters_in_a_key_are_escaped() {
        let failure = told(
            Path::new("f"),
            ".",
            "unknown field `a\u{1b}[2J`, expected `b`",
        );
        assert!(!failure.told.contains('\u{1b}'));
    }
}
