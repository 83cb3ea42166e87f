//! Open questions: what no document says of a cloud, and only a real account, tenant or project can
//! answer. Each has a name that does not change, and what is done until somebody has looked.
//!
//! # Contract
//!
//! - An [`Inquiry`] belongs to one rehearsal and knows its lease alone. What it is shown is
//!   [recorded](crate::books::Recorded): nothing is tried for a lease that is not in the ledger.
//! - Before the lease's end a trial reads, writes back unchanged what it read, or uses the leased
//!   credential in a way that leaves nothing. Once the lease is ending it may take away what was
//!   the lease's. It never gives. Of the leased credential it may make a narrower copy, which dies
//!   with it; it mints nothing else.
//! - What a trial began it takes back when it is [closed](Inquiry::close). It keeps no credential.
//! - What was not clearly seen is [`Answer::Unanswered`], with why. Nothing is guessed.

use core::fmt::{self, Write as _};
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;

use crate::books::Recorded;
use crate::catalogue::Wanted;
use crate::credential::Shown;
use crate::lease::{Active, Ended, Revoking, Terms};

/// One open question about a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Its name, for good: `pim-floor`.
    pub id: &'static str,
    /// The question.
    pub asks: &'static str,
    /// What is done as long as nobody has an answer.
    pub until_then: &'static str,
    /// Who answers it.
    pub by: By,
}

/// Who answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Every rehearsal, by the times that it measures.
    Times,
    /// A trial of a rehearsal, when it is one of this kind.
    Trial(&'static str),
    /// No rehearsal: why not, and who does.
    Elsewhere(&'static str),
}

impl By {
    /// In words, as READMEs say it.
    #[must_use]
    pub fn told(self) -> String {
        match self {
            Self::Times => "any rehearsal, by its times".to_owned(),
            Self::Trial(which) => format!("a rehearsal {which}"),
            Self::Elsewhere(who) => format!("no rehearsal: {who}"),
        }
    }
}

/// What somebody found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// It takes, or lasts, so long.
    Measured(Duration),
    /// It is not known.
    Unanswered {
        /// Why not.
        why: String,
    },
}

impl Answer {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Measured(_) => "measured",
            Self::Unanswered { .. } => "unanswered",
        }
    }
}

/// An answer, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The answer.
    pub answer: Answer,
    /// What was seen; empty when nothing was.
    pub seen: String,
    /// Which setting to change, where it matters.
    pub set: Option<String>,
}

impl Finding {
    /// What was seen, and what it means.
    #[must_use]
    pub fn of(answer: Answer, seen: impl Into<String>) -> Self {
        Self {
            answer,
            seen: seen.into(),
            set: None,
        }
    }

    /// It is not known.
    #[must_use]
    pub fn unanswered(why: impl Into<String>) -> Self {
        Self::of(Answer::Unanswered { why: why.into() }, "")
    }

    /// With the setting to change.
    #[must_use]
    pub fn set(self, set: impl Into<String>) -> Self {
        Self {
            set: Some(set.into()),
            ..self
        }
    }
}

/// A question and what a rehearsal found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The question.
    pub question: Question,
    /// What was found.
    pub finding: Finding,
}

/// How far a rehearsal's lease is when a trial may look.
#[derive(Debug, Clone, Copy)]
pub enum Moment<'a> {
    /// It is active, and is about to be ended.
    Active(&'a Recorded<Active>),
    /// It is being revoked: what is the lease's may be taken away.
    Ending(&'a Recorded<Revoking>),
    /// It is over.
    Over(&'a Ended),
}

/// The questions of one rehearsal, while it goes on.
#[async_trait]
pub trait Inquiry: Send + Sync {
    /// Looks once, and tries what may be tried now. Comes back soon.
    async fn look(&mut self, moment: Moment<'_>, shown: &Shown);

    /// There is nothing more to see, or no time: takes back whatever was begun.
    async fn close(&mut self);

    /// What was found of a question so far.
    fn finding(&self, id: &str) -> Option<Finding>;
}

impl fmt::Debug for dyn Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").finish_non_exhaustive()
    }
}

/// Whoever has open questions about its cloud. A cloud without any has nothing to write here.
pub trait Inquire: Send + Sync {
    /// All open questions, each of which also stands in the adapter's README.
    fn questions(&self) -> &'static [Question] {
        &[]
    }

    /// Begins to ask, for one lease and what it was asked for. Makes no call.
    fn inquire(self: Arc<Self>, lease: &Terms, wanted: &[Wanted]) -> Box<dyn Inquiry> {
        let _ = (lease, wanted);
        Box::new(Silence)
    }
}

/// Nothing is tried.
struct Silence;

#[async_trait]
impl Inquiry for Silence {
    async fn look(&mut self, _: Moment<'_>, _: &Shown) {}

    async fn close(&mut self) {}

    fn finding(&self, _: &str) -> Option<Finding> {
        None
    }
}

/// The questions as a README has them: one table, which tests hold to the code.
#[must_use]
pub fn table(questions: &[Question]) -> String {
    let mut table = String::from("| | question | until then | answered by |\n|---|---|---|---|\n");
    for question in questions {
        let Question {
            id,
            asks,
            until_then,
            by,
        } = question;
        let _ = writeln!(table, "| `{id}` | {asks} | {until_then} | {} |", by.told());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_question_with_who_answers_it() {
        let question = |id, by| Question {
            id,
            asks: "Is it so?",
            until_then: "it is reckoned not to be",
            by,
        };
        let table = table(&[
            question("one", By::Times),
            question("two", By::Trial("of `x`")),
            question("three", By::Elsewhere("`doctor` tells")),
        ]);
        for row in [
            "| `one` | Is it so? | it is reckoned not to be | any rehearsal, by its times |\n",
            "| `two` | Is it so? | it is reckoned not to be | a rehearsal of `x` |\n",
            "| `three` | Is it so? | it is reckoned not to be | no rehearsal: `doctor` tells |\n",
        ] {
            assert!(table.contains(row), "{row} is not in\n{table}");
        }
    }

    #[tokio::test]
    async fn whoever_has_no_questions_finds_nothing() {
        struct Nobody;
        impl Inquire for Nobody {}
        assert!(Nobody.questions().is_empty());
        let mut silence = Silence;
        silence.close().await;
        assert_eq!(silence.finding("pim-floor"), None);
    }
}
