//! What the broker publishes as an issuer of its own tokens: two documents, public and the same for
//! everybody. Clouds fetch them when a slot's assertion is shown to them.

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use jitney_api::paths;
use jitney_identity::assertions::AssertionIssuer;

/// How long whoever fetched a document may keep it. Much shorter than the days in which keys
/// overlap.
const FRESH_FOR: &str = "public, max-age=300";

/// The routes of the two documents.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(issuer: &AssertionIssuer) -> Router<S> {
    Router::new()
        .route(paths::ISSUER_DISCOVERY, document(issuer.discovery()))
        .route(paths::ISSUER_KEY_SET, document(issuer.key_set()))
}

fn document<S: Clone + Send + Sync + 'static>(json: &str) -> MethodRouter<S> {
    let body = Bytes::copy_from_slice(json.as_bytes());
    get(move || async move {
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, FRESH_FOR),
        ];
        (headers, body).into_response()
    })
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
