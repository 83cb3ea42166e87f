//! Asking for grants of Privileged Access Manager and ending them.
//!
//! To whoever asks a grant is given, so the account that is to carry the lease asks: with a token of
//! its own that never leaves the broker. Whatever it has asked for ends with its lease, also what a
//! job asked for in its name.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::fault::{Fault, FaultKind};

use crate::adapter::own_fault;
use crate::capability::TokenScope;
use crate::classify::{NOT_RECOGNISED, PRECONDITION};
use crate::entitlement::{Offers, chosen};
use crate::grant::{Grant, Stands};
use crate::lending::{Loan, mint_when_enabled};
use crate::limits::ASKING_SECONDS;
use crate::names::EntitlementName;
use crate::notes::Note;
use crate::slot::{Freshness, Slot, Token};
use crate::terms::Way;

const RETRYABLE: FaultKind = FaultKind::Retryable { after: None };
const PERMANENT: FaultKind = FaultKind::Permanent;
const TOLD_UNFIT: &str = "the entitlement that was to give what is asked for does not fit it; the \
                          platform team must look";
const TOLD_OPEN: &str = "the account that was to carry the lease still has a grant; try again";
const TOLD_MOOT: &str = "the account that was to carry the lease has more than it should; the \
                         platform team must look";
const TOLD_NOT_GIVEN: &str = "Privileged Access Manager did not give what was asked for; what it may still give is taken back";

/// How soon a grant is looked at again that is on its way.
const AGAIN: Duration = Duration::from_millis(500);

/// The entitlements that a lease is to be granted, if they fit it and the account has nothing yet.
/// Nothing where it is not granted so.
pub(crate) async fn to_ask_for<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
) -> Result<BTreeSet<EntitlementName>, Fault> {
    let Way::Entitled {
        entitlements,
        gives,
    } = &loan.terms.way
    else {
        return Ok(BTreeSet::new());
    };
    let mut offers = Offers::new();
    for name in entitlements {
        offers.push((name.clone(), slot.entitlement(name).await?));
    }
    let unfit = |code, logged| Err(own_fault(PERMANENT, code, TOLD_UNFIT, logged));
    let reaches_all = loan.terms.token_scopes.contains(&TokenScope::everything());
    let chosen = match chosen(&offers, gives, reaches_all) {
        Ok(chosen) => chosen,
        Err(why) => return unfit("gcp_entitlement_differs", why),
    };
    let needed = loan.grant_seconds(slot);
    for (name, offer) in offers.iter().filter(|(name, _)| chosen.contains(name)) {
        if let Err(why) = offer.fits(needed, name.project()) {
            return unfit("gcp_entitlement_unfit", format!("{name}: {why}"));
        }
    }
    // Also those that it is not granted now: its token would have them.
    for name in entitlements {
        if let Some(open) = slot.open_grants(name).await?.first() {
            let logged = format!("{} has {} already", slot.name(), open.name);
            return Err(own_fault(RETRYABLE, "gcp_grant_open", TOLD_OPEN, logged));
        }
    }
    match slot.bound_to(Freshness::Now).await? {
        None => Ok(chosen),
        Some(role) => {
            let name = slot.name();
            let logged = format!(
                "`{name}` has `{role}` on the project beside its grants: remove that binding"
            );
            Err(own_fault(PERMANENT, "gcp_lease_is_moot", TOLD_MOOT, logged))
        }
    }
}

/// Asks for grants as the account, and comes back when all of them give.
pub(crate) async fn ask<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
    entitlements: &BTreeSet<EntitlementName>,
) -> Result<(), Fault> {
    if entitlements.is_empty() {
        return Ok(());
    }
    let scopes = BTreeSet::from([TokenScope::everything()]);
    let seconds = loan.seconds(slot).min(ASKING_SECONDS);
    let token = mint_when_enabled(slot, loan, (&scopes, seconds)).await?;
    let mut asked = Vec::new();
    for name in entitlements {
        asked.push((name, ask_for(slot, loan, name, &token).await?));
    }
    for (name, grant) in asked {
        until_given(slot, loan, name, grant).await?;
    }
    slot.note(loan.handle, Note::Given);
    Ok(())
}

/// The account was enabled just now: its token may not be taken everywhere. Whoever is not known was
/// given nothing.
async fn ask_for<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
    of: &EntitlementName,
    token: &Token,
) -> Result<Grant, Fault> {
    loop {
        loan.in_time(slot)?;
        let lasts = loan.grant_seconds(slot);
        match slot.ask(of, loan.handle, lasts, token).await {
            Err(fault) if fault.code == NOT_RECOGNISED => slot.rest(AGAIN).await,
            answered => {
                if answered.is_ok() {
                    slot.note(loan.handle, Note::Asked(lasts));
                }
                return answered;
            }
        }
    }
}

async fn until_given<S: Slot>(
    slot: &S,
    loan: &Loan<'_>,
    of: &EntitlementName,
    mut grant: Grant,
) -> Result<(), Fault> {
    let not_given = |grant: &Grant, code, why: &str| {
        let logged = format!("{}: {why}", grant.name);
        Err(own_fault(PERMANENT, code, TOLD_NOT_GIVEN, logged))
    };
    loop {
        match grant.stands {
            Stands::Gives => return Ok(()),
            Stands::Comes => {}
            Stands::Waits => {
                return not_given(
                    &grant,
                    "gcp_grant_waits",
                    "it waits for an approval that the entitlement did not demand a moment ago",
                );
            }
            Stands::Goes | Stands::Over | Stands::Unknown => {
                return not_given(
                    &grant,
                    "gcp_grant_not_given",
                    "it was not given, or ended at once",
                );
            }
        }
        slot.rest(AGAIN).await;
        if loan.in_time(slot).is_err() {
            let why = "it does not give yet, and the time to wait for it is over";
            return not_given(&grant, "gcp_grant_not_in_time", why);
        }
        grant = slot.grant(&grant, of).await?;
    }
}

/// What is left of an account's grants, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// What Privileged Access Manager is taking back, in its own time.
    Going,
    /// What gives, or what nobody can say is over.
    Standing,
}

/// What ending an account's grants came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) left: Left,
    /// Whether there was one to be ended.
    pub(crate) had_any: bool,
}

/// Ends whatever the account has asked for, of the entitlements of what is due and of all that are
/// configured for it. All are tried, whatever becomes of the others.
pub(crate) async fn end_grants<S: Slot>(
    slot: &S,
    due: &BTreeSet<&EntitlementName>,
) -> Result<Ended, Fault> {
    let mut ended = Ended {
        left: Left::Nothing,
        had_any: false,
    };
    let all: BTreeSet<&EntitlementName> = due.iter().copied().chain(slot.entitlements()).collect();
    if all.is_empty() {
        return Ok(ended);
    }
    let mut failed = None;
    for name in all {
        match end_grants_of(slot, name).await {
            Ok(of) => {
                ended.left = ended.left.max(of.left);
                ended.had_any |= of.had_any;
            }
            Err(fault) => failed = failed.or(Some(fault)),
        }
    }
    if let Some(fault) = failed {
        return Err(fault);
    }
    // One that somebody changed in the policy is not taken back with its grant.
    if ended.left == Left::Nothing
        && let Some(role) = still_bound_to(slot, ended.had_any || !due.is_empty()).await?
    {
        tracing::warn!(account = slot.name(), %role, "the project's policy names the account, and \
            it has no grant: remove that binding, or the account carries no other lease");
        ended.left = Left::Going;
    }
    Ok(ended)
}

/// A role that the project's policy still gives the account. What was there of late may be gone by
/// now; what was not there of late is enough where nothing is due.
async fn still_bound_to<S: Slot>(slot: &S, is_due: bool) -> Result<Option<String>, Fault> {
    if !is_due && slot.bound_to(Freshness::OfLate).await?.is_none() {
        return Ok(None);
    }
    slot.bound_to(Freshness::Now).await
}

async fn end_grants_of<S: Slot>(slot: &S, of: &EntitlementName) -> Result<Ended, Fault> {
    let mut open = slot.open_grants(of).await?;
    let mut had_any = false;
    for grant in open.iter().filter(|grant| grant.stands != Stands::Goes) {
        had_any = true;
        match slot.end_grant(grant).await {
            // It went on meanwhile. How it stands is looked at.
            Err(fault) if fault.code == PRECONDITION => {}
            ended => ended?,
        }
    }
    if had_any {
        open = slot.open_grants(of).await?;
    }
    let left = |grant: &Grant| match grant.stands {
        Stands::Over => Left::Nothing,
        Stands::Goes => Left::Going,
        Stands::Waits | Stands::Comes | Stands::Gives | Stands::Unknown => Left::Standing,
    };
    let left = open.iter().map(left).max().unwrap_or(Left::Nothing);
    Ok(Ended { left, had_any })
}
