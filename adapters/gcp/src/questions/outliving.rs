//! What might go on once a lease's account is disabled: an upload in pieces that was begun, and a
//! token that an access boundary narrowed. Both are made with the leased token while the lease
//! lives, as its job could have; neither gives anything that the lease does not, and neither leaves
//! anything.

use core::time::Duration;

use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::lease;
use jitney_core::probe::Probed;
use jitney_core::question::{Answer, Finding};
use jitney_core::scope::Path;
use jitney_core::time::Timestamp;
use zeroize::Zeroizing;

use super::{NARROWED, UPLOAD};
use crate::adapter::GcpAdapter;
use crate::boundary::Rule;
use crate::connect::Purpose;
use crate::elevate::ACCESS_TOKEN;
use crate::names::PolicyName;
use crate::probe::{creates, encoded};
use crate::slot::Token;
use crate::terms::{Terms, Way};
use crate::upload::{Pace, Piece, Upload};

/// A lease, and what it was asked for.
type Asked<'a> = (&'a lease::Terms, &'a [Wanted]);

/// What was made, and what became of it.
#[derive(Default)]
pub(super) struct Outliving {
    /// When the account was first read back as disabled.
    since: Option<Timestamp>,
    upload: Option<Upload>,
    /// Whether it was broken off in the end.
    broken_off: Option<bool>,
    upload_pace: Pace,
    upload_tries: Tries,
    narrowed: Narrowed,
}

/// A narrowed copy of the leased token, and what became of it. Its account is disabled and its
/// bindings are removed, so only an answer that is about the account tells of the account.
#[derive(Default)]
struct Narrowed {
    token: Option<Zeroizing<String>>,
    tries: Tries,
    /// The last time that it was taken while the leased token was refused for its account.
    outlived: Option<Duration>,
    /// When it was refused for something else.
    unbound: Option<(Duration, u16)>,
}

/// What became of the tries after the account was disabled. Times count from then.
#[derive(Debug, Default)]
struct Tries {
    /// Why there were none.
    untried: Option<String>,
    last_taken: Option<Duration>,
    refused: Option<(Duration, String)>,
    unknown: Option<String>,
}

impl Outliving {
    /// Begins what is to be looked at, while the lease lives.
    pub(super) async fn begin(
        &mut self,
        adapter: &GcpAdapter,
        asked: Asked<'_>,
        plan: &Terms,
        shown: &Shown,
    ) {
        let Some(token) = shown.field(ACCESS_TOKEN) else {
            return;
        };
        if let Some(begun) = adapter.begin_upload(asked, token).await {
            match begun {
                Ok(upload) => self.upload = Some(upload),
                Err(why) => self.upload_tries.untried = Some(why),
            }
        }
        if let Some(narrowed) = adapter.narrowed(asked, plan, token).await {
            match narrowed {
                Ok(narrowed) => self.narrowed.token = Some(narrowed),
                Err(why) => self.narrowed.tries.untried = Some(why),
            }
        }
    }

    /// Tries what was begun, now that the account is disabled.
    pub(super) async fn look(
        &mut self,
        adapter: &GcpAdapter,
        asked: Asked<'_>,
        shown: &Shown,
        disabled_at: Timestamp,
    ) {
        let since = *self.since.get_or_insert(disabled_at);
        let now = adapter.clock.now();
        if let Some(upload) = &mut self.upload
            && self.upload_tries.refused.is_none()
            && self.upload_pace.is_due(now)
        {
            let piece = upload.go_on(adapter.clients.of(Purpose::Gives)).await;
            self.upload_tries.piece(piece, now.since(since));
        }
        let whole = shown.field(ACCESS_TOKEN);
        if let Some((token, whole)) = self.narrowed.token.as_ref().zip(whole)
            && self.narrowed.is_open()
        {
            let whole = adapter.told_by(asked, whole).await;
            let narrowed = adapter.told_by(asked, token).await;
            self.narrowed.see(&narrowed, &whole, now.since(since));
        }
    }

    /// The same, once the lease is over.
    pub(super) async fn look_again(
        &mut self,
        adapter: &GcpAdapter,
        asked: Asked<'_>,
        shown: &Shown,
    ) {
        if let Some(since) = self.since {
            self.look(adapter, asked, shown, since).await;
        }
    }

    pub(super) async fn close(&mut self, adapter: &GcpAdapter) {
        self.narrowed.token = None;
        if let Some(upload) = self.upload.take() {
            let is_gone = upload.break_off(adapter.clients.of(Purpose::Gives)).await;
            if !is_gone {
                tracing::warn!(
                    "an upload that a rehearsal began could not be broken off: nobody \
                    has its address any more, and it ends by itself within a week"
                );
            }
            self.broken_off = Some(is_gone);
        }
    }

    pub(super) fn finding(&self, id: &str, settle: Duration) -> Option<Finding> {
        match id {
            UPLOAD => {
                let found = self.upload_tries.finding(settle, "a piece")?;
                let left = match self.broken_off {
                    Some(true) => "; it was broken off, and nothing is left",
                    Some(false) => {
                        "; it could not be broken off: nobody has its address, and it ends by \
                         itself within a week"
                    }
                    None => "",
                };
                let seen = format!("{}{left}", found.seen);
                let found = Finding { seen, ..found };
                Some(match found.answer {
                    // Its binding was removed as well: either is what the end of a lease does.
                    Answer::Yes => found.set(
                        "`ends_with_grant = true` of `object-storage:write`, in a catalogue of \
                         your own, once several rehearsals say so",
                    ),
                    Answer::No => found.set("a pool with `mode = \"cab\"` for what writes"),
                    Answer::Measured(_) | Answer::Unanswered { .. } => found,
                })
            }
            NARROWED => self.narrowed.finding(settle),
            _ => None,
        }
    }
}

impl Tries {
    fn piece(&mut self, piece: Piece, after: Duration) {
        match piece {
            Piece::Taken => self.last_taken = Some(after),
            Piece::Refused(status) => self.refused = Some((after, format!("with {status}"))),
            Piece::Unknown(why) => self.unknown = Some(why),
        }
    }

    /// What was taken only while the disabling may not have been in force everywhere says nothing.
    fn finding(&self, settle: Duration, what: &str) -> Option<Finding> {
        if let Some(why) = &self.untried {
            return Some(Finding::unanswered(why.as_str()));
        }
        let taken = self.last_taken.map_or_else(String::new, |taken| {
            format!(
                "{what} was taken {} s after the account was disabled",
                taken.as_secs()
            )
        });
        match (&self.refused, self.last_taken) {
            (Some((after, how)), _) => {
                let before = if taken.is_empty() {
                    taken
                } else {
                    format!("{taken}; ")
                };
                let after = after.as_secs();
                let seen = format!("{before}{what} was refused {after} s after it, {how}");
                Some(Finding::of(Answer::Yes, seen))
            }
            (None, Some(last)) if last >= settle => Some(Finding::of(Answer::No, taken)),
            (None, Some(_)) => {
                let why = "the settle time was not over when it was last tried";
                Some(Finding {
                    seen: taken,
                    ..Finding::unanswered(why)
                })
            }
            (None, None) => self.unknown.clone().map(Finding::unanswered),
        }
    }
}

/// What Google answers to a token: the status, and what it says; or why there is no answer.
type Told = Result<(u16, Probed), Probed>;

/// How Google refuses a token for its account.
const NOT_THE_ACCOUNT: u16 = 401;

impl Narrowed {
    fn is_open(&self) -> bool {
        self.tries.refused.is_none() && self.unbound.is_none()
    }

    fn see(&mut self, narrowed: &Told, whole: &Told, after: Duration) {
        let is_over = matches!(whole, Ok((NOT_THE_ACCOUNT, Probed::Refused)));
        match narrowed {
            Ok((_, Probed::Accepted)) => {
                self.tries.last_taken = Some(after);
                self.outlived = Some(after).filter(|_| is_over).or(self.outlived);
            }
            Ok((status @ NOT_THE_ACCOUNT, Probed::Refused)) => {
                self.tries.refused = Some((after, format!("with {status}")));
            }
            Ok((status, Probed::Refused)) => self.unbound = Some((after, *status)),
            Ok((_, other)) | Err(other) => {
                self.tries.unknown = Some(other.why().unwrap_or_default().to_owned());
            }
        }
    }

    fn finding(&self, settle: Duration) -> Option<Finding> {
        let found = self.tries.finding(settle, "the narrowed token");
        match (&self.tries.refused, self.outlived, self.unbound) {
            (Some(_), _, _) => found,
            (None, Some(outlived), unbound) if unbound.is_some() || outlived >= settle => {
                let seen = format!(
                    "the narrowed token was taken {} s after the account was disabled, when the \
                     leased one was refused for its account",
                    outlived.as_secs()
                );
                Some(Finding::of(Answer::No, seen))
            }
            (None, None, Some((after, status))) => Some(Finding::unanswered(format!(
                "it was refused with {status} {} s after the account was disabled, and so perhaps \
                 for its binding, which was removed as well",
                after.as_secs()
            ))),
            (None, _, None | Some(_)) => {
                let why = "the leased token was not yet refused for its account";
                found.map(|found| Finding {
                    answer: Answer::Unanswered {
                        why: why.to_owned(),
                    },
                    ..found
                })
            }
        }
    }
}

impl GcpAdapter {
    /// Begins an upload to a name that nobody has, if what was asked for creates objects. One piece
    /// is sent at once: of an upload that never went on no refusal says anything.
    async fn begin_upload(
        &self,
        (lease, wanted): Asked<'_>,
        token: &str,
    ) -> Option<Result<Upload, String>> {
        let wanted = wanted.iter().find(|wanted| creates(self, wanted))?;
        let Ok(PolicyName::Bucket(bucket)) = wanted.resource.native_id.parse() else {
            return None;
        };
        let name = format!("jitney-upload-{}", lease.handle);
        let name = match &wanted.scope.path {
            Path::Whole => name,
            Path::Prefix(prefix) => format!("{prefix}{name}"),
            // It is a name that somebody may have.
            Path::Exact(_) => return None,
        };
        let rest = self.clients.of(Purpose::Gives);
        let begun = Upload::begin(rest, &bucket, &encoded(&name), token).await;
        let mut upload = match begun {
            Ok(upload) => upload,
            Err(why) => return Some(Err(format!("no upload was begun: {why}"))),
        };
        let piece = upload.go_on(rest).await;
        if piece == Piece::Taken {
            return Some(Ok(upload));
        }
        upload.break_off(rest).await;
        Some(Err(format!(
            "no piece was taken while the account was enabled: {piece:?}"
        )))
    }

    /// The leased token, narrowed to what it is good for anyway.
    async fn narrowed(
        &self,
        asked: Asked<'_>,
        plan: &Terms,
        token: &str,
    ) -> Option<Result<Zeroizing<String>, String>> {
        let Way::Own(grants) = &plan.way else {
            return None;
        };
        let rules = grants.iter().map(|grant| match &grant.on {
            PolicyName::Bucket(bucket) => Some(Rule {
                bucket: bucket.clone(),
                role: grant.role.clone(),
                narrowed: grant.narrowed.clone(),
            }),
            PolicyName::Project(_) => None,
        });
        let rules: Vec<Rule> = rules.collect::<Option<_>>()?;
        let whole = Token {
            secret: token.to_owned(),
            // It ends when the one that it is made from does.
            expires_at: Timestamp::FAR_FUTURE,
        };
        let narrowed = match self.narrow(whole, &rules).await {
            Ok(narrowed) => narrowed,
            Err(fault) => return Some(Err(fault.logged)),
        };
        let narrowed = Zeroizing::new(narrowed.secret);
        Some(match self.told_by(asked, &narrowed).await {
            Ok((_, Probed::Accepted)) => Ok(narrowed),
            Ok((_, other)) | Err(other) => Err(format!(
                "the narrowed token was not accepted while its account was enabled ({})",
                other.as_str()
            )),
        })
    }

    /// What Google answers to a token of the lease, about what was asked for first.
    async fn told_by(&self, (lease, wanted): Asked<'_>, token: &str) -> Told {
        match wanted.first() {
            Some(wanted) => self.asked_with(lease, wanted, token).await,
            None => Err(Probed::of_all([])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn tries(pieces: &[(u64, Piece)]) -> &'static str {
        let mut tries = Tries::default();
        for (after, piece) in pieces {
            tries.piece(piece.clone(), Duration::from_secs(*after));
        }
        let found = tries.finding(SETTLE, "a piece");
        found.map_or("none", |found| found.answer.as_str())
    }

    #[test]
    fn what_goes_on_counts_only_once_the_settle_time_is_over() {
        let unknown = || Piece::Unknown("503".to_owned());
        assert_eq!(tries(&[]), "none");
        assert_eq!(tries(&[(1, Piece::Taken)]), "unanswered");
        assert_eq!(tries(&[(1, Piece::Taken), (30, Piece::Taken)]), "no");
        assert_eq!(
            tries(&[(1, Piece::Taken), (29, Piece::Taken)]),
            "unanswered"
        );
        assert_eq!(
            tries(&[(1, Piece::Taken), (20, Piece::Refused(401))]),
            "yes"
        );
        assert_eq!(tries(&[(1, unknown()), (40, unknown())]), "unanswered");
        // An answer that is none makes none of another.
        assert_eq!(tries(&[(30, Piece::Taken), (40, unknown())]), "no");
    }

    fn narrowed(looks: &[(u64, Told, Told)]) -> &'static str {
        let mut narrowed = Narrowed::default();
        for (after, copy, whole) in looks {
            if narrowed.is_open() {
                narrowed.see(copy, whole, Duration::from_secs(*after));
            }
        }
        let found = narrowed.finding(SETTLE);
        found.map_or("none", |found| found.answer.as_str())
    }

    #[test]
    fn only_what_is_refused_for_its_account_ended_with_it() {
        let works = || Ok((200, Probed::Accepted));
        let refused = |status| Ok((status, Probed::Refused));
        let lost = || {
            Err(Probed::Unknown {
                why: "cut".to_owned(),
            })
        };
        let both = (1, works(), works());
        assert_eq!(narrowed(&[]), "none");
        assert_eq!(
            narrowed(&[both.clone(), (9, refused(401), refused(401))]),
            "yes"
        );
        // It worked on for a while, and then no more.
        let late = (9, works(), refused(401));
        assert_eq!(
            narrowed(&[late.clone(), (20, refused(401), refused(401))]),
            "yes"
        );
        assert_eq!(narrowed(&[late.clone(), (30, works(), refused(401))]), "no");
        assert_eq!(
            narrowed(&[late.clone(), (20, refused(403), refused(401))]),
            "no"
        );
        assert_eq!(narrowed(std::slice::from_ref(&late)), "unanswered");
        // Its binding was gone first, or the disabling never came into force.
        assert_eq!(
            narrowed(&[both.clone(), (9, refused(403), refused(403))]),
            "unanswered"
        );
        assert_eq!(narrowed(&[both, (60, works(), works())]), "unanswered");
        assert_eq!(narrowed(&[(9, lost(), refused(401))]), "unanswered");
    }

    #[test]
    fn what_was_not_begun_is_not_answered() {
        let tries = Tries {
            untried: Some("403".to_owned()),
            ..Tries::default()
        };
        let found = tries.finding(SETTLE, "a piece");
        assert_eq!(found, Some(Finding::unanswered("403")));
    }
}
