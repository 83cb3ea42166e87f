//! The schema that rules are checked against: the types of `schema.cedarschema`, and one action
//! per capability of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Schema, SchemaFragment};
use jitney_core::catalogue::Catalogue;
use serde_json::{Map, Value, json};

use crate::catalogue::built_in;
use crate::problem::{CannotLoad, Problem};

pub(crate) const SCHEMA_NAME: &str = "schema.cedarschema";
pub(crate) const SCHEMA: &str = include_str!("../schema.cedarschema");

/// The actions of a catalogue by group, as Cedar names them.
pub(crate) fn groups(catalogue: &Catalogue) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for capability in catalogue.0.keys() {
        groups
            .entry(capability.service().to_owned())
            .or_default()
            .insert(capability.to_string());
    }
    groups
}

/// The schema for a catalogue.
///
/// # Errors
/// When the schema file cannot be read, or does not declare exactly the capabilities that are
/// built in.
pub(crate) fn schema_for(catalogue: &Catalogue) -> Result<Schema, CannotLoad> {
    let ours = Catalogue(built_in()?);
    schema_from(SCHEMA, &ours, catalogue)
}

fn schema_from(text: &str, ours: &Catalogue, all: &Catalogue) -> Result<Schema, CannotLoad> {
    let wrong = |code, found: &dyn miette::Diagnostic| {
        CannotLoad::one(Problem::from_cedar(SCHEMA_NAME, text, code, found))
    };
    let (written, _) =
        SchemaFragment::from_cedarschema_str(text).map_err(|error| wrong("bad_schema", &error))?;
    let alone = Schema::from_schema_fragments([written.clone()])
        .map_err(|error| wrong("bad_schema", &error))?;
    let declared: BTreeSet<String> = alone
        .actions()
        .map(|action| action.id().unescaped().to_owned())
        .collect();
    let expected: BTreeSet<String> = groups(ours)
        .into_iter()
        .flat_map(|(group, actions)| actions.into_iter().chain([group]))
        .collect();
    if let Some(odd) = declared.symmetric_difference(&expected).next() {
        let message = format!("`{odd}` is in only one of schema and catalogue");
        let problem = Problem::new(SCHEMA_NAME, None, "schema_mismatch", message);
        return Err(CannotLoad::one(problem));
    }
    let added = SchemaFragment::from_json_value(additions(&declared, all))
        .map_err(|error| wrong("bad_schema", &error))?;
    Schema::from_schema_fragments([written, added]).map_err(|error| wrong("bad_schema", &error))
}

/// The actions that the schema file does not declare, as a fragment. Built as a value, never as
/// text, so that no name can become syntax.
fn additions(declared: &BTreeSet<String>, all: &Catalogue) -> Value {
    let mut actions = Map::new();
    for (group, members) in groups(all) {
        for action in members {
            if !declared.contains(&action) {
                let declaration = json!({
                    "memberOf": [{ "id": group }],
                    "appliesTo": {
                        "principalTypes": ["Job"],
                        "resourceTypes": ["Resource"],
                        "context": { "type": "Request" },
                    },
                });
                actions.insert(action, declaration);
            }
        }
        if !declared.contains(&group) {
            actions.insert(group, json!({}));
        }
    }
    json!({ "": { "entityTypes": {}, "actions": actions } })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalogue::catalogue;
    use crate::sources::SourceFile;

    fn with_queue() -> Catalogue {
        let text = "[\"queue:send\"]\nsummary = \"send\"\ntier = \"low\"\npath = \"never\"\n\
                    persists = false\nclouds = {}\n\
                    [\"object-storage:tag\"]\nsummary = \"tag\"\ntier = \"low\"\n\
                    path = \"never\"\npersists = false\nclouds = {}\n";
        catalogue(Some(&SourceFile {
            name: "more.toml".to_owned(),
            text: text.to_owned(),
        }))
        .unwrap()
    }

    #[test]
    fn capabilities_an_operator_adds_become_actions_in_their_groups() {
        let schema = schema_for(&with_queue()).unwrap();
        let actions: BTreeSet<String> = schema.actions().map(ToString::to_string).collect();
        assert!(actions.contains("Action::\"queue:send\""));
        assert!(actions.contains("Action::\"queue\""));
        let group = "Action::\"object-storage\"".parse().unwrap();
        let members = schema.action_entities().unwrap();
        assert!(members.is_ancestor_of(&group, &"Action::\"object-storage:tag\"".parse().unwrap()));
    }

    #[test]
    fn a_schema_that_disagrees_with_the_catalogue_is_refused() {
        let ours = Catalogue(built_in().unwrap());
        for (right, wrong) in [
            ("\"object-storage:delete\"", "\"object-storage:destroy\""),
            ("action \"infra\";", "action \"infra\"; action \"more\";"),
        ] {
            let text = SCHEMA.replace(right, wrong);
            let refused = schema_from(&text, &ours, &ours).unwrap_err();
            assert_eq!(refused.problems.first().unwrap().code, "schema_mismatch");
        }
        assert!(schema_from(SCHEMA, &ours, &ours).is_ok());
    }
}
