//! Asking an adapter's open questions while a rehearsal goes on.

use std::sync::Arc;

use crate::adapter::Adapter;
use crate::catalogue::Wanted;
use crate::credential::Shown;
use crate::lease::Terms;
use crate::question::{Answered, By, Finding, Inquiry, Moment, Question};

/// The questions of one rehearsal.
#[derive(Debug)]
pub(super) struct Asking {
    questions: &'static [Question],
    inquiry: Box<dyn Inquiry>,
}

impl Asking {
    pub(super) fn begin(adapter: &Arc<dyn Adapter>, lease: &Terms, wanted: &[Wanted]) -> Self {
        Self {
            questions: adapter.questions(),
            inquiry: Arc::clone(adapter).inquire(lease, wanted),
        }
    }

    pub(super) async fn look(&mut self, moment: Moment<'_>, shown: &Shown) {
        self.inquiry.look(moment, shown).await;
    }

    pub(super) async fn close(&mut self) {
        self.inquiry.close().await;
    }

    /// What was found of every question so far. `by_times` is what the rehearsal itself measured.
    pub(super) fn answered(&self, by_times: &Finding) -> Vec<Answered> {
        let answered = self.questions.iter().map(|question| Answered {
            question: *question,
            finding: match question.by {
                By::Times => by_times.clone(),
                By::Trial(which) => self.inquiry.finding(question.id).unwrap_or_else(|| {
                    Finding::unanswered(format!("it takes a rehearsal {which}"))
                }),
                By::Elsewhere(who) => Finding::unanswered(who),
            },
        });
        answered.collect()
    }
}
