//! The fast stop: an ended lease is denied what PIM does not let anybody take yet.

use core::time::Duration;

use jitney_azure::{ACCESS_TOKEN, AzureAdapter, Mode};
use jitney_core::adapter::{Elevate, Hand, Mark, Revoke, StampedKind};
use jitney_core::evidence::{Held, Hold, Revocation};
use jitney_core::plan::LaneId;
use jitney_integration_tests::adapter_laws::{Revealed, Stage as _};
use jitney_sandbox::FaultKind as Mishap;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::estate::{self, NEIGHBOUR, ROLE_SLOT, SUBSCRIPTION, container, object};
use crate::stage::{AzureStage, LAG_SECONDS, principal_of};
use crate::steps::{FIRST, calls, ending, intent, looked, pass};

const PUT: &str = "DenyAssignments_CreateOrUpdate";
const DELETE: &str = "DenyAssignments_Delete";
const VERSION: &str = "2026-09-01";

async fn stage() -> AzureStage {
    AzureStage::new(Mode::Pim).await.stopping()
}

/// Every deny assignment there is.
async fn denials(stage: &AzureStage) -> Vec<Value> {
    let token = stage.strangers_token().await;
    let path =
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/denyAssignments");
    let listed = stage.job.arm(&token, Method::GET, &path, VERSION, None);
    listed.await.1["value"].as_array().unwrap().clone()
}

/// A stranger denies a principal something.
async fn deny(stage: &AzureStage, principal: Uuid, description: &str) {
    let token = stage.strangers_token().await;
    let name = Uuid::new_v4();
    let scope = container("artifacts");
    let path = format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{name}");
    let body = json!({ "properties": {
        "denyAssignmentName": name, "description": description,
        "principals": [{ "id": principal, "type": "ServicePrincipal" }],
        "permissions": [{ "actions": ["*/delete"] }],
    } });
    let put = stage
        .job
        .arm(&token, Method::PUT, &path, VERSION, Some(&body));
    let (status, said) = put.await;
    assert_eq!(status, 201, "{said}");
}

/// What a broker does with a resting slot, until nothing is held and a minute longer.
async fn rest(stage: &AzureStage, adapter: &AzureAdapter, lane: &LaneId) {
    stage.scribe.until_free(adapter, FIRST, lane).await.unwrap();
}

fn refusal(code: &str) -> Mishap {
    Mishap::Refuse {
        status: 403,
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn what_a_job_kept_ends_with_the_lag_and_not_with_the_floor() {
    for stops in [true, false] {
        let stage = AzureStage::new(Mode::Pim).await;
        let stage = if stops { stage.stopping() } else { stage };
        let adapter = stage.own_adapter();
        let (lease, kept) = ending(&stage, &adapter).await;
        let (id, exposed_until) = (lease.terms().id, lease.exposed_until());
        pass(&stage, LAG_SECONDS.into()).await;
        assert!(stage.works(&kept).await.unwrap());
        let found = looked(&adapter, lease).await.unwrap();
        let Revocation::NotYet {
            written: false,
            exposed_until: told,
            ..
        } = found
        else {
            panic!("{found:?}");
        };
        // Nobody has measured how soon a denial is in force, so nothing earlier is told.
        assert_eq!(told, exposed_until);
        assert_eq!(denials(&stage).await.len(), usize::from(stops));
        pass(&stage, u64::from(LAG_SECONDS) + 5).await;
        assert_eq!(stage.works(&kept).await.unwrap(), !stops);
        // Half a minute before the floor it is as it was.
        pass(&stage, 270 - 2 * u64::from(LAG_SECONDS) - 5).await;
        let lease = stage.scribe.found(id).await.unwrap();
        let _ = looked(&adapter, lease).await.unwrap();
        assert_eq!(stage.works(&kept).await.unwrap(), !stops);
        assert_eq!(calls(&stage, PUT), usize::from(stops), "it is put once");
    }
}

#[tokio::test]
async fn a_denial_stands_until_the_lease_is_over_and_goes_before_the_slot_is_free() {
    let stage = stage().await;
    let adapter = stage.own_adapter();
    let (lease, kept) = ending(&stage, &adapter).await;
    let (lane, handle) = (
        lease.terms().plan.lane.clone(),
        lease.terms().handle.clone(),
    );
    let slot = principal_of(&lane);
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    let [denial] = &denials(&stage).await[..] else {
        panic!("it must stand");
    };
    let it = &denial["properties"];
    assert_eq!(it["principals"].as_array().map(Vec::len), Some(1));
    assert_eq!(it["principals"][0]["id"], json!(slot));
    assert_eq!(it["scope"], json!(container("artifacts")));
    let stamp = format!("jitney acme {handle} ends ");
    assert!(it["description"].as_str().unwrap().starts_with(&stamp));
    assert!(stage.sandbox.keeps(slot).is_empty());
    assert_eq!(calls(&stage, DELETE), 0);
    rest(&stage, &adapter, &lane).await;
    assert_eq!(denials(&stage).await, Vec::<Value>::new());
    assert!(!stage.works(&kept).await.unwrap());
    let taken = stage
        .scribe
        .take_on(&adapter, &[stage.wanted()], &lane)
        .await;
    let taken = taken.unwrap();
    pass(&stage, u64::from(LAG_SECONDS)).await;
    assert!(stage.works(&taken.credential).await.unwrap());
}

#[tokio::test]
async fn whoever_stops_wherever_leaves_no_grant_and_no_denial() {
    let mishaps = [
        Mishap::DropBefore,
        Mishap::DropAfter,
        Mishap::Throttle,
        Mishap::ServerError { status: 503 },
        refusal("AuthorizationFailed"),
        Mishap::Late { after_millis: 100 },
    ];
    for operation in [PUT, DELETE] {
        for mishap in &mishaps {
            let stage = stage().await;
            let (lease, kept) = ending(&stage, &stage.own_adapter()).await;
            let (id, lane) = (lease.terms().id, lease.terms().plan.lane.clone());
            let faults = stage.sandbox.faults();
            faults.inject("arm", operation, mishap.clone(), 1);
            // Each step by another process, which remembers nothing of the one before.
            let _ = looked(&stage.own_adapter(), lease).await.unwrap();
            let lease = stage.scribe.found(id).await.unwrap();
            let _ = looked(&stage.own_adapter(), lease).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            let lease = stage.scribe.found(id).await.unwrap();
            let adapter = stage.own_adapter();
            stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
            let was_put = denials(&stage).await.len();
            assert_eq!(was_put, 1, "{operation} {mishap:?}");
            let holds = stage.scribe.holds(&lane).await.unwrap();
            let lifted = adapter.revoke(&lane, FIRST, &[], &holds).await.unwrap();
            assert_eq!(
                lifted.unreached,
                !denials(&stage).await.is_empty(),
                "{operation} {mishap:?}"
            );
            let adapter = stage.own_adapter();
            rest(&stage, &adapter, &lane).await;
            assert!(denials(&stage).await.is_empty(), "{operation} {mishap:?}");
            assert!(stage.sandbox.keeps(principal_of(&lane)).is_empty());
            assert!(!stage.works(&kept).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_process_that_has_seen_nothing_lifts_nothing() {
    let stage = stage().await;
    let adapter = stage.own_adapter();
    let (lease, _) = ending(&stage, &adapter).await;
    let lane = lease.terms().plan.lane.clone();
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    let holds = stage.scribe.holds(&lane).await.unwrap();
    let next = stage.own_adapter();
    let found = next.revoke(&lane, FIRST, &[], &holds).await.unwrap();
    assert!(found.unreached && found.undone.is_empty());
    assert_eq!(denials(&stage).await.len(), 1);
    pass(&stage, 200).await;
    // Nor does the hand of a ledger that went back in time.
    let behind = Hand {
        mark: Mark::default(),
        ..FIRST
    };
    next.revoke(&lane, behind, &[], &holds).await.unwrap();
    assert_eq!(denials(&stage).await.len(), 1);
    let found = next.revoke(&lane, FIRST, &[], &holds).await.unwrap();
    assert!(!found.unreached && found.undone.is_empty());
    assert!(denials(&stage).await.is_empty());
}

#[tokio::test]
async fn a_denial_that_azure_does_not_take_delays_nothing_and_is_asked_for_once() {
    let mut ends = Vec::new();
    for stops in [false, true] {
        let stage = AzureStage::new(Mode::Pim).await;
        let stage = if stops { stage.stopping() } else { stage };
        // As Microsoft's own tools say it is.
        stage.set(|settings| settings.deny_data_actions = false);
        let adapter = stage.own_adapter();
        let (lease, kept) = ending(&stage, &adapter).await;
        let lane = lease.terms().plan.lane.clone();
        let gone = stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
        ends.push(gone.took.as_secs());
        assert!(!stage.works(&kept).await.unwrap());
        assert_eq!(calls(&stage, PUT), usize::from(stops));
        rest(&stage, &adapter, &lane).await;
        assert_eq!(calls(&stage, DELETE), 0);
    }
    assert!(ends[0].abs_diff(ends[1]) <= 1, "{ends:?}");
}

#[tokio::test]
async fn a_whole_role_is_stopped_by_what_azure_takes_today() {
    let stage = stage().await;
    stage.set(|settings| settings.deny_data_actions = false);
    let adapter = stage.own_adapter();
    let wanted = [stage.wish("infra:apply@shop-tidied")];
    let taken = stage.scribe.take(&adapter, &wanted).await.unwrap();
    pass(&stage, u64::from(LAG_SECONDS)).await;
    assert!(tidies(&stage, &taken.credential).await);
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    let _ = looked(&adapter, lease).await.unwrap();
    pass(&stage, u64::from(LAG_SECONDS)).await;
    assert!(!tidies(&stage, &taken.credential).await);
    // It reads until the role is gone: that cannot be denied.
    let action = "Microsoft.Authorization/roleAssignments/read";
    let may_read = |stage: &AzureStage| {
        let slot = object(ROLE_SLOT);
        let answer = stage.sandbox.would_allow(slot, action, &estate::group());
        answer.unwrap()
    };
    assert!(may_read(&stage));
    pass(&stage, 200).await;
    let [lease] = &mut stage
        .scribe
        .found_in(&lane_of(&stage, ROLE_SLOT))
        .await
        .unwrap()[..]
    else {
        panic!("one lease is ending");
    };
    let id = lease.terms().id;
    let lease = stage.scribe.found(id).await.unwrap();
    let _ = looked(&adapter, lease).await.unwrap();
    pass(&stage, u64::from(LAG_SECONDS)).await;
    assert!(!may_read(&stage));
}

fn lane_of(stage: &AzureStage, slot: u128) -> LaneId {
    let wanted = stage.wish("infra:apply@shop-tidied");
    let mut slots = stage.own_adapter().slots(&[wanted]).into_iter();
    slots.find(|it| principal_of(it) == object(slot)).unwrap()
}

/// Whether a job takes somebody's role away.
async fn tidies(stage: &AzureStage, credential: &Revealed) -> bool {
    let (scope, name) = (estate::group(), Uuid::new_v4());
    let role = jitney_sandbox::azure::builtin::READER;
    let role = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    );
    let given = json!({ "roleDefinitionId": role, "principalId": object(NEIGHBOUR) });
    // What was not taken away the last time is there already.
    let _ = stage.give(&scope, name, &given).await;
    let token = stage.strangers_token().await;
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
    let listed = stage
        .job
        .arm(&token, Method::GET, &path, "2022-04-01", None);
    let listed = listed.await.1;
    let mut given = listed["value"].as_array().unwrap().iter();
    let is_given = |it: &&Value| it["properties"]["principalId"] == json!(object(NEIGHBOUR));
    let is_here = |it: &&Value| it["properties"]["scope"] == json!(scope);
    let path = given.find(|it| is_given(it) && is_here(it)).unwrap()["id"].clone();
    let path = path.as_str().unwrap();
    let kept = &credential[ACCESS_TOKEN];
    let taken = stage
        .job
        .arm(kept, Method::DELETE, path, "2022-04-01", None);
    let (status, said) = taken.await;
    assert!(status == 200 || status == 403, "{status} {said}");
    status == 200
}

#[tokio::test]
async fn a_sweep_finds_what_was_left_and_touches_nothing_foreign() {
    let stage = stage().await;
    let adapter = stage.own_adapter();
    let (lease, _) = ending(&stage, &adapter).await;
    let (lane, handle) = (
        lease.terms().plan.lane.clone(),
        lease.terms().handle.clone(),
    );
    let slot = principal_of(&lane);
    stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
    deny(&stage, slot, "made by hand").await;
    deny(&stage, slot, &format!("jitney other {handle} ends 0.1")).await;
    let neighbour = object(NEIGHBOUR);
    deny(
        &stage,
        neighbour,
        &format!("jitney acme {handle} gives 0.1"),
    )
    .await;
    let found = adapter.sweep(None).await.unwrap().found;
    let mut denied = found
        .iter()
        .filter(|it| it.kind == StampedKind::Enforcement);
    let ours = denied.find(|it| it.native.starts_with("deny assignment"));
    let ours = ours.unwrap();
    assert_eq!((&ours.lane, &ours.held), (&lane, &Held::Grant(handle)));
    assert!(ours.mark.is_some() && ours.native.contains("slot `blobs-"));
    // What a person orders then, or a recovery: the slot is held, and so looked after.
    for held in [ours.held.clone(), Held::IssuedBefore(stage.scribe.now())] {
        let hold = Hold {
            lane: lane.clone(),
            held,
            lease: None,
            until: stage.scribe.now().plus(Duration::from_secs(3_600)),
            issued_by: None,
        };
        let next = stage.own_adapter();
        let holds = [hold];
        next.revoke(&lane, FIRST, &[], &holds).await.unwrap();
        pass(&stage, 200).await;
        let found = next.revoke(&lane, FIRST, &[], &holds).await.unwrap();
        assert!(!found.unreached);
        let left = denials(&stage).await;
        assert_eq!(left.len(), 3, "{left:?}");
        deny(
            &stage,
            slot,
            &format!("jitney acme {} ends 0.1", "0123456789abcdefghj"),
        )
        .await;
        // For the cut alone.
        if matches!(holds[0].held, Held::IssuedBefore(_)) {
            break;
        }
    }
}

#[tokio::test]
async fn a_slot_that_is_still_denied_carries_nothing() {
    let stage = stage().await;
    let adapter = stage.own_adapter();
    let intent = intent(&stage, &adapter).await;
    let slot = principal_of(&intent.terms().plan.lane);
    deny(&stage, slot, "jitney acme 0123456789abcdefghj ends 0.1").await;
    let fault = adapter.elevate(&intent).await.unwrap_err();
    assert_eq!(fault.code, "azure_slot_not_bare");
    assert_eq!(stage.grants_made().await, Some(0));
}

#[tokio::test]
async fn a_setting_that_was_taken_out_leaves_nothing_behind() {
    let stage = stage().await;
    let adapter = stage.own_adapter();
    let (lease, _) = ending(&stage, &adapter).await;
    let lane = lease.terms().plan.lane.clone();
    let _ = looked(&adapter, lease).await.unwrap();
    assert_eq!(denials(&stage).await.len(), 1);
    let without = stage.adapter_with(&stage.sandbox.url(), &json!({ "fast_stop": null }));
    let [lease] = stage
        .scribe
        .found_in(&lane)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    stage.scribe.end(&without, FIRST, lease).await.unwrap();
    rest(&stage, &without, &lane).await;
    assert!(denials(&stage).await.is_empty());
}

#[tokio::test]
async fn who_may_not_list_denials_needs_not_to_without_them() {
    for stops in [false, true] {
        let stage = AzureStage::new(Mode::Pim).await;
        let stage = if stops { stage.stopping() } else { stage };
        let adapter = stage.own_adapter();
        let (lease, _) = ending(&stage, &adapter).await;
        let list = "DenyAssignments_ListForScope";
        let faults = stage.sandbox.faults();
        faults.inject("arm", list, refusal("AuthorizationFailed"), 1);
        let found = looked(&adapter, lease).await;
        assert_eq!(found.is_err(), stops, "{found:?}");
    }
}
