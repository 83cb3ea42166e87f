//! From the body of a write to a policy, with the rules of versions and etags.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use super::document::{Binding, Condition, Document};
use super::limits::{Surroundings, check_bindings, check_size};
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::expressions::Expression;
use crate::gcp::schema::{Fields, Kind};

const EXPRESSION: Kind = Kind::Object(&[
    ("expression", Kind::Text),
    ("title", Kind::Text),
    ("description", Kind::Text),
    ("location", Kind::Text),
]);
const BINDING: Kind = Kind::Object(&[
    ("role", Kind::Text),
    ("members", Kind::List(&Kind::Text)),
    ("condition", EXPRESSION),
]);
const AUDIT_CONFIG: Kind = Kind::Object(&[
    ("service", Kind::Text),
    (
        "auditLogConfigs",
        Kind::List(&Kind::Object(&[
            (
                "logType",
                Kind::Choice(&[
                    "LOG_TYPE_UNSPECIFIED",
                    "ADMIN_READ",
                    "DATA_WRITE",
                    "DATA_READ",
                ]),
            ),
            ("exemptedMembers", Kind::List(&Kind::Text)),
        ])),
    ),
]);

/// A policy in IAM's and Resource Manager's calls.
pub(crate) const POLICY: Kind = Kind::Object(&[
    ("version", Kind::Int32),
    ("bindings", Kind::List(&BINDING)),
    ("auditConfigs", Kind::List(&AUDIT_CONFIG)),
    ("etag", Kind::Bytes),
]);
/// The body of `setIamPolicy`.
pub(crate) const SET_POLICY: Kind = Kind::Object(&[("policy", POLICY), ("updateMask", Kind::Mask)]);
/// A policy in Cloud Storage's calls.
pub(crate) const STORAGE_POLICY: Kind = Kind::Object(&[
    ("kind", Kind::Text),
    ("resourceId", Kind::Text),
    ("version", Kind::Int32),
    ("bindings", Kind::List(&BINDING)),
    ("etag", Kind::Text),
]);

/// A policy somebody wants to set.
pub(crate) struct Proposed {
    version: i64,
    etag: Option<String>,
    bindings: Vec<Binding>,
    audit_configs: Option<Vec<Value>>,
}

/// What a write needs besides the policy.
pub(crate) struct Writing<'a> {
    pub(crate) around: &'a dyn Surroundings,
    pub(crate) new_etag: String,
    /// Whether conditions may ask which roles a call changes: only projects know that.
    pub(crate) may_ask_for_modified_grants: bool,
}

impl Proposed {
    /// Reads a checked policy. `auditConfigs` only count when the mask names them.
    pub(crate) fn read(policy: &Value, mask: Option<&str>) -> Result<Proposed, ApiError> {
        let masked = mask.map(|mask| mask.split(',').map(str::trim).collect::<Vec<_>>());
        if let Some(unknown) = masked.iter().flatten().find(|name| {
            ![
                "bindings",
                "etag",
                "version",
                "auditConfigs",
                "audit_configs",
                "*",
            ]
            .contains(name)
        }) {
            return Err(ApiError::invalid(format!(
                "Invalid update mask: {unknown}."
            )));
        }
        let with_audit = masked
            .iter()
            .flatten()
            .any(|name| ["auditConfigs", "audit_configs", "*"].contains(name));
        let bindings = policy
            .items("bindings")
            .iter()
            .map(binding)
            .collect::<Result<_, _>>()?;
        Ok(Proposed {
            version: policy.get("version").and_then(Value::as_i64).unwrap_or(0),
            etag: policy.text("etag").map(str::to_owned),
            bindings,
            audit_configs: with_audit.then(|| policy.items("auditConfigs").to_vec()),
        })
    }

    /// The policy that would be stored after `standing`, or why it would not be.
    ///
    /// An etag is compared; without one nothing is, and every condition of `standing` can be lost. That is
    /// Google's rule, and its most expensive one.
    pub(crate) fn after(
        self,
        standing: &Document,
        writing: &Writing<'_>,
    ) -> Result<Document, ApiError> {
        self.check_version(standing)?;
        if let Some(etag) = &self.etag
            && !is_same_etag(etag, &standing.etag)
        {
            return Err(stale(etag));
        }
        check_bindings(&self.bindings, writing.around)?;
        self.check_attributes(writing)?;
        let audit_configs = self
            .audit_configs
            .unwrap_or_else(|| standing.audit_configs().to_vec());
        let document = Document::new(self.bindings, audit_configs, writing.new_etag.clone());
        check_size(&document)?;
        Ok(document)
    }

    fn check_version(&self, standing: &Document) -> Result<(), ApiError> {
        if ![0, 1, 3].contains(&self.version) {
            return Err(ApiError::invalid(format!(
                "Invalid policy version ({}). It must be 0, 1 or 3.",
                self.version
            )));
        }
        let has_condition = self
            .bindings
            .iter()
            .any(|binding| binding.condition.is_some());
        if has_condition && self.version < 3 {
            return Err(ApiError::invalid(
                "The policy has conditional role bindings, and its version must be 3. For more information, please \
                 refer to https://cloud.google.com/iam/docs/policies#versions.",
            ));
        }
        let standing_version = i64::from(standing.version());
        if self.etag.is_some() && standing_version == 3 && self.version < 3 {
            return Err(ApiError::invalid(format!(
                "Specified policy version ({}) cannot be less than the existing policy version \
                 ({standing_version}). For more information, please refer to \
                 https://cloud.google.com/iam/docs/policies#versions.",
                self.version.max(1)
            )));
        }
        Ok(())
    }

    fn check_attributes(&self, writing: &Writing<'_>) -> Result<(), ApiError> {
        const MODIFIED_GRANTS: &str = "iam.googleapis.com/modifiedGrantsByRole";
        let asks = |binding: &Binding| {
            let condition = binding.condition.as_ref();
            condition.is_some_and(|condition| condition.expression.asks_for(MODIFIED_GRANTS))
        };
        if !writing.may_ask_for_modified_grants && self.bindings.iter().any(asks) {
            return Err(ApiError::invalid(format!(
                "The attribute {MODIFIED_GRANTS} is not supported in policies of this resource."
            )));
        }
        Ok(())
    }
}

/// An etag is bytes, and clients write them in either alphabet of base64: gcloud does not send back what it read.
fn is_same_etag(given: &str, standing: &str) -> bool {
    let bytes = |text: &str| {
        STANDARD
            .decode(text)
            .or_else(|_| URL_SAFE.decode(text))
            .ok()
    };
    bytes(given).is_some_and(|given| Some(given) == bytes(standing))
}

/// How a lost race is told by IAM and Resource Manager; Cloud Storage has its own words.
fn stale(etag: &str) -> ApiError {
    ApiError::new(
        Code::Stale,
        format!(
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. \
             The request's ETag '{etag}' did not match the current policy's ETag."
        ),
    )
}

fn binding(value: &Value) -> Result<Binding, ApiError> {
    let role = value.text("role").unwrap_or_default().to_owned();
    let condition = value.get("condition").filter(|condition| {
        // An empty condition is no condition.
        condition
            .as_object()
            .is_some_and(|fields| !fields.is_empty())
    });
    Ok(Binding {
        members: value.texts("members").into_iter().collect(),
        condition: condition
            .map(|condition| self::condition(condition, &role))
            .transpose()?,
        role,
    })
}

fn condition(value: &Value, role: &str) -> Result<Condition, ApiError> {
    let text = value.text("expression").unwrap_or_default();
    let expression = Expression::condition(text).map_err(|reason| {
        ApiError::invalid(format!(
            "The condition of the binding for {role} is invalid: expression '{text}': {reason}"
        ))
    })?;
    let title = value.text("title").ok_or_else(|| {
        ApiError::invalid(format!(
            "The condition of the binding for {role} has no title."
        ))
    })?;
    Ok(Condition {
        title: title.to_owned(),
        description: value.text("description").unwrap_or_default().to_owned(),
        location: value.text("location").unwrap_or_default().to_owned(),
        expression,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_the_same_in_either_alphabet() {
        assert!(is_same_etag("_-8=", "/+8="));
        assert!(is_same_etag("ACAB", "ACAB"));
        assert!(!is_same_etag("ACAC", "ACAB"));
        assert!(!is_same_etag("!", "!"));
    }
}
