//! The laws, one sentence each.

use core::future::Future;
use core::pin::Pin;

use super::{Stage, ending, giving, hands, probing, slots, trouble};

/// What a law's test comes to: it holds, or why it does not.
pub type Held = Result<(), String>;

type Playing<'a> = Pin<Box<dyn Future<Output = Held> + Send + 'a>>;

/// How a cloud gives: what some laws are about is in one kind of cloud only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It gives sessions, and one lane takes back those of many leases.
    SharedLanes,
    /// It gives to identities of ours, each of which carries one lease at a time.
    Slots,
}

impl Kind {
    /// The kind of the cloud of a stage, as its adapter has it.
    ///
    /// # Errors
    /// When the stage has it otherwise: laws would be left out without a word.
    pub fn of(stage: &dyn Stage) -> Result<Self, String> {
        let has_slots = !stage.adapter().slots(&[stage.wanted()]).is_empty();
        match (has_slots, stage.slots().is_some()) {
            (true, true) => Ok(Self::Slots),
            (false, false) => Ok(Self::SharedLanes),
            (true, false) => Err("the adapter has slots, and its stage has not".to_owned()),
            (false, true) => Err("the stage has slots, and its adapter has not".to_owned()),
        }
    }
}

/// One law.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its name, by which it is waived.
    pub name: &'static str,
    /// What every adapter must satisfy.
    pub sentence: &'static str,
    /// The kind of cloud that it is about; absent when it is about all.
    pub only: Option<Kind>,
    play: for<'a> fn(&'a dyn Stage) -> Playing<'a>,
}

impl Law {
    /// The law of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LAWS.iter().find(|law| law.name == name)
    }

    /// Whether the law is about clouds of this kind.
    #[must_use]
    pub fn is_about(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
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
        law!($room::$test, None, $name, $sentence)
    };
    ($kind:ident: $room:ident::$test:ident, $name:literal, $sentence:literal) => {
        law!($room::$test, Some(Kind::$kind), $name, $sentence)
    };
    ($room:ident::$test:ident, $only:expr, $name:literal, $sentence:literal) => {
        Law {
            name: $name,
            sentence: $sentence,
            only: $only,
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
        "ending a lease leaves other leases as they are, in its lane and beside it"
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
        probing::a_probe_tells_what_works,
        "a-probe-tells-what-works",
        "a probe says that the cloud accepts what works and refuses what has ended"
    ),
    law!(
        probing::a_rehearsal_measures_the_cloud,
        "a-rehearsal-measures-the-cloud",
        "a rehearsal finds its lease accepted, ended and refused, and leaves none open"
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
    // In a slot, hands do nothing but take away, and each only what it names: nothing there need
    // bear an epoch.
    law!(
        SharedLanes: hands::a_later_hand_is_told_of,
        "a-later-hand-is-told-of",
        "a hand that was superseded is told by which"
    ),
    law!(
        hands::a_sweep_finds_what_is_left,
        "a-sweep-finds-what-is-left",
        "what gives, and what keeps an ended lease ended, is found by a sweep with its mark"
    ),
    law!(
        hands::a_cut_ends_what_was_issued_before,
        "a-cut-ends-what-was-issued-before",
        "a cut ends everything in its lane that was issued before a moment, and nothing after it"
    ),
    law!(
        Slots: slots::a_slot_carries_one_lease,
        "a-slot-carries-one-lease",
        "a slot is a lane with room for one, no plan goes without one, and a recovery knows them all"
    ),
    law!(
        Slots: slots::a_slot_in_use_is_not_given_again,
        "a-slot-in-use-is-not-given-again",
        "a slot that still gives something is not given to another lease, whatever the ledger says"
    ),
    law!(
        Slots: slots::a_kept_credential_gains_nothing,
        "a-kept-credential-gains-nothing",
        "a credential that a job kept never does what a later lease on its slot may do"
    ),
    law!(
        Slots: slots::a_fresh_credential_meets_no_old_right,
        "a-fresh-credential-meets-no-old-right",
        "a credential never does what an earlier lease on its slot could do"
    ),
    law!(
        Slots: slots::a_quarantine_is_kept,
        "a-quarantine-is-kept",
        "what a stranger gives back to a slot in quarantine is taken away again, and told of"
    ),
];
