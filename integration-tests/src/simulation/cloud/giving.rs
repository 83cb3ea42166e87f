//! Giving: one call, signed with the broker's clock.

use jitney_core::adapter::Mark;
use jitney_core::credential::{Credential, Elevation};
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::lease::Terms;
use jitney_core::ledger::{Row, RowId};
use jitney_core::time::{Clock as _, Timestamp};

use super::port::{CloudPort, believed};
use super::{Cloud, Session, Style};
use crate::simulation::fault::Call;
use crate::simulation::process::Scene;

/// The field of a credential that names its session.
pub const SESSION: &str = "session";

/// Whether a lease is given something for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is elevated.
    First,
    /// It is renewed.
    Again,
}

impl CloudPort {
    /// Makes one call that gives, if it can be signed by `answer_by`.
    pub(super) async fn give(
        &self,
        terms: &Terms,
        answer_by: Timestamp,
        mark: Mark,
        turn: Turn,
    ) -> Result<Elevation, Believed> {
        self.process.step().await;
        if self.cloud.style == Style::Slots && turn == Turn::First {
            self.ensure_at_rest(terms, mark).await?;
        }
        let row = row_of(self.process.scene(), terms);
        let state = row.as_ref().map_or("", |row| row.state.as_str());
        let fate = self.fate(Call::Mint, &[state])?;
        self.process.step().await;
        let signed_at = self.process.clock().now();
        if signed_at > answer_by {
            let retryable = FaultKind::Retryable { after: None };
            return Err(believed(retryable, "sim_not_asked_in_time"));
        }
        let order = Session {
            handle: terms.handle.clone(),
            lane: terms.plan.lane.clone(),
            lease: terms.id,
            asked_at: self.process.stage().now(),
            minted_at: Timestamp::default(),
            expires_at: Timestamp::default(),
            covered_until: covered_until(self.process.scene(), terms),
            mark,
            deleted_at: None,
        };
        // From here on it is out of the broker's hands: what stands still or dies takes nothing
        // back.
        let name = self.process.name_of(terms.id);
        self.process
            .tell(|| format!("asks {} for a session of {name}", self.cloud.target));
        let trace = self.process.scene().trace.clone();
        let mint = move |cloud: &Cloud| {
            let minted = match turn {
                Turn::First => cloud.grant(order, signed_at),
                Turn::Again => cloud.mint(order, signed_at),
            };
            trace.tell(|| {
                let what = if minted.is_some() { "makes" } else { "refuses" };
                format!("{}: {what} a session of {name}", cloud.target)
            });
            minted
        };
        let answer = self.send(fate, mint).await?;
        self.process.step().await;
        let session = answer.ok_or_else(|| {
            let retryable = FaultKind::Retryable { after: None };
            believed(retryable, "sim_signature_expired")
        })?;
        Ok(Elevation {
            fingerprint: format!("session of {}", terms.handle),
            credential: Credential::new(
                "sim-session",
                [(SESSION, terms.handle.to_string())],
                session.expires_at,
            ),
            provider_request: None,
        })
    }
}

/// Until when the ledger, at this moment, knows that something of a lease may work. It is read from
/// the stored bytes: an answer by way of core's types would be core's word for itself.
pub(super) fn covered_until(scene: &Scene, terms: &Terms) -> Option<Timestamp> {
    let row = row_of(scene, terms)?;
    let body: serde_json::Value = serde_json::from_str(&row.body).ok()?;
    let until = body.get("exposed_until")?.as_i64()?;
    (!row.is_final).then(|| Timestamp::from_micros(until))
}

fn row_of(scene: &Scene, terms: &Terms) -> Option<Row> {
    scene.ledger.look(|tables| {
        let id = RowId::Lease(terms.id);
        tables.rows().find(|row| row.id == id).cloned()
    })
}
