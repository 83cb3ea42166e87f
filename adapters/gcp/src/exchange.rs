//! Exchanging an account's token for one that an access boundary narrows. The account's own token
//! never leaves the broker.

use core::time::Duration;

use jitney_core::fault::{Fault, FaultKind};
use reqwest::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::adapter::{GcpAdapter, own_fault};
use crate::boundary::{Rule, boundary};
use crate::classify::{Call, TOLD_UNKNOWN};
use crate::connect::Purpose;
use crate::lending::doubted;
use crate::rest::{Body, Request, Service};
use crate::slot::Token;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl GcpAdapter {
    /// The same token, narrowed. It ends when the one it was made from does.
    pub(crate) async fn narrow(&self, whole: Token, rules: &[Rule]) -> Result<Token, Fault> {
        let secret = Zeroizing::new(whole.secret);
        let options = boundary(rules).map_err(|why| {
            let logged = format!("the boundary of a plan cannot be sent: {why}");
            let told = "the broker cannot write its call to Google; the platform team must look";
            own_fault(FaultKind::Permanent, "gcp_request_invalid", told, logged)
        })?;
        let options = options.to_string();
        let form = [
            ("grant_type", GRANT),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", ACCESS_TOKEN),
            ("subject_token", secret.as_str()),
            ("options", options.as_str()),
        ];
        let request = Request {
            call: Call::Mints,
            operation: "sts.token",
            service: Service::Sts,
            method: Method::POST,
            path: "/v1/token".to_owned(),
            body: Body::Form(&form),
        };
        // The whole token exists by now, though nobody has it.
        let answer = self.clients.of(Purpose::Gives).send(&request).await;
        let answer = answer.map_err(|failed| doubted(failed.fault))?;
        let narrowed = answer.get("access_token").and_then(Value::as_str);
        match narrowed {
            Some(narrowed) if !narrowed.is_empty() && narrowed != secret.as_str() => Ok(Token {
                secret: narrowed.to_owned(),
                expires_at: self.ends(&answer, whole.expires_at),
            }),
            Some(_) | None => {
                let logged = "sts.token: the answer has no token in it".to_owned();
                let kind = FaultKind::Ambiguous;
                Err(own_fault(kind, "gcp_no_answer", TOLD_UNKNOWN, logged))
            }
        }
    }

    /// The sooner of the end of the token it was made from and what this answer says.
    fn ends(
        &self,
        answer: &Value,
        whole: jitney_core::time::Timestamp,
    ) -> jitney_core::time::Timestamp {
        let seconds = answer.get("expires_in").and_then(Value::as_u64);
        let said = seconds.map(|seconds| self.clock.now().plus(Duration::from_secs(seconds)));
        said.map_or(whole, |said| said.min(whole))
    }
}
