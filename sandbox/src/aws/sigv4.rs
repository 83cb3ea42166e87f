//! Signature Version 4, verified from the specification: the header form and the presigned query form.
//!
//! The signature is computed again from what arrived and compared; dates are checked against real time (the
//! wire clock), never against the policy clock.
//!
//! Judges: botocore and the AWS SDK for Rust, which sign every request of the tests.

use aws_lc_rs::{constant_time, digest, hmac};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::call::Call;

/// How far a request's date may be from the cloud's, either way.
pub(crate) const DATE_TOLERANCE_SECONDS: i64 = 15 * 60;
/// A presigned URL lives at most a week.
pub(crate) const PRESIGNED_SECONDS_MAX: i64 = 7 * 24 * 3600;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The characters SigV4 leaves as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// What a request says about its own signature, not yet checked.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedSignature {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) session_token: Option<String>,
    scope_date: String,
    date: String,
    signed_headers: Vec<String>,
    signature: String,
    /// For the query form: for how long the URL was signed.
    presigned_seconds: Option<i64>,
}

/// A signature that held: what later chunks of the body are checked with.
pub(crate) struct Signed {
    pub(crate) signing_key: Vec<u8>,
    pub(crate) date: String,
    pub(crate) scope: String,
    pub(crate) signature: String,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not shaped like a signature: what is wrong with it.
    Incomplete(String),
    /// Computed again, it came out different.
    Mismatch,
    /// The date is too far away: the request's and the cloud's.
    Skewed {
        request: String,
        cloud: String,
        earlier: bool,
    },
    /// The presigned URL is past its time.
    PresignedExpired,
    /// A header that must be signed is not.
    UnsignedHeader(String),
}

/// Reads the signature a request carries; `None` when it carries none.
pub(crate) fn claimed(call: &Call) -> Result<Option<ClaimedSignature>, Refusal> {
    if let Some(authorization) = call.header("authorization") {
        return claimed_in_header(call, authorization).map(Some);
    }
    if call.query_value("X-Amz-Signature").is_some()
        || call.query_value("X-Amz-Credential").is_some()
    {
        return claimed_in_query(call).map(Some);
    }
    Ok(None)
}

fn claimed_in_header(call: &Call, authorization: &str) -> Result<ClaimedSignature, Refusal> {
    let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
        Refusal::Incomplete(format!(
            "the authorization header does not begin with `{ALGORITHM}`"
        ))
    })?;
    let field = |name: &str| {
        fields
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .ok_or_else(|| {
                Refusal::Incomplete(format!("Authorization header requires '{name}' parameter."))
            })
    };
    let date = call.header("x-amz-date").ok_or_else(|| {
        Refusal::Incomplete(
            "Authorization header requires existence of 'X-Amz-Date' header.".into(),
        )
    })?;
    let token = call.header("x-amz-security-token").map(str::to_owned);
    assemble(
        &field("Credential")?,
        &field("SignedHeaders")?,
        field("Signature")?,
        date.to_owned(),
        token,
        None,
    )
}

fn claimed_in_query(call: &Call) -> Result<ClaimedSignature, Refusal> {
    let value = |name: &str| {
        call.query_value(name)
            .ok_or_else(|| Refusal::Incomplete(format!("the query parameter `{name}` is missing")))
    };
    if value("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Refusal::Incomplete(format!(
            "the algorithm is not `{ALGORITHM}`"
        )));
    }
    let seconds = value("X-Amz-Expires")?
        .parse::<i64>()
        .ok()
        .filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds))
        .ok_or_else(|| {
            Refusal::Incomplete("X-Amz-Expires must be between 1 and 604800 seconds".into())
        })?;
    let token = call.query_value("X-Amz-Security-Token");
    assemble(
        &value("X-Amz-Credential")?,
        &value("X-Amz-SignedHeaders")?,
        value("X-Amz-Signature")?,
        value("X-Amz-Date")?,
        token,
        Some(seconds),
    )
}

fn assemble(
    credential: &str,
    signed_headers: &str,
    signature: String,
    date: String,
    session_token: Option<String>,
    presigned_seconds: Option<i64>,
) -> Result<ClaimedSignature, Refusal> {
    let parts: Vec<&str> = credential.split('/').collect();
    let [access_key_id, scope_date, region, service, "aws4_request"] = parts.as_slice() else {
        return Err(Refusal::Incomplete(format!(
            "the credential `{credential}` is not key/date/region/service/aws4_request"
        )));
    };
    if !date.starts_with(scope_date) || scope_date.len() != 8 {
        return Err(Refusal::Incomplete(format!(
            "the credential's date `{scope_date}` is not the request's"
        )));
    }
    Ok(ClaimedSignature {
        access_key_id: (*access_key_id).to_owned(),
        region: (*region).to_owned(),
        service: (*service).to_owned(),
        session_token,
        scope_date: (*scope_date).to_owned(),
        date,
        signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
        signature,
        presigned_seconds,
    })
}

impl ClaimedSignature {
    pub(crate) fn is_presigned(&self) -> bool {
        self.presigned_seconds.is_some()
    }

    /// Checks the signature against a secret, and its date against the cloud's clock.
    pub(crate) fn verify(
        &self,
        call: &Call,
        secret: &str,
        now: Timestamp,
    ) -> Result<Signed, Refusal> {
        self.check_date(now)?;
        self.check_signed_headers(call)?;
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.scope_date, self.region, self.service
        );
        let request = self.canonical_request(call);
        let text = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            self.date,
            sha256_hex(request.as_bytes())
        );
        let signing_key = signing_key(secret, &self.scope_date, &self.region, &self.service);
        let expected = hex(&hmac_sha256(&signing_key, text.as_bytes()));
        constant_time::verify_slices_are_equal(expected.as_bytes(), self.signature.as_bytes())
            .map_err(|_| Refusal::Mismatch)?;
        Ok(Signed {
            signing_key,
            date: self.date.clone(),
            scope,
            signature: self.signature.clone(),
        })
    }

    fn check_date(&self, now: Timestamp) -> Result<(), Refusal> {
        let signed_at = read_date(&self.date).ok_or_else(|| {
            Refusal::Incomplete(format!(
                "the date `{}` is not like 20260102T030405Z",
                self.date
            ))
        })?;
        let age_seconds = now.duration_since(signed_at).as_secs();
        // Only S3 heeds `X-Amz-Expires`. Elsewhere a presigned call is good for as long as any
        // other: an EKS token is a call of STS signed for a minute, and good for fifteen.
        if let Some(seconds) = self.presigned_seconds
            && self.service == "s3"
        {
            if age_seconds < -DATE_TOLERANCE_SECONDS || age_seconds > seconds {
                return Err(Refusal::PresignedExpired);
            }
            return Ok(());
        }
        if age_seconds.abs() > DATE_TOLERANCE_SECONDS {
            let cloud = now.strftime("%Y%m%dT%H%M%SZ").to_string();
            return Err(Refusal::Skewed {
                request: self.date.clone(),
                cloud,
                earlier: age_seconds > 0,
            });
        }
        Ok(())
    }

    /// Unsigned headers could be changed on the way: the host and everything `x-amz-` must be signed.
    fn check_signed_headers(&self, call: &Call) -> Result<(), Refusal> {
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        if !is_signed("host") {
            return Err(Refusal::UnsignedHeader("host".to_owned()));
        }
        let amz = call
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .filter(|name| name.starts_with("x-amz-"));
        match amz.into_iter().find(|name| !is_signed(name)) {
            Some(name) => Err(Refusal::UnsignedHeader(name.to_owned())),
            None => Ok(()),
        }
    }

    fn canonical_request(&self, call: &Call) -> String {
        let headers: String = self
            .signed_headers
            .iter()
            .map(|name| format!("{name}:{}\n", canonical_header(call, name)))
            .collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            call.method,
            self.canonical_path(call),
            canonical_query(call),
            self.signed_headers.join(";"),
            self.payload_hash(call),
        )
    }

    /// S3 signs the path encoded once; every other service encodes the encoded path again.
    fn canonical_path(&self, call: &Call) -> String {
        if self.service == "s3" {
            let decoded: Vec<u8> = percent_decode_str(&call.path).collect();
            percent_encode(&decoded, ENCODED_PATH).to_string()
        } else {
            percent_encode(call.path.as_bytes(), ENCODED_PATH).to_string()
        }
    }

    /// Only S3 lets a request name its payload's hash; elsewhere the body that arrived is hashed.
    fn payload_hash(&self, call: &Call) -> String {
        match call.header("x-amz-content-sha256") {
            Some(named) if self.service == "s3" => named.to_owned(),
            None if self.service == "s3" && self.is_presigned() => UNSIGNED_PAYLOAD.to_owned(),
            _ => sha256_hex(&call.body),
        }
    }
}

fn canonical_header(call: &Call, name: &str) -> String {
    let values: Vec<String> = call
        .headers
        .get_all(name)
        .iter()
        .map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    values.join(",")
}

fn canonical_query(call: &Call) -> String {
    let mut pairs: Vec<(String, String)> = call
        .query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(key, value)| (encoded_again(key), encoded_again(value)))
        .filter(|(key, _)| key != "X-Amz-Signature")
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn encoded_again(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&decoded, ENCODED).to_string()
}

fn read_date(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    [date, region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac_sha256(&key, part.as_bytes())
        })
}

pub(crate) fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
        .as_ref()
        .to_vec()
}

pub(crate) fn sha256_hex(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
