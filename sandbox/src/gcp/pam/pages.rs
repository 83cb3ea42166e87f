//! Lists page by page: as many as are asked for, and where to go on.

use serde_json::{Value, json};

use crate::gcp::errors::ApiError;
use crate::gcp::route::Incoming;
use crate::gcp::schema::{self, And};

/// How many are told where nothing is said, and how many at most.
const DEFAULT: usize = 50;
const MOST: usize = 500;

/// The page of a list that a call asks for, under the list's name.
pub(super) fn page(
    incoming: &Incoming<'_>,
    name: &str,
    all: Vec<Value>,
) -> Result<Value, ApiError> {
    let size = match incoming.query("pageSize").as_deref().map(str::parse) {
        None | Some(Ok(0)) => DEFAULT,
        Some(Ok(size)) => MOST.min(size),
        Some(Err(_)) => return Err(ApiError::bad_field("page_size", "Invalid page size.")),
    };
    let begin = match incoming.query("pageToken") {
        None => 0,
        Some(token) => begins(&token)
            .filter(|begin| *begin < all.len())
            .ok_or_else(|| ApiError::bad_field("page_token", "Invalid page token."))?,
    };
    let end = begin.saturating_add(size);
    let next = (end < all.len()).then(|| json!(format!("after-{end}")));
    let told: Vec<Value> = all.into_iter().skip(begin).take(size).collect();
    Ok(json!({})
        .and(name, schema::listed(told))
        .and("nextPageToken", next))
}

fn begins(token: &str) -> Option<usize> {
    token.strip_prefix("after-")?.parse().ok()
}
