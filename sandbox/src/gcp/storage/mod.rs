//! Cloud Storage: objects in buckets with uniform bucket-level access, enforced at every call.
//!
//! An object is had by an enabled account × the token's scopes × the policies in force × the token's boundary. The
//! one exception is the URI of a resumable upload: it is its own credential for a week, whatever became of the
//! account that began it. Google does not document what a disabled account's open uploads do, and this is the worst
//! they could do.
//!
//! Judges: google-cloud-storage, google-api-python-client, gcloud.

mod buckets;
mod checksums;
mod downloads;
mod listing;
mod multipart;
mod objects;
mod resumable;
mod store;
mod uploads;

use http::Method;

use super::access::{Target, Verdict};
use super::errors::{ApiError, Code};
use super::policy::STORAGE_POLICY;
use super::route::{Body, CallerBy, Incoming, Route, Service};
use super::tokens::CLOUD_PLATFORM_READ_ONLY;
pub(crate) use store::Objects;
pub use store::UploadInfo;

const READ_SCOPES: &[&str] = &[
    CLOUD_PLATFORM_READ_ONLY,
    "https://www.googleapis.com/auth/devstorage.read_only",
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/devstorage.full_control",
];
const WRITE_SCOPES: &[&str] = &[
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/devstorage.full_control",
];
const FULL_SCOPES: &[&str] = &["https://www.googleapis.com/auth/devstorage.full_control"];

/// Parameters that operations on objects take.
const OBJECT_QUERY: &[&str] = &[
    "projection",
    "generation",
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
    "userProject",
];
const LIST_QUERY: &[&str] = &[
    "projection",
    "prefix",
    "delimiter",
    "pageToken",
    "maxResults",
    "startOffset",
    "endOffset",
    "versions",
    "includeTrailingDelimiter",
    "includeFoldersAsPrefixes",
    "softDeleted",
    "userProject",
];
const UPLOAD_QUERY: &[&str] = &[
    "name",
    "projection",
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
    "upload_id",
    "contentEncoding",
    "userProject",
];
const POLICY_QUERY: &[&str] = &["optionsRequestedPolicyVersion", "userProject"];
const BUCKETS_QUERY: &[&str] = &[
    "project",
    "prefix",
    "projection",
    "pageToken",
    "maxResults",
    "softDeleted",
    "userProject",
];

macro_rules! route {
    ($action:literal, $method:ident $path:literal, $query:expr, $body:expr, $caller:ident, $handler:expr) => {
        Route {
            service: Service::Storage,
            action: $action,
            method: Method::$method,
            path: $path,
            query: $query,
            body: $body,
            caller: CallerBy::$caller,
            handler: $handler,
        }
    };
}

pub(crate) const ROUTES: &[Route] = &[
    route!("ListBuckets", GET "/storage/v1/b", BUCKETS_QUERY, Body::Nothing, Token, buckets::list),
    route!("GetBucket", GET "/storage/v1/b/{bucket}", OBJECT_QUERY, Body::Nothing, Token, buckets::get),
    route!("GetIamPolicy", GET "/storage/v1/b/{bucket}/iam", POLICY_QUERY, Body::Nothing, Token, buckets::get_policy),
    route!("SetIamPolicy", PUT "/storage/v1/b/{bucket}/iam", POLICY_QUERY, Body::Json(&STORAGE_POLICY), Token, buckets::set_policy),
    route!("TestIamPermissions", GET "/storage/v1/b/{bucket}/iam/testPermissions", &["permissions", "userProject"], Body::Nothing, Token, buckets::test_permissions),
    route!("ListObjects", GET "/storage/v1/b/{bucket}/o", LIST_QUERY, Body::Nothing, Token, listing::list),
    route!("GetObject", GET "/storage/v1/b/{bucket}/o/{object}", OBJECT_QUERY, Body::Nothing, Token, objects::get),
    route!("GetObject", GET "/download/storage/v1/b/{bucket}/o/{object}", OBJECT_QUERY, Body::Nothing, Token, objects::get),
    route!("DeleteObject", DELETE "/storage/v1/b/{bucket}/o/{object}", OBJECT_QUERY, Body::Nothing, Token, objects::delete),
    route!("InsertObject", POST "/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Raw, Token, uploads::insert),
    route!("ContinueUpload", PUT "/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Raw, Itself, resumable::go_on),
    route!("CancelUpload", DELETE "/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Nothing, Itself, resumable::cancel),
    route!("InsertObject", POST "/resumable/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Raw, Token, uploads::insert),
    route!("ContinueUpload", PUT "/resumable/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Raw, Itself, resumable::go_on),
    route!("CancelUpload", DELETE "/resumable/upload/storage/v1/b/{bucket}/o", UPLOAD_QUERY, Body::Nothing, Itself, resumable::cancel),
];

/// Whether the caller may; an anonymous one is asked for a token.
fn demand(incoming: &Incoming<'_>, permission: &str, target: &Target) -> Result<(), ApiError> {
    let token = incoming.token.as_deref();
    if token.is_some_and(|token| !token.has_scope(scopes_for(permission))) {
        return Err(ApiError::new(
            Code::PermissionDenied,
            "Provided scope(s) are not authorized",
        ));
    }
    if incoming.cloud.decide(token, permission, target) == Verdict::Allowed {
        return Ok(());
    }
    let thing =
        if permission.starts_with("storage.objects.") && permission != "storage.objects.list" {
            "object"
        } else {
            "bucket"
        };
    let refused = |who: &str| {
        format!(
            "{who} does not have {0} access to the Google Cloud Storage {thing}. Permission '{0}' denied on resource \
             (or it may not exist).",
            permission
        )
    };
    Err(match token {
        None => ApiError::new(Code::Unauthenticated, refused("Anonymous caller")),
        Some(token) => {
            let member = token.principal.member();
            let name = member
                .split_once(':')
                .map_or(member.as_str(), |(_, name)| name);
            ApiError::new(Code::PermissionDenied, refused(name))
        }
    })
}

/// The bucket must be there.
fn bucket<'a>(incoming: &'a Incoming<'_>) -> Result<&'a str, ApiError> {
    let name = incoming.capture("bucket");
    if incoming.cloud.directory.read().buckets.contains_key(name) {
        Ok(name)
    } else {
        Err(ApiError::not_found("The specified bucket does not exist."))
    }
}

/// The scopes that cover a permission of Cloud Storage.
pub(crate) fn scopes_for(permission: &str) -> &'static [&'static str] {
    match permission {
        "storage.objects.get"
        | "storage.objects.list"
        | "storage.buckets.get"
        | "storage.buckets.list" => READ_SCOPES,
        "storage.objects.create" | "storage.objects.delete" | "storage.objects.update" => {
            WRITE_SCOPES
        }
        _ => FULL_SCOPES,
    }
}
