//! Looks at what an operator set up, before a job finds out: whether the accounts are as they
//! should be between leases, whether the broker may do what it must, and whether a policy makes
//! leases moot. Gives nothing and changes nothing.

use core::time::Duration;

use jitney_core::fault::Fault;
use reqwest::Method;
use serde_json::{Value, json};

use crate::adapter::GcpAdapter;
use crate::classify::{Call, Failed};
use crate::config::Pool;
use crate::connect::Purpose;
use crate::lane_name::Carries;
use crate::limits::POLICY_MEMBERS_MAX;
use crate::names::{AccountEmail, PolicyName};
use crate::policy::Policy;
use crate::rest::{Body, Request, Service};
use crate::slot::{Freshness, Seen, Slot as _};
use crate::stamp::{Described, Phase};

/// What whoever gives must be allowed on each account.
const TO_LEND: &[&str] = &[
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.update",
    "iam.serviceAccounts.enable",
    "iam.serviceAccounts.getAccessToken",
];
/// The same, on an account that is never switched.
const TO_MINT: &[&str] = &[
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.getAccessToken",
];
/// What whoever takes back must be allowed on each account.
const TO_TAKE_BACK: &[&str] = &[
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.update",
    "iam.serviceAccounts.disable",
];
/// The same, on an account that is never switched.
const TO_LOOK: &[&str] = &["iam.serviceAccounts.get"];
/// Who gives and who takes back.
const BOTH: [Purpose; 2] = [Purpose::Gives, Purpose::Takes];

/// How full a policy may be before an operator should know, in percent.
const FULL_PERCENT: usize = 80;

/// What one look at a target found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// What was looked at, and how it is: well, or what to change.
    pub looks: Vec<(String, Result<String, String>)>,
    /// By how much Google's clock differs from ours at least; unknown when Google did not answer.
    pub skew: Option<Duration>,
}

impl GcpAdapter {
    /// Looks at every account and every policy of the target.
    pub async fn examine(&self) -> Examination {
        let mut looks = Vec::new();
        for (name, pool) in &self.config().pools {
            for account in pool.accounts() {
                let found = self.examine_account(pool, account).await;
                looks.push((format!("pool {name}, {account}"), found));
            }
            if let Pool::Entitled(accounts, entitlements) = pool {
                let found = self.examine_entitlements(name, accounts, entitlements);
                looks.extend(found.await);
            }
        }
        for on in &self.known {
            looks.push((on.to_string(), self.examine_policy(on).await));
        }
        Examination {
            looks,
            skew: self.clock.skew(),
        }
    }

    async fn examine_account(&self, pool: &Pool, account: &AccountEmail) -> Result<String, String> {
        let seen = self.slot(account, Purpose::Gives).look().await;
        let seen = seen.map_err(told)?;
        let seen = seen.ok_or_else(|| "there is no such account: make it".to_owned())?;
        let state = state(pool.carries(), &seen)?;
        let path = format!(
            "/v1/projects/{}/serviceAccounts/{account}",
            account.project()
        );
        for purpose in BOTH {
            let wanted = match (pool.carries(), purpose) {
                (Carries::One, Purpose::Gives) => TO_LEND,
                (Carries::One, Purpose::Takes) => TO_TAKE_BACK,
                (Carries::Many | Carries::Bounded, Purpose::Gives) => TO_MINT,
                (Carries::Many | Carries::Bounded, Purpose::Takes) => TO_LOOK,
            };
            self.may(purpose, Service::Iam, &path, wanted).await?;
        }
        if let Pool::Standing(_, stands) = pool {
            for stands in stands {
                let lane = self.policy(&stands.on);
                let policy = lane.look(Freshness::OfLate, Purpose::Gives).await;
                if !policy
                    .map_err(told)?
                    .has_for_ever(account, stands.role.as_str())
                {
                    return Err(format!(
                        "it does not have `{}` on {}, which `standing` says that it has",
                        stands.role, stands.on
                    ));
                }
            }
        }
        Ok(state)
    }

    async fn examine_policy(&self, on: &PolicyName) -> Result<String, String> {
        let lane = self.policy(on);
        let policy = lane.look(Freshness::OfLate, Purpose::Gives).await;
        let policy = policy.map_err(told)?;
        let writes = |pool: &Pool| matches!(pool, Pool::Exclusive(_) | Pool::Shared(_));
        // Privileged Access Manager writes by itself, and what stands is written by nobody.
        if self.config().pools.values().any(writes) {
            for purpose in BOTH {
                self.may_write(purpose, on).await?;
            }
        }
        self.look_for_moot(on, &policy)?;
        let members = policy.members();
        if members * 100 > POLICY_MEMBERS_MAX * FULL_PERCENT {
            return Err(format!(
                "it names {members} principals, and Google takes {POLICY_MEMBERS_MAX}: leases will \
                 be refused soon"
            ));
        }
        Ok(format!("{members} principals"))
    }

    async fn may_write(&self, purpose: Purpose, on: &PolicyName) -> Result<(), String> {
        match on {
            PolicyName::Project(project) => {
                let wanted = [
                    "resourcemanager.projects.getIamPolicy",
                    "resourcemanager.projects.setIamPolicy",
                ];
                let path = format!("/v3/projects/{project}");
                let service = Service::ResourceManager;
                self.may(purpose, service, &path, &wanted).await
            }
            PolicyName::Bucket(bucket) => {
                let path = format!(
                    "/storage/v1/b/{bucket}/iam/testPermissions?permissions=\
                     storage.buckets.getIamPolicy&permissions=storage.buckets.setIamPolicy"
                );
                let wanted = [
                    "storage.buckets.getIamPolicy",
                    "storage.buckets.setIamPolicy",
                ];
                let call = (Service::Storage, Method::GET);
                let answer = self.ask(purpose, call, path, Body::Nothing).await;
                let answer = answer.map_err(|failed| told(failed.fault))?;
                missing(self.who(purpose), &answer, &wanted)
            }
        }
    }

    /// Who makes calls of a purpose, for people.
    fn who(&self, purpose: Purpose) -> &'static str {
        match (self.clients.are_two(), purpose) {
            (false, _) => "broker",
            (true, Purpose::Gives) => "granter",
            (true, Purpose::Takes) => "revoker",
        }
    }

    /// An account that has a role for ever has it in every lease and after it.
    fn look_for_moot(&self, on: &PolicyName, policy: &Policy) -> Result<(), String> {
        let stands = |pool: &&Pool| matches!(pool, Pool::Standing(..) | Pool::Boundary(..));
        let pools = self.config().pools.values().filter(|it| !stands(it));
        let mut accounts = pools.flat_map(Pool::accounts);
        match accounts.find_map(|account| Some((account, policy.anything_for_ever(account)?))) {
            None => Ok(()),
            Some((account, role)) => Err(format!(
                "`{account}` has `{role}` on {on} without a condition, in every lease and after it: \
                 remove that binding"
            )),
        }
    }

    pub(crate) async fn may(
        &self,
        purpose: Purpose,
        service: Service,
        path: &str,
        wanted: &[&str],
    ) -> Result<(), String> {
        let body = json!({ "permissions": wanted });
        let path = format!("{path}:testIamPermissions");
        let call = (service, Method::POST);
        let answer = self.ask(purpose, call, path, Body::Json(&body)).await;
        let answer = answer.map_err(|failed| told(failed.fault))?;
        missing(self.who(purpose), &answer, wanted)
    }

    async fn ask(
        &self,
        purpose: Purpose,
        (service, method): (Service, Method),
        path: String,
        body: Body<'_>,
    ) -> Result<Value, Failed> {
        let request = Request {
            call: Call::Reads,
            operation: "testIamPermissions",
            service,
            method,
            path,
            body,
        };
        self.clients.of(purpose).send(&request).await
    }
}

pub(crate) fn told(fault: Fault) -> String {
    format!("{}: {}", fault.code, fault.logged)
}

fn missing(who: &str, answer: &Value, wanted: &[&str]) -> Result<(), String> {
    let has = |permission: &&&str| {
        let held = answer.get("permissions").and_then(Value::as_array);
        held.is_some_and(|held| held.iter().any(|it| it.as_str() == Some(**permission)))
    };
    let missing: Vec<&str> = wanted.iter().filter(|it| !has(it)).copied().collect();
    if missing.is_empty() {
        Ok(())
    } else {
        let missing = missing.join("`, `");
        Err(format!("the {who} lacks `{missing}` on it"))
    }
}

/// How an account is, if that is how it should be.
fn state(carries: Carries, seen: &Seen) -> Result<String, String> {
    let stamp = match &seen.described {
        Described::Unreadable => {
            return Err(
                "its description is another installation's stamp, or a broken one of ours: give \
                 the account to one installation, or empty the description once nothing is held"
                    .to_owned(),
            );
        }
        Described::Ours(stamp) => Some(stamp),
        Described::Unstamped => None,
    };
    match (carries, seen.enabled, stamp) {
        (Carries::One, true, Some(stamp)) if stamp.phase == Phase::Lent => {
            Ok(format!("it carries {}", stamp.held))
        }
        (Carries::One, true, Some(stamp)) => Err(format!(
            "it is enabled and must rest until {}: disable it, and let nothing enable it \
             (Terraform does unless `disabled` is ignored)",
            stamp.until
        )),
        // What it carried is dead, or it never carried anything.
        (Carries::One, true, None) => {
            Ok("it is free, and enabled until the end of its first lease".to_owned())
        }
        (Carries::One, false, Some(stamp)) => Ok(format!(
            "it rests after {} until {}",
            stamp.held, stamp.until
        )),
        (Carries::One, false, None) => Ok("it is free".to_owned()),
        (Carries::Many | Carries::Bounded, true, _) => Ok("it is enabled".to_owned()),
        (Carries::Many | Carries::Bounded, false, _) => {
            Err("it is disabled, and leases need it enabled".to_owned())
        }
    }
}
