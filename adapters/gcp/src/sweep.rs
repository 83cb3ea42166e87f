//! Looking through a target for what bears our name: the accounts that the configuration names, and
//! the policies of what the inventory names. Changes nothing.

use jitney_core::adapter::{Page, Stamped, StampedKind};
use jitney_core::evidence::Held;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::plan::LaneId;

use crate::adapter::{GcpAdapter, TOLD_REVOKING, own_fault};
use crate::classify::ACCESS_DENIED;
use crate::config::Pool;
use crate::connect::Purpose;
use crate::grant::Stands;
use crate::lane_name::{Carries, lane};
use crate::limits::SWEPT_ACCOUNTS;
use crate::names::{AccountEmail, EntitlementName, PolicyName};
use crate::slot::{Freshness, Slot as _};
use crate::stamp::Phase;

impl GcpAdapter {
    /// Some of the accounts; with the last of them, the policies.
    pub(crate) async fn look_through(&self, after: Option<String>) -> Result<Page, Fault> {
        let begin = match after.as_deref().map(str::parse::<usize>) {
            None => 0,
            Some(Ok(begin)) => begin,
            Some(Err(_)) => {
                let logged = "a sweep goes on at no place that one came to".to_owned();
                let kind = FaultKind::Permanent;
                return Err(own_fault(kind, "gcp_no_such_page", TOLD_REVOKING, logged));
            }
        };
        let accounts: Vec<(LaneId, &AccountEmail)> = self.accounts().collect();
        let mut found = Vec::new();
        for (lane, account) in accounts.iter().skip(begin).take(SWEPT_ACCOUNTS) {
            found.extend(self.look_at_account(lane, account).await?);
        }
        let seen = begin.saturating_add(SWEPT_ACCOUNTS);
        if seen < accounts.len() {
            let next = Some(seen.to_string());
            return Ok(Page { found, next });
        }
        for on in &self.known {
            found.extend(self.look_at_policy(on).await?);
        }
        for pool in self.config().pools.values() {
            if let Pool::Entitled(accounts, entitlements) = pool {
                for of in entitlements {
                    found.extend(self.look_at_grants(accounts, of).await?);
                }
            }
        }
        Ok(Page { found, next: None })
    }

    fn accounts(&self) -> impl Iterator<Item = (LaneId, &AccountEmail)> {
        let target = &self.planner.target;
        self.config().pools.values().flat_map(move |pool| {
            let accounts = pool.accounts().iter();
            accounts.map(move |it| (lane(target, pool.carries(), it), it))
        })
    }

    async fn look_at_account(
        &self,
        lane: &LaneId,
        account: &AccountEmail,
    ) -> Result<Option<Stamped>, Fault> {
        let seen = match self.slot(account, Purpose::Takes).look().await {
            // Whom we may not even look at we could not have lent.
            Err(fault) if fault.code == ACCESS_DENIED => {
                tracing::warn!(%account, "the account may not be looked at");
                return Ok(None);
            }
            seen => seen?,
        };
        let stamp = seen.as_ref().and_then(|seen| seen.described.stamp());
        Ok(stamp.map(|stamp| Stamped {
            lane: lane.clone(),
            held: stamp.held.clone(),
            mark: Some(stamp.mark),
            kind: match stamp.phase {
                Phase::Lent => StampedKind::Grant,
                Phase::Rests => StampedKind::Enforcement,
            },
            native: account.to_string(),
        }))
    }

    async fn look_at_policy(&self, on: &PolicyName) -> Result<Vec<Stamped>, Fault> {
        let policy = match self.policy(on).look(Freshness::Now, Purpose::Takes).await {
            Err(fault) if fault.code == ACCESS_DENIED => {
                tracing::warn!(%on, "the policy may not be looked at");
                return Ok(Vec::new());
            }
            policy => policy?,
        };
        let found = policy.ours(&self.planner.installation).into_iter();
        Ok(found
            .map(|binding| Stamped {
                lane: self.lane_of(&binding.account),
                held: Held::Grant(binding.handle),
                mark: binding.mark,
                kind: StampedKind::Grant,
                native: format!("{} on {on} for {}", binding.role, binding.account),
            })
            .collect())
    }

    /// What gives by a grant, or may. It tells no mark: what a job asked for in its account's name
    /// would tell a mark of the job's.
    async fn look_at_grants(
        &self,
        accounts: &[AccountEmail],
        of: &EntitlementName,
    ) -> Result<Vec<Stamped>, Fault> {
        let open = match self.open_grants(Purpose::Takes, of).await {
            Err(fault) if fault.code == ACCESS_DENIED => {
                tracing::warn!(%of, "the grants may not be looked at");
                return Ok(Vec::new());
            }
            open => open?,
        };
        let gives = open.iter().filter(|grant| grant.stands != Stands::Goes);
        let found = gives.filter_map(|grant| {
            let account = accounts.iter().find(|it| grant.is_of(it))?;
            Some(Stamped {
                lane: self.lane_of(account),
                held: Held::Grant(grant.handle(&self.planner.installation)?),
                mark: None,
                kind: StampedKind::Grant,
                native: format!("{} for {account}", grant.name),
            })
        });
        Ok(found.collect())
    }

    /// The lane of an account. One that is configured no longer carried one lease at a time, as far
    /// as anybody can say: that is what ends most.
    fn lane_of(&self, account: &AccountEmail) -> LaneId {
        let known = self.accounts().find(|(_, it)| *it == account);
        let target = &self.planner.target;
        known.map_or_else(|| lane(target, Carries::One, account), |(lane, _)| lane)
    }
}
