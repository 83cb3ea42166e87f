//! Which operation a call is for: every path of the sandbox, in one shape.

use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::Target;
use super::cloud::Cloud;
use super::errors::{ApiError, Code, OAuthError, Refusal};
use super::schema::{self, Kind};
use super::tokens::Token;
use super::{accounts, federation, iamcredentials, metadata, pam, projects, storage};
use crate::call::{Answer, Call, percent_decoded};

/// The APIs behind the port. Each has a host of its own on Google; their paths do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    IamCredentials,
    Sts,
    Iam,
    ResourceManager,
    PrivilegedAccess,
    Storage,
    Metadata,
}

impl Service {
    /// As the journal and the faults name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::IamCredentials => "iamcredentials",
            Service::Sts => "sts",
            Service::Iam => "iam",
            Service::ResourceManager => "cloudresourcemanager",
            Service::PrivilegedAccess => "privilegedaccessmanager",
            Service::Storage => "storage",
            Service::Metadata => "metadata",
        }
    }

    pub(crate) fn refusal(self, failure: &Failure) -> Refusal {
        match (self, failure) {
            (_, Failure::OAuth(error)) => error.clone().into(),
            (Service::Storage, Failure::Api(error)) => error.as_storage(),
            (_, Failure::Api(error)) => error.as_rpc(),
        }
    }
}

/// Why a call is refused.
#[derive(Debug)]
pub(crate) enum Failure {
    Api(ApiError),
    OAuth(OAuthError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Api(error)
    }
}

impl From<OAuthError> for Failure {
    fn from(error: OAuthError) -> Failure {
        Failure::OAuth(error)
    }
}

/// What an operation takes as its body.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Nothing,
    Json(&'static Kind),
    /// Read by the operation itself.
    Raw,
}

/// How an operation knows its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerBy {
    /// By their access token; one that does not count is refused before anything is looked at.
    Token,
    /// In its own way; a token is not looked at.
    Itself,
}

/// One operation.
pub(crate) struct Route {
    pub(crate) service: Service,
    /// As `GenerateAccessToken`.
    pub(crate) action: &'static str,
    pub(crate) method: Method,
    /// Segments, each fixed, `{name}` or `{name}:verb`.
    pub(crate) path: &'static str,
    /// Query parameters besides those every API takes.
    pub(crate) query: &'static [&'static str],
    pub(crate) body: Body,
    pub(crate) caller: CallerBy,
    pub(crate) handler: fn(&Incoming<'_>) -> Result<Answer, Failure>,
}

/// Parameters that every API takes.
const SYSTEM_PARAMETERS: &[&str] = &[
    "alt",
    "$alt",
    "fields",
    "$fields",
    "key",
    "prettyPrint",
    "$prettyPrint",
    "quotaUser",
    "userIp",
    "$.xgafv",
    "upload_protocol",
    "uploadType",
];

/// A call whose operation and bearer are known.
pub(crate) struct Incoming<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) call: &'a Call,
    pub(crate) captures: Vec<(&'static str, String)>,
    pub(crate) body: Value,
    pub(crate) token: Option<Arc<Token>>,
    pub(crate) now: Timestamp,
}

fn all() -> impl Iterator<Item = &'static Route> {
    [
        iamcredentials::ROUTES,
        federation::ROUTES,
        accounts::ROUTES,
        projects::ROUTES_V1,
        projects::ROUTES_V3,
        pam::ROUTES,
        storage::ROUTES,
        metadata::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// The operation a call is for, and what its path names.
pub(crate) fn find(call: &Call) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
    all().find_map(|route| {
        let captures = (route.method == call.method).then(|| captures(route.path, &call.path));
        Some((route, captures.flatten()?))
    })
}

/// Every operation with its method and path, for judges that want to see them all used.
pub(crate) fn listed() -> Value {
    let routes = all().map(|route| {
        json!({
            "service": route.service.name(),
            "action": route.action,
            "method": route.method.as_str(),
            "path": route.path,
        })
    });
    routes.collect()
}

fn captures(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut captures = Vec::new();
    let mut given = path.split('/');
    for expected in pattern.split('/') {
        let given = given.next()?;
        let Some((name, verb)) = expected
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
        else {
            if expected != given {
                return None;
            }
            continue;
        };
        let value = given.strip_suffix(verb)?;
        // What follows a colon is a verb, and here is none; the names of objects may have colons.
        let has_other_verb = pattern.starts_with("/v") && value.contains(':');
        if value.is_empty() || has_other_verb {
            return None;
        }
        captures.push((name, percent_decoded(value)));
    }
    given.next().is_none().then_some(captures)
}

impl Route {
    /// Checks query and body against what the operation takes.
    pub(crate) fn read(&self, call: &Call) -> Result<Value, ApiError> {
        for (name, _) in call.query_pairs() {
            let known = SYSTEM_PARAMETERS
                .iter()
                .chain(self.query)
                .any(|known| *known == name);
            if !known {
                let message = format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. Field \
                     '{name}' could not be found in request message."
                );
                return Err(ApiError::bad_field("", message));
            }
        }
        match self.body {
            Body::Json(kind) => schema::read(&call.body, kind),
            Body::Nothing if call.body.is_empty() || call.body.as_ref() == b"{}" => Ok(Value::Null),
            Body::Nothing => {
                let message =
                    "Invalid JSON payload received. Unexpected content: the method takes no body.";
                Err(ApiError::bad_field("", message))
            }
            Body::Raw => Ok(Value::Null),
        }
    }
}

impl Incoming<'_> {
    /// What the path names; it is there, because the path matched.
    pub(crate) fn capture(&self, name: &str) -> &str {
        let mut captures = self.captures.iter();
        captures
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.call
            .query_value(name)
            .filter(|value| !value.is_empty())
    }

    /// The caller's token, which must be there and have one of these scopes or that for everything.
    pub(crate) fn caller(&self, scopes: &[&str]) -> Result<&Arc<Token>, ApiError> {
        let token = self.token.as_ref().ok_or_else(missing_credential)?;
        if token.has_scope(scopes) {
            return Ok(token);
        }
        Err(ApiError::new(
            Code::PermissionDenied,
            "Request had insufficient authentication scopes.",
        )
        .because(
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "googleapis.com",
            json!({}),
        ))
    }

    /// The caller must hold a permission on a resource.
    pub(crate) fn demand(
        &self,
        permission: &str,
        target: &Target,
        shown: &str,
    ) -> Result<(), ApiError> {
        if self.cloud.may(self.token.as_deref(), permission, target) {
            Ok(())
        } else {
            Err(ApiError::denied(permission, shown))
        }
    }

    /// A JSON answer.
    pub(crate) fn ok(&self, value: &Value) -> Answer {
        Answer::json(200, value)
    }
}

fn missing_credential() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other \
         valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )
    .because("CREDENTIALS_MISSING", "googleapis.com", json!({}))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn paths_match_segment_by_segment_and_are_decoded_after() {
        let pattern = "/v1/projects/{project}/serviceAccounts/{account}:disable";
        let found = captures(pattern, "/v1/projects/-/serviceAccounts/a%40b.c:disable").unwrap();
        assert_eq!(
            found,
            [("project", "-".to_owned()), ("account", "a@b.c".to_owned())]
        );
        for other in [
            "/v1/projects/-/serviceAccounts/a@b.c",
            "/v1/projects/-/serviceAccounts/a@b.c:enable",
            "/v1/projects/-/serviceAccounts/:disable",
            "/v1/projects/x/y/serviceAccounts/a:disable",
            "/v1/projects/-/serviceAccounts/a:disable/",
            "/v1/projects/-/serviceAccounts/a:undelete:disable",
        ] {
            assert_eq!(captures(pattern, other), None, "{other}");
        }
        let object = captures(
            "/storage/v1/b/{bucket}/o/{object}",
            "/storage/v1/b/b/o/a%2Fb",
        )
        .unwrap();
        assert_eq!(object[1].1, "a/b");
    }
}
