//! Lists come in pages: `MaxItems`, `Marker`, `IsTruncated`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::aws::errors::AwsError;
use crate::aws::query_protocol::Params;
use crate::aws::xml::Xml;

const ITEMS_DEFAULT: i64 = 100;
const ITEMS_MAX: i64 = 1_000;

/// One page of a list.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    marker: Option<String>,
}

impl<T> Page<T> {
    /// The page after `Marker`. The items come with keys in ascending order.
    pub(super) fn of(
        params: &Params,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> Result<Page<T>, AwsError> {
        let most = params
            .number("MaxItems", 1, ITEMS_MAX)?
            .unwrap_or(ITEMS_DEFAULT);
        let most = usize::try_from(most).unwrap_or(1);
        let after = params.optional("Marker").map(read_marker).transpose()?;
        let mut rest = items
            .into_iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .peekable();
        let mut page = Page {
            items: Vec::new(),
            marker: None,
        };
        let mut last_key = String::new();
        while page.items.len() < most
            && let Some((key, item)) = rest.next()
        {
            page.items.push(item);
            last_key = key;
        }
        if rest.peek().is_some() {
            page.marker = Some(URL_SAFE_NO_PAD.encode(last_key));
        }
        Ok(page)
    }

    /// `IsTruncated` and `Marker`, after the list.
    pub(super) fn write_end(&self, xml: &mut Xml) {
        xml.leaf(
            "IsTruncated",
            if self.marker.is_some() {
                "true"
            } else {
                "false"
            },
        );
        xml.optional_leaf("Marker", self.marker.as_deref());
    }
}

fn read_marker(marker: &str) -> Result<String, AwsError> {
    URL_SAFE_NO_PAD
        .decode(marker)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| AwsError::validation(format!("Invalid Marker: {marker}")))
}
