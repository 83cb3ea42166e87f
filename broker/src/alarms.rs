//! Alarms that are told elsewhere: signed JSON to a webhook of the operator's. Telling never stands
//! in the way of revoking; what could not be told is told again, as it then is.

use core::time::Duration;
use std::error::Error as _;

use aws_lc_rs::hmac;
use jitney_api::admin::AlarmView;
use jitney_core::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use url::Url;

/// Carries when an alarm was signed and its HMAC: `t=<seconds since 1970>,v1=<hexadecimal>`. Signed
/// are the seconds, a dot and the body, so that an old alarm cannot be told again as a new one.
const SIGNATURE: &str = "jitney-signature";
/// How long the other side may take.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// The shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// Where alarms are told.
pub struct Alarms {
    url: Url,
    key: hmac::Key,
    http: reqwest::Client,
}

/// Alarms cannot be told as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotAlarm {
    /// Whoever is on the way could read what is exposed.
    #[error("`{0}` is no address for alarms: expected `https://…`, or `http://` on loopback")]
    Address(String),
    /// Anybody could forge an alarm.
    #[error("the secret has {0} characters: expected at least {SECRET_BYTES_MIN}, made by chance")]
    WeakSecret(usize),
    /// HTTPS cannot be set up.
    #[error("cannot set up HTTPS for alarms: {0}")]
    NoClient(String),
}

impl Alarms {
    /// Tells alarms at `url`, signed with `secret`.
    ///
    /// # Errors
    /// When the address is not safe or the secret can be guessed.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, CannotAlarm> {
        let refuse = || CannotAlarm::Address(url.escape_default().to_string());
        let url = Url::parse(url).map_err(|_| refuse())?;
        let loopback = crate::listener::is_loopback(&url);
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(refuse());
        }
        let secret = secret.trim_ascii();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(CannotAlarm::WeakSecret(secret.len()));
        }
        let mut client = reqwest::Client::builder()
            .user_agent("jitney")
            .timeout(TOLD_WITHIN)
            // A redirect would tell somebody whom nobody configured.
            .redirect(Policy::none());
        if loopback {
            client = client.no_proxy();
        }
        Ok(Self {
            url,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            http: client
                .build()
                .map_err(|error| CannotAlarm::NoClient(error.to_string()))?,
        })
    }

    /// Tells one alarm.
    ///
    /// # Errors
    /// In words for the log, when it did not arrive.
    pub(crate) async fn tell(&self, alarm: &AlarmView, now: Timestamp) -> Result<(), String> {
        let body = serde_json::to_vec(alarm).map_err(|error| error.to_string())?;
        let call = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE, self.signature(&body, now))
            .body(body);
        // Without the address: it may hold a token of its own.
        let answer = call.send().await.map_err(|error| {
            let error = error.without_url();
            let cause = error.source().map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("it answered {status}"))
    }

    fn signature(&self, body: &[u8], now: Timestamp) -> String {
        let seconds = now.as_seconds();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("{seconds}.").as_bytes());
        context.update(body);
        let tag = context.sign();
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &[u8] = b"a secret of some length\n";

    #[test]
    fn an_alarm_is_signed_with_its_time() {
        let alarms = Alarms::new("https://alerts.example/x", SECRET).unwrap();
        let at = Timestamp::from_seconds;
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 'a secret of some length'
        let expected =
            "t=1700000000,v1=9008b8e96ac884fb56cbbbb39d8c4b578c2c6de7951cbcce7f1f18311f3cd9f2";
        assert_eq!(alarms.signature(b"{}", at(1_700_000_000)), expected);
        assert_ne!(alarms.signature(b"{}", at(1_700_000_001)), expected);
    }

    #[test]
    fn alarms_are_told_to_nobody_on_the_way_and_not_under_a_guess() {
        for bad in [
            "http://alerts.example",
            "ftp://127.0.0.1",
            "alerts",
            "file:///tmp/x",
        ] {
            let refused = Alarms::new(bad, SECRET).err();
            assert!(matches!(refused, Some(CannotAlarm::Address(_))), "{bad}");
        }
        assert!(Alarms::new("http://127.0.0.1:9/", SECRET).is_ok());
        let weak = Alarms::new("https://alerts.example", b"guess\n").err();
        assert_eq!(weak, Some(CannotAlarm::WeakSecret(5)));
    }
}
