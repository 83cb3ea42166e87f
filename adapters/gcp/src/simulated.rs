//! How accounts are lent and taken back and how a shared policy is written, for the simulation to
//! let everything go wrong around them. Only Google itself is simulated.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use jitney_core::adapter::{Hand, Mark, Pass, Stamped, StampedKind};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use jitney_core::lease::{self, Revoking};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use serde_json::Value;

use crate::adapter::own_fault;
use crate::capability::TokenScope;
use crate::classify::{Failed, NOT_YET, TOLD_UNKNOWN};
use crate::connect::Purpose;
use crate::entitlement::Entitlement;
use crate::grant::Grant as ManagedGrant;
use crate::judge::{Case, Times};
use crate::lending::{Loan, lend, lend_on};
use crate::names::{AccountEmail, EntitlementName, PolicyName};
use crate::policy::{Binding, Policy, Which};
use crate::policy_lane::{Edit, PolicyLane, Store, refused};
use crate::slot::{Freshness, Seen, Slot, Token};
use crate::stamp::{Described, Phase, Stamp, description};
use crate::taking::{Watch, take_back};
use crate::terms::{Grant, Terms, Way};

/// What a simulated Google says to a write of a policy that was changed since it was read.
pub const POLICY_CHANGED: &str = "gcp_policy_changed";
/// The least time between two writes of a policy.
const INTERVAL: Duration = Duration::from_secs(1);
const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };

/// Google, as one process reaches it, and the time that passes meanwhile.
pub trait Google: Send + Sync + 'static {
    /// The broker's clock.
    fn now(&self) -> Timestamp;
    /// Google's clock.
    fn cloud_now(&self) -> Timestamp;
    /// How much time has passed, by a clock that nobody sets.
    fn passed(&self) -> Duration;
    /// Waits.
    fn rest(&self, time: Duration) -> impl Future<Output = ()> + Send;
    /// Some part of a time, another each time it is asked.
    fn some_of(&self, time: Duration) -> Duration;
    /// Does something whether or not anybody waits for it.
    fn go_on(&self, work: impl Future<Output = ()> + Send + 'static);
    /// Whether an account is enabled, and its description.
    fn account(&self, name: &str) -> impl Future<Output = Result<(bool, String), Fault>> + Send;
    /// Writes a description.
    fn describe(&self, name: &str, text: String) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Enables or disables an account.
    fn enable(&self, name: &str, enabled: bool) -> impl Future<Output = Result<(), Fault>> + Send;
    /// The one policy there is.
    fn policy(&self) -> impl Future<Output = Result<Value, Fault>> + Send;
    /// Writes it.
    ///
    /// # Errors
    /// With the code [`POLICY_CHANGED`] when it bears an etag that is not the policy's any more.
    fn set_policy(&self, policy: Value) -> impl Future<Output = Result<(), Fault>> + Send;
    /// A token of an account for a lease, and its end; nothing while the account is disabled.
    fn mint(
        &self,
        name: &str,
        lease: &lease::Terms,
        seconds: u32,
    ) -> impl Future<Output = Result<Option<(String, Timestamp)>, Fault>> + Send;
}

/// The terms of a plan: a role on the one bucket there is, for an account.
///
/// # Errors
/// When a name is none.
pub fn terms(account: &str, token_seconds: u32) -> Result<Value, String> {
    let grant = Grant {
        on: bucket()?,
        role: "roles/storage.objectUser"
            .parse()
            .map_err(|bad| format!("{bad}"))?,
        narrowed: None,
    };
    let terms = Terms {
        account: account.parse().map_err(|bad| format!("{bad}"))?,
        token_seconds,
        token_scopes: BTreeSet::from([TokenScope::everything()]),
        way: Way::Own(vec![grant]),
    };
    serde_json::to_value(terms).map_err(|bad| bad.to_string())
}

fn bucket() -> Result<PolicyName, String> {
    let name = "//storage.googleapis.com/projects/_/buckets/artifacts";
    name.parse().map_err(|bad| format!("{bad}"))
}

/// One process that lends accounts.
pub struct Lender<G> {
    google: Arc<G>,
    installation: InstallationName,
    known: BTreeSet<PolicyName>,
    /// None: nothing is granted by Privileged Access Manager here.
    entitlements: BTreeSet<EntitlementName>,
    policy: Arc<PolicyLane<Kept<G>>>,
    times: Times,
}

/// What a process remembers of an account between two looks.
#[derive(Debug, Default)]
pub struct Remembered(Watch);

impl<G: Google> Lender<G> {
    /// A process that has not looked at anything yet.
    ///
    /// # Errors
    /// When a name is none.
    pub fn new(
        google: Arc<G>,
        installation: InstallationName,
        (settle, skew): (Duration, Duration),
    ) -> Result<Self, String> {
        let on = bucket()?;
        let kept = Arc::new(Kept(Arc::clone(&google)));
        Ok(Self {
            google,
            known: BTreeSet::from([on.clone()]),
            entitlements: BTreeSet::new(),
            policy: PolicyLane::new(on, kept, installation.clone(), INTERVAL),
            installation,
            times: Times { settle, skew },
        })
    }

    /// Lends an account for a lease. Gives the token, and its end.
    ///
    /// # Errors
    /// As Google says.
    pub async fn lend(
        &self,
        lease: &lease::Terms,
        (mark, answer_by): (Mark, Timestamp),
    ) -> Result<(String, Timestamp), Fault> {
        let terms = read(lease)?;
        let loan = Loan::of(lease, &terms, (mark, answer_by));
        let token = lend(&self.account(&terms.account, Some(lease)), &loan).await?;
        Ok((token.secret, token.expires_at))
    }

    /// Mints again for a lease.
    ///
    /// # Errors
    /// As Google says.
    pub async fn lend_on(
        &self,
        lease: &lease::Terms,
        (mark, answer_by): (Mark, Timestamp),
    ) -> Result<(String, Timestamp), Fault> {
        let terms = read(lease)?;
        let loan = Loan::of(lease, &terms, (mark, answer_by));
        let token = lend_on(&self.account(&terms.account, Some(lease)), &loan).await?;
        Ok((token.secret, token.expires_at))
    }

    /// Ends what an account carries, and keeps ended what is held.
    ///
    /// # Errors
    /// As Google says.
    pub async fn take_back(
        &self,
        account: &str,
        remembered: &mut Remembered,
        hand: Hand,
        (due, holds): (&[Recorded<Revoking>], &[Hold]),
    ) -> Result<Pass, Fault> {
        let account: AccountEmail = account.parse().map_err(|bad| nonsense(&bad))?;
        let cases: Vec<Case> = due.iter().map(|lease| Case::of(lease)).collect();
        let slot = self.account(&account, None);
        let watch = &mut remembered.0;
        take_back(&slot, watch, hand, (&cases, holds), self.times).await
    }

    /// Everything that bears the installation's stamp, on these accounts and in the policy.
    ///
    /// # Errors
    /// As Google says.
    pub async fn sweep(&self, lanes: &[(LaneId, String)]) -> Result<Vec<Stamped>, Fault> {
        let mut found = Vec::new();
        for (lane, account) in lanes {
            let (_, text) = self.google.account(account).await?;
            let described = Described::read(&text, &self.installation);
            found.extend(described.stamp().map(|stamp| Stamped {
                lane: lane.clone(),
                held: stamp.held.clone(),
                mark: Some(stamp.mark),
                kind: match stamp.phase {
                    Phase::Lent => StampedKind::Grant,
                    Phase::Rests => StampedKind::Enforcement,
                },
                native: account.clone(),
            }));
        }
        let policy = self.policy.look(Freshness::Now, Purpose::Takes).await?;
        for binding in policy.ours(&self.installation) {
            let named = lanes.iter().find(|it| it.1 == binding.account.as_str());
            found.extend(named.map(|(lane, _)| Stamped {
                lane: lane.clone(),
                held: Held::Grant(binding.handle.clone()),
                mark: binding.mark,
                kind: StampedKind::Grant,
                native: format!("{} for {}", binding.role, binding.account),
            }));
        }
        Ok(found)
    }

    const fn account<'a>(
        &'a self,
        account: &'a AccountEmail,
        lease: Option<&'a lease::Terms>,
    ) -> Account<'a, G> {
        Account {
            lender: self,
            account,
            lease,
        }
    }
}

fn read(lease: &lease::Terms) -> Result<Terms, Fault> {
    serde_json::from_value(lease.plan.terms.clone()).map_err(|bad| nonsense(&bad))
}

fn nonsense(bad: &dyn core::fmt::Display) -> Fault {
    own_fault(
        FaultKind::Permanent,
        "gcp_plan_unreadable",
        TOLD_UNKNOWN,
        bad.to_string(),
    )
}

fn no_entitlement(name: &EntitlementName) -> Fault {
    nonsense(&format!("there is no entitlement {name} here"))
}

/// The policy, as its one writer reaches it.
struct Kept<G>(Arc<G>);

impl<G: Google> Store for Kept<G> {
    fn has_two_hands(&self) -> bool {
        false
    }

    async fn get(&self, _: &PolicyName, _: Purpose) -> Result<Policy, Fault> {
        Policy::read(self.0.policy().await?).map_err(|why| {
            own_fault(
                RETRYABLE,
                "gcp_policy_unreadable",
                TOLD_UNKNOWN,
                why.to_owned(),
            )
        })
    }

    async fn set(&self, _: &PolicyName, policy: &Policy, _: Purpose) -> Result<(), Failed> {
        let written = self.0.set_policy(policy.written()).await;
        written.map_err(|fault| Failed {
            fault,
            status: None,
        })
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn passed(&self) -> Duration {
        self.0.passed()
    }

    async fn rest(&self, time: Duration) {
        self.0.rest(time).await;
    }

    fn some_of(&self, time: Duration) -> Duration {
        self.0.some_of(time)
    }

    fn go_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.go_on(work);
    }
}

/// One account, as it is lent to a lease or taken back.
struct Account<'a, G> {
    lender: &'a Lender<G>,
    account: &'a AccountEmail,
    lease: Option<&'a lease::Terms>,
}

impl<G: Google> Account<'_, G> {
    fn google(&self) -> &G {
        &self.lender.google
    }
}

impl<G: Google> Slot for Account<'_, G> {
    fn name(&self) -> &str {
        self.account.as_str()
    }

    fn known(&self) -> &BTreeSet<PolicyName> {
        &self.lender.known
    }

    fn now(&self) -> Timestamp {
        self.google().now()
    }

    fn cloud_now(&self) -> Option<Timestamp> {
        Some(self.google().cloud_now())
    }

    fn clocks_agree(&self) -> Result<(), Fault> {
        let (ours, theirs) = (self.google().now(), self.google().cloud_now());
        if ours.since(theirs).max(theirs.since(ours)) <= self.lender.times.skew {
            return Ok(());
        }
        let logged = format!("it is {ours} here and {theirs} there");
        Err(own_fault(
            RETRYABLE,
            "gcp_clock_disagrees",
            TOLD_UNKNOWN,
            logged,
        ))
    }

    fn cloud_latest(&self) -> Option<Timestamp> {
        self.cloud_now()
    }

    async fn rest(&self, time: Duration) {
        self.google().rest(time).await;
    }

    async fn look(&self) -> Result<Option<Seen>, Fault> {
        let (enabled, text) = self.google().account(self.name()).await?;
        Ok(Some(Seen {
            enabled,
            described: Described::read(&text, &self.lender.installation),
        }))
    }

    async fn describe(&self, stamp: Option<&Stamp>) -> Result<(), Fault> {
        let text = description(stamp, &self.lender.installation);
        self.google().describe(self.name(), text).await
    }

    async fn enable(&self) -> Result<(), Fault> {
        self.google().enable(self.name(), true).await
    }

    async fn disable(&self) -> Result<(), Fault> {
        self.google().enable(self.name(), false).await
    }

    async fn would_bind(&self, on: &PolicyName, binding: &Binding) -> Result<(), Fault> {
        let policy = self
            .lender
            .policy
            .look(Freshness::Now, Purpose::Gives)
            .await?;
        policy.takes(binding).map_err(|why| refused(on, &why))
    }

    async fn bind(&self, _: &PolicyName, binding: &Binding, by: Timestamp) -> Result<(), Fault> {
        let edit = Edit::Add(binding.clone(), by);
        self.lender.policy.edit(edit).await.map(drop)
    }

    async fn unbind(
        &self,
        _: &PolicyName,
        which: &Which,
        freshness: Freshness,
    ) -> Result<Vec<Handle>, Fault> {
        let mut known = self.lender.policy.look(freshness, Purpose::Takes).await?;
        let gone = known.remove(self.account, which, &self.lender.installation);
        if gone.is_empty() {
            return Ok(gone);
        }
        let edit = Edit::Remove(self.account.clone(), which.clone());
        self.lender.policy.edit(edit).await
    }

    fn entitlements(&self) -> &BTreeSet<EntitlementName> {
        &self.lender.entitlements
    }

    async fn entitlement(&self, name: &EntitlementName) -> Result<Entitlement, Fault> {
        Err(no_entitlement(name))
    }

    async fn open_grants(&self, of: &EntitlementName) -> Result<Vec<ManagedGrant>, Fault> {
        Err(no_entitlement(of))
    }

    async fn grant(&self, _: &ManagedGrant, of: &EntitlementName) -> Result<ManagedGrant, Fault> {
        Err(no_entitlement(of))
    }

    async fn ask(
        &self,
        of: &EntitlementName,
        _: &Handle,
        _: u64,
        _: &Token,
    ) -> Result<ManagedGrant, Fault> {
        Err(no_entitlement(of))
    }

    async fn end_grant(&self, _: &ManagedGrant) -> Result<(), Fault> {
        Err(nonsense(&"nothing is granted here"))
    }

    async fn bound_to(&self, _: Freshness) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn mint(&self, _: &BTreeSet<TokenScope>, seconds: u32) -> Result<Token, Fault> {
        let lease = self.lease.ok_or_else(|| nonsense(&"nobody is lent to"))?;
        match self.google().mint(self.name(), lease, seconds).await? {
            Some((secret, expires_at)) => Ok(Token { secret, expires_at }),
            None => {
                let logged = "the account is not enabled".to_owned();
                Err(own_fault(
                    FaultKind::Permanent,
                    NOT_YET,
                    TOLD_UNKNOWN,
                    logged,
                ))
            }
        }
    }
}
