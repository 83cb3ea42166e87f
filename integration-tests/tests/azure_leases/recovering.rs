//! A ledger that was restored, and an Azure on which nothing is left that would tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitney_azure::Mode;
use jitney_core::adapter::Adapter;
use jitney_core::time::Timestamp;
use jitney_core::usecase::Signed;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{PROD, World};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use serde_json::json;

use crate::estate;
use crate::stage::{AzureStage, principal_of};

/// Longer than anything that Azure or a registry ever handed out for a slot.
const LONGEST_SECONDS: u64 = 5_400 + 10_800;

#[tokio::test]
async fn every_slot_rests_for_as_long_as_anything_can_live() {
    for mode in [Mode::Pim, Mode::Rbac] {
        let stage = AzureStage::new(mode).await;
        let adapter: Arc<dyn Adapter> =
            Arc::new(stage.adapter_called(PROD, &stage.sandbox.url(), &json!({})));
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::at(folder.path().join("ledger.db"));
        let ledger = Arc::new(SqliteLedger::open(&options).unwrap());
        let world = World::on(ledger.clone(), Style::Slots);
        let adapters = BTreeMap::from([(PROD.parse().unwrap(), adapter.clone())]);
        let core = world.broker_over("b", ledger, adapters);
        let signed = Signed {
            person: "ada@example.org".to_owned(),
            reason: "restored from last night".to_owned(),
        };
        // The control: nothing in this cloud tells.
        assert!(core.look_back().await.is_empty());
        assert!(core.recover(&signed).await.is_err());
        core.declare_restored(&signed).await.unwrap();
        let began = world.now();
        let ordered = core.recover(&signed).await.unwrap();
        let slots = estate::slots();
        let ids = slots.as_object().unwrap().values();
        let pool: BTreeSet<_> = ids
            .map(|slot| slot["object_id"].as_str().unwrap())
            .collect();
        let cut: BTreeSet<_> = ordered
            .lanes
            .iter()
            .map(|it| principal_of(it).to_string())
            .collect();
        assert_eq!(
            cut.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            pool,
            "{mode:?}"
        );
        for lane in &ordered.lanes {
            let open = core.books.lane(lane, Timestamp::FAR_FUTURE).await.unwrap();
            let cuts = open.holds.iter().filter(|hold| !hold.held.is_grant());
            let until = cuts.map(|hold| hold.until).max().unwrap();
            let longest = core::time::Duration::from_secs(LONGEST_SECONDS);
            assert!(
                until >= began.plus(longest),
                "{mode:?}: {lane} until {until}"
            );
        }
        assert!(adapter.reach().grants_stay);
        assert_eq!(stage.grants_made().await, Some(0));
    }
}
