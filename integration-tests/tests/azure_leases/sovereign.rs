//! Azure's other clouds: each takes tokens and assertions for its own names only, and so it is asked.

use jitney_azure::{AUDIENCE, AzureAdapter, Mode};
use jitney_core::adapter::Elevate as _;
use jitney_core::fault::FaultKind;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_sandbox::azure::estate::{Environment, Estate};
use serde_json::json;

use crate::issuer::Issuer;
use crate::stage::AzureStage;
use crate::steps::{intent, pass};

const GOVERNMENTS: &str = "api://AzureADTokenExchangeUSGov";

fn in_the_governments(mut estate: Estate) -> Estate {
    for credential in estate.apps.iter_mut().flat_map(|app| &mut app.federated) {
        credential.audience = GOVERNMENTS.to_owned();
    }
    estate.environment(Environment::UsGovernment)
}

fn adapter(stage: &AzureStage, environment: &str) -> AzureAdapter {
    let there = json!({ "environment": environment });
    stage.adapter_with(&stage.sandbox.url(), &there)
}

#[tokio::test]
async fn a_lease_in_another_cloud_is_asked_for_by_that_clouds_names() {
    let issuer = Issuer::start().await;
    let stage = AzureStage::trusting(issuer, Mode::Rbac, in_the_governments).await;
    let there = adapter(&stage, "us-government");
    let taken = stage.scribe.take(&there, &[stage.wanted()]).await.unwrap();
    pass(&stage, 100).await;
    assert!(stage.works(&taken.credential).await.unwrap());
    let audiences: Vec<_> = stage
        .sandbox
        .tokens()
        .into_iter()
        .map(|it| it.audience)
        .collect();
    let names = [
        "https://management.usgovcloudapi.net",
        "https://storage.azure.com",
    ];
    assert!(
        names
            .iter()
            .all(|name| audiences.iter().any(|it| it == name)),
        "{audiences:?}"
    );
    // The control: nobody else's names are taken there.
    assert_ne!(GOVERNMENTS, AUDIENCE);
    for elsewhere in ["public", "china"] {
        let elsewhere = adapter(&stage, elsewhere);
        let refused = elsewhere
            .elevate(&intent(&stage, &elsewhere).await)
            .await
            .unwrap_err();
        assert!(
            matches!(refused.kind, FaultKind::Retryable { .. }),
            "{refused:?}"
        );
    }
}
