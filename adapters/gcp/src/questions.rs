//! What only a real project can tell: every open question, and what a rehearsal finds of those that
//! it can answer. The README has the same table, and a test holds it to this one.

mod elevation;
mod grants;
mod outliving;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::lease::{self, Active};
use jitney_core::question::{Answer, By, Finding, Inquire, Inquiry, Moment, Question};

use crate::adapter::GcpAdapter;
use crate::connect::Purpose;
use crate::elevate::terms;
use crate::terms::{Terms, Way};
use grants::Going;
use outliving::Outliving;

pub(crate) const NARROWED: &str = "narrowed-token";
pub(crate) const UPLOAD: &str = "upload-outlives";
pub(crate) const MINT: &str = "mint-when-disabled";
pub(crate) const ETAG: &str = "etag-unchanged";
pub(crate) const LENGTH: &str = "condition-length";
pub(crate) const PAM_WAY: &str = "pam-on-its-way";
pub(crate) const PAM_SHORTEST: &str = "pam-shortest";
pub(crate) const PAM_REVOKED: &str = "pam-revoked-first";

const IN_PAM: By = By::Trial("with `mode = \"pam\"`");

/// Every open question.
pub(crate) const QUESTIONS: &[Question] = &[
    Question {
        id: "disabling-in-force",
        asks: "How long after `disable` is the last token refused?",
        until_then: "`settle_seconds`, a minute by default",
        by: By::Times,
    },
    Question {
        id: NARROWED,
        asks: "Is one refused then that an access boundary narrowed?",
        until_then: "`cab` is not promised to end with its account",
        by: By::Trial("of objects with `mode = \"sa-pool\"`, without `standing`"),
    },
    Question {
        id: UPLOAD,
        asks: "Does disabling the account stop a resumable upload that it began?",
        until_then: "it is reckoned not to: `object-storage:write` lapses, and keeps its account \
            for a week",
        by: By::Trial(
            "of `object-storage:write` on a bucket or beneath a path, with an account that \
             carries one lease",
        ),
    },
    Question {
        id: MINT,
        asks: "What does `generateAccessToken` answer for a disabled account, and for how long \
            after `enable`?",
        until_then: "403 and `FAILED_PRECONDITION` are tried again until the deadline",
        by: By::Trial(
            "with an account that carries one lease, granted by the broker that rehearses",
        ),
    },
    Question {
        id: "late-calls",
        asks: "How late can a call still be acted on whose connection was cut?",
        until_then: "120 s are reckoned with",
        by: By::Elsewhere(
            "a call would have to be lost, and however long nothing came of it, it could still \
             come. Ask Google",
        ),
    },
    Question {
        id: ETAG,
        asks: "Is the etag of a policy that was written back unchanged another one?",
        until_then: "it is reckoned to be: whoever wrote second reads again",
        by: By::Trial("of a lease that is bound by the broker (`sa-pool`, `sa-binding`)"),
    },
    Question {
        id: LENGTH,
        asks: "How long may a condition's title and expression be?",
        until_then: "they are as long as a lease needs them, and what Google refuses is no lease",
        by: By::Trial(
            "of a lease that is bound, as far as it can be told: a longer one would have to be \
             written to be refused",
        ),
    },
    Question {
        id: PAM_WAY,
        asks: "How long is a grant of Privileged Access Manager on its way?",
        until_then: "it is waited for until `elevate_deadline_seconds`",
        by: IN_PAM,
    },
    Question {
        id: PAM_SHORTEST,
        asks: "Is there a shortest grant?",
        until_then: "the time that is left is asked for; entitlements themselves allow at least \
            half an hour",
        by: By::Trial(
            "with `mode = \"pam\"`, as far as it can be told: a shorter one would have to be \
             asked for, and is given if it may be",
        ),
    },
    Question {
        id: PAM_REVOKED,
        asks: "Does it say `REVOKED` before the binding is out of the policy?",
        until_then: "the policy is read as well",
        by: IN_PAM,
    },
];

impl Inquire for GcpAdapter {
    fn questions(&self) -> &'static [Question] {
        QUESTIONS
    }

    fn inquire(self: Arc<Self>, _: &lease::Terms, wanted: &[Wanted]) -> Box<dyn Inquiry> {
        Box::new(Asking {
            adapter: self,
            wanted: wanted.to_vec(),
            found: BTreeMap::new(),
            outliving: Outliving::default(),
            going: Going::default(),
        })
    }
}

/// The questions of one rehearsal.
struct Asking {
    adapter: Arc<GcpAdapter>,
    wanted: Vec<Wanted>,
    found: BTreeMap<&'static str, Finding>,
    outliving: Outliving,
    going: Going,
}

#[async_trait]
impl Inquiry for Asking {
    async fn look(&mut self, moment: Moment<'_>, shown: &Shown) {
        let adapter = Arc::clone(&self.adapter);
        match moment {
            Moment::Active(lease) => self.while_it_lives(lease, shown).await,
            Moment::Ending(lease) => {
                let Ok(plan) = terms(lease.terms()) else {
                    return;
                };
                self.going.look(&adapter, &plan).await;
                // Until then nothing has ended it.
                if let Some(since) = lease.written_at() {
                    let lease = lease.terms();
                    self.outliving
                        .look(&adapter, (lease, &self.wanted), shown, since)
                        .await;
                }
            }
            Moment::Over(lease) => {
                let Ok(plan) = terms(lease.terms()) else {
                    return;
                };
                self.going.look(&adapter, &plan).await;
                self.outliving
                    .look_again(&adapter, (lease.terms(), &self.wanted), shown)
                    .await;
            }
        }
    }

    async fn close(&mut self) {
        self.outliving.close(&self.adapter).await;
    }

    fn finding(&self, id: &str) -> Option<Finding> {
        let settle = self.adapter.config().settle();
        self.found
            .get(id)
            .cloned()
            .or_else(|| self.outliving.finding(id, settle))
            .or_else(|| self.going.finding(id))
    }
}

impl Asking {
    async fn while_it_lives(&mut self, lease: &Active, shown: &Shown) {
        let (adapter, terms_of) = (Arc::clone(&self.adapter), lease.terms());
        let Ok(plan) = terms(terms_of) else {
            return;
        };
        let noted = adapter.notes.of(&terms_of.handle);
        self.found.extend(elevation::findings(
            &noted,
            &plan,
            Duration::from_secs(adapter.config().elevate_deadline_seconds.into()),
        ));
        let length = adapter.condition_length(terms_of, &plan);
        self.found.extend(length.map(|finding| (LENGTH, finding)));
        if let Some(finding) = adapter.etag(&plan).await {
            self.found.insert(ETAG, finding);
        }
        // The account is disabled when the lease ends: what outlives that is to be learnt.
        if matches!(plan.way, Way::Own(_) | Way::Standing | Way::Entitled { .. }) {
            self.outliving
                .begin(&adapter, (terms_of, &self.wanted), &plan, shown)
                .await;
        }
    }
}

impl GcpAdapter {
    /// How long the lease's own condition is, which Google took.
    fn condition_length(&self, lease: &lease::Terms, plan: &Terms) -> Option<Finding> {
        let grant = plan.way.grants().first()?;
        let title = crate::stamp::title(&self.planner.installation, &lease.handle);
        let ends = crate::lending::condition_ends(lease.absolute_end);
        let expression = crate::condition::until(ends, grant.narrowed.as_ref());
        let why = "what is too long shows only when it is written, and what is not is written then";
        let seen = format!(
            "a title of {} and an expression of {} characters were taken",
            title.len(),
            expression.len()
        );
        Some(Finding {
            seen,
            ..Finding::unanswered(why)
        })
    }

    /// Writes a policy of the lease's back as it was read.
    async fn etag(&self, plan: &Terms) -> Option<Finding> {
        let on = &plan.way.grants().first()?.on;
        let written = self.policy(on).write_back(Purpose::Gives).await;
        Some(match written {
            Ok(Some(true)) => Finding::of(
                Answer::Yes,
                format!("the policy of {on} was written back as it was, and had another etag"),
            ),
            Ok(Some(false)) => Finding::of(
                Answer::No,
                format!("the policy of {on} was written back as it was, and kept its etag"),
            ),
            Ok(None) => Finding::unanswered("somebody else changed the policy meanwhile"),
            Err(fault) => Finding::unanswered(fault.logged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_core::question::table;

    #[test]
    fn the_readme_has_every_question() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(&table(QUESTIONS)), "{}", table(QUESTIONS));
    }
}
