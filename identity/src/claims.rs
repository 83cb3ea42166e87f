//! Reading signed claims strictly. A claim has one type and one shape; a number where an id is a
//! string is refused, and so is text that could move a cursor or split a line. Absent, `null` and
//! the empty string all mean absent, and absent never matches anything.

use serde_json::Value;

use crate::compact::SignedClaims;
use crate::refusal::{Refusal, RefusalCode, seen};

/// The longest text claim.
pub(crate) const CLAIM_BYTES_MAX: usize = 1024;
/// The longest list of values in one claim.
pub(crate) const CLAIM_LIST_BYTES_MAX: usize = 4096;
/// The longest id: a 64-bit number in decimal.
const ID_DIGITS_MAX: usize = 20;
/// The most texts in one claim.
const CLAIM_TEXTS_MAX: usize = 256;
/// 9999-12-31T23:59:59Z, the last second that people can write.
const SECONDS_MAX: i64 = 253_402_300_799;

impl SignedClaims {
    /// A claim that must be there: not empty, not long, no control characters.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Refusal> {
        self.optional_text(name)?.ok_or_else(|| missing(name))
    }

    /// A claim that may be absent.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.optional_plain(name, CLAIM_BYTES_MAX)
    }

    /// A claim that may be absent and holds several values, joined by the CI.
    pub(crate) fn optional_list(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.optional_plain(name, CLAIM_LIST_BYTES_MAX)
    }

    /// A claim that may be absent and is an array of texts. Absent and empty are the same.
    pub(crate) fn optional_texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let expected = || bad(name, "an array of at most 256 strings that are not empty");
        let values = match self.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= CLAIM_TEXTS_MAX => values,
            Some(_) => return Err(expected()),
        };
        let text = |value: &Value| -> Result<String, Refusal> {
            let text = value.as_str().ok_or_else(expected)?;
            let text = plain(name, text, CLAIM_BYTES_MAX)?.ok_or_else(expected)?;
            Ok(text.to_owned())
        };
        values.iter().map(text).collect()
    }

    /// A whole number, written as one, that may be absent.
    pub(crate) fn optional_number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().ok_or_else(|| bad(name, "a whole number"))?;
                Ok(Some(number))
            }
        }
    }

    /// Demands a claim that nothing reads: some text, whatever it says.
    pub(crate) fn demand(&self, name: &str) -> Result<(), Refusal> {
        match self.get(name) {
            None | Some(Value::Null) => Err(missing(name)),
            Some(Value::String(value)) if value.is_empty() => Err(missing(name)),
            Some(Value::String(_)) => Ok(()),
            Some(_) => Err(bad(name, "a string")),
        }
    }

    fn optional_plain(&self, name: &str, bytes_max: usize) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => plain(name, value, bytes_max),
            Some(_) => Err(bad(name, "a string")),
        }
    }

    /// An id that must be there: a decimal number as a string, without leading zeros, so that one
    /// thing has one spelling.
    pub(crate) fn id(&self, name: &str) -> Result<&str, Refusal> {
        self.optional_id(name)?.ok_or_else(|| missing(name))
    }

    /// An id that may be absent.
    pub(crate) fn optional_id(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let Some(value) = self.optional_text(name)? else {
            return Ok(None);
        };
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        if digits && value.len() <= ID_DIGITS_MAX && !value.starts_with('0') {
            Ok(Some(value))
        } else {
            Err(bad(
                name,
                "a decimal number as a string, without leading zeros",
            ))
        }
    }

    /// A yes or no, written `"true"` or `"false"`, that may be absent.
    pub(crate) fn optional_flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.optional_text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(name, "`\"true\"` or `\"false\"`")),
        }
    }

    /// A git commit that must be there: 40 or 64 lower-case hexadecimal digits.
    pub(crate) fn commit(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.text(name)?;
        let hex = value
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (value.len() == 40 || value.len() == 64) {
            Ok(value)
        } else {
            Err(bad(name, "a commit: 40 or 64 hexadecimal digits"))
        }
    }

    /// An instant that must be there, in whole seconds since 1970.
    pub(crate) fn seconds(&self, name: &str) -> Result<i64, Refusal> {
        match self.get(name) {
            None | Some(Value::Null) => Err(missing(name)),
            Some(value) => value
                .as_i64()
                .filter(|seconds| (0..=SECONDS_MAX).contains(seconds))
                .ok_or_else(|| bad(name, "whole seconds since 1970")),
        }
    }
}

fn plain<'a>(name: &str, value: &'a str, bytes_max: usize) -> Result<Option<&'a str>, Refusal> {
    if value.is_empty() {
        return Ok(None);
    }
    if value.len() > bytes_max {
        return Err(bad(name, &format!("at most {bytes_max} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(bad(name, "text without control characters"));
    }
    Ok(Some(value))
}

fn missing(name: &str) -> Refusal {
    Refusal::new(
        RefusalCode::MissingClaim,
        format!("the token has no claim `{}`", seen(name)),
    )
}

pub(crate) fn bad(name: &str, expected: &str) -> Refusal {
    Refusal::new(
        RefusalCode::BadClaim,
        format!(
            "the token's claim `{}` is not as expected: {expected}",
            seen(name)
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn claim(value: Value) -> SignedClaims {
        SignedClaims::pretend_signed([("c".to_owned(), value)].into())
    }

    #[test]
    fn absent_null_and_empty_are_all_absent() {
        for claims in [
            SignedClaims::pretend_signed(Default::default()),
            claim(Value::Null),
            claim(json!("")),
        ] {
            assert_eq!(claims.optional_text("c").unwrap(), None);
            assert_eq!(claims.optional_id("c").unwrap(), None);
            assert_eq!(claims.optional_flag("c").unwrap(), None);
            assert_eq!(
                claims.text("c").unwrap_err().code,
                RefusalCode::MissingClaim
            );
            assert_eq!(claims.id("c").unwrap_err().code, RefusalCode::MissingClaim);
            assert_eq!(
                claims.commit("c").unwrap_err().code,
                RefusalCode::MissingClaim
            );
        }
    }

    #[test]
    fn ids_are_strings_with_one_spelling() {
        for good in ["1", "2002", "18446744073709551615"] {
            assert_eq!(claim(json!(good)).id("c").unwrap(), good);
        }
        for wrong in [
            json!(2002),
            json!(2002.0),
            json!("0"),
            json!("02002"),
            json!("+1"),
            json!("-1"),
            json!(" 1"),
            json!("1 "),
            json!("1\n"),
            json!("0x1"),
            json!("1e3"),
            json!("١"),
            json!("123456789012345678901"),
            json!(["2002"]),
            json!(true),
        ] {
            let refusal = claim(wrong.clone()).id("c").unwrap_err();
            assert_eq!(refusal.code, RefusalCode::BadClaim, "{wrong}");
        }
    }

    #[test]
    fn text_cannot_move_a_cursor_or_fill_a_log() {
        assert_eq!(
            claim(json!("Größe v1: a/b")).text("c").unwrap(),
            "Größe v1: a/b"
        );
        assert!(claim(json!("x".repeat(CLAIM_BYTES_MAX))).text("c").is_ok());
        for wrong in [
            json!("a\nb"),
            json!("a\u{0}"),
            json!("\u{1b}[2J"),
            json!("\u{85}"),
            json!("x".repeat(CLAIM_BYTES_MAX + 1)),
            json!(1),
            json!({"a": 1}),
        ] {
            let refusal = claim(wrong.clone()).text("c").unwrap_err();
            assert_eq!(refusal.code, RefusalCode::BadClaim, "{wrong}");
        }
    }

    #[test]
    fn lists_may_be_longer_and_what_nothing_reads_may_be_anything() {
        let list = |bytes| claim(json!("x".repeat(bytes)));
        assert!(list(CLAIM_LIST_BYTES_MAX).optional_list("c").is_ok());
        assert!(list(CLAIM_LIST_BYTES_MAX + 1).optional_list("c").is_err());
        assert!(claim(json!("a\nb")).optional_list("c").is_err());
        assert!(list(CLAIM_LIST_BYTES_MAX + 1).demand("c").is_ok());
        for (value, code) in [
            (Value::Null, RefusalCode::MissingClaim),
            (json!(""), RefusalCode::MissingClaim),
            (json!(1), RefusalCode::BadClaim),
        ] {
            assert_eq!(claim(value).demand("c").unwrap_err().code, code);
        }
    }

    #[test]
    fn arrays_hold_texts_and_numbers_are_no_texts() {
        let texts = |value: Value| claim(value).optional_texts("c");
        assert_eq!(texts(json!(["a", "b/c"])).unwrap(), ["a", "b/c"]);
        for absent in [Value::Null, json!([])] {
            assert!(texts(absent).unwrap().is_empty());
        }
        assert!(texts(json!(vec!["a"; CLAIM_TEXTS_MAX])).is_ok());
        for wrong in [
            json!("a"),
            json!([1]),
            json!([""]),
            json!(["a\nb"]),
            json!([["a"]]),
            json!({"a": "b"}),
            json!(vec!["a"; CLAIM_TEXTS_MAX + 1]),
        ] {
            assert_eq!(texts(wrong).unwrap_err().code, RefusalCode::BadClaim);
        }
        let number = |value: Value| claim(value).optional_number("c");
        assert_eq!(number(json!(1)).unwrap(), Some(1));
        assert_eq!(number(Value::Null).unwrap(), None);
        for wrong in [json!("1"), json!(1.5), json!(-1), json!(true), json!([1])] {
            assert_eq!(number(wrong).unwrap_err().code, RefusalCode::BadClaim);
        }
    }

    #[test]
    fn flags_are_the_words_true_and_false() {
        assert_eq!(claim(json!("true")).optional_flag("c").unwrap(), Some(true));
        assert_eq!(
            claim(json!("false")).optional_flag("c").unwrap(),
            Some(false)
        );
        for wrong in [
            json!(true),
            json!("TRUE"),
            json!("1"),
            json!("yes"),
            json!(1),
        ] {
            assert!(claim(wrong.clone()).optional_flag("c").is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_whole_seconds_that_people_can_write() {
        assert_eq!(claim(json!(0)).seconds("c").unwrap(), 0);
        assert_eq!(claim(json!(SECONDS_MAX)).seconds("c").unwrap(), SECONDS_MAX);
        for wrong in [
            json!(-1),
            json!(SECONDS_MAX + 1),
            json!(1.5),
            json!(1e3),
            json!(u64::MAX),
            json!("1795392000"),
        ] {
            assert!(claim(wrong.clone()).seconds("c").is_err(), "{wrong}");
        }
    }

    #[test]
    fn commits_are_full_hashes() {
        assert!(claim(json!("a".repeat(40))).commit("c").is_ok());
        assert!(claim(json!("0".repeat(64))).commit("c").is_ok());
        for wrong in [
            "a".repeat(39),
            "A".repeat(40),
            "g".repeat(40),
            "a".repeat(41),
        ] {
            assert!(claim(json!(wrong)).commit("c").is_err(), "{wrong}");
        }
    }
}
