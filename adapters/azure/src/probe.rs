//! Probing: whether Azure accepts a token now, by a call on a blob with the token that changes
//! nothing.
//!
//! | the scope allows | the call, on a name of our own or on the one blob | accepted | refused |
//! |---|---|---|---|
//! | reading | its properties | 200, 404 `BlobNotFound` | 403 |
//! | writing | put it if it is what it never was | 412 | 403 |
//! | deleting | delete it if it is what it never was | 404 `BlobNotFound`, 412 | 403 |
//!
//! The condition of a role is judged by the blob's path, so the name lies where the scope is. What
//! a whole role allows is the operator's, and a statement to log in with is no token: neither is
//! probed.

use core::time::Duration;

use async_trait::async_trait;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::lease;
use jitney_core::plan::Plan;
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::scope::Path;
use reqwest::Method;
use url::Url;

use crate::adapter::AzureAdapter;
use crate::capability::{BlobAction, Terms as Meaning};
use crate::handing::STORAGE_ACCESS_TOKEN;
use crate::scope::Scope;

/// The version of the Blob service's protocol.
const VERSION: &str = "2023-11-03";
/// An entity tag that no blob has.
const NO_TAG: &str = "\"0x0\"";
/// The longest that a role assignment takes to be in force: "up to 10 minutes".
const IN_FORCE_SECONDS: u64 = 600;

#[async_trait]
impl Probe for AzureAdapter {
    fn in_force(&self, _: &Plan) -> InForce {
        InForce {
            within: Duration::from_secs(IN_FORCE_SECONDS),
            says: "Microsoft says up to 10 minutes",
        }
    }

    async fn probe(&self, lease: &lease::Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        let column = wanted.meaning.clouds.get(&self.planner.cloud);
        let meaning = column.map(|column| Meaning::read(&column.terms));
        let Some(Ok(Meaning::Blobs { data_actions, .. })) = meaning else {
            return cannot_tell(
                "what a role allows is the operator's, and no call is known for all",
            );
        };
        let Some(token) = shown.field(STORAGE_ACCESS_TOKEN) else {
            return cannot_tell("the job logs in by itself, and its token is not here");
        };
        let Some(method) = method(&data_actions) else {
            return cannot_tell("none of its data actions can be tried without changing anything");
        };
        let name = match &wanted.scope.path {
            Path::Whole => format!("jitney-probe-{}", lease.handle),
            Path::Prefix(prefix) => format!("{prefix}jitney-probe-{}", lease.handle),
            Path::Exact(name) => name.clone(),
        };
        let Some(url) = self.blob(&wanted.resource.native_id, &name) else {
            return cannot_tell(
                "there is no address of its blobs: `endpoint_url` is set and `blob_endpoint_url` \
                 is not",
            );
        };
        match self.ask(&method, url, token).await {
            Err(why) => Probed::Unknown { why },
            Ok((status, code)) => judged(&method, status, &code),
        }
    }
}

/// The call that tells most of what the actions allow.
fn method(actions: &[BlobAction]) -> Option<Method> {
    let has = |name: &str| actions.iter().any(|it| it.as_str().ends_with(name));
    [
        ("blobs/read", Method::HEAD),
        ("blobs/write", Method::PUT),
        ("blobs/delete", Method::DELETE),
    ]
    .into_iter()
    .find_map(|(name, method)| has(name).then_some(method))
}

impl AzureAdapter {
    /// The address of a blob in a container.
    fn blob(&self, container: &str, name: &str) -> Option<Url> {
        let scope: Scope = container.parse().ok()?;
        let (account, container) = (scope.account()?, scope.container()?);
        let config = self.config();
        let mut url = match &config.blob_endpoint {
            // In paths, as servers have it that are not Azure's.
            Some(endpoint) => endpoint.join(&format!("{account}/")).ok()?,
            None if config.is_at_home() => {
                let blobs = config.environment.blobs();
                Url::parse(&format!("https://{account}.{blobs}/")).ok()?
            }
            None => return None,
        };
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .push(container)
            .extend(name.split('/'));
        Some(url)
    }

    async fn ask(&self, method: &Method, url: Url, token: &str) -> Result<(u16, String), String> {
        let call = self
            .identities
            .way
            .http()
            .request(method.clone(), url)
            .bearer_auth(token)
            .header("x-ms-version", VERSION);
        let call = match *method {
            Method::PUT => call
                .header("x-ms-blob-type", "BlockBlob")
                .header("content-length", "0")
                .header("if-match", NO_TAG),
            Method::DELETE => call.header("if-match", NO_TAG),
            _ => call,
        };
        let answer = call.send().await;
        let answer = answer.map_err(|error| error.without_url().to_string())?;
        let code = answer.headers().get("x-ms-error-code");
        let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
        Ok((answer.status().as_u16(), code.to_owned()))
    }
}

/// What an answer says. Whatever is not one of the answers that were expected is none.
fn judged(method: &Method, status: u16, code: &str) -> Probed {
    let is_missing = status == 404 && code == "BlobNotFound";
    match status {
        200 if *method == Method::HEAD => Probed::Accepted,
        404 if is_missing && *method != Method::PUT => Probed::Accepted,
        412 if *method != Method::HEAD => Probed::Accepted,
        // "This request is not authorized to perform this operation using this permission", and
        // what is said of a token that has ended.
        403 if code == "AuthorizationPermissionMismatch" => Probed::Refused,
        401 if code == "InvalidAuthenticationInfo" => Probed::Refused,
        _ => Probed::Unknown {
            why: format!("Azure answered {status} {code}"),
        },
    }
}

fn cannot_tell(why: &str) -> Probed {
    Probed::CannotTell {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_expected_is_clear() {
        let (head, put, delete) = (Method::HEAD, Method::PUT, Method::DELETE);
        for (method, status, code, means) in [
            (&head, 200, "", "accepted"),
            (&head, 404, "BlobNotFound", "accepted"),
            (&head, 404, "ContainerNotFound", "unknown"),
            (&head, 404, "ResourceNotFound", "unknown"),
            (&head, 403, "AuthorizationPermissionMismatch", "refused"),
            // The account's firewall, which says nothing of the role.
            (&head, 403, "AuthorizationFailure", "unknown"),
            (&head, 401, "InvalidAuthenticationInfo", "refused"),
            // No token was seen: that says nothing of this one.
            (&head, 401, "NoAuthenticationInformation", "unknown"),
            (&head, 412, "ConditionNotMet", "unknown"),
            (&head, 500, "InternalError", "unknown"),
            (&put, 200, "", "unknown"),
            (&put, 412, "ConditionNotMet", "accepted"),
            (&put, 403, "AuthorizationPermissionMismatch", "refused"),
            // It was not to be carried out.
            (&put, 201, "", "unknown"),
            (&put, 404, "BlobNotFound", "unknown"),
            (&delete, 404, "BlobNotFound", "accepted"),
            (&delete, 412, "ConditionNotMet", "accepted"),
            (&delete, 403, "AuthorizationPermissionMismatch", "refused"),
            (&delete, 202, "", "unknown"),
            (&delete, 503, "ServerBusy", "unknown"),
        ] {
            let judged = judged(method, status, code);
            assert_eq!(judged.as_str(), means, "{method} {status} {code}");
        }
    }
}
