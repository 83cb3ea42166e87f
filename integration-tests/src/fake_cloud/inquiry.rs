//! What nobody knows of the fake cloud: whether a visit that was begun with a credential goes on
//! once the credential has ended. A visit stands in the cloud until it is broken off.

use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::lease::Terms;
use jitney_core::question::{Answer, By, Finding, Inquire, Inquiry, Moment, Question};

use super::FakeCloud;

/// The fake cloud's open questions, one of each kind.
pub const QUESTIONS: &[Question] = &[
    Question {
        id: "denial",
        asks: "How soon is a denial in force?",
        until_then: "four seconds are reckoned with",
        by: By::Times,
    },
    Question {
        id: "visits",
        asks: "Does a visit outlive its credential?",
        until_then: "it is reckoned to",
        by: By::Trial("of anything"),
    },
    Question {
        id: "late-calls",
        asks: "How late can a call land?",
        until_then: "five minutes are reckoned with",
        by: By::Elsewhere("whoever wrote the fake knows"),
    },
];

struct Visit {
    cloud: Arc<FakeCloud>,
    is_open: bool,
    found: Option<Answer>,
}

impl Inquire for FakeCloud {
    fn questions(&self) -> &'static [Question] {
        QUESTIONS
    }

    fn inquire(self: Arc<Self>, _: &Terms, _: &[Wanted]) -> Box<dyn Inquiry> {
        Box::new(Visit {
            cloud: self,
            is_open: false,
            found: None,
        })
    }
}

#[async_trait]
impl Inquiry for Visit {
    async fn look(&mut self, moment: Moment<'_>, shown: &Shown) {
        let works = shown.field("secret").map(|it| self.cloud.would_allow(it));
        let mut state = self.cloud.lock();
        match moment {
            Moment::Active(_) => {
                state.moments.push("active");
                if works == Some(true) && !self.is_open {
                    self.is_open = true;
                    state.visits += 1;
                }
            }
            Moment::Ending(_) => state.moments.push("ending"),
            Moment::Over(_) => {
                state.moments.push("over");
                let goes_on = match state.visits_outlive {
                    true => Answer::Yes,
                    false => Answer::No,
                };
                self.found = (works == Some(false) && self.is_open).then_some(goes_on);
            }
        }
    }

    async fn close(&mut self) {
        let was_open = std::mem::take(&mut self.is_open);
        let mut state = self.cloud.lock();
        state.visits -= u32::from(was_open);
        state.moments.push("closed");
    }

    fn finding(&self, id: &str) -> Option<Finding> {
        let found = self.found.clone().filter(|_| id == "visits")?;
        Some(Finding::of(found, "the visit was looked at").set("nothing"))
    }
}
