//! The catalogue of capabilities: ours, built in, and what an operator adds.

use std::collections::BTreeMap;

use jitney_core::catalogue::{Catalogue, Meaning};
use jitney_core::scope::Capability;

use crate::problem::{CannotLoad, Place, Problem, nearest};
use crate::sources::SourceFile;

/// The most capabilities a catalogue has.
pub const CAPABILITIES_MAX: usize = 512;

/// The name by which messages call the catalogue that is built in.
pub(crate) const BUILT_IN_NAME: &str = "catalogue.toml";
const BUILT_IN: &str = include_str!("../catalogue.toml");

/// The built-in catalogue, with the capabilities of the operator's file, if there is one.
///
/// # Errors
/// When the file is not a catalogue, has a key nobody knows, or gives a capability that exists
/// already another meaning: rules were written with the first meaning in mind.
pub fn catalogue(additions: Option<&SourceFile>) -> Result<Catalogue, CannotLoad> {
    let mut rows = rows_of(BUILT_IN_NAME, BUILT_IN)?;
    let Some(file) = additions else {
        return Ok(Catalogue(rows));
    };
    let added = rows_of(&file.name, &file.text)?;
    let problems: Vec<Problem> = added
        .keys()
        .filter(|capability| rows.contains_key(capability))
        .map(|capability| {
            let place = file
                .text
                .find(&capability.to_string())
                .map(|offset| Place::at(&file.text, offset));
            let message = format!("`{capability}` is in the built-in catalogue already");
            Problem::new(&file.name, place, "bad_catalogue", message)
                .advise("give your capability a name of its own")
        })
        .collect();
    if !problems.is_empty() {
        return Err(CannotLoad { problems });
    }
    rows.extend(added);
    if rows.len() > CAPABILITIES_MAX {
        let message = format!(
            "there are {} capabilities, at most {CAPABILITIES_MAX} are taken",
            rows.len()
        );
        let problem = Problem::new(&file.name, None, "bad_catalogue", message);
        return Err(CannotLoad::one(problem));
    }
    Ok(Catalogue(rows))
}

/// The capabilities that the schema file must declare.
pub(crate) fn built_in() -> Result<BTreeMap<Capability, Meaning>, CannotLoad> {
    rows_of(BUILT_IN_NAME, BUILT_IN)
}

fn rows_of(name: &str, text: &str) -> Result<BTreeMap<Capability, Meaning>, CannotLoad> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| Place::at(text, span.start));
        let problem = Problem::new(name, place, "bad_catalogue", error.message());
        CannotLoad::one(match meant(error.message()) {
            Some(word) => problem.advise(format!("did you mean `{word}`?")),
            None => problem,
        })
    })
}

/// Serde says "unknown field `tire`, expected one of `tier`, `path`": the first word is what was
/// seen, the others are what there is.
fn meant(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let seen = words.next()?;
    nearest(seen, words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jitney_core::catalogue::{PathUse, Tier};

    fn addition(text: &str) -> SourceFile {
        SourceFile {
            name: "more.toml".to_owned(),
            text: text.to_owned(),
        }
    }

    const QUEUE: &str = r#"
["queue:send"]
summary = "send messages"
tier = "low"
path = "never"
persists = false
clouds.aws.terms = { kind = "queue" }
"#;

    #[test]
    fn the_built_in_catalogue_says_what_outlives_a_lease() {
        let catalogue = catalogue(None).unwrap().0;
        let row = |name: &str| catalogue.get(&name.parse().unwrap()).unwrap();
        for name in [
            "object-storage:read",
            "object-storage:write",
            "object-storage:delete",
        ] {
            assert_eq!(row(name).path, PathUse::Optional);
            assert!(!row(name).persists);
            let aws = row(name).clouds.get(&"aws".parse().unwrap()).unwrap();
            assert!(aws.derives.iter().all(|derived| derived.ends_with_grant));
        }
        assert_eq!(row("infra:apply").tier, Tier::Critical);
        assert!(row("infra:apply").persists);
        assert_eq!(row("infra:apply").path, PathUse::Never);
    }

    #[test]
    fn an_operator_adds_and_cannot_redefine() {
        assert!(
            catalogue(Some(&addition(QUEUE)))
                .unwrap()
                .0
                .contains_key(&"queue:send".parse().unwrap())
        );
        let again = QUEUE.replace("queue:send", "object-storage:write");
        let refused = catalogue(Some(&addition(&again))).unwrap_err().to_string();
        assert_eq!(
            refused,
            "more.toml:2:3: `object-storage:write` is in the built-in catalogue already \
             (bad_catalogue)\n  advice: give your capability a name of its own"
        );
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_its_neighbour() {
        for (right, wrong, expected) in [
            ("tier", "tire", "did you mean `tier`?"),
            ("\"low\"", "\"lwo\"", "did you mean `low`?"),
            ("queue:send", "queue", "`service:verb`"),
            ("persists = false", "", "missing field `persists`"),
            ("false", "\"no\"", "expected a boolean"),
        ] {
            let text = QUEUE.replacen(right, wrong, 1);
            let refused = catalogue(Some(&addition(&text))).unwrap_err().to_string();
            assert!(refused.starts_with("more.toml:"), "{refused}");
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
