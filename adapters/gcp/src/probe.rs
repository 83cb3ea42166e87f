//! Probing: whether Google accepts a token now, by a call with the token that changes nothing.
//!
//! | the scope | the call | accepted | refused |
//! |---|---|---|---|
//! | a whole bucket | `testIamPermissions` for what the role allows | all of them | none of them |
//! | beneath a path, listing | the first name there | 200 | 403 |
//! | beneath a path, creating | an object under a precondition that cannot hold | 412 | 403 |
//!
//! A condition on the names of objects is false for the bucket, so there `testIamPermissions` would
//! say nothing of the path. 401 is a refusal everywhere: a disabled account's token is answered so.

use core::time::Duration;

use async_trait::async_trait;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::lease;
use jitney_core::plan::Plan;
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::scope::Path;
use reqwest::Method;
use serde_json::Value;

use crate::adapter::GcpAdapter;
use crate::capability::{Role, Terms as Meaning};
use crate::connect::Purpose;
use crate::elevate::ACCESS_TOKEN;
use crate::names::PolicyName;
use crate::rest::Service;
use crate::terms::{Terms, Way};

/// How soon a binding is in force: "Typically 2 minutes, potentially 7 minutes or longer".
const BINDING_SECONDS: u64 = 420;
/// How soon an account that is enabled works. Google says nothing; a change of an account can take
/// a minute to be ready.
const ENABLED_SECONDS: u64 = 60;

/// What roles allow of objects. Roles that are not here are not guessed at.
const ROLES: [(&str, &[&str]); 4] = [
    (
        "roles/storage.objectViewer",
        &["storage.objects.get", "storage.objects.list"],
    ),
    ("roles/storage.objectCreator", &["storage.objects.create"]),
    (
        "roles/storage.objectUser",
        &[
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.create",
            "storage.objects.delete",
        ],
    ),
    (
        "roles/storage.objectAdmin",
        &[
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.create",
            "storage.objects.delete",
        ],
    ),
];

/// One call, and what makes its answer clear.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    method: Method,
    path: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Which of these it holds.
    Permissions(&'static [&'static str]),
    Listing,
    /// An object is not created, because a precondition fails.
    Precondition,
}

#[async_trait]
impl Probe for GcpAdapter {
    fn in_force(&self, plan: &Plan) -> InForce {
        let terms = serde_json::from_value::<Terms>(plan.terms.clone());
        let seconds = match terms.map(|terms| terms.way) {
            Ok(Way::Standing | Way::Boundary(_)) => ENABLED_SECONDS,
            Ok(Way::Own(_) | Way::Shared(_) | Way::Entitled { .. }) | Err(_) => BINDING_SECONDS,
        };
        InForce {
            within: Duration::from_secs(seconds),
            says: match seconds {
                BINDING_SECONDS => "Google says 2 minutes, potentially 7 or longer",
                _ => "Google says nothing of how soon an account that is enabled works",
            },
        }
    }

    async fn probe(&self, lease: &lease::Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        let Some(token) = shown.field(ACCESS_TOKEN) else {
            return cannot_tell("the credential is no access token");
        };
        match self.asked_with(lease, wanted, token).await {
            Ok((_, probed)) | Err(probed) => probed,
        }
    }
}

impl GcpAdapter {
    /// What Google answers to a probe's call: the status, and what it says.
    ///
    /// # Errors
    /// When there is no such call, or no answer to it.
    pub(crate) async fn asked_with(
        &self,
        lease: &lease::Terms,
        wanted: &Wanted,
        token: &str,
    ) -> Result<(u16, Probed), Probed> {
        let column = wanted.meaning.clouds.get(&self.planner.cloud);
        let meaning = column.map(|column| Meaning::read(&column.terms));
        let Some(Ok(meaning)) = meaning else {
            let told = "the capability has no meaning on Google Cloud any more";
            return Err(cannot_tell(told));
        };
        let question = question(wanted, &meaning, lease.handle.as_str());
        let question = question.map_err(|why| cannot_tell(&why))?;
        let Question { method, path, .. } = &question;
        let rest = self.clients.of(Purpose::Gives);
        let answer = rest.shown(token, Service::Storage, method, path).await;
        let (status, body) = answer.map_err(|why| Probed::Unknown { why })?;
        Ok((status, judged(&question.kind, status, &body)))
    }
}

fn question(wanted: &Wanted, meaning: &Meaning, handle: &str) -> Result<Question, String> {
    let Meaning::Objects { role, lists, .. } = meaning else {
        let told = "what its role allows is the operator's, and no call is known for all of them";
        return Err(told.to_owned());
    };
    let role = match role {
        Role::Known(role) => role.to_string(),
        Role::Named(role) => {
            return Err(format!(
                "`{role}` is a role of the operator's own, and what it allows is not known here"
            ));
        }
    };
    let Ok(PolicyName::Bucket(bucket)) = wanted.resource.native_id.parse() else {
        return Err("the resource is no bucket".to_owned());
    };
    match &wanted.scope.path {
        Path::Whole => {
            let known = ROLES.iter().find(|(name, _)| *name == role);
            let Some((_, permissions)) = known else {
                return Err(format!("what {role} allows is not known here"));
            };
            let asked: Vec<String> = permissions
                .iter()
                .map(|permission| format!("permissions={permission}"))
                .collect();
            Ok(Question {
                method: Method::GET,
                path: format!(
                    "/storage/v1/b/{bucket}/iam/testPermissions?{}",
                    asked.join("&")
                ),
                kind: Kind::Permissions(permissions),
            })
        }
        Path::Prefix(prefix) if *lists => Ok(Question {
            method: Method::GET,
            path: format!(
                "/storage/v1/b/{bucket}/o?maxResults=1&prefix={}",
                encoded(prefix)
            ),
            kind: Kind::Listing,
        }),
        // No object's first generation is 1: they are times. The name is nobody's, because over an
        // object that is there a creator may not write.
        Path::Prefix(prefix) if role == "roles/storage.objectCreator" => Ok(Question {
            method: Method::POST,
            path: format!(
                "/upload/storage/v1/b/{bucket}/o?uploadType=media&ifGenerationMatch=1&name={}",
                encoded(&format!("{prefix}jitney-probe-{handle}"))
            ),
            kind: Kind::Precondition,
        }),
        Path::Prefix(_) => Err(format!("what {role} allows is not known here")),
        Path::Exact(_) => Err(
            "of one object Google says the same when it is not there as when it is forbidden"
                .to_owned(),
        ),
    }
}

/// What an answer says. Whatever is not one of the answers that were expected is none.
fn judged(kind: &Kind, status: u16, body: &Value) -> Probed {
    match (kind, status) {
        (Kind::Listing, 200) | (Kind::Precondition, 412) => Probed::Accepted,
        (Kind::Permissions(asked), 200) => {
            let held = body.get("permissions").and_then(Value::as_array);
            let is_held = |name: &&&str| {
                let mut held = held.into_iter().flatten();
                held.any(|it| it.as_str() == Some(name))
            };
            match asked.iter().filter(is_held).count() {
                0 => Probed::Refused,
                count if count == asked.len() => Probed::Accepted,
                count => Probed::Unknown {
                    why: format!("{count} of {} permissions are held", asked.len()),
                },
            }
        }
        (_, 401 | 403) => Probed::Refused,
        (_, status) => Probed::Unknown {
            why: format!("Google answered {status}"),
        },
    }
}

/// Whether a scope lets objects be created, as far as roles are known here.
pub(crate) fn creates(adapter: &GcpAdapter, wanted: &Wanted) -> bool {
    let column = wanted.meaning.clouds.get(&adapter.planner.cloud);
    let meaning = column.map(|column| Meaning::read(&column.terms));
    let Some(Ok(Meaning::Objects {
        role: Role::Known(role),
        ..
    })) = meaning
    else {
        return false;
    };
    let known = ROLES.iter().find(|(name, _)| *name == role.as_str());
    known.is_some_and(|(_, allows)| allows.contains(&"storage.objects.create"))
}

/// A text as a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn cannot_tell(why: &str) -> Probed {
    Probed::CannotTell {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_expected_is_clear() {
        let asked = &["storage.objects.get", "storage.objects.list"];
        let holds = |names: &[&str]| json!({ "permissions": names });
        for (kind, status, body, means) in [
            (Kind::Permissions(asked), 200, holds(asked), "accepted"),
            (Kind::Permissions(asked), 200, json!({}), "refused"),
            (Kind::Permissions(asked), 200, holds(&asked[..1]), "unknown"),
            (Kind::Permissions(asked), 401, json!({}), "refused"),
            (Kind::Permissions(asked), 403, json!({}), "refused"),
            (Kind::Permissions(asked), 404, json!({}), "unknown"),
            (Kind::Permissions(asked), 500, json!({}), "unknown"),
            (Kind::Listing, 200, json!({}), "accepted"),
            (Kind::Listing, 403, json!({}), "refused"),
            (Kind::Listing, 401, json!({}), "refused"),
            (Kind::Listing, 404, json!({}), "unknown"),
            (Kind::Listing, 412, json!({}), "unknown"),
            (Kind::Listing, 429, json!({}), "unknown"),
            (Kind::Precondition, 412, json!({}), "accepted"),
            (Kind::Precondition, 401, json!({}), "refused"),
            (Kind::Precondition, 403, json!({}), "refused"),
            (Kind::Precondition, 404, json!({}), "unknown"),
            // It was not to be carried out.
            (Kind::Precondition, 200, json!({}), "unknown"),
            (Kind::Precondition, 503, json!({}), "unknown"),
        ] {
            assert_eq!(
                judged(&kind, status, &body).as_str(),
                means,
                "{kind:?} {status}"
            );
        }
    }

    #[test]
    fn a_path_cannot_leave_its_place_in_a_query() {
        assert_eq!(encoded("a/b=c+d&e"), "a%2Fb%3Dc%2Bd%26e");
    }
}
