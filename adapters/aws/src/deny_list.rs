//! The list of ended sessions: one inline policy on a role, which denies everything to whatever
//! carries the lease tag of a session that has ended, and to whatever was issued before a
//! watermark.

use std::collections::BTreeSet;

use jitney_core::adapter::Mark;
use jitney_core::evidence::Held;
use jitney_core::handle::{HANDLE_LENGTH, Handle};
use jitney_core::time::Timestamp;
use percent_encoding::percent_decode_str;

use crate::policy_document::{Document, OneOrMany, Statement};

/// The session tag that carries a lease's handle.
pub(crate) const LEASE_TAG: &str = "jitney:lease";
/// The condition key under which AWS shows that tag when it judges a request. Never
/// `aws:PrincipalArn`: that is the role, and would end every session of it.
const LEASE_KEY: &str = "aws:PrincipalTag/jitney:lease";
const TAGGED: &str = "StringEquals";
/// The condition key under which AWS shows when a session was issued, in whole seconds.
const ISSUED_KEY: &str = "aws:TokenIssueTime";
const ISSUED: &str = "DateLessThan";

/// The characters a list has without an entry, and those an entry adds: its quotes and its comma.
/// A watermark takes no more than an entry beside what is counted here.
pub(crate) const EMPTY_CHARACTERS: u32 = 320;
pub(crate) const ENTRY_CHARACTERS: u32 = HANDLE_LENGTH as u32 + 3;

/// What is denied.
pub type Denied = BTreeSet<Held>;

/// What a role is to deny, as this cloud can say it: sessions are issued in whole seconds.
pub(crate) fn in_seconds(held: &Held) -> Held {
    match held {
        Held::Grant(handle) => Held::Grant(handle.clone()),
        Held::IssuedBefore(moment) => {
            let whole = Timestamp::from_seconds(moment.as_seconds());
            let up = Timestamp::from_seconds(moment.as_seconds().saturating_add(1));
            Held::IssuedBefore(if whole == *moment { whole } else { up })
        }
    }
}

/// The list as IAM takes it. Sorted, so that the same list is always the same text; it says how
/// far the ledger was that led to it.
pub(crate) fn document(denied: &Denied, mark: Mark) -> Result<String, serde_json::Error> {
    written(denied, mark).compact()
}

fn written(denied: &Denied, mark: Mark) -> Document {
    let tags: OneOrMany = denied.iter().filter_map(tag).collect();
    let moments: OneOrMany = denied.iter().filter_map(moment).collect();
    let conditions = [(TAGGED, LEASE_KEY, tags), (ISSUED, ISSUED_KEY, moments)];
    let mut statements: Vec<Statement> = conditions
        .into_iter()
        .filter(|(_, _, values)| !values.0.is_empty())
        .map(|(operator, key, values)| Statement::deny("*", "*").when(operator, key, values))
        .collect();
    if let Some(first) = statements.first_mut() {
        first.sid = Some(sid(mark));
    }
    Document::new(statements)
}

fn tag(held: &Held) -> Option<String> {
    match held {
        Held::Grant(handle) => Some(handle.to_string()),
        Held::IssuedBefore(_) => None,
    }
}

/// A moment as IAM compares it: `2026-11-25T22:00:00Z`.
fn moment(held: &Held) -> Option<String> {
    match held {
        Held::Grant(_) => None,
        Held::IssuedBefore(moment) => jiff::Timestamp::from_second(moment.as_seconds())
            .ok()
            .map(|moment| moment.to_string()),
    }
}

/// A statement's id takes letters and digits only.
fn sid(mark: Mark) -> String {
    format!("E{}S{}", mark.era, mark.sequence)
}

fn mark(sid: &str) -> Option<Mark> {
    let (era, sequence) = sid.strip_prefix('E')?.split_once('S')?;
    Some(Mark {
        era: era.parse().ok()?,
        sequence: sequence.parse().ok()?,
    })
}

/// A list that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// What it denies.
    pub denied: Denied,
    /// How far the ledger was that led to it.
    pub mark: Mark,
}

/// What a policy denies, read from IAM's answer, which is percent-encoded. Nothing when it is not
/// exactly a list as we write it: a condition more, or one action less, and it does not end what
/// it names.
pub(crate) fn parse(answer: &str) -> Option<List> {
    let text = percent_decode_str(answer).decode_utf8().ok()?;
    let document: Document = serde_json::from_str(&text).ok()?;
    let mark = mark(document.statement.first()?.sid.as_deref()?)?;
    let mut denied = Denied::new();
    for statement in &document.statement {
        for tag in values(statement, TAGGED, LEASE_KEY) {
            denied.insert(Held::Grant(Handle::try_from(tag.clone()).ok()?));
        }
        for moment in values(statement, ISSUED, ISSUED_KEY) {
            let moment: jiff::Timestamp = moment.parse().ok()?;
            let moment = Timestamp::from_seconds(moment.as_second());
            denied.insert(Held::IssuedBefore(moment));
        }
    }
    (written(&denied, mark) == document).then_some(List { denied, mark })
}

fn values<'a>(statement: &'a Statement, operator: &str, key: &str) -> &'a [String] {
    let keys = statement.condition.get(operator);
    keys.and_then(|keys| keys.get(key))
        .map_or(&[], |values| &values.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    const MARK: Mark = Mark {
        era: 2,
        sequence: 4_711,
    };

    fn handle(number: u64) -> Held {
        Held::Grant(Handle::try_from(format!("{number:019}")).unwrap())
    }

    fn handles(numbers: impl IntoIterator<Item = u64>) -> Denied {
        numbers.into_iter().map(handle).collect()
    }

    fn watermark(seconds: i64) -> Held {
        Held::IssuedBefore(Timestamp::from_seconds(seconds))
    }

    fn answered(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn the_list_takes_no_more_characters_than_the_plan_counts() {
        let full = Mark {
            era: u32::MAX,
            sequence: u64::MAX,
        };
        for (count, watermarks) in [(0_u64, 1), (1, 0), (1, 1), (2, 2), (200, 0), (200, 1)] {
            let mut denied = handles(0..count);
            denied.extend((0..watermarks).map(watermark));
            let length = document(&denied, full).unwrap().len();
            // A watermark counts as an entry, as it does in the ledger.
            let entries = count + u64::try_from(watermarks).unwrap();
            let counted = u64::from(EMPTY_CHARACTERS) + entries * u64::from(ENTRY_CHARACTERS);
            assert!(
                u64::try_from(length).unwrap() <= counted,
                "{length} > {counted} for {count} and {watermarks}"
            );
        }
        let length = |count| document(&handles(0..count), MARK).unwrap().len();
        let step = usize::try_from(ENTRY_CHARACTERS).unwrap();
        assert_eq!(length(201) - length(200), step);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            numbers in prop::collection::btree_set(0_u64..1_000, 1..40),
            moments in prop::collection::btree_set(0_i64..4_000_000_000, 0..3),
            (era, sequence) in any::<(u32, u64)>(),
        ) {
            let mut denied = handles(numbers);
            denied.extend(moments.into_iter().map(watermark));
            let mark = Mark { era, sequence };
            let text = document(&denied, mark).unwrap();
            let list = Some(List { denied, mark });
            prop_assert_eq!(parse(&answered(&text)), list.clone());
            prop_assert_eq!(parse(&text), list);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_watermark_alone_is_a_list_too() {
        let denied = Denied::from([watermark(1_795_392_000)]);
        let text = document(&denied, MARK).unwrap();
        assert!(
            text.contains("\"aws:TokenIssueTime\":\"2026-11-23T00:00:00Z\""),
            "{text}"
        );
        assert_eq!(parse(&text), Some(List { denied, mark: MARK }));
    }

    #[test]
    fn a_watermark_is_never_earlier_in_seconds_than_it_was_meant() {
        let second = 1_000_000;
        for (micros, expected) in [(second, 1), (second + 1, 2), (2 * second - 1, 2), (0, 0)] {
            let meant = Held::IssuedBefore(Timestamp::from_micros(micros));
            assert_eq!(in_seconds(&meant), watermark(expected), "{micros}");
        }
    }

    #[test]
    fn a_list_that_was_weakened_denies_nothing_as_far_as_we_know() {
        let mut denied = handles([1, 2]);
        denied.insert(watermark(1_795_392_000));
        let text = document(&denied, MARK).unwrap();
        assert!(parse(&text).is_some());
        for (right, weakened) in [
            ("\"Effect\":\"Deny\"", "\"Effect\":\"Allow\""),
            ("\"Action\":\"*\"", "\"Action\":\"s3:*\""),
            ("\"Action\":\"*\"", "\"NotAction\":\"*\""),
            ("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:s3:::a\""),
            ("\"Resource\":\"*\"", "\"NotResource\":\"*\""),
            ("\"StringEquals\"", "\"StringNotEquals\""),
            (
                "\"StringEquals\"",
                "\"Bool\":{\"aws:SecureTransport\":\"false\"},\"StringEquals\"",
            ),
            (
                ":{\"aws:PrincipalTag/jitney:lease\"",
                ":{\"aws:userid\":\"x\",\"aws:PrincipalTag/jitney:lease\"",
            ),
            ("aws:PrincipalTag/jitney:lease", "aws:PrincipalTag/other"),
            ("2012-10-17", "2008-10-17"),
            ("0000000000000000001", "0000000000000000001*"),
            ("E2S4711", "E2"),
            ("\"Sid\":\"E2S4711\",", ""),
            ("DateLessThan", "DateGreaterThan"),
            ("DateLessThan", "DateLessThanIfExists"),
            ("aws:TokenIssueTime", "aws:CurrentTime"),
            ("2026-11-23T00:00:00Z", "2026-11-23"),
            (
                "\"Statement\":[",
                "\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"},",
            ),
        ] {
            let weak = text.replacen(right, weakened, 1);
            assert_ne!(weak, text, "{right}");
            assert_eq!(parse(&weak), None, "{weak}");
        }
    }
}
