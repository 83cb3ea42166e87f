//! What must be true of every world in the end, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitney_core::audit::{Entry, Event, Frontier, LeafHash};
use jitney_core::books::{FoundLease, found_lease};
use jitney_core::id::{LeaseId, TargetName};
use jitney_core::lease::Outcome;
use jitney_core::ledger::{Row, RowId};
use jitney_core::time::Timestamp;

use super::cloud::{Cloud, Estate, SKEW, Session};
use super::executor::Rest;
use super::ledger::Tables;
use super::process::Scene;
use super::world::told;

/// Whether nothing is open or held, and no order is still to be carried out.
#[must_use]
pub fn is_over(tables: &Tables) -> bool {
    let standing = tables.standing();
    let is_obeyed = standing.halt.is_none() && standing.kills.is_empty();
    tables.rows().all(|row| row.is_final) && tables.holds().next().is_none() && is_obeyed
}

/// Looks at a world in its end, and objects to whatever must not be.
pub fn judge(scene: &Scene, clouds: &BTreeMap<TargetName, Arc<Cloud>>, rest: Rest) {
    let tables = scene.ledger.copy();
    everything_is_over(scene, &tables, rest);
    litter(scene, clouds);
    for cloud in clouds.values() {
        // What a stranger undid is repaired, at the latest when nothing goes wrong any more.
        let calm_from = scene.weather.calm_from().max(cloud.down_until());
        let excused_until = calm_from.plus(cloud.style.repaired_within());
        cloud.look(|estate| {
            for lost in estate.accounts.lost() {
                let rule = "of a shared policy nothing foreign is dropped or changed";
                scene.notary.object(rule, lost.to_string());
            }
            for session in estate.sessions() {
                is_of_one_lease(scene, estate, session);
                match scene.notary.went_back() {
                    Some((restored_at, recovered_at)) if session.asked_at < restored_at => {
                        let cut_by = recovered_at.map(|at| at.plus(cloud.style.lag_max()));
                        is_cut(scene, (estate, excused_until), session, cut_by);
                    }
                    _ => {
                        is_recorded(scene, &tables, session);
                        is_left_behind(scene, &tables, (estate, excused_until), session);
                    }
                }
            }
        });
    }
    the_log_tells_what_is(scene, &tables);
    what_was_told_is(scene, &tables);
}

/// Jitney never gives up: once nothing goes wrong any more, everything ends.
fn everything_is_over(scene: &Scene, tables: &Tables, rest: Rest) {
    let rule = "what is to end ends, however long it takes";
    if !scene.notary.violations().is_empty() {
        return;
    }
    if !is_over(tables) {
        let open = tables.rows().filter(|row| !row.is_final);
        let open: Vec<String> = open.map(|row| describe(scene, row)).collect();
        let holds = tables.holds().count();
        let halt = tables.standing().halt;
        let how = format!(
            "{}; still open: {open:?}, and {holds} holds; halt: {halt:?}",
            told(rest)
        );
        scene.notary.object(rule, how);
    }
}

/// What lists still name although it is neither held nor being revoked takes room and does no
/// harm: a call that lands after the last one cleared up leaves it behind. It is counted.
fn litter(scene: &Scene, clouds: &BTreeMap<TargetName, Arc<Cloud>>) {
    let left = clouds
        .values()
        .map(|cloud| cloud.look(|it| it.entries().len()));
    scene.notary.litter(left.sum());
}

/// The second promise.
fn is_left_behind(
    scene: &Scene,
    tables: &Tables,
    (estate, excused_until): (&Estate, Timestamp),
    session: &Session,
) {
    let works_at = over_at(scene, tables, session.lease)
        .and_then(|ended_at| estate.works_after(session, ended_at, excused_until));
    if let Some(works_at) = works_at {
        let name = scene.notary.name_of(session.lease);
        let how = format!("{name} has ended, and a session of it works at {works_at}");
        scene
            .notary
            .object("no ended lease has a grant left behind it", how);
    }
}

/// What a job kept gains nothing by a later lease on its slot, and what is fresh meets nothing of an
/// earlier one.
fn is_of_one_lease(scene: &Scene, estate: &Estate, session: &Session) {
    let restored_at = scene.notary.went_back().map(|(at, _)| at);
    if let Some((at, other)) = estate.does_anothers(session, restored_at) {
        let (name, other) = (
            scene.notary.name_of(session.lease),
            scene.notary.name_of(other),
        );
        let slot = &session.lane;
        let how = format!("a session of {name} on `{slot}` does at {at} what {other} may");
        scene
            .notary
            .object("no credential does what another lease may", how);
    }
}

/// What was asked for before the ledger went back in time may be forgotten. Once a recovery is
/// done, it is ended whether it is or not.
fn is_cut(
    scene: &Scene,
    (estate, excused_until): (&Estate, Timestamp),
    session: &Session,
    cut_by: Option<Timestamp>,
) {
    let works_at = cut_by.and_then(|at| estate.works_after(session, at, excused_until));
    if let Some(works_at) = works_at {
        let name = scene.notary.name_of(session.lease);
        let how = format!(
            "a session of {name} was asked for at {} and made at {}, and works at {works_at}",
            session.asked_at, session.minted_at
        );
        scene.notary.object(
            "after a recovery nothing works that was issued before it",
            how,
        );
    }
}

fn describe(scene: &Scene, row: &Row) -> String {
    match row.id {
        RowId::Lease(lease) => format!("{} {}", scene.notary.name_of(lease), row.state),
        RowId::Request(_) => format!("a request {}", row.state),
    }
}

fn lease_of(tables: &Tables, lease: LeaseId) -> Option<FoundLease> {
    let row = tables.rows().find(|row| row.id == RowId::Lease(lease))?;
    found_lease(row).ok()
}

/// The first promise, and what makes the second one possible: the ledger knew of each session
/// before it was asked for, and for how long.
fn is_recorded(scene: &Scene, tables: &Tables, session: &Session) {
    let rule = "every grant in a cloud has an intent in the ledger, recorded first";
    let name = scene.notary.name_of(session.lease);
    let known = lease_of(tables, session.lease);
    if known.map(|lease| lease.terms().handle.clone()) != Some(session.handle.clone()) {
        let how = format!("a session of {name} is unknown to the ledger");
        scene.notary.object(rule, how);
    } else if session.covered_until < Some(session.expires_at) {
        let how = format!(
            "a session of {name} lives until {}; when it was asked for the ledger knew of {:?}",
            session.expires_at, session.covered_until
        );
        scene.notary.object(rule, how);
    }
}

/// When a lease ended for which there must be nothing left: not one that a person wrote off.
fn over_at(scene: &Scene, tables: &Tables, lease: LeaseId) -> Option<Timestamp> {
    match lease_of(tables, lease)? {
        FoundLease::Ended(ended) if matches!(ended.outcome(), Outcome::WrittenOff { .. }) => None,
        FoundLease::Ended(_) => scene.notary.ended_at(lease),
        FoundLease::Doubtful(_) | FoundLease::Active(_) | FoundLease::Revoking(_) => None,
    }
}

/// The audit log, read from its beginning, tells the state of every lease and every hold; and its
/// tree is the one over its entries.
fn the_log_tells_what_is(scene: &Scene, tables: &Tables) {
    let rule = "the audit log tells what the ledger holds";
    let mut frontier = Frontier::new();
    let mut states: BTreeMap<LeaseId, &'static str> = BTreeMap::new();
    for bytes in tables.log() {
        frontier.append(LeafHash::of(bytes));
        let Ok(entry) = Entry::decode(bytes) else {
            scene
                .notary
                .object(rule, "an entry cannot be read".to_owned());
            return;
        };
        if let (Some(lease), Some(state)) = (entry.lease_id(), state_after(entry.event())) {
            states.insert(lease, state);
        }
    }
    if frontier.root() != tables.root() {
        scene
            .notary
            .object(rule, "the root is not the one over the entries".to_owned());
    }
    for row in tables.rows() {
        let RowId::Lease(lease) = row.id else {
            continue;
        };
        let said = states.remove(&lease);
        if said != Some(row.state.as_str()) {
            let how = format!("{}, and the log says {said:?}", describe(scene, row));
            scene.notary.object(rule, how);
        }
    }
    if let Some(lease) = states.into_keys().next() {
        let how = format!(
            "the log tells of {}, which is not there",
            scene.notary.name_of(lease)
        );
        scene.notary.object(rule, how);
    }
}

/// A lease begins to end once, and if its job was told so, by then. An end may have waited in a
/// spool while the ledger could not be written, or have been passed over for another one: then the
/// log says that. A ledger that went back in time may have forgotten either.
fn what_was_told_is(scene: &Scene, tables: &Tables) {
    if scene.notary.went_back().is_some() {
        return;
    }
    let mut ends: BTreeMap<LeaseId, Vec<Timestamp>> = BTreeMap::new();
    let mut passed_over = BTreeSet::new();
    let entries = tables.log().iter();
    for entry in entries.filter_map(|bytes| Entry::decode(bytes).ok()) {
        match (entry.lease_id(), entry.event()) {
            (Some(lease), Event::LeaseEnding | Event::LeaseDoubted) => {
                ends.entry(lease).or_default().push(entry.at());
            }
            (Some(lease), Event::SpoolPassedOver) => drop(passed_over.insert(lease)),
            _ => {}
        }
    }
    for (lease, told_at) in scene.notary.all_told_ended() {
        let began = ends.get(&lease).and_then(|ends| ends.first());
        // Brokers' clocks are off, each by less than the skew.
        let in_time = began.is_some_and(|at| *at <= told_at.plus(SKEW * 2));
        if !in_time && !passed_over.contains(&lease) {
            let name = scene.notary.name_of(lease);
            let how = format!("{name} was said to end at {told_at}, and ends at {began:?}");
            scene.notary.object("an end that was told is an end", how);
        }
    }
    for (lease, ends) in ends.iter().filter(|(_, ends)| ends.len() > 1) {
        let name = scene.notary.name_of(*lease);
        let how = format!("{name} begins to end at {ends:?}");
        scene.notary.object("a lease begins to end once", how);
    }
}

/// The state of a lease after something was said of it.
const fn state_after(event: Event) -> Option<&'static str> {
    match event {
        Event::LeaseIntended => Some("elevating"),
        Event::LeaseGranted | Event::LeaseRenewed => Some("active"),
        Event::LeaseDoubted | Event::LeaseEnding | Event::LeaseWritten => Some("revoking"),
        Event::LeaseNeverGranted | Event::LeaseEnded | Event::LeaseWrittenOff => Some("ended"),
        _ => None,
    }
}
