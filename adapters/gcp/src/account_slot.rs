//! A service account at Google, as a lease has to do with it.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::adapter::{GcpAdapter, own_fault};
use crate::capability::TokenScope;
use crate::classify::{Call, TOLD_UNKNOWN};
use crate::config::Pool;
use crate::connect::Purpose;
use crate::entitlement::Entitlement;
use crate::grant::Grant;
use crate::names::{AccountEmail, EntitlementName, PolicyName};
use crate::notes::Note;
use crate::policy::{Binding, Which};
use crate::policy_lane::{Edit, refused};

use crate::rest::{Body, Request, Service};
use crate::slot::{Freshness, Seen, Slot, Token};
use crate::stamp::{Described, Stamp, description};

const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };
const TOLD_CLOCK: &str = "the broker's clock and Google's disagree; the platform team must look";
const TOLD_QUOTA: &str = "as many leases as Google takes in a minute are under way; try again";

/// One account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountSlot<'a> {
    pub(crate) adapter: &'a GcpAdapter,
    pub(crate) account: &'a AccountEmail,
    pub(crate) purpose: Purpose,
}

impl AccountSlot<'_> {
    /// The account under its own project: under the wildcard Google answers 403 for one that does
    /// not exist.
    fn path(&self) -> String {
        format!(
            "/v1/projects/{}/serviceAccounts/{}",
            self.account.project(),
            self.account
        )
    }

    async fn change(
        &self,
        purpose: Purpose,
        (operation, method): (&'static str, Method),
        path: String,
        body: &Value,
    ) -> Result<(), Fault> {
        let request = Request {
            call: Call::Changes,
            operation,
            service: Service::Iam,
            method,
            path,
            body: Body::Json(body),
        };
        self.adapter.clients.of(purpose).send(&request).await?;
        Ok(())
    }

    /// Whether there is room in the quota: what takes away waits for it, what gives does not.
    async fn room(&self, purpose: Purpose) -> Result<(), Fault> {
        loop {
            let wait = match self
                .adapter
                .quota
                .take(purpose.errand(), self.adapter.clock.passed())
            {
                Ok(()) => return Ok(()),
                Err(wait) => wait,
            };
            if purpose == Purpose::Gives {
                let logged = format!("{}: the quota of changes is kept for endings", self.account);
                let kind = FaultKind::Retryable { after: Some(wait) };
                return Err(own_fault(kind, "gcp_quota_kept", TOLD_QUOTA, logged));
            }
            self.rest(wait).await;
        }
    }
}

impl Slot for AccountSlot<'_> {
    fn name(&self) -> &str {
        self.account.as_str()
    }

    fn known(&self) -> &BTreeSet<PolicyName> {
        &self.adapter.known
    }

    fn now(&self) -> Timestamp {
        self.adapter.clock.now()
    }

    fn cloud_now(&self) -> Option<Timestamp> {
        self.adapter.clock.at_least()
    }

    /// Nothing is minted while the clocks disagree: when a condition ends, and when a lost token
    /// is dead, would not be known.
    fn clocks_agree(&self) -> Result<(), Fault> {
        let most = self.adapter.config().skew();
        let logged = match self.adapter.clock.skew() {
            Some(skew) if skew <= most => return Ok(()),
            Some(skew) => {
                let (skew, most) = (skew.as_secs(), most.as_secs());
                format!("Google's clock is {skew} s from ours, at most {most} are accepted")
            }
            None => "Google's answers do not tell its time".to_owned(),
        };
        Err(own_fault(
            RETRYABLE,
            "gcp_clock_disagrees",
            TOLD_CLOCK,
            logged,
        ))
    }

    fn cloud_latest(&self) -> Option<Timestamp> {
        self.adapter.clock.at_most()
    }

    async fn rest(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn note(&self, lease: &Handle, note: Note) {
        let passed = self.adapter.clock.passed();
        self.adapter.notes.add(lease, passed, note);
    }

    async fn look(&self) -> Result<Option<Seen>, Fault> {
        let request = Request {
            call: Call::Reads,
            operation: "serviceAccounts.get",
            service: Service::Iam,
            method: Method::GET,
            path: self.path(),
            body: Body::Nothing,
        };
        let answer = match self.adapter.clients.of(self.purpose).send(&request).await {
            Err(failed) if failed.is_absent() => return Ok(None),
            answered => answered?,
        };
        let email = answer.get("email").and_then(Value::as_str);
        if email != Some(self.account.as_str()) {
            let logged = format!(
                "serviceAccounts.get: the answer is not about {}",
                self.account
            );
            return Err(own_fault(RETRYABLE, "gcp_no_answer", TOLD_UNKNOWN, logged));
        }
        let described = answer.get("description").and_then(Value::as_str);
        let installation = &self.adapter.planner.installation;
        Ok(Some(Seen {
            // Absent is Google's way to say false.
            enabled: answer.get("disabled").and_then(Value::as_bool) != Some(true),
            described: Described::read(described.unwrap_or_default(), installation),
        }))
    }

    async fn describe(&self, stamp: Option<&Stamp>) -> Result<(), Fault> {
        let lends = stamp.is_some_and(|stamp| stamp.phase == crate::stamp::Phase::Lent);
        self.room(if lends {
            Purpose::Gives
        } else {
            Purpose::Takes
        })
        .await?;
        let description = description(stamp, &self.adapter.planner.installation);
        let body = json!({
            "serviceAccount": { "description": description },
            "updateMask": "description",
        });
        let call = ("serviceAccounts.patch", Method::PATCH);
        self.change(self.purpose, call, self.path(), &body).await
    }

    async fn enable(&self) -> Result<(), Fault> {
        self.room(Purpose::Gives).await?;
        let path = format!("{}:enable", self.path());
        let call = ("serviceAccounts.enable", Method::POST);
        self.change(Purpose::Gives, call, path, &json!({})).await
    }

    async fn disable(&self) -> Result<(), Fault> {
        self.room(Purpose::Takes).await?;
        let path = format!("{}:disable", self.path());
        let call = ("serviceAccounts.disable", Method::POST);
        self.change(Purpose::Takes, call, path, &json!({})).await
    }

    async fn would_bind(&self, on: &PolicyName, binding: &Binding) -> Result<(), Fault> {
        let lane = self.adapter.policy(on);
        let policy = lane.look(Freshness::Now, Purpose::Gives).await?;
        policy.takes(binding).map_err(|why| refused(on, &why))
    }

    async fn bind(&self, on: &PolicyName, binding: &Binding, by: Timestamp) -> Result<(), Fault> {
        let edit = Edit::Add(binding.clone(), by);
        self.adapter.policy(on).edit(edit).await.map(drop)
    }

    async fn unbind(
        &self,
        on: &PolicyName,
        which: &Which,
        freshness: Freshness,
    ) -> Result<Vec<Handle>, Fault> {
        let lane = self.adapter.policy(on);
        let installation = &self.adapter.planner.installation;
        let mut known = lane.look(freshness, Purpose::Takes).await?;
        if known.remove(self.account, which, installation).is_empty() {
            return Ok(Vec::new());
        }
        lane.edit(Edit::Remove(self.account.clone(), which.clone()))
            .await
    }

    fn entitlements(&self) -> &BTreeSet<EntitlementName> {
        const NONE: &BTreeSet<EntitlementName> = &BTreeSet::new();
        let pools = self.adapter.config().pools.values();
        let mut entitled = pools.filter_map(|pool| match pool {
            Pool::Entitled(accounts, entitlements) => Some((accounts, entitlements)),
            Pool::Exclusive(_) | Pool::Standing(..) | Pool::Shared(_) | Pool::Boundary(..) => None,
        });
        let its = entitled.find(|(accounts, _)| accounts.contains(self.account));
        its.map_or(NONE, |(_, entitlements)| entitlements)
    }

    async fn entitlement(&self, name: &EntitlementName) -> Result<Entitlement, Fault> {
        self.adapter.entitlement(self.purpose, name).await
    }

    async fn open_grants(&self, of: &EntitlementName) -> Result<Vec<Grant>, Fault> {
        let mut open = self.adapter.open_grants(self.purpose, of).await?;
        open.retain(|grant| grant.is_of(self.account));
        Ok(open)
    }

    async fn grant(&self, grant: &Grant, of: &EntitlementName) -> Result<Grant, Fault> {
        self.adapter.grant(self.purpose, grant, of).await
    }

    async fn ask(
        &self,
        of: &EntitlementName,
        handle: &Handle,
        seconds: u64,
        token: &Token,
    ) -> Result<Grant, Fault> {
        let asked = self.adapter.create_grant(of, handle, seconds, token).await;
        asked.map_err(|fault| Fault {
            logged: format!("{} asks for {of}: {}", self.account, fault.logged),
            ..fault
        })
    }

    async fn end_grant(&self, grant: &Grant) -> Result<(), Fault> {
        self.adapter.revoke_grant(self.purpose, grant).await
    }

    async fn bound_to(&self, freshness: Freshness) -> Result<Option<String>, Fault> {
        let project = PolicyName::Project(self.adapter.config().project.clone());
        let lane = self.adapter.policy(&project);
        let policy = lane.look(freshness, self.purpose).await?;
        Ok(policy.anything(self.account).map(str::to_owned))
    }

    async fn mint(&self, scopes: &BTreeSet<TokenScope>, seconds: u32) -> Result<Token, Fault> {
        let scopes: Vec<&str> = scopes.iter().map(TokenScope::as_str).collect();
        let body = json!({ "scope": scopes, "lifetime": format!("{seconds}s") });
        let request = Request {
            call: Call::Mints,
            operation: "generateAccessToken",
            service: Service::IamCredentials,
            method: Method::POST,
            // The wildcard is what this API takes; its own words are "replacing it with a project
            // id is invalid".
            path: format!(
                "/v1/projects/-/serviceAccounts/{}:generateAccessToken",
                self.account
            ),
            body: Body::Json(&body),
        };
        let rest = self.adapter.clients.of(Purpose::Gives);
        let answer = rest.send(&request).await?;
        token(&answer).ok_or_else(|| {
            let logged = "generateAccessToken: the answer has no token in it".to_owned();
            own_fault(FaultKind::Ambiguous, "gcp_no_answer", TOLD_UNKNOWN, logged)
        })
    }
}

fn token(answer: &Value) -> Option<Token> {
    let secret = answer.get("accessToken")?.as_str()?;
    let expires_at = answer.get("expireTime")?.as_str()?.parse().ok()?;
    (!secret.is_empty()).then(|| Token {
        secret: secret.to_owned(),
        expires_at,
    })
}
