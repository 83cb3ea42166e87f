//! What an examination of a target finds, and that it changes nothing.

use jitney_azure::{Examination, Mode, examine};
use jitney_core::catalogue::Resource;
use jitney_core::time::Clock as _;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_sandbox::azure::builtin;
use jitney_sandbox::azure::estate::{Assignment, EnabledRule, Estate, PolicyRules};
use serde_json::{Value, json};

use crate::estate::{self, BROKER, WIDE_WRITER, WRITER, container, object};
use crate::issuer::Issuer;
use crate::stage::{AzureStage, INSTALLATION};

async fn examined(stage: &AzureStage, more: &Value) -> Examination {
    let target = stage.target(&stage.sandbox.url(), more);
    let catalogue = jitney_policies::catalogue(None).unwrap();
    let resources = ["object-storage:read@artifacts-prod", "infra:apply@shop"];
    let resources = resources.map(|scope| stage.wish(scope).resource);
    let resources: Vec<&Resource> = resources.iter().collect();
    let identities = stage.identities(&target);
    let installation = INSTALLATION.parse().unwrap();
    let now = stage.clock.now();
    examine(
        &target,
        &identities,
        &installation,
        &resources,
        &catalogue,
        now,
    )
    .await
}

fn tells(told: &[String], part: &str) -> bool {
    told.iter().any(|told| told.contains(part))
}

#[tokio::test]
async fn a_target_that_is_set_up_well_has_nothing_wrong() {
    for mode in [Mode::Pim, Mode::Rbac] {
        let stage = AzureStage::new(mode).await;
        let found = examined(&stage, &json!({})).await;
        assert_eq!(found.wrong, Vec::<String>::new(), "{mode:?}");
        assert!(tells(&found.well, "granter is the application"));
        assert!(tells(&found.well, "bounded by nothing"));
        assert!(tells(&found.well, "6 slots carry `blobs`"));
        assert!(tells(&found.well, "7 slots have nothing"));
        assert!(found.skew.is_some_and(|skew| skew.as_secs() < 60));
        assert_eq!(stage.grants_made().await, Some(0));
    }
}

#[tokio::test]
async fn what_would_fail_later_is_found() {
    let stage = AzureStage::with_policy(PolicyRules {
        required: vec![EnabledRule::MultiFactorAuthentication],
        maximum_duration: "PT1H".to_owned(),
        ..PolicyRules::default()
    })
    .await;
    let role = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{WRITER}",
        estate::SUBSCRIPTION
    );
    let strange = json!({ "roleDefinitionId": role, "principalId": object(2),
                          "principalType": "ServicePrincipal" });
    let name = uuid::Uuid::new_v4();
    stage
        .give(&container("reports"), name, &strange)
        .await
        .unwrap();
    let found = examined(&stage, &json!({})).await;
    assert!(
        tells(&found.wrong, "`MultiFactorAuthentication`"),
        "{found:?}"
    );
    assert!(tells(&found.wrong, "`PT1H`"), "{found:?}");
    assert!(tells(&found.wrong, "slot `blobs-2` has role"), "{found:?}");
    let wide = json!({ "roles": { "blob-writer": WIDE_WRITER } });
    let found = examined(&stage, &wide).await;
    assert!(tells(&found.wrong, "containers/delete"), "{found:?}");
}

#[tokio::test]
async fn an_identity_that_cannot_log_in_is_told_with_where_to_look() {
    let stage = AzureStage::new(Mode::Rbac).await;
    let unknown = json!({ "credentials": {
        "from": "issuer", "client_id": "cccccccc-0000-4000-8000-00000000ffff",
    } });
    let found = examined(&stage, &unknown).await;
    assert!(
        tells(&found.wrong, "the granter cannot log in"),
        "{found:?}"
    );
    assert!(tells(&found.wrong, "`credentials`"), "{found:?}");
}

#[tokio::test]
async fn whether_a_fast_stop_may_be_put_is_looked_at() {
    let stops = json!({ "fast_stop": "deny-assignment" });
    let stage = AzureStage::new(Mode::Pim).await;
    let found = examined(&stage, &stops).await;
    assert_eq!(found.wrong, Vec::<String>::new());
    assert!(tells(&found.well, "may put deny assignments on 2"));
    assert!(!tells(
        &examined(&stage, &json!({})).await.well,
        "deny assignments"
    ));
    // It gives roles and denies nothing.
    let lesser = |mut estate: Estate| {
        let of_broker = |it: &&mut Assignment| it.principal == object(BROKER);
        let broker = estate.assignments.iter_mut().find(of_broker).unwrap();
        broker.role = builtin::RBAC_ADMINISTRATOR;
        estate
    };
    let stage = AzureStage::trusting(Issuer::start().await, Mode::Pim, lesser).await;
    let found = examined(&stage, &stops).await;
    assert!(
        tells(&found.wrong, "`fast_stop` is set, and no role"),
        "{found:?}"
    );
    assert!(tells(
        &found.wrong,
        "Microsoft.Authorization/denyAssignments/delete"
    ));
    assert_eq!(
        examined(&stage, &json!({})).await.wrong,
        Vec::<String>::new()
    );
}
