//! Slots that are in the configuration no more, or by another name: what is on them is ended, kept
//! ended and found all the same.

use jitney_azure::{AzureAdapter, Mode};
use jitney_core::adapter::{Elevate as _, Revoke as _, Stamped};
use jitney_core::evidence::{Evidence, Held};
use jitney_core::plan::LaneId;
use jitney_integration_tests::adapter_laws::Stage as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::estate::{self, NEIGHBOUR, WRITER, container, object};
use crate::stage::{AzureStage, principal_of};
use crate::steps::{FIRST, ending, pass};

const MODES: [Mode; 2] = [Mode::Pim, Mode::Rbac];

/// The stage's adapter, from whose pool this identity was taken.
fn without(stage: &AzureStage, principal: Uuid) -> AzureAdapter {
    let mut slots = estate::slots();
    let stays = |_: &String, slot: &mut Value| slot["object_id"] != json!(principal);
    slots.as_object_mut().unwrap().retain(stays);
    stage.adapter_with(&stage.sandbox.url(), &json!({ "slots": slots }))
}

async fn swept(adapter: &AzureAdapter) -> Vec<Stamped> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = adapter.sweep(after).await.unwrap();
        found.extend(page.found);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn grants(found: &[Stamped]) -> Vec<(&LaneId, &Held)> {
    let grants = found.iter().filter(|it| it.held.is_grant());
    grants.map(|it| (&it.lane, &it.held)).collect()
}

#[tokio::test]
async fn a_lease_on_a_slot_that_was_taken_out_is_ended_and_its_quarantine_guarded() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let (lease, kept) = ending(&stage, &stage.own_adapter()).await;
        let lane = lease.terms().plan.lane.clone();
        let adapter = without(&stage, principal_of(&lane));
        let gone = stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
        assert!(
            matches!(gone.evidence, Evidence::Settled { .. }),
            "{gone:?}"
        );
        assert!(!stage.works(&kept).await.unwrap());
        let holds = stage.scribe.holds(&lane).await.unwrap();
        assert!(!holds.is_empty());
        let quiet = adapter.revoke(&lane, FIRST, &[], &holds).await.unwrap();
        assert!(
            quiet.is_brought(FIRST) && quiet.undone.is_empty(),
            "{quiet:?}"
        );
        stage.undo(&lane).await.unwrap();
        // What PIM's own list lacks must not be there for as long as a change takes.
        pass(&stage, 400).await;
        let pass = adapter.revoke(&lane, FIRST, &[], &holds).await.unwrap();
        assert_eq!(pass.undone, [holds[0].held.clone()], "{mode:?}");
        assert_eq!(
            stage.left_behind(&lane).await.unwrap(),
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn a_sweep_finds_ours_on_a_slot_that_was_taken_out() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let taken = stage
            .scribe
            .take(&adapter, &[stage.wanted()])
            .await
            .unwrap();
        let terms = taken.lease.terms();
        let held = Held::Grant(terms.handle.clone());
        let expected = vec![(&terms.plan.lane, &held)];
        assert_eq!(grants(&swept(&adapter).await), expected, "{mode:?}");
        let later = without(&stage, principal_of(&terms.plan.lane));
        let found = swept(&later).await;
        assert_eq!(grants(&found), expected, "{mode:?}");
        assert!(found.iter().all(|it| it.mark.is_some()), "{found:?}");
        assert!(found[0].native.contains("no slot"), "{found:?}");
    }
}

#[tokio::test]
async fn a_sweep_finds_our_stamp_on_whomever_it_is_and_looks_are_no_touch() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let adapter = stage.own_adapter();
    let taken = stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let ours = stage.sandbox.grants().into_iter().next_back().unwrap();
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{WRITER}",
        estate::SUBSCRIPTION
    );
    let copied = json!({
        "roleDefinitionId": role, "principalId": object(NEIGHBOUR),
        "principalType": "ServicePrincipal", "description": ours.description,
    });
    let elsewhere = container("reports");
    stage
        .give(&elsewhere, Uuid::new_v4(), &copied)
        .await
        .unwrap();
    let found = swept(&adapter).await;
    let held = Held::Grant(taken.lease.terms().handle.clone());
    let lanes: Vec<_> = grants(&found)
        .into_iter()
        .map(|(lane, it)| (principal_of(lane), it))
        .collect();
    let own = principal_of(&taken.lease.terms().plan.lane);
    assert_eq!(lanes, [(own, &held), (object(NEIGHBOUR), &held)]);
    // Its own role, which bears no stamp, is nothing of ours, and both are still there.
    assert_eq!(stage.sandbox.keeps(object(NEIGHBOUR)).len(), 2);
    // Held there, the copy goes, and what is not stamped stays.
    let lane = found.last().unwrap().lane.clone();
    let hold = jitney_core::evidence::Hold {
        lane: lane.clone(),
        held,
        lease: None,
        until: stage.scribe.now().plus(core::time::Duration::from_secs(60)),
        issued_by: None,
    };
    adapter.revoke(&lane, FIRST, &[], &[hold]).await.unwrap();
    pass(&stage, 100).await;
    assert_eq!(stage.sandbox.keeps(object(NEIGHBOUR)).len(), 1);
}

#[tokio::test]
async fn a_slot_by_another_name_is_the_same_slot_and_a_name_may_be_given_to_another() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let lanes = |slots: &Value| {
        let adapter = stage.adapter_with(&stage.sandbox.url(), &json!({ "slots": slots }));
        adapter.slots(&[stage.wanted()])
    };
    let slots = estate::slots();
    let mut renamed = slots.clone();
    let first = renamed.as_object_mut().unwrap().remove("blobs-1").unwrap();
    let mut given_on = renamed.clone();
    renamed["another"] = first.clone();
    let sorted = |mut lanes: Vec<LaneId>| {
        lanes.sort();
        lanes
    };
    // One that rests cannot get around its rest by another name.
    assert_eq!(sorted(lanes(&slots)), sorted(lanes(&renamed)));
    let second = given_on.as_object_mut().unwrap().remove("blobs-2").unwrap();
    given_on["blobs-1"] = second;
    let left: Vec<_> = lanes(&slots)
        .into_iter()
        .filter(|lane| json!(principal_of(lane)) != first["object_id"])
        .collect();
    assert_eq!(sorted(lanes(&given_on)), sorted(left));
}
