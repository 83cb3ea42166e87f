//! The laws about slots, judged by an adapter that keeps them and by adapters that do not. The
//! cloud is the worst that is known: what was given cannot be taken away for five minutes, and is
//! said not to exist for one of them; what was taken away works for ten more; credentials live an
//! hour.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Wanted, resolve};
use jitney_core::handle::StampKey;
use jitney_core::plan::LaneId;
use jitney_integration_tests::adapter_laws::{
    Law, Revealed, SLOTS_MIN, Scribe, SlotStage, Stage, Stages, Trouble, Waiver, judge,
};
use jitney_integration_tests::fake_cloud::{FakeCloud, Style};
use jitney_integration_tests::fake_cloud::{MintMishap, RevokeMishap, SLOT_SETTLE, SlotVice};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, World, catalogue, ci_job, inventory};
use tempfile::TempDir;

use crate::world_that;

const RESOURCE: &str = "artifacts-prod";
const RESOURCE_BESIDE: &str = "documents-prod";

/// How many laws hold of the fake adapter, and how many are about other clouds. Literals, so that a
/// law that is lost has to be taken from a number here.
const HOLD: usize = 33;
const ABOUT_SHARED_LANES: usize = 1;

/// What the fake adapter does not do.
const WAIVED: &[Waiver] = &[
    Waiver {
        law: "refuses-what-it-does-not-know",
        reason: "the fake adapter plans whatever it is asked",
    },
    Waiver {
        law: "nobody-there-is-retryable",
        reason: "there is no way to the fake cloud on which it could be missed",
    },
];

struct FakeStage {
    world: World,
    scribe: Scribe,
    _folder: TempDir,
}

fn stage() -> FakeStage {
    let (world, folder) = world_that(Style::Slots);
    world
        .cloud(PROD)
        .set_pool(u32::try_from(SLOTS_MIN).unwrap());
    let stamp = StampKey::new("acme".parse().unwrap(), &[1; 32]).unwrap();
    let (ledger, clock) = (Arc::clone(&world.ledger), world.clock.clone());
    let scribe = Scribe::new(ledger, stamp, clock, ci_job("1")).with_leases_of(3_600);
    FakeStage {
        world,
        scribe,
        _folder: folder,
    }
}

impl FakeStage {
    fn cloud(&self) -> &Arc<FakeCloud> {
        self.world.cloud(PROD)
    }

    fn does(&self, credential: &Revealed, resource: &str) -> bool {
        let secret = credential.get("secret").unwrap();
        self.cloud().would_allow_on(secret, resource)
    }
}

#[async_trait]
impl Stage for FakeStage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        self.cloud().clone()
    }
    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter> {
        self.cloud().clone()
    }
    fn scribe(&self) -> &Scribe {
        &self.scribe
    }
    fn settles(&self) -> Duration {
        SLOT_SETTLE
    }
    fn wanted(&self) -> Wanted {
        resolve(&PROD_SCOPE.parse().unwrap(), &inventory(), &catalogue()).unwrap()
    }
    async fn works(&self, credential: &Revealed) -> Result<bool, String> {
        Ok(self.does(credential, RESOURCE))
    }
    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        let strays = self.does(credential, RESOURCE_BESIDE);
        Ok(strays
            .then(|| RESOURCE_BESIDE.to_owned())
            .into_iter()
            .collect())
    }
    fn trouble(&self, trouble: Trouble) {
        match trouble {
            Trouble::AnswerLost => self.cloud().next_mint(MintMishap::LostAfter),
            Trouble::Busy => self.cloud().next_mint(MintMishap::Retryable),
            Trouble::ServerError => self.cloud().next_mint(MintMishap::LostBefore),
            Trouble::ChangeLandsLate { .. } => self.cloud().next_revoke(RevokeMishap::LostAfter),
        }
    }
    async fn grants_made(&self) -> Option<usize> {
        Some(self.cloud().sessions().len())
    }
    async fn undo(&self, lane: &LaneId) -> Result<(), String> {
        self.cloud().stranger_gives_back(lane);
        Ok(())
    }
    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String> {
        let given = self.cloud().given().into_iter();
        let here = given.filter(|right| right.slot == *lane);
        Ok(here.map(|right| right.handle.to_string()).collect())
    }
    async fn others_are_intact(&self, _lane: &LaneId) -> Result<bool, String> {
        Ok(true)
    }
    fn slots(&self) -> Option<&dyn SlotStage> {
        Some(self)
    }
}

#[async_trait]
impl SlotStage for FakeStage {
    fn wanted_beside(&self) -> Wanted {
        let mut wanted = self.wanted();
        wanted.scope = format!("object-storage:write@{RESOURCE_BESIDE}")
            .parse()
            .unwrap();
        wanted.resource.native_id = "bucket-3".to_owned();
        wanted
    }
    async fn works_beside(&self, credential: &Revealed) -> Result<bool, String> {
        Ok(self.does(credential, RESOURCE_BESIDE))
    }
}

struct Fakes;

#[async_trait]
impl Stages for Fakes {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(stage()))
    }
}

#[tokio::test]
async fn an_adapter_can_keep_the_laws_in_the_worst_of_clouds() {
    let verdict = judge(Arc::new(Fakes), WAIVED, 8).await;
    let told = verdict.expect(HOLD, ABOUT_SHARED_LANES);
    told.unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[tokio::test]
async fn an_adapter_with_a_vice_breaks_a_law() {
    for (vice, laws) in [
        (
            SlotVice::LetsGoAtOnce,
            vec!["a-kept-credential-gains-nothing", "a-quarantine-is-kept"],
        ),
        (SlotVice::DoesNotWait, vec!["evidence-is-true"]),
        (
            SlotVice::IsDoneAtOnce,
            vec!["a-fresh-credential-meets-no-old-right"],
        ),
        (
            SlotVice::BelievesEarlyAbsence,
            vec!["evidence-is-true", "nothing-is-left-behind"],
        ),
        (
            SlotVice::ForgetsHolds,
            vec!["a-quarantine-is-kept", "a-cut-ends-what-was-issued-before"],
        ),
        (
            SlotVice::GivesAnyway,
            vec!["a-slot-in-use-is-not-given-again"],
        ),
        (SlotVice::HasRoomForTwo, vec!["a-slot-carries-one-lease"]),
    ] {
        for name in laws {
            let stage = stage();
            stage.cloud().set_vice(vice);
            let law = Law::named(name).unwrap();
            assert!(
                law.holds_on(&stage).await.is_err(),
                "`{name}` holds of {vice:?}"
            );
        }
    }
}
