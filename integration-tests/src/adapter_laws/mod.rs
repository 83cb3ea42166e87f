//! The laws of an adapter: one sentence each, with its test.
//!
//! Whoever adds a cloud writes a [`Stage`] on which the laws can play (an adapter, a cloud it talks
//! to, and a hand in that cloud that is not the adapter's) and calls [`judge`]. The adapter is done
//! when every law holds. A law that a cloud's stand-in cannot show is waived with a reason; a
//! waiver fails on the day its law holds, so that none outlives its reason.
//!
//! A law asks the cloud, never the adapter, whether something works.

mod ending;
mod giving;
mod hands;
mod relay;
mod scribe;
mod trouble;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::Wanted;
use jitney_core::plan::LaneId;

pub use ending::writing_as;
pub use relay::{Meddling, Relay};
pub use scribe::{Scribe, SystemClock, Taken};

/// What a job holds of a credential: its fields by name.
pub type Revealed = BTreeMap<&'static str, String>;

/// What can go wrong between an adapter and its cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The next call that gives is carried out, and its answer is lost.
    AnswerLost,
    /// The next call that gives is refused because there were too many.
    Busy,
    /// The next call that gives meets an error of the server, which says nothing of what was done.
    ServerError,
    /// The next change of what ends leases is cut off, and carried out this many seconds later.
    ChangeLandsLate {
        /// From the cut to the change.
        after_seconds: u64,
    },
}

/// Where the laws play: a cloud, or its stand-in, with an adapter that talks to it.
#[async_trait]
pub trait Stage: Send + Sync {
    /// An adapter as a process has it that has just started: it remembers nothing.
    fn adapter(&self) -> Arc<dyn Adapter>;

    /// An adapter that talks to an address at which nobody listens.
    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter>;

    /// What writes the leases of this stage down.
    fn scribe(&self) -> &Scribe;

    /// How long a change of what ends leases takes in this cloud until it is in force.
    fn settles(&self) -> Duration;

    /// What the laws ask for: one scope, narrower than its resource, and whose privilege can be
    /// tried.
    fn wanted(&self) -> Wanted;

    /// Tries, with a credential, what its scope says. The cloud's own answer.
    ///
    /// # Errors
    /// When the cloud neither did it nor refused it.
    async fn works(&self, credential: &Revealed) -> Result<bool, String>;

    /// Tries, with a credential, everything near its scope and beyond it. Gives what went through.
    ///
    /// # Errors
    /// When the cloud neither did it nor refused it.
    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String>;

    /// Lets something go wrong, once.
    fn trouble(&self, trouble: Trouble);

    /// How many grants the cloud has made so far, whoever heard of them. Nothing when it cannot be
    /// asked.
    async fn grants_made(&self) -> Option<usize>;

    /// A stranger removes from the cloud whatever ends the leases of a lane.
    ///
    /// # Errors
    /// When the stranger could not.
    async fn undo(&self, lane: &LaneId) -> Result<(), String>;

    /// What this installation has left in the cloud for a lane, by name.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String>;

    /// Whether what belongs to others in the lane is as it was.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    async fn others_are_intact(&self, lane: &LaneId) -> Result<bool, String>;
}

/// Makes stages. Each law plays on one of its own.
#[async_trait]
pub trait Stages: Send + Sync {
    /// A fresh stage.
    ///
    /// # Errors
    /// When the cloud cannot be set up.
    async fn stage(&self) -> Result<Box<dyn Stage>, String>;
}

/// What a law's test comes to: it holds, or why it does not.
pub type Held = Result<(), String>;

type Playing<'a> = Pin<Box<dyn Future<Output = Held> + Send + 'a>>;

/// One law.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its name, by which it is waived.
    pub name: &'static str,
    /// What every adapter must satisfy.
    pub sentence: &'static str,
    play: for<'a> fn(&'a dyn Stage) -> Playing<'a>,
}

impl Law {
    /// The law of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LAWS.iter().find(|law| law.name == name)
    }

    /// Plays the law on one stage.
    ///
    /// # Errors
    /// Why it does not hold there.
    pub async fn holds_on(&self, stage: &dyn Stage) -> Held {
        (self.play)(stage).await
    }
}

macro_rules! law {
    ($room:ident::$test:ident, $name:literal, $sentence:literal) => {
        Law {
            name: $name,
            sentence: $sentence,
            play: |stage| Box::pin($room::$test(stage)),
        }
    };
}

/// All laws.
pub const LAWS: &[Law] = &[
    law!(
        giving::grants_what_was_asked,
        "grants-what-was-asked",
        "a credential does what its scope says"
    ),
    law!(
        giving::grants_nothing_else,
        "grants-nothing-else",
        "a credential does nothing that its scope does not say"
    ),
    law!(
        giving::plans_are_pure,
        "plans-are-pure",
        "the same order has the same plan, and planning asks the cloud nothing"
    ),
    law!(
        giving::refuses_what_it_does_not_know,
        "refuses-what-it-does-not-know",
        "a capability without a meaning on the cloud, and a resource of another target, are refused"
    ),
    law!(
        giving::the_cloud_dates_the_end,
        "the-cloud-dates-the-end",
        "a credential's end is the cloud's word, and is no later than the plan announced"
    ),
    law!(
        giving::asks_in_time_or_not_at_all,
        "asks-in-time-or-not-at-all",
        "what the ledger no longer reckons with is not asked for: neither an intent nor a renewal"
    ),
    law!(
        giving::tells_no_secret,
        "tells-no-secret",
        "no part of a credential is in a plan, in a printed elevation or in the ledger"
    ),
    law!(
        ending::ends_within_its_promise,
        "ends-within-its-promise",
        "a lease that severs is over within the time that its plan promises"
    ),
    law!(
        ending::evidence_is_true,
        "evidence-is-true",
        "when an adapter gives evidence, the cloud refuses the credential already"
    ),
    law!(
        ending::ends_one_and_no_other,
        "ends-one-and-no-other",
        "ending a lease leaves the other leases of its lane as they are"
    ),
    law!(
        ending::ending_twice_is_ending_once,
        "ending-twice-is-ending-once",
        "ending what is ended already changes nothing and is no error"
    ),
    law!(
        ending::holds_stay_in_force,
        "holds-stay-in-force",
        "what is held stays ended while its lane is written for other leases"
    ),
    law!(
        ending::nothing_is_left_behind,
        "nothing-is-left-behind",
        "with nothing due and nothing held, nothing of ours is left in the cloud"
    ),
    law!(
        ending::others_things_are_not_touched,
        "others-things-are-not-touched",
        "what belongs to others is as it was after a lease has come and gone"
    ),
    law!(
        ending::renewal_keeps_the_handle,
        "renewal-keeps-the-handle",
        "one ending ends the first credential of a lease and every renewed one"
    ),
    law!(
        ending::an_unused_intent_ends,
        "an-unused-intent-ends",
        "a lease whose call was never made can be ended like any other"
    ),
    law!(
        trouble::a_lost_answer_is_ambiguous,
        "a-lost-answer-is-ambiguous",
        "a call that was carried out and whose answer was lost is ambiguous"
    ),
    law!(
        trouble::a_server_error_is_ambiguous,
        "a-server-error-is-ambiguous",
        "an error of the server on a call that gives is ambiguous"
    ),
    law!(
        trouble::a_busy_cloud_is_retryable,
        "a-busy-cloud-is-retryable",
        "a call that was refused because there were too many is retryable, and nothing was granted"
    ),
    law!(
        trouble::nobody_there_is_retryable,
        "nobody-there-is-retryable",
        "a call that reached nobody is retryable, on the way in and on the way out"
    ),
    law!(
        trouble::a_lost_grant_can_be_ended,
        "a-lost-grant-can-be-ended",
        "a grant whose answer was lost is one call, and ends like any other"
    ),
    law!(
        hands::a_later_hand_carries_on,
        "a-later-hand-carries-on",
        "a hand that takes a lane over never lets what was ended work again"
    ),
    law!(
        hands::an_older_hand_loosens_nothing,
        "an-older-hand-loosens-nothing",
        "a hand that was superseded cannot make an ended credential work again"
    ),
    law!(
        hands::a_late_change_loosens_nothing,
        "a-late-change-loosens-nothing",
        "a change that lands long after it was given up makes no ended credential work again"
    ),
    law!(
        hands::what_a_stranger_undid_is_done_again,
        "what-a-stranger-undid-is-done-again",
        "what a stranger undid is done again, and is no evidence until it has settled anew"
    ),
    law!(
        hands::a_forgetful_ledger_loosens_nothing,
        "a-forgetful-ledger-loosens-nothing",
        "a hand whose ledger is older than what the lane bears takes nothing away, and is told"
    ),
    law!(
        hands::a_later_hand_is_told_of,
        "a-later-hand-is-told-of",
        "a hand that was superseded is told by which"
    ),
    law!(
        hands::a_sweep_finds_what_is_left,
        "a-sweep-finds-what-is-left",
        "what keeps an ended lease ended is found by a sweep, with the mark it was written under"
    ),
    law!(
        hands::a_cut_ends_what_was_issued_before,
        "a-cut-ends-what-was-issued-before",
        "a cut ends everything in its lane that was issued before a moment, and nothing after it"
    ),
];

/// A law that a stage cannot show.
#[derive(Debug, Clone, Copy)]
pub struct Waiver {
    /// The law's name.
    pub law: &'static str,
    /// Why it cannot be shown there.
    pub reason: &'static str,
}

/// What became of the laws on one kind of stage.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The names of the laws that hold.
    pub held: Vec<&'static str>,
    /// The names of those that do not and are waived.
    pub waived: Vec<&'static str>,
    /// What is wrong, one sentence each.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Nothing, when so many laws hold and nothing is wrong.
    ///
    /// # Errors
    /// What is wrong, also that fewer or more laws hold than `held`: a law that is not played any
    /// more would otherwise never be missed.
    pub fn expect(&self, held: usize) -> Result<(), String> {
        let mut wrong = self.wrong.clone();
        if self.held.len() != held {
            wrong.push(format!("{} laws hold, expected {held}", self.held.len()));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }
}

/// Plays all laws, each on a stage of its own, a few at a time.
pub async fn judge(stages: Arc<dyn Stages>, waivers: &[Waiver], at_a_time: usize) -> Verdict {
    let mut results = BTreeMap::new();
    for laws in LAWS.chunks(at_a_time.max(1)) {
        let mut playing = tokio::task::JoinSet::new();
        for law in laws {
            let (law, stages) = (*law, Arc::clone(&stages));
            playing.spawn(async move {
                let held = match stages.stage().await {
                    Ok(stage) => law.holds_on(stage.as_ref()).await,
                    Err(error) => Err(format!("no stage: {error}")),
                };
                (law.name, held)
            });
        }
        while let Some(joined) = playing.join_next().await {
            if let Ok((name, held)) = joined {
                results.insert(name, held);
            }
        }
    }
    weigh(&results, waivers)
}

fn weigh(results: &BTreeMap<&'static str, Held>, waivers: &[Waiver]) -> Verdict {
    let mut verdict = Verdict::default();
    for law in LAWS {
        let waiver = waivers.iter().find(|waiver| waiver.law == law.name);
        match (results.get(law.name), waiver) {
            (Some(Ok(())), None) => verdict.held.push(law.name),
            (Some(Ok(())), Some(_)) => verdict.wrong.push(format!(
                "`{}` holds: its waiver is no longer needed",
                law.name
            )),
            (Some(Err(_)), Some(_)) => verdict.waived.push(law.name),
            (Some(Err(why)), None) => {
                let (name, sentence) = (law.name, law.sentence);
                verdict.wrong.push(format!("`{name}` ({sentence}): {why}"));
            }
            (None, _) => verdict.wrong.push(format!("`{}` did not end", law.name)),
        }
    }
    let unknown = |waiver: &&Waiver| !LAWS.iter().any(|law| law.name == waiver.law);
    let unknown = waivers.iter().filter(unknown);
    verdict
        .wrong
        .extend(unknown.map(|waiver| format!("`{}` is waived and is no law", waiver.law)));
    let silent = waivers
        .iter()
        .filter(|waiver| waiver.reason.trim().is_empty());
    verdict
        .wrong
        .extend(silent.map(|waiver| format!("`{}` is waived without a reason", waiver.law)));
    verdict
}

/// Says that something ought to be so.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(otherwise()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn all_hold() -> BTreeMap<&'static str, Held> {
        LAWS.iter().map(|law| (law.name, Ok(()))).collect()
    }

    #[test]
    fn every_law_has_a_name_of_its_own_and_a_sentence() {
        let mut names: Vec<_> = LAWS.iter().map(|law| law.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LAWS.len());
        assert!(LAWS.iter().all(|law| law.sentence.len() > 20));
    }

    #[test]
    fn a_waiver_fails_once_its_law_holds() {
        let waiver = Waiver {
            law: LAWS[0].name,
            reason: "not yet",
        };
        let mut results = all_hold();
        let verdict = weigh(&results, &[waiver]);
        assert!(verdict.wrong[0].contains("no longer needed"));
        results.insert(LAWS[0].name, Err("broken".to_owned()));
        let verdict = weigh(&results, &[waiver]);
        assert_eq!(verdict.waived, [LAWS[0].name]);
        assert!(verdict.expect(LAWS.len() - 1).is_ok());
    }

    #[test]
    fn what_is_broken_missing_or_miscounted_is_wrong() {
        let mut results = all_hold();
        assert!(weigh(&results, &[]).expect(LAWS.len()).is_ok());
        assert!(weigh(&results, &[]).expect(LAWS.len() + 1).is_err());
        results.remove(LAWS[1].name);
        assert!(weigh(&results, &[]).expect(LAWS.len() - 1).is_err());
        results.insert(LAWS[1].name, Err("why".to_owned()));
        let told = weigh(&results, &[]).expect(LAWS.len() - 1).unwrap_err();
        assert!(
            told.contains(LAWS[1].sentence) && told.contains("why"),
            "{told}"
        );
    }

    #[test]
    fn a_waiver_of_nothing_or_for_no_reason_is_wrong() {
        let mut results = all_hold();
        let unknown = Waiver {
            law: "no-such-law",
            reason: "x",
        };
        assert!(weigh(&results, &[unknown]).expect(LAWS.len()).is_err());
        results.insert(LAWS[0].name, Err("why".to_owned()));
        let silent = Waiver {
            law: LAWS[0].name,
            reason: " ",
        };
        assert!(weigh(&results, &[silent]).expect(LAWS.len() - 1).is_err());
    }
}
