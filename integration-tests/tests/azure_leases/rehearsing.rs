//! Probes and rehearsals on Azure: what is asked changes nothing, and what is measured is the
//! sandbox's own lag.

use core::time::Duration;

use jitney_azure::{Mode, STORAGE_ACCESS_TOKEN};
use jitney_core::credential::{Credential, Shown};
use jitney_core::probe::{Probe as _, Probed};
use jitney_core::time::Timestamp;
use jitney_core::usecase::Conclusion;
use jitney_integration_tests::adapter_laws::{
    Revealed, Stage as _, begin_rehearsal, rehearse, watch_rehearsal,
};
use jitney_sandbox::azure::PimDeletion;
use reqwest::Method;
use serde_json::json;

use crate::estate::CONTAINER;
use crate::stage::{AzureStage, LAG_SECONDS};

/// One look each so often.
const PAUSE: Duration = Duration::from_secs(5);

fn shown(credential: &Revealed) -> Shown {
    let fields = credential
        .iter()
        .map(|(name, value)| (*name, value.clone()));
    Credential::new("azure-token", fields, Timestamp::FAR_FUTURE).kept()
}

#[tokio::test]
async fn probes_tell_what_works_and_change_nothing() {
    let stage = AzureStage::new(Mode::Rbac).await;
    stage.set(|settings| settings.effect_lag_seconds = 0);
    let adapter = stage.own_adapter();
    let mut reader = String::new();
    for (scope, expected) in [
        ("object-storage:read@artifacts-prod", "accepted"),
        ("object-storage:read@artifacts-prod/releases/", "accepted"),
        (
            "object-storage:read@artifacts-prod/releases/seed",
            "accepted",
        ),
        ("object-storage:write@artifacts-prod", "accepted"),
        ("object-storage:write@artifacts-prod/releases/", "accepted"),
        (
            "object-storage:write@artifacts-prod/releases/seed",
            "accepted",
        ),
        ("infra:apply@shop", "cannot-tell"),
    ] {
        let wanted = stage.wish(scope);
        let wish = std::slice::from_ref(&wanted);
        let taken = stage.scribe.take(&adapter, wish).await.unwrap();
        let terms = taken.lease.terms().clone();
        if scope == "object-storage:read@artifacts-prod" {
            reader = taken.credential[STORAGE_ACCESS_TOKEN].clone();
        }
        let shown = shown(&taken.credential);
        let probed = adapter.probe(&terms, &wanted, &shown).await;
        assert_eq!(probed.as_str(), expected, "{scope}: {probed:?}");
        // Beyond its scope the same credential is refused.
        if scope.contains("write@artifacts-prod/releases/") {
            let beyond = stage.wish("object-storage:write@artifacts-prod/other/");
            let probed = adapter.probe(&terms, &beyond, &shown).await;
            assert_eq!(probed, Probed::Refused);
            let other = stage.wish("object-storage:read@artifacts-prod/releases/");
            let probed = adapter.probe(&terms, &other, &shown).await;
            assert_eq!(probed, Probed::Refused);
            // What was asked about was not made.
            let own = format!("{CONTAINER}/releases/jitney-probe-{}", terms.handle);
            let found = stage.job.blob(&reader, Method::GET, &own).await;
            assert!(found.unwrap_err().contains("404"));
        }
    }
}

#[tokio::test]
async fn a_target_without_an_address_of_its_blobs_says_that_it_cannot_tell() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let url = stage.sandbox.url();
    let without = stage.adapter_with(&url, &json!({ "blob_endpoint_url": null }));
    let wanted = stage.wanted();
    let wish = std::slice::from_ref(&wanted);
    let taken = stage.scribe.take(&without, wish).await.unwrap();
    let shown = shown(&taken.credential);
    let probed = without.probe(taken.lease.terms(), &wanted, &shown).await;
    assert!(
        probed.why().unwrap().contains("blob_endpoint_url"),
        "{probed:?}"
    );
}

#[tokio::test]
async fn the_times_to_effect_are_measured_in_both_modes() {
    for mode in [Mode::Pim, Mode::Rbac] {
        let stage = AzureStage::new(mode).await;
        // Else the trial that asks about it would be faster than PIM.
        stage.set(|settings| settings.pim_deletion = PimDeletion::Refused);
        let core = stage
            .scribe()
            .core(stage.adapter(), &stage.wanted())
            .unwrap();
        let report = rehearse(&stage, &core, PAUSE).await.unwrap();
        assert_eq!(
            report.conclusion,
            Some(Conclusion::Kept),
            "{mode:?} {report:?}"
        );
        let lag = u64::from(LAG_SECONDS);
        let accepted = report.accepted_after.unwrap().as_secs();
        assert!(
            (lag - 10..lag + 10).contains(&accepted),
            "{mode:?} {report:?}"
        );
        let removed = report.removed_after.unwrap();
        let refused = (report.refused_after.unwrap() - removed).as_secs();
        assert!(
            (lag - 10..lag + 10).contains(&refused),
            "{mode:?} {report:?}"
        );
        // PIM keeps an assignment for its first five minutes.
        let floor = removed.as_secs() + accepted;
        match mode {
            Mode::Pim => assert!((290..340).contains(&floor), "{report:?}"),
            Mode::Rbac => assert!(removed < PAUSE * 2, "{report:?}"),
        }
        let proposed = u64::from(report.proposed_settle_seconds.unwrap());
        assert!(
            (lag + 30..lag + 60).contains(&proposed),
            "{mode:?} {report:?}"
        );
    }
}

#[tokio::test]
async fn a_removal_that_does_not_take_effect_is_red() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let core = stage
        .scribe()
        .core(stage.adapter(), &stage.wanted())
        .unwrap();
    let rehearsal = begin_rehearsal(&stage, &core).await.unwrap();
    // What is taken back from now on goes on working for most of an hour.
    stage.set(|settings| settings.effect_lag_seconds = 3_000);
    let report = watch_rehearsal(&stage, &core, rehearsal, PAUSE)
        .await
        .unwrap();
    let Some(Conclusion::Broken(why)) = &report.conclusion else {
        panic!("{report:?}");
    };
    let why = why.join("; ");
    assert!(
        why.contains("after the ledger said that the lease was over"),
        "{why}"
    );
    assert!(why.contains("the removal did not take effect"), "{why}");
    assert_eq!(report.proposed_settle_seconds, None);
}
