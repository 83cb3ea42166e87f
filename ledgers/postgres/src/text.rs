//! PostgreSQL's text holds every character but one: NUL. It is written as two others, so that
//! whatever can be asked for can be stored, and no two texts become one.

use std::borrow::Cow;

/// Begins a pair. Nobody types it, so that in a shell the text reads as it is.
const ESCAPE: char = '\u{1}';
const NUL: char = '\0';

/// Text as it is stored. What one text begins with, it begins with when stored.
pub(crate) fn stored(text: &str) -> Cow<'_, str> {
    // One after the other: each is looked for byte by byte, both at once character by character.
    if !text.contains(NUL) && !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            NUL => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Something else wrote this: we never would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text with a pair that does not exist")]
pub(crate) struct BadText;

/// Stored text as it was.
pub(crate) fn read(text: String) -> Result<String, BadText> {
    if !text.contains(ESCAPE) {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let was = match (character, character == ESCAPE) {
            (_, true) => match characters.next() {
                Some('0') => NUL,
                Some('1') => ESCAPE,
                _ => return Err(BadText),
            },
            (other, false) => other,
        };
        out.push(was);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_text_is_stored_as_it_is() {
        for text in ["", "repo:acme/app", "\n\t\"ü\u{1F6D1}"] {
            assert!(matches!(stored(text), Cow::Borrowed(same) if same == text));
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_holds_no_nul(text in "[a01\u{0}\u{1}]{0,12}") {
            let written = stored(&text).into_owned();
            prop_assert!(!written.contains(NUL));
            prop_assert_eq!(read(written).unwrap(), text);
        }

        #[test]
        fn what_it_begins_with_it_begins_with(text in "[a01\u{0}\u{1}]{0,12}", other in "[a01\u{0}\u{1}]{0,3}") {
            prop_assert_eq!(
                text.starts_with(&other),
                stored(&text).starts_with(&*stored(&other))
            );
        }
    }

    #[test]
    fn what_we_never_write_is_not_read() {
        for bad in ["\u{1}", "a\u{1}2", "\u{1}\u{1}"] {
            assert_eq!(read(bad.to_owned()), Err(BadText));
        }
    }
}
