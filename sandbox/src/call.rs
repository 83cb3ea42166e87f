//! One HTTP call as the services see it, and what they answer.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::connection::Wire;

/// A request with its body read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// As sent, still percent-encoded.
    pub(crate) path: String,
    /// As sent, still percent-encoded, without the question mark.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) peer: IpAddr,
}

/// The body of a request is longer than is read.
#[derive(Debug)]
pub(crate) struct TooLong {
    pub(crate) path: String,
}

impl Call {
    /// Reads a request whole.
    pub(crate) async fn read(
        request: Request,
        wire: &Wire,
        body_bytes_max: usize,
    ) -> Result<Call, TooLong> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let Ok(body) = axum::body::to_bytes(body, body_bytes_max).await else {
            return Err(TooLong { path });
        };
        Ok(Call {
            method: head.method,
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
            peer: wire.peer.ip(),
        })
    }

    /// A header's value; `None` when absent or not plain text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The decoded query parameters, in order; a parameter without `=` has an empty value.
    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        self.query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(decoded_pair)
            .collect()
    }

    /// Whether the `Host` is a loopback name: a page in a browser cannot reach the port under a name of its own.
    pub(crate) fn is_for_loopback(&self) -> bool {
        let host = self.header("host").unwrap_or_default();
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| !port.contains(']'))
            .map_or(host, |(name, _)| name);
        name == "localhost"
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// Where the client found this sandbox, as `http://127.0.0.1:PORT`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.header("host").unwrap_or("localhost"))
    }

    /// The first query parameter of this name.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// The decoded fields of a form, in order.
pub(crate) fn decoded_form(body: &[u8]) -> Vec<(String, String)> {
    let fields = url::form_urlencoded::parse(body);
    fields
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn decoded_pair(part: &str) -> (String, String) {
    let (key, value) = part.split_once('=').unwrap_or((part, ""));
    (percent_decoded(key), percent_decoded(value))
}

/// Percent-decoded text; bytes that are not UTF-8 become replacement characters, which no policy names.
pub(crate) fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What a service answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// An XML document.
    pub(crate) fn xml(status: u16, content_type: &str, text: String) -> Answer {
        Answer {
            status,
            headers: vec![(Cow::Borrowed("content-type"), content_type.to_owned())],
            body: Bytes::from(text),
        }
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Answer {
        Answer {
            status,
            headers: vec![(
                Cow::Borrowed("content-type"),
                "application/json; charset=UTF-8".to_owned(),
            )],
            body: Bytes::from(value.to_string()),
        }
    }

    /// The same answer with one more header.
    #[must_use]
    pub(crate) fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }
}
