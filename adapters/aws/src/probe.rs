//! Probing: whether AWS accepts a session now, by a call on the scope itself that changes nothing.
//!
//! | the scope allows | the call | accepted | refused |
//! |---|---|---|---|
//! | listing | the first name beneath the path | 200 | 403 |
//! | writing | the parts of an upload that nobody began | 404 `NoSuchUpload` | 403 |
//! | reading one object | its head | 200, 304, 404 | |
//!
//! Of an object that is not there, S3 says 403 to whoever may not list: so a 403 to the head of one
//! object tells nothing. A deletion of what is not there leaves a marker in a bucket with versions,
//! a failed precondition takes a right that writers do not have, and who may do everything that a
//! role may has no call that every role allows. `GetCallerIdentity` is never denied. Those are not
//! probed.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::handle::Handle;
use jitney_core::lease;
use jitney_core::plan::Plan;
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::scope::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};

use crate::adapter::AwsAdapter;
use crate::arn::BucketArn;
use crate::capability::Terms as Meaning;
use crate::elevate::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What stays as it is in a path.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// One call on a bucket.
struct Question {
    bucket: String,
    /// Begins with `/` or `?`, encoded.
    rest: String,
    method: Method,
    kind: Kind,
}

/// What an answer must say to be clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Listing,
    Parts,
    Head,
}

#[async_trait]
impl Probe for AwsAdapter {
    fn in_force(&self, _: &Plan) -> InForce {
        InForce {
            within: Duration::ZERO,
            says: "a session of AWS is in force from the moment it is made",
        }
    }

    async fn probe(&self, lease: &lease::Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        let column = wanted.meaning.clouds.get(&self.planner.cloud);
        let meaning = column.map(|column| Meaning::read(&column.terms));
        let Some(Ok(meaning)) = meaning else {
            return cannot_tell("the capability has no meaning on AWS any more");
        };
        match question(wanted, &meaning, &lease.handle) {
            Ok(question) => self.ask(&question, shown).await,
            Err(why) => cannot_tell(why),
        }
    }
}

fn question(wanted: &Wanted, meaning: &Meaning, handle: &Handle) -> Result<Question, &'static str> {
    let Meaning::Objects {
        object_actions,
        list_actions,
        ..
    } = meaning
    else {
        return Err("no call is known that every role allows and that changes nothing");
    };
    let bucket: BucketArn = wanted
        .resource
        .native_id
        .parse()
        .map_err(|_| "it is no bucket")?;
    let bucket = bucket.name().to_owned();
    let has = |actions: &[_], name: &str| {
        let mut actions = actions.iter();
        actions.any(|action: &crate::capability::Action| action.as_str() == name)
    };
    let path = &wanted.scope.path;
    if has(list_actions, "s3:ListBucket") && !matches!(path, Path::Exact(_)) {
        let prefix = match path {
            Path::Prefix(prefix) => {
                format!("&prefix={}", utf8_percent_encode(prefix, NON_ALPHANUMERIC))
            }
            Path::Whole | Path::Exact(_) => String::new(),
        };
        return Ok(Question {
            bucket,
            rest: format!("?list-type=2&max-keys=1{prefix}"),
            method: Method::GET,
            kind: Kind::Listing,
        });
    }
    let key = match path {
        Path::Whole => format!("jitney-probe-{handle}"),
        Path::Prefix(prefix) => format!("{prefix}jitney-probe-{handle}"),
        Path::Exact(key) => key.clone(),
    };
    let key = utf8_percent_encode(&key, KEY);
    if has(object_actions, "s3:ListMultipartUploadParts") {
        return Ok(Question {
            bucket,
            rest: format!("/{key}?uploadId=jitney-probe-{handle}"),
            method: Method::GET,
            kind: Kind::Parts,
        });
    }
    if has(object_actions, "s3:GetObject") && matches!(path, Path::Exact(_)) {
        return Ok(Question {
            bucket,
            rest: format!("/{key}"),
            method: Method::HEAD,
            kind: Kind::Head,
        });
    }
    Err("none of its actions can be tried without changing anything")
}

impl AwsAdapter {
    async fn ask(&self, question: &Question, shown: &Shown) -> Probed {
        match self.answer(question, shown).await {
            Err(why) => Probed::Unknown { why },
            Ok((status, body)) => judged(question.kind, status, &body),
        }
    }

    async fn answer(
        &self,
        question: &Question,
        shown: &Shown,
    ) -> Result<(StatusCode, String), String> {
        let config = self.config();
        let base = config.endpoint_url.as_deref().map_or_else(
            || {
                let suffix = if config.partition == "aws-cn" {
                    ".cn"
                } else {
                    ""
                };
                format!("https://s3.{}.amazonaws.com{suffix}", config.region)
            },
            |url| url.trim_end_matches('/').to_owned(),
        );
        let url = format!("{base}/{}{}", question.bucket, question.rest);
        let headers = self.signed(question.method.as_str(), &url, shown)?;
        // A client of its own for each call: a connection that is kept could be kept to a server
        // that knows less than the next one.
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .timeout(CALL);
        let client = if config.is_plain_http() {
            client.no_proxy()
        } else {
            client.https_only(true)
        };
        let client = client.build().map_err(|error| error.to_string())?;
        let mut call = client.request(question.method.clone(), url);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let answer = call.send().await;
        let answer = answer.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        Ok((status, read(answer).await?))
    }

    /// The headers that show a session to S3.
    fn signed(
        &self,
        method: &str,
        url: &str,
        shown: &Shown,
    ) -> Result<Vec<(String, String)>, String> {
        let part = |name: &str| {
            let part = shown.field(name).map(str::to_owned);
            part.ok_or_else(|| format!("the credential has no `{name}`"))
        };
        let identity = Credentials::new(
            part(ACCESS_KEY_ID)?,
            part(SECRET_ACCESS_KEY)?,
            Some(part(SESSION_TOKEN)?),
            None,
            "lease",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.config().region)
            .name("s3")
            .time(self.system_time())
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?;
        let no_headers = core::iter::empty();
        let request = SignableRequest::new(method, url, no_headers, SignableBody::Bytes(&[]));
        let request = request.map_err(|error| error.to_string())?;
        let signed = sign(request, &params.into()).map_err(|error| error.to_string())?;
        let (instructions, _) = signed.into_parts();
        let headers = instructions.headers();
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(headers.collect())
    }

    fn system_time(&self) -> SystemTime {
        let micros = u64::try_from(self.clock.now().as_micros()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_micros(micros)
    }
}

/// What an answer says. Whatever is not one of the answers that were expected is none.
fn judged(kind: Kind, status: StatusCode, body: &str) -> Probed {
    let says = |code: &str| body.contains(&format!("<Code>{code}</Code>"));
    match (kind, status.as_u16()) {
        (Kind::Listing | Kind::Head, 200) | (Kind::Head, 304 | 404) => Probed::Accepted,
        (Kind::Parts, 404) if says("NoSuchUpload") => Probed::Accepted,
        // "Access Denied", and what S3 says of a session that has ended.
        (Kind::Listing | Kind::Parts, 403) if says("AccessDenied") => Probed::Refused,
        (_, 400 | 403) if says("ExpiredToken") || says("InvalidToken") => Probed::Refused,
        (Kind::Head, 403) => Probed::Unknown {
            why: "S3 answered 403, which it also says of an object that is not there".to_owned(),
        },
        (_, status) => Probed::Unknown {
            why: format!("S3 answered {status}"),
        },
    }
}

async fn read(mut answer: Response) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| error.without_url().to_string())?
    {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return Err("S3's answer does not end".to_owned());
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn cannot_tell(why: &str) -> Probed {
    Probed::CannotTell {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn judged_text(kind: Kind, status: u16, code: &str) -> &'static str {
        let body = format!("<Error><Code>{code}</Code></Error>");
        let status = StatusCode::from_u16(status).unwrap();
        judged(kind, status, &body).as_str()
    }

    #[test]
    fn only_what_was_expected_is_clear() {
        for (kind, status, code, means) in [
            (Kind::Listing, 200, "", "accepted"),
            (Kind::Listing, 403, "AccessDenied", "refused"),
            (Kind::Listing, 403, "InvalidToken", "refused"),
            (Kind::Listing, 401, "AccessDenied", "unknown"),
            (Kind::Listing, 404, "NoSuchBucket", "unknown"),
            (Kind::Listing, 403, "SignatureDoesNotMatch", "unknown"),
            (Kind::Listing, 403, "RequestTimeTooSkewed", "unknown"),
            (Kind::Listing, 301, "PermanentRedirect", "unknown"),
            (Kind::Listing, 503, "SlowDown", "unknown"),
            (Kind::Parts, 404, "NoSuchUpload", "accepted"),
            (Kind::Parts, 404, "NoSuchBucket", "unknown"),
            (Kind::Parts, 403, "AccessDenied", "refused"),
            (Kind::Parts, 200, "", "unknown"),
            (Kind::Parts, 500, "InternalError", "unknown"),
            (Kind::Head, 200, "", "accepted"),
            (Kind::Head, 304, "", "accepted"),
            (Kind::Head, 404, "", "accepted"),
            (Kind::Head, 403, "AccessDenied", "unknown"),
            (Kind::Head, 403, "ExpiredToken", "refused"),
            (Kind::Head, 503, "SlowDown", "unknown"),
            (Kind::Parts, 400, "ExpiredToken", "refused"),
            (Kind::Parts, 400, "InvalidToken", "refused"),
            (Kind::Parts, 400, "InvalidRequest", "unknown"),
        ] {
            assert_eq!(
                judged_text(kind, status, code),
                means,
                "{kind:?} {status} {code}"
            );
        }
    }
}
