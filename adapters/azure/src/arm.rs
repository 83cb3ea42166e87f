//! Calls to Azure Resource Manager: sent through the SDK's pipeline, answered with what came back.

use core::time::Duration;
use std::error::Error;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{CONTENT_TYPE, HeaderName, Headers, RETRY_AFTER};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request,
};
use jiff::fmt::rfc2822;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::classify::printable;
use crate::limits::{CALLS_LEFT_LOUD, PAGES_MAX};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const DATE: HeaderName = HeaderName::from_static("date");
/// How many calls of a kind are left (ARM, "Understand how Resource Manager throttles requests").
const CALLS_LEFT: [HeaderName; 3] = [
    HeaderName::from_static("x-ms-ratelimit-remaining-subscription-reads"),
    HeaderName::from_static("x-ms-ratelimit-remaining-subscription-writes"),
    HeaderName::from_static("x-ms-ratelimit-remaining-subscription-deletes"),
];

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Below the endpoint, beginning with `/`.
    pub(crate) path: &'a str,
    pub(crate) api_version: &'static str,
    /// What a list is narrowed to, as Azure writes it.
    pub(crate) filter: Option<&'a str>,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The call never left us.
    NeverSent(String),
    /// There are no credentials for it; it never left us either.
    NoCredentials(String),
    /// It left, and nothing intelligible came back.
    Lost(String),
    /// Azure refused it.
    Refused(Refusal),
}

/// A refusal in Azure's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// How long Azure asks us to wait.
    pub(crate) after: Option<Duration>,
    pub(crate) request: Option<String>,
}

impl NoAnswer {
    /// Azure's own code, if it refused with one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            Self::NeverSent(_) | Self::NoCredentials(_) | Self::Lost(_) => None,
        }
    }

    /// Whether Azure refused with this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code()
            .is_some_and(|seen| seen.eq_ignore_ascii_case(code))
    }
}

/// What Azure answered.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) body: T,
    pub(crate) request: Option<String>,
    /// When, by Azure's clock.
    pub(crate) date: Option<jiff::Timestamp>,
}

/// A client of Resource Manager, or of a vault, which speaks the same, as one identity.
#[derive(Debug)]
pub(crate) struct Arm {
    endpoint: Url,
    pipeline: Pipeline,
}

#[derive(Deserialize)]
pub(crate) struct List<T> {
    pub(crate) value: Vec<T>,
    #[serde(rename = "nextLink")]
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Failed {
    pub(crate) error: Failure,
}

#[derive(Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
}

impl Arm {
    pub(crate) fn new(
        endpoint: &Url,
        credential: &Arc<dyn TokenCredential>,
        scope: &'static str,
        options: ClientOptions,
    ) -> Self {
        let bearer = BearerTokenAuthorizationPolicy::new(Arc::clone(credential), [scope]);
        Self {
            endpoint: endpoint.clone(),
            pipeline: Pipeline::new(
                option_env!("CARGO_PKG_NAME"),
                option_env!("CARGO_PKG_VERSION"),
                options,
                Vec::new(),
                vec![Arc::new(bearer)],
                None,
            ),
        }
    }

    /// Reads one thing.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
    ) -> Result<Answered<T>, NoAnswer> {
        read(&self.send(Method::Get, self.url(place), None::<&()>).await?)
    }

    /// Reads a list to its end.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
    ) -> Result<Vec<T>, NoAnswer> {
        let (mut all, mut next) = (Vec::new(), Some(self.url(place)));
        for _ in 0..PAGES_MAX {
            let Some(url) = next else {
                return Ok(all);
            };
            let answer = self.send(Method::Get, url, None::<&()>).await?;
            let page: Answered<List<T>> = read(&answer)?;
            all.extend(page.body.value);
            let next_page = page.body.next;
            next = next_page
                .map(|link| same_address(&self.endpoint, &link))
                .transpose()?;
        }
        Err(NoAnswer::Lost(format!(
            "a list goes on after {PAGES_MAX} pages"
        )))
    }

    /// Makes or changes something.
    pub(crate) async fn put<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        body: &B,
    ) -> Result<Answered<T>, NoAnswer> {
        let answer = self.send(Method::Put, self.url(place), Some(body)).await?;
        read(&answer)
    }

    /// Removes something. What is not there is removed.
    pub(crate) async fn delete(&self, place: Place<'_>) -> Result<(), NoAnswer> {
        let answer = self.send(Method::Delete, self.url(place), None::<&()>);
        answer.await.map(|_| ())
    }

    /// Has something made of what is sent.
    pub(crate) async fn ask<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        body: &B,
    ) -> Result<Answered<T>, NoAnswer> {
        let answer = self.send(Method::Post, self.url(place), Some(body)).await?;
        read(&answer)
    }

    /// Has something done.
    pub(crate) async fn post(&self, place: Place<'_>) -> Result<(), NoAnswer> {
        let answer = self.send(Method::Post, self.url(place), None::<&()>);
        answer.await.map(|_| ())
    }

    fn url(&self, place: Place<'_>) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path(place.path);
        let version = place.api_version;
        url.set_query(Some(&match place.filter {
            Some(filter) => format!("api-version={version}&$filter={filter}"),
            None => format!("api-version={version}"),
        }));
        url
    }

    /// Sends a call. One that was refused with 401 is sent again, once, with another token: it was
    /// not looked at, and only Azure knows when a token is too old for it.
    async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        url: Url,
        body: Option<&B>,
    ) -> Result<RawResponse, NoAnswer> {
        let answer = self.send_once(method, url.clone(), body).await?;
        let answer = if u16::from(answer.status()) == 401 {
            self.send_once(method, url, body).await?
        } else {
            answer
        };
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(NoAnswer::Refused(refusal(&answer)))
        }
    }

    async fn send_once<B: Serialize + Sync>(
        &self,
        method: Method,
        url: Url,
        body: Option<&B>,
    ) -> Result<RawResponse, NoAnswer> {
        let mut request = Request::new(url, method);
        request.insert_header("accept", "application/json");
        if let Some(body) = body {
            let text = serde_json::to_vec(body);
            let text = text.map_err(|error| NoAnswer::NeverSent(error.to_string()))?;
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(text);
        }
        let options = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let context = Context::new();
        let sent = self.pipeline.send(&context, &mut request, Some(options));
        let answer = sent.await.map_err(|error| unsent(&error))?;
        watch_calls_left(answer.headers());
        Ok(answer)
    }
}

/// Where a list goes on, if that is at the same address: our token goes nowhere else.
fn same_address(endpoint: &Url, link: &str) -> Result<Url, NoAnswer> {
    let url = Url::parse(link).ok();
    url.filter(|url| url.origin() == endpoint.origin())
        .ok_or_else(|| NoAnswer::Lost("a list goes on at another address".to_owned()))
}

/// What a call came to that has no answer.
fn unsent(error: &azure_core::Error) -> NoAnswer {
    let told = chain(error);
    match error.kind() {
        // "A connection to the server could not be established. The request was never sent"
        // (azure_core).
        ErrorKind::Connection => NoAnswer::NeverSent(told),
        ErrorKind::Credential => NoAnswer::NoCredentials(told),
        // Also what a later version of the SDK may add.
        _ => NoAnswer::Lost(told),
    }
}

/// An error and what it comes from, each once.
pub(crate) fn chain(error: &azure_core::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let first: &(dyn Error + 'static) = error;
    for error in core::iter::successors(Some(first), |&error| error.source()) {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

fn read<T: DeserializeOwned>(answer: &RawResponse) -> Result<Answered<T>, NoAnswer> {
    let body = serde_json::from_slice(answer.body())
        .map_err(|error| NoAnswer::Lost(format!("the answer cannot be read: {error}")))?;
    let date = answer.headers().get_optional_str(&DATE);
    Ok(Answered {
        body,
        request: answer.headers().get_optional_string(&REQUEST_ID),
        date: date.and_then(|text| rfc2822::parse(text).ok().map(|date| date.timestamp())),
    })
}

fn refusal(answer: &RawResponse) -> Refusal {
    let failed = serde_json::from_slice::<Failed>(answer.body()).ok();
    let (code, message) = match failed {
        Some(Failed { error }) => (error.code, error.message),
        None => (None, String::new()),
    };
    Refusal {
        status: answer.status().into(),
        code: code.map(|code| printable(&code)),
        message: printable(&message),
        after: retry_after(answer.headers()),
        request: answer.headers().get_optional_string(&REQUEST_ID),
    }
}

/// Seconds, or a date by Azure's own clock. Zero is an answer too.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let text = headers.get_optional_str(&RETRY_AFTER)?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let read = |text: &str| rfc2822::parse(text).ok().map(|date| date.timestamp());
    let (until, now) = (read(text)?, read(headers.get_optional_str(&DATE)?)?);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

fn watch_calls_left(headers: &Headers) {
    for name in &CALLS_LEFT {
        let left = headers
            .get_optional_str(name)
            .and_then(|text| text.parse::<u32>().ok());
        if let Some(left) = left.filter(|left| *left < CALLS_LEFT_LOUD) {
            let kind = name.as_str();
            tracing::warn!(
                left,
                kind,
                "Azure will soon refuse calls because there are too many"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(*name, *value);
        }
        headers
    }

    #[test]
    fn a_list_goes_on_where_it_began_or_not_at_all() {
        let endpoint = Url::parse("https://management.azure.com").unwrap();
        let at = |link: &str| same_address(&endpoint, link).is_ok();
        assert!(at(
            "https://management.azure.com/subscriptions?$skiptoken=x"
        ));
        for elsewhere in [
            "https://management.azure.com.evil.example/x",
            "https://evil.example/management.azure.com",
            "http://management.azure.com/x",
            "https://management.azure.com:444/x",
            "https://management.azure.com@evil.example/x",
            "/subscriptions?$skiptoken=x",
            "",
        ] {
            assert!(!at(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn azure_says_how_long_to_wait_in_two_ways() {
        let date = ("date", "Wed, 25 Nov 2026 10:00:00 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, expected) in [
            ("7", seconds(7)),
            ("0", seconds(0)),
            ("Wed, 25 Nov 2026 10:00:30 GMT", seconds(30)),
            ("Wed, 25 Nov 2026 09:59:30 GMT", seconds(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(
                retry_after(&headers(&[date, ("retry-after", text)])),
                expected,
                "{text}"
            );
        }
        assert_eq!(retry_after(&headers(&[date])), None);
    }
}
