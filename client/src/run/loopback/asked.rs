//! What an SDK sent: headers, the query, and a form. A name that stands there twice could be read in
//! two ways, so it is read in none.

use axum::http::{HeaderMap, HeaderName};

/// A call, read.
pub(crate) struct Asked {
    headers: HeaderMap,
    query: Fields,
    form: Fields,
}

/// Names and values in their order.
pub(crate) struct Fields(Vec<(String, String)>);

impl Asked {
    pub(super) fn new(headers: HeaderMap, query: &str, form: &[u8]) -> Self {
        Self {
            headers,
            query: Fields::read(query.as_bytes()),
            form: Fields::read(form),
        }
    }

    /// A header that is there exactly once.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        single(&self.headers, name)
    }

    /// The fields of the address.
    pub(crate) const fn query(&self) -> &Fields {
        &self.query
    }

    /// The fields of the body.
    pub(crate) const fn form(&self) -> &Fields {
        &self.form
    }
}

impl Fields {
    fn read(encoded: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(encoded);
        Self(
            pairs
                .map(|(n, v)| (n.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// Whether the name is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The value of a name that is there exactly once.
    pub(crate) fn single(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let (_, first) = values.next()?;
        values.next().is_none().then_some(first.as_str())
    }
}

/// A header that is there exactly once. Two of them are two readings of one request.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}
