//! Giving: an account is stamped, bound, enabled and minted for, in this order, so that whatever
//! stops us in between leaves something that can be found, and nothing that works.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Epoch, Mark};
use jitney_core::evidence::Held;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::lease;
use jitney_core::time::Timestamp;

use crate::adapter::own_fault;
use crate::capability::TokenScope;
use crate::classify::NOT_YET;
use crate::condition::until;
use crate::entitling::{ask, to_ask_for};
use crate::limits::CONDITION_MARGIN_SECONDS;
use crate::names::EntitlementName;
use crate::notes::Note;
use crate::policy::Binding;
use crate::slot::{Seen, Slot, Token, is_past};
use crate::stamp::{Described, Phase, Stamp};
use crate::terms::{Grant, Terms};

const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };
const TOLD_LATE: &str = "Google was not asked in time; try again";
const TOLD_ACCOUNT: &str =
    "the account that was to carry the lease cannot be used; the platform team must look";
const TOLD_RESTS: &str = "the account that was to carry the lease must still rest; try again";

/// How soon a mint is tried again that was refused because the account is not enabled everywhere.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be lent.
#[derive(Debug)]
pub(crate) struct Loan<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) handle: &'a Handle,
    /// How far the ledger had come when it recorded the intent.
    pub(crate) mark: Mark,
    /// No call that gives leaves after this.
    pub(crate) answer_by: Timestamp,
    /// The end that no renewal passes.
    pub(crate) absolute_end: Timestamp,
    /// Until when a token of it can be alive by Google's clock, with all that is derived.
    pub(crate) lives_until: Timestamp,
}

impl<'a> Loan<'a> {
    pub(crate) fn of(
        lease: &'a lease::Terms,
        terms: &'a Terms,
        (mark, answer_by): (Mark, Timestamp),
    ) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let plan = &lease.plan;
        let exposed = answer_by
            .plus(seconds(plan.lands_within_seconds))
            .plus(seconds(plan.lives_seconds));
        Self {
            terms,
            handle: &lease.handle,
            mark,
            answer_by,
            absolute_end: lease.absolute_end,
            // No renewal's token outlives the lease's absolute end, and no binding its condition.
            lives_until: exposed
                .max(condition_ends(lease.absolute_end))
                .plus(seconds(plan.derived_seconds)),
        }
    }

    fn binding(&self, grant: &Grant) -> Binding {
        let ends = condition_ends(self.absolute_end);
        Binding {
            account: self.terms.account.clone(),
            role: grant.role.clone(),
            expression: until(ends, grant.narrowed.as_ref()),
            handle: self.handle.clone(),
            mark: self.mark,
        }
    }

    /// How long a grant must last, counted from this moment: to the same end as a binding would.
    pub(crate) fn grant_seconds<S: Slot>(&self, slot: &S) -> u64 {
        let lasts = condition_ends(self.absolute_end).since(slot.now());
        let part = u64::from(lasts.subsec_nanos() > 0);
        lasts.as_secs().saturating_add(part)
    }

    /// How long a token may live that is minted now.
    pub(crate) fn seconds<S: Slot>(&self, slot: &S) -> u32 {
        let left = self.absolute_end.since(slot.now()).as_secs();
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        self.terms.token_seconds.min(left).max(1)
    }

    pub(crate) fn in_time<S: Slot>(&self, slot: &S) -> Result<(), Fault> {
        if slot.now() < self.answer_by.min(self.absolute_end) {
            return Ok(());
        }
        let logged = format!(
            "the time to ask for {} was over when its turn came",
            slot.name()
        );
        Err(own_fault(
            RETRYABLE,
            "gcp_not_asked_in_time",
            TOLD_LATE,
            logged,
        ))
    }
}

/// When the condition of a lease's bindings is over.
pub(crate) fn condition_ends(absolute_end: Timestamp) -> Timestamp {
    absolute_end.plus(Duration::from_secs(CONDITION_MARGIN_SECONDS))
}

/// Lends an account that carries one lease.
pub(crate) async fn lend<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<Token, Fault> {
    loan.in_time(slot)?;
    let seen = found(slot).await?;
    is_free(slot, &seen, loan)?;
    would_bind(slot, loan).await?;
    let entitlements = to_ask_for(slot, loan).await?;
    loan.in_time(slot)?;
    let stamp = Stamp {
        phase: Phase::Lent,
        held: Held::Grant(loan.handle.clone()),
        epoch: seen.described.stamp().map_or(Epoch(0), |stamp| stamp.epoch),
        mark: loan.mark,
        until: loan.lives_until,
    };
    slot.describe(Some(&stamp)).await?;
    match equip(slot, loan, &entitlements).await {
        Ok(token) => Ok(token),
        Err(Stopped::Before(fault)) => Err(unstamped(slot, fault).await),
        Err(Stopped::After(fault)) => Err(doubted(fault)),
    }
}

/// Where an account stopped being made ready.
enum Stopped {
    /// Nothing was given yet.
    Before(Fault),
    /// Something was, or may have been.
    After(Fault),
}

/// Nothing was given. Without its stamp, the account is free for the next lease at once.
async fn unstamped<S: Slot>(slot: &S, fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Ambiguous => fault,
        FaultKind::Retryable { .. } | FaultKind::Permanent | FaultKind::LedgerBehind { .. } => {
            match slot.describe(None).await {
                Ok(()) => fault,
                Err(_) => doubted(fault),
            }
        }
    }
}

/// Lends a part of an account that carries many leases.
pub(crate) async fn lend_part<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<(), Fault> {
    loan.in_time(slot)?;
    let seen = found(slot).await?;
    is_open(slot, &seen)?;
    would_bind(slot, loan).await?;
    for (at, grant) in loan.terms.way.grants().iter().enumerate() {
        let bound = bind(slot, loan, grant).await;
        bound.map_err(|fault| if at > 0 { doubted(fault) } else { fault })?;
    }
    Ok(())
}

/// Mints again for a lease whose account carries no other: only while the account says so itself.
pub(crate) async fn lend_on<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<Token, Fault> {
    loan.in_time(slot)?;
    let seen = found(slot).await?;
    let held = Held::Grant(loan.handle.clone());
    let is_lent = |stamp: &Stamp| stamp.phase == Phase::Lent && stamp.held == held;
    if !seen.enabled || !seen.described.stamp().is_some_and(is_lent) {
        let logged = format!(
            "{} does not carry lease {} any more",
            slot.name(),
            loan.handle
        );
        return Err(unusable("gcp_account_not_lent", logged));
    }
    loan.in_time(slot)?;
    slot.mint(&loan.terms.token_scopes, loan.seconds(slot))
        .await
}

/// Mints again for a lease whose account carries others too.
pub(crate) async fn lend_part_on<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<Token, Fault> {
    loan.in_time(slot)?;
    let seen = found(slot).await?;
    is_open(slot, &seen)?;
    mint_part(slot, loan).await
}

/// Mints for a lease whose account carries others too, and was looked at.
pub(crate) async fn mint_part<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<Token, Fault> {
    loan.in_time(slot)?;
    slot.mint(&loan.terms.token_scopes, loan.seconds(slot))
        .await
}

/// Looks at an account to mint for it, and at Google's clock with it.
async fn found<S: Slot>(slot: &S) -> Result<Seen, Fault> {
    let seen = slot.look().await?;
    slot.clocks_agree()?;
    seen.ok_or_else(|| {
        let logged = format!("there is no account {}", slot.name());
        unusable("gcp_no_such_account", logged)
    })
}

/// Whether an account may be lent, as far as it says itself. The ledger says so already; but a
/// ledger can forget, and to enable an account too soon wakes the tokens of those before.
fn is_free<S: Slot>(slot: &S, seen: &Seen, loan: &Loan<'_>) -> Result<(), Fault> {
    let name = slot.name();
    let stamp = match &seen.described {
        Described::Unstamped => return Ok(()),
        Described::Ours(stamp) => stamp,
        Described::Unreadable => {
            let logged = format!(
                "the description of {name} is another installation's stamp, or a broken one of ours"
            );
            return Err(unusable("gcp_account_not_ours", logged));
        }
    };
    if stamp.mark > loan.mark {
        let logged = format!(
            "{name} was stamped at mark {}, and the ledger is at {}: it went back in time",
            stamp.mark, loan.mark
        );
        let kind = FaultKind::LedgerBehind { bears: stamp.mark };
        return Err(own_fault(kind, "gcp_ledger_behind", TOLD_ACCOUNT, logged));
    }
    if is_past(slot, stamp.until) {
        return Ok(());
    }
    let after = Some(stamp.until.since(slot.now()));
    let logged = format!("{name} rests after {} until {}", stamp.held, stamp.until);
    let kind = FaultKind::Retryable { after };
    Err(own_fault(kind, "gcp_account_rests", TOLD_RESTS, logged))
}

/// Whether an account that carries many leases may carry one more.
fn is_open<S: Slot>(slot: &S, seen: &Seen) -> Result<(), Fault> {
    if seen.enabled {
        return Ok(());
    }
    let logged = format!("{} is disabled", slot.name());
    Err(unusable("gcp_account_disabled", logged))
}

/// What can be seen before anything is written is refused before anything is written.
async fn would_bind<S: Slot>(slot: &S, loan: &Loan<'_>) -> Result<(), Fault> {
    for grant in loan.terms.way.grants() {
        slot.would_bind(&grant.on, &loan.binding(grant)).await?;
    }
    Ok(())
}

async fn equip<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
    entitlements: &BTreeSet<EntitlementName>,
) -> Result<Token, Stopped> {
    let grants = loan.terms.way.grants();
    let stopped = |given: bool| {
        move |fault| match given {
            false => Stopped::Before(fault),
            true => Stopped::After(fault),
        }
    };
    for (at, grant) in grants.iter().enumerate() {
        bind(slot, loan, grant).await.map_err(stopped(at > 0))?;
    }
    loan.in_time(slot).map_err(stopped(!grants.is_empty()))?;
    slot.enable().await.map_err(stopped(!grants.is_empty()))?;
    slot.note(loan.handle, Note::Enabled);
    let asked = ask(slot, loan, entitlements).await;
    asked.map_err(Stopped::After)?;
    let wanted = (&loan.terms.token_scopes, loan.seconds(slot));
    let minted = mint_when_enabled(slot, loan, wanted).await;
    minted.map_err(Stopped::After)
}

/// An account that was enabled just now may not be so everywhere.
pub(crate) async fn mint_when_enabled<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
    (scopes, seconds): (&BTreeSet<TokenScope>, u32),
) -> Result<Token, Fault> {
    loop {
        loan.in_time(slot)?;
        match slot.mint(scopes, seconds).await {
            Err(fault) if fault.code == NOT_YET => {
                slot.note(loan.handle, Note::NotYet(fault.logged.clone()));
                // It is refused, so nothing was given; there may be time to ask again.
                slot.rest(AGAIN).await;
                if loan.in_time(slot).is_err() {
                    return Err(fault);
                }
            }
            answered => {
                if answered.is_ok() {
                    slot.note(loan.handle, Note::Minted);
                }
                return answered;
            }
        }
    }
}

async fn bind<S: Slot>(slot: &S, loan: &Loan<'_>, grant: &Grant) -> Result<(), Fault> {
    loan.in_time(slot)?;
    let binding = loan.binding(grant);
    slot.bind(&grant.on, &binding, loan.answer_by).await
}

/// A call was refused, but those before it were not: something is there to be taken back.
pub(crate) fn doubted(fault: Fault) -> Fault {
    Fault {
        kind: FaultKind::Ambiguous,
        ..fault
    }
}

fn unusable(code: &'static str, logged: String) -> Fault {
    own_fault(FaultKind::Permanent, code, TOLD_ACCOUNT, logged)
}
