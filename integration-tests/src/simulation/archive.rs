//! Copies of the ledger, one a minute; going back to one; and the operator who recovers from that.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use jitney_core::time::Timestamp;
use jitney_core::usecase::{Core, Signed};

use super::broker::{Broker, House, any};
use super::executor::{Group, lock};
use super::ledger::Tables;
use super::process::Scene;

/// How often a copy is made.
const COPY_EVERY: Duration = Duration::from_secs(60);
/// How often the operator looks, and how long an order may take.
const LOOK_EVERY: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_secs(120);

/// The copies of one world's ledger.
#[derive(Default)]
pub struct Archive(Mutex<Vec<(Timestamp, Tables)>>);

impl Archive {
    /// Keeps copies from now on.
    pub fn keep(self: &Arc<Self>, scene: &Arc<Scene>) {
        let (archive, scene) = (Arc::clone(self), Arc::clone(scene));
        let stage = scene.stage.clone();
        stage.clone().spawn(Group::WORLD, async move {
            while stage.now() < scene.weather.calm_from() {
                let copy = (stage.now(), scene.ledger.copy());
                lock(&archive.0).push(copy);
                stage.sleep(COPY_EVERY).await;
            }
        });
    }

    /// Brings the ledger back to the last copy that is at least so old, or to the first.
    pub fn restore(&self, scene: &Scene, back: Duration) {
        let before = scene.stage.now().minus(back);
        let copies = lock(&self.0);
        let old = copies.iter().rev().find(|(at, _)| *at <= before);
        if let Some((_, copy)) = old.or(copies.first()) {
            scene.ledger.restore(copy.clone());
            scene.notary.restored(scene, copy);
        }
    }
}

/// An operator who orders a recovery as soon as a broker says that it is needed.
pub fn operate(house: &Arc<House>, brokers: &Arc<Vec<Arc<Broker>>>) {
    let (scene, brokers) = (Arc::clone(&house.scene), Arc::clone(brokers));
    let stage = scene.stage.clone();
    stage.clone().spawn(Group::WORLD, async move {
        for look in 0.. {
            stage.sleep(LOOK_EVERY).await;
            let mut dice = scene.dice.named("operator").at(look);
            let Some(broker) = any(&brokers, &mut dice) else {
                return;
            };
            // An order that is refused or lost is given again.
            let told = broker.ask(PATIENCE, recover, |_, _| async {}).await;
            if let Ok(Some(told)) = told {
                scene
                    .trace
                    .tell(|| format!("the operator orders a recovery: {told}"));
            }
        }
    });
}

/// Orders a recovery where one is needed, and gives what the broker says to it.
async fn recover(core: Arc<Core>) -> Option<String> {
    let standing = core.books.standing().await.ok()?;
    standing.says.halt.filter(|halt| halt.recovery.is_none())?;
    let signed = Signed {
        person: "ada".to_owned(),
        reason: "the ledger was restored".to_owned(),
    };
    Some(match core.recover(&signed).await {
        Ok(recovering) => format!("{} lanes are cut", recovering.lanes.len()),
        Err(refusal) => format!("{}, {}", refusal.code, refusal.logged),
    })
}
