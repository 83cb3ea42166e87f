//! Giving: one `AssumeRole`, and never a second one.

use core::time::Duration;
use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::Tag;

use jitney_core::adapter::{Elevate, Reach};
use jitney_core::books::Recorded;
use jitney_core::catalogue::Resource;
use jitney_core::credential::{Credential, Elevation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::CloudName;
use jitney_core::lease::{self, Active, Elevating};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::time::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::adapter::{AwsAdapter, own_fault};
use crate::classify::{Call, fault, printable};
use crate::config::AwsTarget;
use crate::limits::TOKEN_UTILIZATION_LOUD;
use crate::plan::Terms;
use crate::session_policy::sent;

/// The protocol of the credentials this adapter hands out.
pub const CREDENTIAL_KIND: &str = "aws-session";
/// The names of a credential's fields.
pub const ACCESS_KEY_ID: &str = "access_key_id";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "secret_access_key";
/// See [`ACCESS_KEY_ID`].
pub const SESSION_TOKEN: &str = "session_token";
/// The setting that says where the job's SDK is to send its calls.
pub const REGION: &str = "region";
/// The setting that says in which account the session lies.
pub const ACCOUNT_ID: &str = "account_id";

const TOLD_LATE: &str = "AWS was not asked in time; try again";
const TOLD_UNKNOWN: &str = "AWS gave no clear answer; whatever it may have granted is taken back";
const TOLD_CLOCK: &str = "the broker's clock and AWS's disagree; the platform team must look";

const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };

#[async_trait]
impl Elevate for AwsAdapter {
    fn cloud(&self) -> &CloudName {
        &self.planner.cloud
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.planner.plan(order)
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        self.planner.lanes(resources)
    }

    fn reach(&self) -> Reach {
        self.planner.reach()
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        self.mint(intent.terms(), intent.terms().answer_by).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        self.mint(lease.terms(), lease.answer_by()).await
    }
}

impl AwsAdapter {
    /// Asks once, unless it is past `answer_by`: a later call could land when nobody reckons with
    /// it any more.
    async fn mint(&self, lease: &lease::Terms, answer_by: Timestamp) -> Result<Elevation, Fault> {
        let left = answer_by
            .since(self.clock.now())
            .min(self.config().deadline());
        let by = Instant::now() + left;
        let terms = self.terms(lease)?;
        let late = |what: &str| {
            let logged = format!("AssumeRole was not sent: {what}");
            own_fault(RETRYABLE, "aws_not_asked_in_time", TOLD_LATE, logged)
        };
        if left.is_zero() {
            return Err(late("the time to ask was over when its turn came"));
        }
        match timeout_at(by, self.check_clock()).await {
            Ok(checked) => checked?,
            Err(_) => return Err(late("AWS did not tell the time within the deadline")),
        }
        let call = self.call(&terms)?;
        let answered = timeout_at(by, call.send()).await;
        let answer = match answered {
            Ok(answer) => answer.map_err(|error| fault(Call::Gives, "AssumeRole", &error))?,
            Err(_) => {
                let logged = format!("AssumeRole: no answer within {} s", left.as_secs());
                let ambiguous = FaultKind::Ambiguous;
                return Err(own_fault(ambiguous, "aws_no_answer", TOLD_UNKNOWN, logged));
            }
        };
        // The answer itself was the latest look at AWS's clock. What was minted under a clock
        // that jumped is not handed out.
        self.clock_agrees(FaultKind::Ambiguous)?;
        elevation(&answer, self.config())
    }

    fn terms(&self, lease: &lease::Terms) -> Result<Terms, Fault> {
        serde_json::from_value(lease.plan.terms.clone()).map_err(|error| {
            let logged = format!("the plan of lease {} cannot be read: {error}", lease.id);
            let told = "the broker cannot read its own plan; the platform team must look";
            own_fault(FaultKind::Permanent, "aws_plan_unreadable", told, logged)
        })
    }

    /// Nothing is minted while the clocks disagree: how late a lost call can land would not be
    /// known.
    async fn check_clock(&self) -> Result<(), Fault> {
        if self.clock_agrees(RETRYABLE).is_err() {
            self.look_at_clock().await?;
        }
        self.clock_agrees(RETRYABLE)
    }

    fn clock_agrees(&self, otherwise: FaultKind) -> Result<(), Fault> {
        let most = self.config().skew();
        let logged = match self.clock.skew() {
            Some(skew) if skew <= most => return Ok(()),
            Some(skew) => {
                let (skew, most) = (skew.as_secs(), most.as_secs());
                format!("AWS's clock is {skew} s from ours, at most {most} are accepted")
            }
            None => "AWS's answers do not tell its time".to_owned(),
        };
        Err(own_fault(
            otherwise,
            "aws_clock_disagrees",
            TOLD_CLOCK,
            logged,
        ))
    }

    fn call(&self, terms: &Terms) -> Result<AssumeRoleFluentBuilder, Fault> {
        let unwritable = |error: &dyn core::fmt::Display| {
            let logged = format!("AssumeRole cannot be written: {error}");
            let told = "the broker cannot write its call to AWS; the platform team must look";
            own_fault(FaultKind::Permanent, "aws_request_invalid", told, logged)
        };
        let seconds = u64::from(terms.duration_seconds);
        let lives = Duration::from_secs(seconds) + self.config().skew();
        let policy = sent(&terms.policy, self.clock.now().plus(lives));
        let mut call = self
            .clients
            .giving
            .assume_role()
            .role_arn(terms.role.to_string())
            .role_session_name(&terms.session_name)
            .source_identity(&terms.session_name)
            .duration_seconds(i32::try_from(seconds).map_err(|error| unwritable(&error))?)
            .policy(policy.map_err(|error| unwritable(&error))?)
            .set_external_id(self.config().external_id.clone());
        for (key, value) in &terms.tags {
            let tag = Tag::builder().key(key).value(value).build();
            call = call.tags(tag.map_err(|error| unwritable(&error))?);
        }
        Ok(call)
    }
}

fn elevation(answer: &AssumeRoleOutput, target: &AwsTarget) -> Result<Elevation, Fault> {
    let provider_request = answer.request_id().map(printable);
    let Some(credentials) = answer.credentials() else {
        let logged = "AssumeRole: the answer has no credentials in it".to_owned();
        let ambiguous = FaultKind::Ambiguous;
        return Err(own_fault(ambiguous, "aws_no_answer", TOLD_UNKNOWN, logged));
    };
    if let Some(percent) = answer.session_token_utilization()
        && percent >= TOKEN_UTILIZATION_LOUD
    {
        tracing::warn!(
            percent,
            "a session token is nearly as large as AWS lets it be: use fewer session tags or \
             shorter policies"
        );
    }
    let expiration = credentials.expiration();
    let micros = i64::from(expiration.subsec_nanos() / 1_000);
    let expires_at = Timestamp::from_seconds(expiration.secs())
        .plus(Duration::from_micros(micros.unsigned_abs()));
    Ok(Elevation {
        fingerprint: printable(credentials.access_key_id()),
        credential: Credential::new(
            CREDENTIAL_KIND,
            [
                (ACCESS_KEY_ID, credentials.access_key_id().to_owned()),
                (
                    SECRET_ACCESS_KEY,
                    credentials.secret_access_key().to_owned(),
                ),
                (SESSION_TOKEN, credentials.session_token().to_owned()),
            ],
            expires_at,
        )
        .with_settings([
            (REGION, target.region.clone()),
            (ACCOUNT_ID, target.account.clone()),
        ]),
        provider_request,
    })
}
