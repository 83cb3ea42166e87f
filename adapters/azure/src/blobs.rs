//! What one lease wants of the blobs of one container, as one role under one condition: Azure has a
//! role on a scope for an identity once.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::plan::CannotPlan;
use jitney_core::scope::Path;
use uuid::Uuid;

use crate::capability::BlobAction;
use crate::condition::{Part, narrowed};
use crate::limits::CONDITION_CHARACTERS_MAX;
use crate::plan::cannot;
use crate::scope::Scope;
use crate::terms::{Grant, Purpose};

/// What is wanted of one container by one role. Each set of actions has parts of its own; a whole
/// container needs no condition.
#[derive(Debug, Default)]
pub(crate) struct BlobParts(BTreeMap<Vec<BlobAction>, Option<BTreeSet<Part>>>);

impl BlobParts {
    pub(crate) fn want(&mut self, actions: &[BlobAction], path: &Path) {
        let mut actions = actions.to_vec();
        actions.sort();
        let parts = self
            .0
            .entry(actions)
            .or_insert_with(|| Some(BTreeSet::new()));
        match path {
            Path::Whole => *parts = None,
            Path::Prefix(prefix) => {
                let part = Part::Beneath(prefix.clone());
                parts.as_mut().map(|parts| parts.insert(part));
            }
            Path::Exact(path) => {
                let part = Part::Exactly(path.clone());
                parts.as_mut().map(|parts| parts.insert(part));
            }
        }
    }

    pub(crate) fn grant(self, role: Uuid, scope: Scope) -> Result<Grant, CannotPlan> {
        let container = scope.container().unwrap_or_default();
        let mut clauses = Vec::new();
        for (actions, parts) in &self.0 {
            let Some(parts) = parts else { continue };
            let actions: Vec<&str> = actions.iter().map(BlobAction::as_str).collect();
            let parts: Vec<Part> = parts.iter().cloned().collect();
            let clause = narrowed(&actions, container, &parts).map_err(|bad| {
                let told = format!("`{}` cannot stand in a condition of Azure", bad.0);
                cannot("path_not_allowed", told)
            })?;
            clauses.push(clause);
        }
        let condition = clauses.join(" AND ");
        if condition.len() > CONDITION_CHARACTERS_MAX {
            let told = format!(
                "what is asked for needs a condition of {} characters, and Azure takes \
                 {CONDITION_CHARACTERS_MAX}: ask for fewer scopes, or for shorter paths",
                condition.len()
            );
            return Err(cannot("plan_too_large", told));
        }
        let all: BTreeSet<BlobAction> = self.0.into_keys().flatten().collect();
        Ok(Grant {
            role,
            scope,
            purpose: Purpose::Blobs {
                data_actions: all.into_iter().collect(),
            },
            condition: Some(condition).filter(|text| !text.is_empty()),
        })
    }
}
