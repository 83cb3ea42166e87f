//! Taking back on Azure: the floor, answers that prove nothing, and what comes late.

use core::time::Duration;

use jitney_azure::Mode;
use jitney_core::adapter::{Elevate, Revoke};
use jitney_core::evidence::{Evidence, Held, Hold, Revocation};
use jitney_core::fault::FaultKind;
use jitney_core::lease::Looked;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_sandbox::FaultKind as Mishap;

use crate::stage::{AzureStage, principal_of};
use crate::steps::{FIRST, calls, ending, intent, looked, pass};

const REQUEST: &str = "RoleAssignmentScheduleRequests_Create";

/// Seconds from now to the moment that is told.
fn from_now(stage: &AzureStage, at: jitney_core::time::Timestamp) -> u64 {
    at.since(stage.scribe.now()).as_secs()
}

#[tokio::test]
async fn an_early_answer_that_there_is_nothing_proves_nothing() {
    let stage = AzureStage::new(Mode::Pim).await;
    stage.set(|settings| settings.effect_lag_seconds = 0);
    let adapter = stage.own_adapter();
    let (lease, kept) = ending(&stage, &adapter).await;
    // In its first minute PIM says that there is no such assignment.
    let found = looked(&adapter, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    assert!(stage.works(&kept).await.unwrap());
}

#[tokio::test]
async fn the_floor_is_waited_for_and_is_no_fault() {
    let stage = AzureStage::new(Mode::Pim).await;
    stage.set(|settings| settings.effect_lag_seconds = 0);
    let adapter = stage.own_adapter();
    let (lease, kept) = ending(&stage, &adapter).await;
    let id = lease.terms().id;
    pass(&stage, 90).await;
    let exposed_until = lease.exposed_until();
    let found = looked(&adapter, lease).await.unwrap();
    let Revocation::NotYet {
        written: false,
        look_again,
        exposed_until: told,
    } = found
    else {
        panic!("{found:?}");
    };
    assert_eq!(told, exposed_until);
    assert!((1..=60).contains(&from_now(&stage, look_again)));
    // A second short of the floor's end it says that exactly.
    pass(&stage, 180).await;
    let lease = stage.scribe.found(id).await.unwrap();
    let found = looked(&adapter, lease).await.unwrap();
    let Revocation::NotYet { look_again, .. } = found else {
        panic!("{found:?}");
    };
    assert!(
        (25..=35).contains(&from_now(&stage, look_again)),
        "{look_again}"
    );
    assert!(stage.works(&kept).await.unwrap());
    pass(&stage, 35).await;
    let lease = stage.scribe.found(id).await.unwrap();
    let found = looked(&adapter, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: true, .. }),
        "{found:?}"
    );
    assert!(!stage.works(&kept).await.unwrap());
}

#[tokio::test]
async fn a_slot_rests_until_its_last_token_is_dead() {
    for mode in [Mode::Pim, Mode::Rbac] {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let (lease, _) = ending(&stage, &adapter).await;
        let (lane, exposed) = (lease.terms().plan.lane.clone(), lease.exposed_until());
        let gone = stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
        assert!(matches!(
            gone.evidence,
            Evidence::Settled {
                settle_seconds: 100,
                ..
            }
        ));
        let holds = stage.scribe.holds(&lane).await.unwrap();
        let until = holds.iter().map(|hold| hold.until).max().unwrap();
        assert!(
            until >= exposed.plus(Duration::from_secs(60)),
            "{mode:?}: {until}"
        );
    }
}

#[tokio::test]
async fn what_lands_late_is_found_and_taken() {
    for (mode, gives) in [(Mode::Pim, REQUEST), (Mode::Rbac, "RoleAssignments_Create")] {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let intent = intent(&stage, &adapter).await;
        let after_millis = 300;
        stage
            .sandbox
            .faults()
            .inject("arm", gives, Mishap::Late { after_millis }, 1);
        let fault = adapter.elevate(&intent).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Ambiguous);
        let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
        let (slot, id) = (principal_of(&lease.terms().plan.lane), lease.terms().id);
        // Nothing is there yet, and that is no sign that nothing comes.
        let found = looked(&adapter, lease).await.unwrap();
        assert!(
            matches!(found, Revocation::NotYet { written: false, .. }),
            "{found:?}"
        );
        tokio::time::sleep(Duration::from_millis(2 * after_millis)).await;
        assert_eq!(stage.sandbox.keeps(slot).len(), 1, "it has landed");
        let lease = stage.scribe.found(id).await.unwrap();
        stage.scribe.end(&adapter, FIRST, lease).await.unwrap();
        assert!(stage.sandbox.keeps(slot).is_empty());
    }
}

#[tokio::test]
async fn of_a_lost_grant_nothing_counts_before_the_last_call_can_have_landed() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let adapter = stage.own_adapter();
    let intent = intent(&stage, &adapter).await;
    stage
        .sandbox
        .faults()
        .inject("arm", "RoleAssignments_Create", Mishap::DropBefore, 1);
    let fault = adapter.elevate(&intent).await.unwrap_err();
    let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
    let (id, lands_by) = (lease.terms().id, lease.lands_by());
    let wait = from_now(&stage, lands_by);
    assert!(wait > 250, "{wait}");
    pass(&stage, wait - 5).await;
    let lease = stage.scribe.found(id).await.unwrap();
    let found = looked(&adapter, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: false, .. }),
        "{found:?}"
    );
    pass(&stage, 10).await;
    let lease = stage.scribe.found(id).await.unwrap();
    let found = looked(&adapter, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: true, .. }),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_still_pending_is_called_off() {
    let stage = AzureStage::new(Mode::Pim).await;
    let adapter = stage.own_adapter();
    stage.set(|settings| settings.pim_provisioning_seconds = 3_600);
    let intent = intent(&stage, &adapter).await;
    let fault = adapter.elevate(&intent).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Ambiguous);
    let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
    let slot = principal_of(&lease.terms().plan.lane);
    let _ = looked(&adapter, lease).await.unwrap();
    assert!(calls(&stage, "RoleAssignmentScheduleRequests_Cancel") > 0);
    assert!(stage.sandbox.keeps(slot).is_empty());
}

#[tokio::test]
async fn a_removal_that_azure_refuses_is_no_sign_that_the_role_is_gone() {
    for (mode, takes) in [(Mode::Pim, REQUEST), (Mode::Rbac, "RoleAssignments_Delete")] {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let (lease, kept) = ending(&stage, &adapter).await;
        pass(&stage, 400).await;
        let refused = Mishap::Refuse {
            status: 403,
            code: "AuthorizationFailed".to_owned(),
        };
        stage.sandbox.faults().inject("arm", takes, refused, 1);
        let fault = looked(&adapter, lease).await.unwrap_err();
        assert_eq!(fault.code, "azure_access_denied");
        assert!(stage.works(&kept).await.unwrap());
    }
}

#[tokio::test]
async fn a_licence_that_lapses_keeps_no_role_alive() {
    let stage = AzureStage::new(Mode::Pim).await;
    stage.set(|settings| settings.effect_lag_seconds = 0);
    let adapter = stage.own_adapter();
    let (lease, kept) = ending(&stage, &adapter).await;
    pass(&stage, 400).await;
    stage.set(|settings| settings.licence_lapsed = true);
    let found = looked(&adapter, lease).await.unwrap();
    assert!(
        matches!(found, Revocation::NotYet { written: true, .. }),
        "{found:?}"
    );
    assert!(!stage.works(&kept).await.unwrap());
}

#[tokio::test]
async fn what_a_hold_is_not_about_is_left_alone() {
    for mode in [Mode::Pim, Mode::Rbac] {
        let stage = AzureStage::new(mode).await;
        stage.set(|settings| settings.effect_lag_seconds = 0);
        let adapter = stage.own_adapter();
        let taken = stage
            .scribe
            .take(&adapter, &[stage.wanted()])
            .await
            .unwrap();
        let lane = taken.lease.terms().plan.lane.clone();
        pass(&stage, 400).await;
        let other = "jhgfedcba9876543210".to_owned();
        let hold = Hold {
            lane: lane.clone(),
            held: Held::Grant(other.try_into().unwrap()),
            lease: None,
            until: stage.scribe.now().plus(Duration::from_secs(3_600)),
            issued_by: None,
        };
        for holds in [vec![], vec![hold]] {
            adapter.revoke(&lane, FIRST, &[], &holds).await.unwrap();
            assert!(stage.works(&taken.credential).await.unwrap(), "{mode:?}");
        }
    }
}

#[tokio::test]
async fn pages_hide_nothing() {
    let stage = AzureStage::new(Mode::Pim).await;
    stage.set(|settings| settings.page_size = 1);
    let adapter = stage.own_adapter();
    let (lease, _) = ending(&stage, &adapter).await;
    let slot = principal_of(&lease.terms().plan.lane);
    let mut lease = lease;
    loop {
        let (lane, id) = (lease.terms().plan.lane.clone(), lease.terms().id);
        let pass_over = adapter.revoke(&lane, FIRST, &[lease], &[]).await.unwrap();
        let found = pass_over.leases.get(&id).unwrap().clone().unwrap();
        lease = stage.scribe.found(id).await.unwrap();
        match lease.looked(found, stage.scribe.now()) {
            Looked::Over(_) => break,
            Looked::Again(_) => {
                pass(&stage, 60).await;
                lease = stage.scribe.found(id).await.unwrap();
            }
        }
        if stage.sandbox.keeps(slot).is_empty() {
            break;
        }
    }
    assert!(stage.sandbox.keeps(slot).is_empty());
}
