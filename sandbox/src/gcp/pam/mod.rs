//! Privileged Access Manager: grants that are asked for, approved, and end by themselves.
//!
//! A grant's binding is in the project's policy from its activation to its end, under a condition with the end; it
//! comes and goes with the lags of every other binding. What Google's pages disagree about is read strictly: one
//! requester has one open grant of an entitlement, and an entitlement has five.
//!
//! Judges: google-cloud-privilegedaccessmanager, gcloud. Entitlements come from the estate.

mod entitlements;
mod grants;
mod lifecycle;
mod operations;
mod pages;

use http::Method;

use super::route::{Body, CallerBy, Route, Service};
use super::schema::Kind;
pub(crate) use entitlements::Entitlement;
pub(crate) use lifecycle::Grants;

const ACCESS: Kind = Kind::Object(&[(
    "gcpIamAccess",
    Kind::Object(&[
        ("resourceType", Kind::Text),
        ("resource", Kind::Text),
        (
            "roleBindings",
            Kind::List(&Kind::Object(&[
                ("role", Kind::Text),
                ("conditionExpression", Kind::Text),
            ])),
        ),
    ]),
)]);
/// What only Google writes may be sent, and is not looked at.
const GRANT: Kind = Kind::Object(&[
    ("name", Kind::Text),
    ("createTime", Kind::Time),
    ("updateTime", Kind::Time),
    ("requester", Kind::Text),
    ("requestedDuration", Kind::Duration),
    (
        "justification",
        Kind::Object(&[("unstructuredJustification", Kind::Text)]),
    ),
    ("privilegedAccess", ACCESS),
    ("additionalEmailRecipients", Kind::List(&Kind::Text)),
    ("externallyModified", Kind::Flag),
]);
const REASON: Kind = Kind::Object(&[("reason", Kind::Text)]);

const PAGE: &[&str] = &["pageSize", "pageToken", "filter", "orderBy"];
const SEARCH_ENTITLEMENTS: &[&str] = &["callerAccessType", "filter", "pageSize", "pageToken"];
const SEARCH_GRANTS: &[&str] = &["callerRelationship", "filter", "pageSize", "pageToken"];

macro_rules! route {
    ($action:literal, $method:ident $path:literal, $query:expr, $body:expr, $handler:expr) => {
        Route {
            service: Service::PrivilegedAccess,
            action: $action,
            method: Method::$method,
            path: concat!("/v1/projects/{project}/locations/{location}", $path),
            query: $query,
            body: $body,
            caller: CallerBy::Token,
            handler: $handler,
        }
    };
}

pub(crate) const ROUTES: &[Route] = &[
    route!("CheckOnboardingStatus", GET ":checkOnboardingStatus", &[], Body::Nothing, entitlements::onboarding),
    route!("ListEntitlements", GET "/entitlements", PAGE, Body::Nothing, entitlements::list),
    route!("SearchEntitlements", GET "/entitlements:search", SEARCH_ENTITLEMENTS, Body::Nothing, entitlements::search),
    route!("GetEntitlement", GET "/entitlements/{entitlement}", &[], Body::Nothing, entitlements::get),
    route!("CreateGrant", POST "/entitlements/{entitlement}/grants", &["requestId"], Body::Json(&GRANT), grants::create),
    route!("ListGrants", GET "/entitlements/{entitlement}/grants", PAGE, Body::Nothing, grants::list),
    route!("SearchGrants", GET "/entitlements/{entitlement}/grants:search", SEARCH_GRANTS, Body::Nothing, grants::search),
    route!("GetGrant", GET "/entitlements/{entitlement}/grants/{grant}", &[], Body::Nothing, grants::get),
    route!("ApproveGrant", POST "/entitlements/{entitlement}/grants/{grant}:approve", &[], Body::Json(&REASON), grants::approve),
    route!("DenyGrant", POST "/entitlements/{entitlement}/grants/{grant}:deny", &[], Body::Json(&REASON), grants::deny),
    route!("RevokeGrant", POST "/entitlements/{entitlement}/grants/{grant}:revoke", &[], Body::Json(&REASON), grants::revoke),
    route!("GetOperation", GET "/operations/{operation}", &[], Body::Nothing, operations::get),
];
