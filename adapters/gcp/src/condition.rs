//! Conditions in Google's expression language (CEL): what narrows a role to a part of a bucket, and
//! what ends it by itself.

use core::time::Duration;

use jitney_core::scope::Path;
use jitney_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::BucketName;

/// A role on a bucket, narrowed to some of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Narrowing {
    bucket: BucketName,
    part: Part,
    lists: bool,
}

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// Those whose names begin so.
    Beneath(String),
    /// The one of this name.
    Exactly(String),
}

impl Narrowing {
    /// To the part of a bucket that a path names; nothing when that is the whole.
    pub(crate) fn to(bucket: &BucketName, path: &Path, lists: bool) -> Option<Self> {
        let part = match path {
            Path::Whole => return None,
            Path::Prefix(prefix) => Part::Beneath(prefix.clone()),
            Path::Exact(name) => Part::Exactly(name.clone()),
        };
        Some(Self {
            bucket: bucket.clone(),
            part,
            lists,
        })
    }

    /// True for what is done to these objects, and for listing them. A listing is judged on the
    /// bucket, which has another name; what it is limited to is an attribute of the call alone. The
    /// types are asked for so that no attribute of a listing lets a call on an object through.
    pub(crate) fn expression(&self) -> String {
        let object = format!(
            "resource.type == {} && {}",
            literal("storage.googleapis.com/Object"),
            self.named()
        );
        match (&self.part, self.lists) {
            (Part::Beneath(prefix), true) => format!(
                "({object} || {} && api.getAttribute({}, \"\").startsWith({}))",
                is_bucket(&self.bucket),
                literal("storage.googleapis.com/objectListPrefix"),
                literal(prefix)
            ),
            // One object cannot be listed without listing what begins with its name.
            (Part::Beneath(_), false) | (Part::Exactly(_), _) => format!("({object})"),
        }
    }

    fn named(&self) -> String {
        let within = |name: &str| {
            let bucket = &self.bucket;
            literal(&format!("projects/_/buckets/{bucket}/objects/{name}"))
        };
        match &self.part {
            Part::Beneath(prefix) => format!("resource.name.startsWith({})", within(prefix)),
            Part::Exactly(name) => format!("resource.name == {}", within(name)),
        }
    }
}

/// True for a bucket and for all objects in it, where a role is given on more than the bucket.
pub(crate) fn whole(bucket: &BucketName) -> String {
    format!(
        "({} || resource.type == {} && resource.name.startsWith({}))",
        is_bucket(bucket),
        literal("storage.googleapis.com/Object"),
        literal(&format!("projects/_/buckets/{bucket}/objects/"))
    )
}

/// The name is asked for as well: the condition may stand on the whole project.
fn is_bucket(bucket: &BucketName) -> String {
    format!(
        "resource.type == {} && resource.name == {}",
        literal("storage.googleapis.com/Bucket"),
        literal(&format!("projects/_/buckets/{bucket}"))
    )
}

/// True until a moment, for what is narrowed so. Google judges it by its own clock, whatever
/// becomes of us.
pub(crate) fn until(moment: Timestamp, narrowed: Option<&Narrowing>) -> String {
    let ends = format!(
        "request.time < timestamp({})",
        literal(&whole_second(moment))
    );
    match narrowed {
        Some(narrowing) => format!("{ends} && {}", narrowing.expression()),
        None => ends,
    }
}

/// A moment as RFC 3339, to the next whole second.
pub(crate) fn whole_second(moment: Timestamp) -> String {
    let rounded = moment.plus(Duration::from_micros(999_999)).as_seconds();
    jiff::Timestamp::from_second(rounded)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

/// A text as a string of the expression language. Nothing in it can end the string or mean
/// anything else.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                literal.push('\\');
                literal.push(c);
            }
            c if c.is_ascii() && !c.is_ascii_control() => literal.push(c),
            c => literal.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use cel::extractors::{Arguments, This};
    use cel::{Context, ExecutionError, Program, Value};
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    const UNTIL: i64 = 1_795_392_000;

    /// What a call is about, as Google's evaluator is told.
    struct Asked<'a> {
        at: i64,
        kind: &'a str,
        name: &'a str,
        listed: Option<&'a str>,
    }

    fn map(pairs: &[(&str, Value)]) -> Value {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        pairs.collect::<HashMap<String, Value>>().into()
    }

    fn allows(expression: &str, asked: &Asked<'_>) -> bool {
        let mut context = Context::default();
        let text = |text: &str| Value::String(Arc::new(text.to_owned()));
        let now = jiff::Timestamp::from_second(asked.at).unwrap().to_string();
        let now = Program::compile(&format!("timestamp('{now}')")).unwrap();
        let now = now.execute(&Context::default()).unwrap();
        context.add_variable_from_value("request", map(&[("time", now)]));
        let kind = format!("storage.googleapis.com/{}", asked.kind);
        let resource = map(&[("type", text(&kind)), ("name", text(asked.name))]);
        context.add_variable_from_value("resource", resource);
        context.add_variable_from_value("api", map(&[]));
        let listed = asked.listed.map(str::to_owned);
        let added = context.add_function(
            "getAttribute",
            move |This(_): This<Value>,
                  Arguments(given): Arguments|
                  -> Result<Value, ExecutionError> {
                let [Value::String(name), otherwise] = given.as_slice() else {
                    panic!("getAttribute was called with {given:?}");
                };
                assert_eq!(name.as_str(), "storage.googleapis.com/objectListPrefix");
                let listed = listed.clone().map(|it| Value::String(Arc::new(it)));
                Ok(listed.unwrap_or_else(|| otherwise.clone()))
            },
        );
        added.unwrap();
        match Program::compile(expression).unwrap().execute(&context) {
            Ok(Value::Bool(allowed)) => allowed,
            other => panic!("{expression} came to {other:?}"),
        }
    }

    fn bucket() -> BucketName {
        "artifacts".parse().unwrap()
    }

    fn expression(path: &str, lists: bool) -> String {
        let path = Path::parse(path).unwrap();
        let narrowed = Narrowing::to(&bucket(), &path, lists);
        until(Timestamp::from_seconds(UNTIL), narrowed.as_ref())
    }

    fn object(name: &str) -> String {
        format!("projects/_/buckets/{name}")
    }

    fn asked<'a>(name: &'a str, listed: Option<&'a str>) -> Asked<'a> {
        let kind = if listed.is_some() { "Bucket" } else { "Object" };
        Asked {
            at: UNTIL - 1,
            kind,
            name,
            listed,
        }
    }

    #[test]
    fn a_condition_holds_until_its_moment_and_not_a_second_longer() {
        let whole = until(Timestamp::from_seconds(UNTIL), None);
        let at = |at| Asked {
            at,
            ..asked("x", None)
        };
        assert!(allows(&whole, &at(UNTIL - 1)));
        assert!(!allows(&whole, &at(UNTIL)));
        // A part of a second is rounded so that the lease does not end before its time.
        let later = until(Timestamp::from_micros(UNTIL * 1_000_000 + 1), None);
        assert!(allows(&later, &at(UNTIL)));
    }

    #[test]
    fn a_prefix_is_for_the_objects_beneath_it_and_for_listing_them() {
        let reads = expression("releases/", true);
        let inside = object("artifacts/objects/releases/v1");
        assert!(allows(&reads, &asked(&inside, None)));
        for beyond in [
            "artifacts/objects/releases",
            "artifacts/objects/releases-evil/v1",
            "artifacts/objects/other/releases/v1",
            "artifacts-2/objects/releases/v1",
            "other/objects/releases/v1",
        ] {
            assert!(!allows(&reads, &asked(&object(beyond), None)), "{beyond}");
        }
        let whole_bucket = object("artifacts");
        for (prefix, allowed) in [
            ("releases/", true),
            ("releases/v1/", true),
            ("releases", false),
            ("", false),
            ("other/", false),
        ] {
            let listing = asked(&whole_bucket, Some(prefix));
            assert_eq!(allows(&reads, &listing), allowed, "listing `{prefix}`");
        }
        // The attribute of a listing opens nothing but listings.
        let elsewhere = object("artifacts/objects/other/x");
        let disguised = Asked {
            kind: "Object",
            ..asked(&elsewhere, Some("releases/"))
        };
        assert!(!allows(&reads, &disguised));
        // Over it is over, whatever the path.
        let late = Asked {
            at: UNTIL,
            ..asked(&inside, None)
        };
        assert!(!allows(&reads, &late));
    }

    #[test]
    fn a_role_that_lists_nothing_and_a_single_object_open_no_listing() {
        let whole_bucket = object("artifacts");
        for expression in [
            expression("releases/", false),
            expression("releases/v1", true),
        ] {
            let listing = asked(&whole_bucket, Some("releases/v1"));
            assert!(!allows(&expression, &listing), "{expression}");
        }
        let one = expression("releases/v1", true);
        assert!(allows(
            &one,
            &asked(&object("artifacts/objects/releases/v1"), None)
        ));
        let longer = object("artifacts/objects/releases/v10");
        assert!(!allows(&one, &asked(&longer, None)));
    }

    #[test]
    fn a_condition_on_a_whole_project_keeps_a_role_to_one_bucket() {
        let whole = whole(&"artifacts".parse().unwrap());
        let inside = object("artifacts/objects/releases/v1");
        assert!(allows(&whole, &asked(&inside, None)));
        let elsewhere = object("artifacts-2/objects/releases/v1");
        assert!(!allows(&whole, &asked(&elsewhere, None)));
        let part = expression("releases/", true);
        for (bucket, opens) in [("artifacts", true), ("artifacts-2", false)] {
            let name = object(bucket);
            let listing = Asked {
                kind: "Bucket",
                ..asked(&name, Some("releases/v1"))
            };
            assert_eq!(allows(&whole, &listing), opens, "{bucket}");
            assert_eq!(allows(&part, &listing), opens, "{bucket}");
        }
    }

    #[test]
    fn twelve_operators_are_never_reached() {
        let longest = expression("releases/", true);
        let operators = longest.matches("&&").count() + longest.matches("||").count();
        assert_eq!(operators, 5, "{longest}");
    }

    proptest! {
        #[test]
        fn every_text_reads_back_as_the_same_text(text in any::<String>()) {
            let literal = literal(&text);
            prop_assert!(literal.is_ascii());
            let read = Program::compile(&literal).unwrap().execute(&Context::default());
            prop_assert_eq!(read.unwrap(), Value::String(Arc::new(text)));
        }
    }
}
