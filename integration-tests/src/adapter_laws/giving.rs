//! Laws about what is given.

use core::time::Duration;
use std::collections::BTreeMap;

use jitney_core::fault::FaultKind;
use jitney_core::ledger::StoredEntry;

use super::ending::take;
use super::{Held, Kind, Stage, ensure};

pub(super) async fn grants_what_was_asked(stage: &dyn Stage) -> Held {
    let taken = take(stage).await?;
    // The control: the cloud looks at credentials at all.
    let mut forged = taken.credential.clone();
    for value in forged.values_mut() {
        *value = value.chars().rev().collect();
    }
    ensure(!stage.works(&forged).await.unwrap_or(false), || {
        "the cloud takes a credential that nobody was given".to_owned()
    })
}

pub(super) async fn grants_nothing_else(stage: &dyn Stage) -> Held {
    let taken = take(stage).await?;
    let strays = stage.strays(&taken.credential).await?;
    ensure(strays.is_empty(), || {
        format!("the credential also does this: {}", strays.join(", "))
    })
}

pub(super) async fn plans_are_pure(stage: &dyn Stage) -> Held {
    let (adapter, nowhere) = (stage.adapter(), stage.adapter_of_nowhere());
    let scribe = stage.scribe();
    let first = scribe.terms(&*adapter, &[stage.wanted()]).await?;
    let (ttl, lasts) = scribe.times();
    let order = jitney_core::plan::Order {
        wanted: &[stage.wanted()],
        target: &stage.wanted().resource.target,
        ttl,
        lasts,
        slot: (Kind::of(stage)? == Kind::Slots).then_some(&first.plan.lane),
        handle: &first.handle,
        job: scribe.job(),
    };
    for again in [&adapter, &nowhere, &stage.adapter()] {
        let plan = again.plan(&order).map_err(|cannot| cannot.logged)?;
        ensure(plan == first.plan, || {
            format!("planned otherwise: {plan:?}, not {:?}", first.plan)
        })?;
        ensure(again.guarantees(&plan) == plan.guarantees, || {
            "the adapter promises another thing than its plan".to_owned()
        })?;
    }
    Ok(())
}

pub(super) async fn refuses_what_it_does_not_know(stage: &dyn Stage) -> Held {
    let nowhere = stage.adapter_of_nowhere();
    let scribe = stage.scribe();
    let mut unknown = stage.wanted();
    unknown.meaning.clouds = BTreeMap::new();
    ensure(scribe.terms(&*nowhere, &[unknown]).await.is_err(), || {
        "a capability without a meaning on this cloud was planned".to_owned()
    })?;
    let mut senseless = stage.wanted();
    for column in senseless.meaning.clouds.values_mut() {
        column.terms = serde_json::json!({ "kind": "no-such-kind" });
    }
    ensure(scribe.terms(&*nowhere, &[senseless]).await.is_err(), || {
        "a capability whose terms nobody understands was planned".to_owned()
    })?;
    let mut elsewhere = stage.wanted();
    let target = "somewhere-else".parse();
    elsewhere.resource.target = target.map_err(|bad| format!("{bad}"))?;
    ensure(scribe.terms(&*nowhere, &[elsewhere]).await.is_err(), || {
        "a resource of another target was planned".to_owned()
    })
}

pub(super) async fn the_cloud_dates_the_end(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let before = stage.scribe().now();
    let taken = stage.scribe().take(&*adapter, &[stage.wanted()]).await?;
    let plan = &taken.lease.terms().plan;
    let (lands, lives) = (plan.lands_within_seconds, plan.lives_seconds);
    let announced = core::time::Duration::from_secs(u64::from(lands) + u64::from(lives));
    let ends = taken.expires_at;
    ensure(ends > before, || format!("the credential ended at {ends}"))?;
    let latest = stage.scribe().now().plus(announced);
    ensure(ends <= latest, || {
        format!("the credential ends at {ends}, and the plan announced {latest}")
    })
}

pub(super) async fn tells_no_secret(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let taken = scribe.take(&*adapter, &[stage.wanted()]).await?;
    let entries = scribe.books().ledger().entries(0, 1_000).await;
    let entries: Vec<StoredEntry> = entries.map_err(|error| error.to_string())?;
    let row = format!("{:?}", taken.lease);
    let told = entries
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned())
        .chain([taken.printed.clone(), row])
        .collect::<Vec<_>>()
        .join("\n");
    let is_secret = |value: &String| *value != taken.fingerprint;
    let secrets: Vec<_> = taken
        .credential
        .iter()
        .filter(|(_, value)| is_secret(value))
        .collect();
    ensure(!secrets.is_empty(), || {
        "the credential is nothing but its fingerprint".to_owned()
    })?;
    let found = secrets
        .iter()
        .find(|(_, value)| told.contains(value.as_str()));
    ensure(found.is_none(), || {
        let name = found.map(|(name, _)| **name).unwrap_or_default();
        format!("the field `{name}` is told")
    })?;
    // The control: the search finds what is there.
    ensure(told.contains(taken.lease.terms().handle.as_str()), || {
        "the search did not even find the handle".to_owned()
    })
}

/// How long the adapter of the next law has to ask, where a cloud answers at once.
const TIME_TO_ASK: Duration = Duration::from_secs(2);

/// A broker that stood still after it wrote down what it would ask for may wake when the lease is
/// long over, and what must stay in force as well.
pub(super) async fn asks_in_time_or_not_at_all(stage: &dyn Stage) -> Held {
    let (adapter, scribe, wanted) = (stage.adapter(), stage.scribe(), [stage.wanted()]);
    let late = scribe.intend_by(&*adapter, &wanted, scribe.now()).await?;
    let asked = Duration::from_secs(late.terms().plan.answers_within_seconds.into());
    let time_to_ask = TIME_TO_ASK.max(asked);
    let by = scribe.now().plus(time_to_ask);
    let intent = scribe.intend_by(&*adapter, &wanted, by).await?;
    let elevation = adapter.elevate(&intent).await.map_err(|it| it.logged)?;
    let raised = scribe.granted_and_raised(intent, &elevation).await?;
    scribe.pass(time_to_ask).await;
    let made = stage.grants_made().await;
    for (what, answer) in [
        ("an intent", adapter.elevate(&late).await),
        ("a renewal", adapter.renew(&raised).await),
    ] {
        let kind = answer.err().map(|fault| fault.kind);
        ensure(matches!(kind, Some(FaultKind::Retryable { .. })), || {
            format!("{what} was asked for after its time, and the answer was {kind:?}")
        })?;
    }
    ensure(stage.grants_made().await == made, || {
        "the cloud made a grant that was asked for after its time".to_owned()
    })
}
