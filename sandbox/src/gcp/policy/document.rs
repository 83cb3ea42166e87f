//! A policy as it is stored: bindings in one order, whatever order they came in.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::gcp::expressions::Expression;
use crate::gcp::schema::{And, listed, said};

/// When a binding counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) location: String,
    pub(crate) expression: Expression,
}

impl Condition {
    fn key(&self) -> (&str, &str, &str) {
        (&self.title, self.expression.text(), &self.description)
    }

    pub(crate) fn as_json(&self) -> Value {
        json!({ "expression": self.expression.text(), "title": self.title })
            .and("description", said(&self.description))
            .and("location", said(&self.location))
    }
}

/// Members that hold a role, perhaps under a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    pub(crate) role: String,
    pub(crate) members: BTreeSet<String>,
    pub(crate) condition: Option<Condition>,
}

impl Binding {
    fn key(&self) -> (&str, Option<(&str, &str, &str)>) {
        (&self.role, self.condition.as_ref().map(Condition::key))
    }

    fn as_json(&self) -> Value {
        json!({ "role": self.role, "members": self.members })
            .and("condition", self.condition.as_ref().map(Condition::as_json))
    }

    /// As somebody is shown who did not ask for conditions: the role's name tells that there is one.
    fn as_json_without_condition(&self) -> Value {
        let role = match &self.condition {
            None => self.role.clone(),
            Some(condition) => {
                let key = format!("{:?}", condition.key());
                let hash = digest::digest(&digest::SHA256, key.as_bytes());
                let hex: String = hash
                    .as_ref()
                    .iter()
                    .take(10)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("{}_withcond_{hex}", self.role)
            }
        };
        json!({ "role": role, "members": self.members })
    }
}

/// The whole policy of one resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    bindings: Vec<Binding>,
    audit_configs: Vec<Value>,
    pub(crate) etag: String,
}

impl Document {
    /// A policy that nobody has written yet; `etag` is what its API gives such a one.
    pub(crate) fn blank(etag: &str) -> Document {
        Document {
            bindings: Vec::new(),
            audit_configs: Vec::new(),
            etag: etag.to_owned(),
        }
    }

    /// A policy with these bindings, those for the same role and condition together.
    pub(crate) fn new(bindings: Vec<Binding>, audit_configs: Vec<Value>, etag: String) -> Document {
        let mut merged: Vec<Binding> = Vec::new();
        for binding in bindings {
            match merged.iter_mut().find(|known| known.key() == binding.key()) {
                Some(known) => known.members.extend(binding.members),
                None => merged.push(binding),
            }
        }
        merged.retain(|binding| !binding.members.is_empty());
        merged.sort_by(|one, other| one.key().cmp(&other.key()));
        Document {
            bindings: merged,
            audit_configs,
            etag,
        }
    }

    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    pub(crate) fn audit_configs(&self) -> &[Value] {
        &self.audit_configs
    }

    /// Whether another says the same, whichever version of itself it is.
    pub(crate) fn says_the_same(&self, other: &Document) -> bool {
        (&self.bindings, &self.audit_configs) == (&other.bindings, &other.audit_configs)
    }

    /// 3 with conditions, 1 without.
    pub(crate) fn version(&self) -> i32 {
        if self
            .bindings
            .iter()
            .any(|binding| binding.condition.is_some())
        {
            3
        } else {
            1
        }
    }

    /// The roles that somebody gains or loses by the step from one policy to another.
    pub(crate) fn roles_changed(&self, next: &Document) -> Vec<String> {
        let mut roles: BTreeSet<&str> = BTreeSet::new();
        let missing = |binding: &&Binding, from: &Document| !from.bindings.contains(binding);
        roles.extend(
            self.bindings
                .iter()
                .filter(|b| missing(b, next))
                .map(|b| b.role.as_str()),
        );
        roles.extend(
            next.bindings
                .iter()
                .filter(|b| missing(b, self))
                .map(|b| b.role.as_str()),
        );
        roles.into_iter().map(str::to_owned).collect()
    }

    /// As IAM and Resource Manager answer it, for who asked for this version.
    pub(crate) fn as_json(&self, requested_version: i32) -> Value {
        let with_conditions = requested_version >= 3;
        let bindings: Vec<Value> = self
            .bindings
            .iter()
            .map(|binding| match with_conditions {
                true => binding.as_json(),
                false => binding.as_json_without_condition(),
            })
            .collect();
        let version = if with_conditions { self.version() } else { 1 };
        let version = (!bindings.is_empty()).then(|| json!(version));
        json!({ "etag": self.etag })
            .and("version", version)
            .and("bindings", listed(bindings))
            .and("auditConfigs", listed(self.audit_configs.clone()))
    }

    /// As Cloud Storage answers it.
    pub(crate) fn as_storage_json(&self, bucket: &str) -> Value {
        let bindings: Vec<Value> = self.bindings.iter().map(Binding::as_json).collect();
        json!({
            "kind": "storage#policy",
            "resourceId": format!("projects/_/buckets/{bucket}"),
            "version": self.version(),
            "etag": self.etag,
            "bindings": bindings,
        })
    }
}
