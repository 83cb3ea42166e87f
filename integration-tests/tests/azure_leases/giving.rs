//! Giving on Azure: what is looked at before, what is believed after, and what a job gets.

use jitney_azure::{
    ACCESS_TOKEN, ASSERTION, ASSERTION_KIND, CLIENT_ID, Mode, STORAGE_ACCESS_TOKEN,
    SUBSCRIPTION_ID, TENANT_ID, TOKEN_KIND,
};
use jitney_core::adapter::Elevate;
use jitney_core::fault::FaultKind;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_sandbox::FaultKind as Mishap;
use jitney_sandbox::azure::estate::{EnabledRule, PolicyRules};
use serde_json::json;

use crate::estate::{self, CONTAINER, NEIGHBOUR, WIDE_WRITER, WRITER, container, object};
use crate::stage::{AzureStage, principal_of};
use crate::steps::{calls, intent, pass, refused};

const MODES: [Mode; 2] = [Mode::Pim, Mode::Rbac];
const WRITE: &str = "object-storage:write@artifacts-prod/releases/";

fn gives(mode: Mode) -> &'static str {
    match mode {
        Mode::Pim => "RoleAssignmentScheduleRequests_Create",
        Mode::Rbac => "RoleAssignments_Create",
    }
}

#[tokio::test]
async fn a_job_gets_a_token_for_blobs_and_what_its_tools_need() {
    let stage = AzureStage::new(Mode::Pim).await;
    let adapter = stage.own_adapter();
    let intent = intent(&stage, &adapter).await;
    let elevation = adapter.elevate(&intent).await.unwrap();
    let credential = elevation.credential;
    assert_eq!(credential.kind(), TOKEN_KIND);
    let slot = principal_of(&intent.terms().plan.lane);
    let given = stage
        .sandbox
        .tokens()
        .into_iter()
        .rfind(|it| it.principal == slot)
        .unwrap();
    assert_eq!(elevation.fingerprint, given.id);
    assert_eq!(
        credential.expires_at().as_seconds(),
        given.expires.as_second()
    );
    assert!(elevation.provider_request.is_some());
    let setting = |name: &str| credential.settings().get(name).cloned();
    assert_eq!(setting(TENANT_ID), Some(estate::TENANT.to_string()));
    assert_eq!(
        setting(SUBSCRIPTION_ID),
        Some(estate::SUBSCRIPTION.to_string())
    );
    assert_eq!(setting(CLIENT_ID), Some(given.client_id.to_string()));
    let fields = credential.reveal_to_job();
    assert_eq!(fields.get(ACCESS_TOKEN), fields.get(STORAGE_ACCESS_TOKEN));
}

#[tokio::test]
async fn a_job_that_logs_in_itself_gets_a_statement_that_entra_takes() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let own = json!({ "hands_out": "assertion", "assertion_seconds": 300 });
    let adapter = stage.adapter_with(&stage.sandbox.url(), &own);
    let intent = intent(&stage, &adapter).await;
    assert_eq!(intent.terms().plan.derived_seconds, 5_400);
    let elevation = adapter.elevate(&intent).await.unwrap();
    let credential = elevation.credential;
    assert_eq!(credential.kind(), ASSERTION_KIND);
    let client = credential
        .settings()
        .get(CLIENT_ID)
        .unwrap()
        .parse()
        .unwrap();
    let fields = credential.reveal_to_job();
    let token = stage
        .job
        .token(client, fields.get(ASSERTION).unwrap())
        .await;
    assert_eq!(token.split('.').count(), 3);
}

#[tokio::test]
async fn a_whole_role_gets_a_token_for_resource_manager() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        stage.set(|settings| settings.effect_lag_seconds = 0);
        let adapter = stage.own_adapter();
        let wanted = [stage.wish("infra:apply@shop")];
        let intent = stage.scribe.intend(&adapter, &wanted).await.unwrap();
        let principal = principal_of(&intent.terms().plan.lane);
        assert_eq!(principal, object(estate::ROLE_SLOT));
        let fields = adapter
            .elevate(&intent)
            .await
            .unwrap()
            .credential
            .reveal_to_job();
        assert!(!fields.contains_key(STORAGE_ACCESS_TOKEN));
        let token = fields.get(ACCESS_TOKEN).unwrap();
        let group = estate::group();
        let answer = stage
            .job
            .arm(token, reqwest::Method::GET, &group, "2021-04-01", None);
        assert_eq!(answer.await.0, 200, "{mode:?}");
    }
}

#[tokio::test]
async fn an_assignment_outlives_its_lease_by_little() {
    let stage = AzureStage::new(Mode::Pim).await;
    let adapter = stage.own_adapter();
    let intent = intent(&stage, &adapter).await;
    adapter.elevate(&intent).await.unwrap();
    let slot = principal_of(&intent.terms().plan.lane);
    assert_eq!(stage.sandbox.keeps(slot).len(), 1);
    // Four windows of an hour, what granting may take, and a minute.
    pass(&stage, 4 * 3_600 + 20 + 60 + 60 + 90).await;
    assert!(
        stage.sandbox.keeps(slot).is_empty(),
        "Azure ends it by itself"
    );
}

#[tokio::test]
async fn nothing_is_given_on_a_slot_that_has_something() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let intent = intent(&stage, &adapter).await;
        let slot = principal_of(&intent.terms().plan.lane);
        let role = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{WRITER}",
            estate::SUBSCRIPTION
        );
        let strange = json!({ "roleDefinitionId": role, "principalId": slot,
                              "principalType": "ServicePrincipal" });
        let name = uuid::Uuid::new_v4();
        stage
            .give(&container("reports"), name, &strange)
            .await
            .unwrap();
        let fault = adapter.elevate(&intent).await.unwrap_err();
        assert_eq!(fault.code, "azure_slot_not_bare");
        assert!(matches!(fault.kind, FaultKind::Retryable { .. }));
        assert_eq!(stage.grants_made().await, Some(1), "the stranger's alone");
    }
}

#[tokio::test]
async fn a_role_that_allows_more_than_it_is_for_is_not_given() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let url = stage.sandbox.url();
        let wide = stage.adapter_with(&url, &json!({ "roles": { "blob-writer": WIDE_WRITER } }));
        let fault = refused(&stage, &wide, WRITE).await;
        assert_eq!(
            (fault.kind, fault.code),
            (FaultKind::Permanent, "azure_role_unfit")
        );
        assert!(
            fault.logged.contains("containers/delete"),
            "{}",
            fault.logged
        );
        // Whoever owns a group gives itself what no revocation finds.
        let fault = refused(&stage, &stage.own_adapter(), "infra:apply@shop-owned").await;
        assert_eq!(
            (fault.kind, fault.code),
            (FaultKind::Permanent, "azure_role_unfit")
        );
        assert_eq!(stage.grants_made().await, Some(0));
    }
}

#[tokio::test]
async fn a_second_role_that_fails_leaves_an_ambiguous_lease() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        let wanted = [
            stage.wanted(),
            stage.wish("object-storage:read@reports-prod"),
        ];
        let intent = stage.scribe.intend(&adapter, &wanted).await.unwrap();
        stage.sandbox.faults().arm(jitney_sandbox::Fault {
            service: "arm".to_owned(),
            action: gives(mode).to_owned(),
            skip: 1,
            count: 1,
            fault: Mishap::Throttle,
        });
        let fault = adapter.elevate(&intent).await.unwrap_err();
        assert_eq!(
            (fault.kind, fault.code),
            (FaultKind::Ambiguous, "azure_throttled")
        );
        assert_eq!(stage.grants_made().await, Some(1));
        // What was given is found and goes like any other.
        let lease = stage.scribe.doubted(intent, &fault).await.unwrap();
        let slot = principal_of(&lease.terms().plan.lane);
        stage
            .scribe
            .end(&adapter, crate::steps::FIRST, lease)
            .await
            .unwrap();
        assert!(stage.sandbox.keeps(slot).is_empty());
    }
}

#[tokio::test]
async fn what_fails_after_the_role_stands_is_ambiguous() {
    for mode in MODES {
        let stage = AzureStage::new(mode).await;
        let adapter = stage.own_adapter();
        // The broker logs in first; the slot is refused.
        let intent = intent(&stage, &adapter).await;
        stage.sandbox.faults().arm(jitney_sandbox::Fault {
            service: "entra".to_owned(),
            action: "Token".to_owned(),
            skip: 2,
            count: 20,
            fault: Mishap::Refuse {
                status: 400,
                code: "AADSTS7000112".to_owned(),
            },
        });
        let fault = adapter.elevate(&intent).await.unwrap_err();
        assert_eq!(
            fault.kind,
            FaultKind::Ambiguous,
            "{mode:?}: {}",
            fault.logged
        );
        assert_eq!(stage.grants_made().await, Some(1));
    }
}

#[tokio::test]
async fn pim_that_takes_its_time_is_waited_for() {
    let stage = AzureStage::new(Mode::Pim).await;
    stage.set(|settings| settings.pim_provisioning_seconds = 2);
    let adapter = stage.own_adapter();
    let intent = intent(&stage, &adapter).await;
    adapter.elevate(&intent).await.unwrap();
    assert!(calls(&stage, "RoleAssignmentScheduleInstances_ListForScope") > 2);
}

#[tokio::test]
async fn a_rule_of_pim_that_fails_is_named_with_what_to_change() {
    let stage = AzureStage::with_policy(PolicyRules {
        required: vec![EnabledRule::MultiFactorAuthentication],
        ..PolicyRules::default()
    })
    .await;
    let fault = refused(&stage, &stage.own_adapter(), WRITE).await;
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Permanent, "azure_policy_rule")
    );
    assert!(fault.told.contains("`MfaRule`"), "{}", fault.told);
}

/// The SDK reckons with the machine's clock; when a token is too old for Azure only Azure knows.
#[tokio::test]
async fn a_broker_whose_token_azure_takes_no_more_shows_another() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let adapter = stage.own_adapter();
    stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    pass(&stage, 2 * 3_600).await;
    let taken = stage.scribe.take(&adapter, &[stage.wanted()]).await;
    assert!(taken.is_ok(), "{taken:?}");
    assert_eq!(stage.grants_made().await, Some(2));
}

#[tokio::test]
async fn a_slot_that_entra_does_not_know_yet_is_tried_again_later() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let adapter = stage.own_adapter();
    let taken = stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let renewing = taken.lease.renewing(
        stage.scribe.now().plus(core::time::Duration::from_secs(40)),
        jitney_core::lease::Life::Proved,
        stage.scribe.now(),
    );
    let lease = stage
        .scribe
        .books()
        .record(renewing.unwrap())
        .await
        .unwrap();
    let unknown = Mishap::Refuse {
        status: 400,
        code: "AADSTS70021".to_owned(),
    };
    stage.sandbox.faults().inject("entra", "Token", unknown, 1);
    let fault = adapter.renew(&lease).await.unwrap_err();
    assert!(
        matches!(fault.kind, FaultKind::Retryable { .. }),
        "{fault:?}"
    );
    assert_eq!(fault.code, "azure_no_federated_credential");
    assert!(adapter.renew(&lease).await.is_ok());
}

#[tokio::test]
async fn a_neighbours_role_is_nobodys_business() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let adapter = stage.own_adapter();
    stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let kept = stage.sandbox.keeps(object(NEIGHBOUR));
    assert_eq!(kept.len(), 1);
    assert!(kept[0].scope.ends_with(CONTAINER));
}
