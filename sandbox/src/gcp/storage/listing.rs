//! What is in a bucket, in pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{bucket, demand};
use crate::call::Answer;
use crate::gcp::access::Target;
use crate::gcp::errors::ApiError;
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::{And, listed};

const PAGE_DEFAULT: usize = 1_000;

/// Objects, and what stands for those behind a delimiter.
#[derive(Default)]
struct Page {
    items: Vec<Value>,
    prefixes: BTreeSet<String>,
    next: Option<String>,
}

/// A condition may ask which prefix is listed: the resource itself is the bucket, which says nothing about it.
pub(super) fn list(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let bucket = bucket(incoming)?;
    let prefix = incoming.query("prefix").unwrap_or_default();
    demand(
        incoming,
        "storage.objects.list",
        &Target::bucket(bucket).with("storage.googleapis.com/objectListPrefix", json!(prefix)),
    )?;
    let page = page(incoming, bucket, &prefix)?;
    let prefixes = page.prefixes.into_iter().map(Value::from).collect();
    let json = json!({ "kind": "storage#objects" })
        .and("items", listed(page.items))
        .and("prefixes", listed(prefixes))
        .and("nextPageToken", page.next.map(Value::from));
    Ok(incoming.ok(&json))
}

fn page(incoming: &Incoming<'_>, bucket: &str, prefix: &str) -> Result<Page, ApiError> {
    let most = match incoming
        .query("maxResults")
        .map(|text| text.parse::<usize>())
    {
        None => PAGE_DEFAULT,
        Some(Ok(most)) if most > 0 => most.min(PAGE_DEFAULT),
        Some(_) => {
            return Err(ApiError::invalid(
                "Invalid unsigned integer value for maxResults.",
            ));
        }
    };
    let after = incoming.query("pageToken");
    let start = incoming.query("startOffset").unwrap_or_default();
    let end = incoming.query("endOffset");
    let delimiter = incoming.query("delimiter");
    let base = incoming.call.base_url();
    let objects = incoming.cloud.objects.read();
    let mut page = Page::default();
    let named = objects
        .objects
        .get(bucket)
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            name.starts_with(prefix)
                && **name >= start
                && end.as_ref().is_none_or(|end| *name < end)
                && after.as_ref().is_none_or(|after| *name > after)
        });
    let mut last = None;
    for (name, object) in named {
        let folder = delimiter
            .as_deref()
            .and_then(|delimiter| folder(name, prefix, delimiter));
        let is_known = folder
            .as_ref()
            .is_some_and(|folder| page.prefixes.contains(folder));
        if !is_known && page.items.len() + page.prefixes.len() == most {
            page.next = last;
            break;
        }
        match folder {
            Some(folder) => {
                page.prefixes.insert(folder);
            }
            None => page.items.push(object.as_json(&base, bucket, name)),
        }
        last = Some(name.clone());
    }
    Ok(page)
}

/// The part of a name up to the first delimiter behind the prefix.
fn folder(name: &str, prefix: &str, delimiter: &str) -> Option<String> {
    let rest = name.strip_prefix(prefix)?;
    let (inner, _) = rest.split_once(delimiter)?;
    Some(format!("{prefix}{inner}{delimiter}"))
}
