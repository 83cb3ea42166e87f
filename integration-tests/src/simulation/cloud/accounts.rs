//! Accounts of ours that a lease is lent, as Google has them: a session is one of its account. It
//! does what its account's bindings say while the account is enabled, and it wakes when the
//! account is enabled again. The bindings are in one policy, which others write as well.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::Session;

/// The longest that a binding counts after it was removed.
pub const BOUND_LAG_MAX: Duration = Duration::from_secs(420);
/// What stands before a handle in the title of a condition of ours.
const TITLE: &str = "jitney:acme:";

/// From when to when something was so.
#[derive(Debug, Clone)]
struct Span {
    from: Timestamp,
    /// Until when it is in force, once it was ended.
    until: Option<Timestamp>,
    by_stranger: bool,
}

impl Span {
    const fn since(from: Timestamp, by_stranger: bool) -> Self {
        Self {
            from,
            until: None,
            by_stranger,
        }
    }

    fn is_in_force(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// Whether it is no stranger's doing, or one's that ought to be repaired by now.
    fn counts(&self, now: Timestamp, excused_until: Timestamp) -> bool {
        self.is_in_force(now) && (!self.by_stranger || now >= excused_until)
    }
}

/// One account.
#[derive(Debug, Clone, Default)]
struct Account {
    enabled: Vec<Span>,
    description: String,
    /// Bindings of ours, by the lease that they name, and when their condition ends.
    bound: Vec<(Handle, Timestamp, Span)>,
}

impl Account {
    fn is_enabled(&self) -> bool {
        self.enabled.last().is_some_and(|span| span.until.is_none())
    }
}

/// What became of a write of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is as it was written.
    Done,
    /// Somebody else was faster: nothing is written.
    Changed,
}

/// All accounts there are, and their policy.
#[derive(Default)]
pub struct Accounts {
    accounts: BTreeMap<String, Account>,
    policy: Vec<Value>,
    version: u64,
    /// For which lease each handle is.
    leases: BTreeMap<Handle, LeaseId>,
    /// Bindings of others that one of our writes changed.
    lost: Vec<Value>,
}

impl Accounts {
    /// Whether an account is enabled, and its description.
    pub(super) fn look(&self, name: &str) -> (bool, String) {
        let account = self.accounts.get(name);
        account.map_or_else(Default::default, |it| {
            (it.is_enabled(), it.description.clone())
        })
    }

    pub(super) fn describe(&mut self, name: &str, text: String) {
        self.account(name).description = text;
    }

    /// Enables or disables an account. What was enabled is refused only after a lag.
    pub(super) fn enable(
        &mut self,
        name: &str,
        enabled: bool,
        (now, lag): (Timestamp, Duration),
        by_stranger: bool,
    ) {
        let account = self.account(name);
        match (account.is_enabled(), enabled) {
            (false, true) => account.enabled.push(Span::since(now, by_stranger)),
            (true, false) => {
                if let Some(span) = account.enabled.last_mut() {
                    span.until = Some(now.plus(lag));
                }
            }
            // What a stranger had enabled is from now on enabled by us.
            (true, true) => {
                let last = account.enabled.last_mut();
                if let Some(span) = last.filter(|span| span.by_stranger && !by_stranger) {
                    span.until = Some(now);
                    account.enabled.push(Span::since(now, false));
                }
            }
            (false, false) => {}
        }
    }

    fn account(&mut self, name: &str) -> &mut Account {
        self.accounts.entry(name.to_owned()).or_default()
    }

    /// The policy as it is read.
    pub(super) fn policy(&self) -> Value {
        json!({ "version": 3, "etag": self.version.to_string(), "bindings": self.policy })
    }

    /// Writes the policy whole. One that bears no etag is written whatever others wrote.
    pub(super) fn set_policy(
        &mut self,
        policy: &Value,
        (now, lag): (Timestamp, Duration),
        by_stranger: bool,
    ) -> Written {
        let etag = policy.get("etag").and_then(Value::as_str);
        if etag.is_some_and(|etag| etag != self.version.to_string()) {
            return Written::Changed;
        }
        let bindings = policy.get("bindings").and_then(Value::as_array);
        let new = bindings.cloned().unwrap_or_default();
        if !by_stranger {
            let foreign = |bindings: &[Value]| -> Vec<Value> {
                let foreign = bindings.iter().filter(|it| ours(it).is_none());
                foreign.cloned().collect()
            };
            let (before, after) = (foreign(&self.policy), foreign(&new));
            if before != after {
                let lost = before.iter().filter(|it| !after.contains(it));
                self.lost.extend(lost.cloned());
                self.lost
                    .extend(after.iter().filter(|it| !before.contains(it)).cloned());
            }
        }
        self.take_note(&new, (now, lag), by_stranger);
        self.policy = new;
        self.version += 1;
        Written::Done
    }

    /// Which bindings of ours came, and which are gone.
    fn take_note(&mut self, new: &[Value], (now, lag): (Timestamp, Duration), by_stranger: bool) {
        let all = |bindings: &[Value]| -> BTreeSet<(String, Handle, Timestamp)> {
            bindings.iter().filter_map(ours).flatten().collect()
        };
        let (before, after) = (all(&self.policy), all(new));
        for (name, handle, _) in before.difference(&after) {
            let bound = self.account(name).bound.iter_mut();
            let mut gone = bound.filter(|(it, _, span)| it == handle && span.until.is_none());
            if let Some((_, _, span)) = gone.next() {
                span.until = Some(now.plus(lag));
            }
        }
        for (name, handle, ends) in after.difference(&before) {
            let span = Span::since(now, by_stranger);
            let bound = (handle.clone(), *ends, span);
            self.account(name).bound.push(bound);
        }
    }

    /// Somebody who has a binding of his own in the policy puts it in, or takes it out.
    pub(super) fn neighbour(&mut self, member: &str, now: Timestamp) {
        let theirs = json!({ "role": "roles/storage.objectViewer", "members": [member] });
        let mut policy = self.policy();
        if let Some(Value::Array(bindings)) = policy.get_mut("bindings") {
            let before = bindings.len();
            bindings.retain(|it| *it != theirs);
            if bindings.len() == before {
                bindings.insert(0, theirs);
            }
        }
        self.set_policy(&policy, (now, Duration::ZERO), true);
    }

    /// A token was made for a lease.
    pub(super) fn lent(&mut self, session: &Session) {
        self.leases.insert(session.handle.clone(), session.lease);
    }

    /// A stranger enables every account that rests, and binds it again as it was bound last.
    pub(super) fn give_back(&mut self, now: Timestamp) -> BTreeSet<Held> {
        let resting = self.accounts.iter().filter(|(_, it)| {
            !it.is_enabled() && !it.enabled.is_empty() && !it.description.is_empty()
        });
        let resting: Vec<String> = resting.map(|(name, _)| name.clone()).collect();
        let mut held = BTreeSet::new();
        let mut policy = self.policy.clone();
        for name in resting {
            self.enable(&name, true, (now, Duration::ZERO), true);
            let last = self.account(&name).bound.last().cloned();
            if let Some((handle, ends, _)) = last {
                policy.push(binding(&name, &handle, ends));
                held.insert(Held::Grant(handle));
            }
        }
        let mut whole = Map::new();
        whole.insert("bindings".to_owned(), Value::Array(policy));
        self.set_policy(&Value::Object(whole), (now, Duration::ZERO), true);
        held
    }

    /// Whether an account's tokens do something. A stranger's doing does not count before
    /// `excused_until`.
    pub(super) fn gives(&self, name: &str, now: Timestamp, excused_until: Timestamp) -> bool {
        self.accounts.get(name).is_some_and(|account| {
            let counts = |span: &Span| span.counts(now, excused_until);
            let is_bound =
                |(_, ends, span): &(Handle, Timestamp, Span)| now < *ends && counts(span);
            account.enabled.iter().any(counts) && account.bound.iter().any(is_bound)
        })
    }

    /// The moments at which an account was enabled or bound.
    pub(super) fn moments(&self, name: &str) -> impl Iterator<Item = Timestamp> {
        let account = self.accounts.get(name).into_iter();
        account.flat_map(|account| {
            let enabled = account.enabled.iter().map(|span| span.from);
            enabled.chain(account.bound.iter().map(|(_, _, span)| span.from))
        })
    }

    /// The first moment at which a session does what another lease may, and that lease. Neither
    /// what a stranger did counts, nor what was asked for before the ledger went back in time.
    pub(super) fn of_another(
        &self,
        name: &str,
        session: &Session,
        restored_at: Option<Timestamp>,
    ) -> Option<(Timestamp, LeaseId)> {
        if restored_at.is_some_and(|at| session.asked_at < at) {
            return None;
        }
        let account = self.accounts.get(name)?;
        let ours = || account.enabled.iter().filter(|span| !span.by_stranger);
        let mut met = account.bound.iter().filter_map(|(handle, ends, span)| {
            let lease = *self.leases.get(handle)?;
            let is_late = restored_at.is_some_and(|at| span.from < at);
            if lease == session.lease || span.by_stranger || is_late {
                return None;
            }
            let meets = |enabled: &Span| {
                let from = span.from.max(enabled.from).max(session.minted_at);
                let alive = from < session.expires_at.min(*ends);
                (alive && span.is_in_force(from) && enabled.is_in_force(from)).then_some(from)
            };
            Some((ours().find_map(meets)?, lease))
        });
        met.next()
    }

    /// Bindings of others that one of our writes changed.
    #[must_use]
    pub fn lost(&self) -> &[Value] {
        &self.lost
    }
}

/// A binding of ours, as a stranger who found it in a log would write it.
fn binding(name: &str, handle: &Handle, ends: Timestamp) -> Value {
    json!({
        "role": "roles/storage.objectUser",
        "members": [format!("serviceAccount:{name}")],
        "condition": {
            "title": format!("{TITLE}{handle}"),
            "expression": format!("request.time < timestamp(\"{ends}\")"),
        },
    })
}

/// The accounts that a binding of ours names, with its lease and the end of its condition; nothing
/// when it is somebody else's.
fn ours(binding: &Value) -> Option<Vec<(String, Handle, Timestamp)>> {
    let condition = binding.get("condition")?;
    let handle = condition.get("title")?.as_str()?.strip_prefix(TITLE)?;
    let handle = Handle::try_from(handle.to_owned()).ok()?;
    let expression = condition.get("expression")?.as_str()?;
    let ends = expression.split('"').nth(1)?.parse().ok()?;
    let members = binding.get("members")?.as_array()?.iter();
    let accounts = members.filter_map(|it| it.as_str()?.strip_prefix("serviceAccount:"));
    Some(
        accounts
            .map(|name| (name.to_owned(), handle.clone(), ends))
            .collect(),
    )
}
