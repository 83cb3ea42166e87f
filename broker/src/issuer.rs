//! What the broker publishes as an issuer of its own tokens: two documents, public and the same for
//! everybody. Clouds fetch them when a slot's assertion is shown to them.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jitney_api::{ProblemCode, paths};
use jitney_identity::assertions::AssertionIssuer;

use crate::problem::Declined;

/// How long whoever fetched a document may keep it. Much shorter than the days in which keys
/// overlap.
const FRESH_FOR: &str = "public, max-age=300";
/// When it is worth while to ask again for keys that are not to be had.
const RETRY_SECONDS: u32 = 5;

/// The routes of the two documents.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(issuer: &Arc<AssertionIssuer>) -> Router<S> {
    let (discovery, keys) = (Arc::clone(issuer), Arc::clone(issuer));
    Router::new()
        .route(
            paths::ISSUER_DISCOVERY,
            get(move || async move { document(discovery.discovery().to_owned()) }),
        )
        .route(
            paths::ISSUER_KEY_SET,
            get(move || async move { key_set(&keys).await }),
        )
}

fn document(json: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, FRESH_FOR),
    ];
    (headers, json).into_response()
}

/// The keys, or none of them: some may lie elsewhere, and not be to be had just now.
async fn key_set(issuer: &AssertionIssuer) -> Response {
    match issuer.key_set().await {
        Ok(keys) => document(keys),
        Err(error) => {
            tracing::error!(%error, "the issuer's keys cannot be published");
            let told = "the issuer's keys cannot be read just now";
            let declined = Declined::new(ProblemCode::TryAgain, told);
            declined.retry_after(RETRY_SECONDS).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_identity::assertions::{DISCOVERY_PATH, KEY_SET_PATH};

    #[test]
    fn the_documents_are_where_they_say_they_are() {
        assert_eq!(paths::ISSUER_DISCOVERY, DISCOVERY_PATH);
        assert_eq!(paths::ISSUER_KEY_SET, KEY_SET_PATH);
    }
}
