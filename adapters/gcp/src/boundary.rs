//! Access boundaries: what narrows one token of an account that may do more. Only Cloud Storage
//! looks at them ("Other Google Cloud services don't support this feature").

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::condition::Narrowing;
use crate::limits::{BOUNDARY_CHARACTERS_MAX, BOUNDARY_RULES_MAX};
use crate::names::{BucketName, PolicyName, RoleName};

/// One rule: a role's permissions on a bucket. A boundary allows what any of its rules allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) bucket: BucketName,
    pub(crate) role: RoleName,
    pub(crate) narrowed: Option<Narrowing>,
}

/// Why rules are no boundary that Google takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("{0} rules, and Google takes {BOUNDARY_RULES_MAX}")]
    Rules(usize),
    #[error("{0} characters, and Google takes {BOUNDARY_CHARACTERS_MAX}")]
    Characters(usize),
}

/// The boundary of some rules, as it is sent.
pub(crate) fn boundary(rules: &[Rule]) -> Result<Value, TooLarge> {
    if rules.len() > BOUNDARY_RULES_MAX {
        return Err(TooLarge::Rules(rules.len()));
    }
    let rules: Vec<Value> = rules.iter().map(rule).collect();
    let boundary = json!({ "accessBoundary": { "accessBoundaryRules": rules } });
    let length = boundary.to_string().len();
    if length > BOUNDARY_CHARACTERS_MAX {
        return Err(TooLarge::Characters(length));
    }
    Ok(boundary)
}

fn rule(rule: &Rule) -> Value {
    let mut written = json!({
        "availableResource": PolicyName::Bucket(rule.bucket.clone()).to_string(),
        "availablePermissions": [format!("inRole:{}", rule.role)],
    });
    if let (Some(narrowed), Some(fields)) = (&rule.narrowed, written.as_object_mut()) {
        let condition = json!({ "expression": narrowed.expression() });
        fields.insert("availabilityCondition".to_owned(), condition);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use jitney_core::scope::Path;

    fn rule_on(path: &str) -> Rule {
        let bucket: BucketName = "artifacts".parse().unwrap();
        let path = Path::parse(path).unwrap();
        Rule {
            narrowed: Narrowing::to(&bucket, &path, true),
            bucket,
            role: "roles/storage.objectViewer".parse().unwrap(),
        }
    }

    #[test]
    fn a_rule_names_its_bucket_its_role_and_what_it_is_narrowed_to() {
        let written = boundary(&[rule_on("releases/")]).unwrap();
        let rule = &written["accessBoundary"]["accessBoundaryRules"][0];
        assert_eq!(
            rule["availableResource"],
            "//storage.googleapis.com/projects/_/buckets/artifacts"
        );
        assert_eq!(
            rule["availablePermissions"],
            json!(["inRole:roles/storage.objectViewer"])
        );
        let expression = rule["availabilityCondition"]["expression"]
            .as_str()
            .unwrap();
        assert!(expression.contains("objects/releases/"), "{expression}");
        let whole = Rule {
            narrowed: None,
            ..rule_on("x")
        };
        let written = boundary(&[whole]).unwrap();
        let rule = &written["accessBoundary"]["accessBoundaryRules"][0];
        assert_eq!(rule.get("availabilityCondition"), None);
    }

    #[test]
    fn what_google_would_not_take_is_not_sent() {
        let eleven = vec![rule_on("a"); 11];
        assert_eq!(boundary(&eleven), Err(TooLarge::Rules(11)));
        let long = rule_on(&format!("{}/", "x".repeat(500)));
        assert!(matches!(
            boundary(&[long.clone(), long]),
            Err(TooLarge::Characters(_))
        ));
    }
}
