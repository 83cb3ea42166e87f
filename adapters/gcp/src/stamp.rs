//! What we write on what we make, so that whoever looks knows whose it is, for which lease, how far
//! the ledger was, and until when it must not be used again.
//!
//! An account carries its stamp in its description. That is a second memory beside the ledger: a
//! ledger that was restored from a backup does not know which leases an account carried, and would
//! wake their tokens by enabling it.

use jitney_core::adapter::{Epoch, Hand, Mark};
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use jitney_core::time::Timestamp;

use crate::condition::whole_second;

/// What an account is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It carries a lease.
    Lent,
    /// It is disabled, until nothing that was issued for it can be alive.
    Rests,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lent => "lent",
            Self::Rests => "rests",
        }
    }
}

/// The stamp on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// What it is doing.
    pub phase: Phase,
    /// For whom, or after whom.
    pub held: Held,
    /// In which epoch it was last written.
    pub epoch: Epoch,
    /// How far the ledger was.
    pub mark: Mark,
    /// Until when a token of it can be alive by Google's clock, with all that is derived.
    pub until: Timestamp,
}

impl Stamp {
    /// Whether whoever wrote it knows more than this hand: its ledger, or its claim, was later.
    #[must_use]
    pub fn is_later_than(&self, hand: Hand) -> bool {
        self.mark > hand.mark || self.epoch > hand.epoch
    }

    fn text(&self, installation: &InstallationName) -> String {
        format!(
            "{}{} {} e{} m{} until {}",
            ours(installation),
            self.phase.as_str(),
            self.held,
            self.epoch.0,
            self.mark,
            whole_second(self.until)
        )
    }

    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let &[phase, held, epoch, mark, "until", until] = words.as_slice() else {
            return None;
        };
        let phase = [Phase::Lent, Phase::Rests]
            .into_iter()
            .find(|known| known.as_str() == phase)?;
        Some(Self {
            phase,
            held: Held::try_from(held.to_owned()).ok()?,
            epoch: Epoch(number(epoch.strip_prefix('e')?)?),
            mark: mark_of(mark.strip_prefix('m')?)?,
            until: until.parse().ok()?,
        })
    }
}

/// What an account's description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// Nothing of Jitney's.
    Unstamped,
    /// A stamp of this installation's.
    Ours(Stamp),
    /// A stamp of another installation's, or one of ours that somebody has changed. Nobody can say
    /// what the account carries.
    Unreadable,
}

impl Described {
    /// Reads a description.
    #[must_use]
    pub fn read(description: &str, installation: &InstallationName) -> Self {
        match description.strip_prefix(&ours(installation)) {
            Some(text) => Stamp::read(text).map_or(Self::Unreadable, Self::Ours),
            None if description.starts_with(ANYBODYS) => Self::Unreadable,
            None => Self::Unstamped,
        }
    }

    /// The stamp, if it is ours.
    #[must_use]
    pub const fn stamp(&self) -> Option<&Stamp> {
        match self {
            Self::Ours(stamp) => Some(stamp),
            Self::Unstamped | Self::Unreadable => None,
        }
    }
}

/// The description that carries a stamp, or none.
#[must_use]
pub fn description(stamp: Option<&Stamp>, installation: &InstallationName) -> String {
    stamp.map_or_else(String::new, |stamp| stamp.text(installation))
}

const ANYBODYS: &str = "jitney:";

fn ours(installation: &InstallationName) -> String {
    format!("{ANYBODYS}{installation} ")
}

/// The title of a lease's bindings.
pub(crate) fn title(installation: &InstallationName, handle: &Handle) -> String {
    format!("{ANYBODYS}{installation}:{handle}")
}

/// The lease whose binding bears this title, if it is one of this installation's.
pub(crate) fn handle_of(title: &str, installation: &InstallationName) -> Option<Handle> {
    let handle = title
        .strip_prefix(ANYBODYS)?
        .strip_prefix(installation.as_str())?
        .strip_prefix(':')?;
    Handle::try_from(handle.to_owned()).ok()
}

/// What the condition of a binding says beside its title: how far the ledger was.
pub(crate) fn note(mark: Mark) -> String {
    format!("{NOTE}{mark}")
}

/// The mark that such a note tells.
pub(crate) fn mark_of_note(note: &str) -> Option<Mark> {
    mark_of(note.strip_prefix(NOTE)?)
}

const NOTE: &str = "a lease of Jitney's, granted at ";

fn mark_of(text: &str) -> Option<Mark> {
    let (era, sequence) = text.split_once('.')?;
    Some(Mark {
        era: u32::try_from(number(era)?).ok()?,
        sequence: number(sequence)?,
    })
}

/// A number as we write it: digits and no sign.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn acme() -> InstallationName {
        "acme".parse().unwrap()
    }

    fn handle(number: u64) -> Handle {
        Handle::try_from(format!("{number:019}")).unwrap()
    }

    fn stamp() -> Stamp {
        Stamp {
            phase: Phase::Rests,
            held: Held::Grant(handle(7)),
            epoch: Epoch(3),
            mark: Mark {
                era: 1,
                sequence: 4_711,
            },
            until: Timestamp::from_seconds(1_795_392_000),
        }
    }

    #[test]
    fn a_stamp_is_short_and_reads_like_a_sentence() {
        let text = description(Some(&stamp()), &acme());
        assert_eq!(
            text,
            "jitney:acme rests 0000000000000000007 e3 m1.4711 until 2026-11-23T00:00:00Z"
        );
        assert_eq!(Described::read(&text, &acme()), Described::Ours(stamp()));
        assert_eq!(description(None, &acme()), "");
        // What Google takes for a description, with the longest names and numbers there are.
        let longest = Stamp {
            held: Held::IssuedBefore(Timestamp::FAR_FUTURE),
            epoch: Epoch(u64::MAX),
            mark: Mark {
                era: u32::MAX,
                sequence: u64::MAX,
            },
            ..stamp()
        };
        let name = "a".repeat(64).parse().unwrap();
        assert!(description(Some(&longest), &name).len() <= 256);
    }

    #[test]
    fn what_is_not_a_stamp_of_ours_is_not_taken_for_one() {
        assert_eq!(Described::read("", &acme()), Described::Unstamped);
        assert_eq!(
            Described::read("for deploys", &acme()),
            Described::Unstamped
        );
        let ours = description(Some(&stamp()), &acme());
        for changed in [
            ours.replace("acme", "acme-2"),
            ours.replace("rests", "sleeps"),
            ours.replace("m1.4711", "m1"),
            ours.replace("m1.4711", "m1.+4711"),
            ours.replace("e3", "3"),
            ours.replace("until ", ""),
            ours.replace("2026-11-23", "tomorrow"),
            format!("{ours} and more"),
        ] {
            let read = Described::read(&changed, &acme());
            assert_eq!(read, Described::Unreadable, "{changed}");
        }
    }

    #[test]
    fn a_title_is_that_of_one_installation_and_one_lease() {
        let title = title(&acme(), &handle(7));
        assert_eq!(handle_of(&title, &acme()), Some(handle(7)));
        for foreign in [
            "jitney:acme-2:0000000000000000007",
            "jitney:acme:000000000000000007",
            "jitney:acme:0000000000000000007 ",
            "xjitney:acme:0000000000000000007",
            "jitney:acme",
            "expires soon",
        ] {
            assert_eq!(handle_of(foreign, &acme()), None, "{foreign}");
        }
        let mark = Mark {
            era: 2,
            sequence: 9,
        };
        assert_eq!(mark_of_note(&note(mark)), Some(mark));
        assert_eq!(mark_of_note("granted"), None);
    }

    proptest! {
        #[test]
        fn every_stamp_reads_back(
            lent in any::<bool>(),
            (number, moment) in (0_u64..u64::MAX, prop::option::of(0_i64..4_000_000_000)),
            (epoch, era, sequence) in any::<(u64, u32, u64)>(),
            until in 0_i64..4_000_000_000,
        ) {
            let cut = moment.map(|at| Held::IssuedBefore(Timestamp::from_seconds(at)));
            let stamp = Stamp {
                phase: if lent { Phase::Lent } else { Phase::Rests },
                held: cut.unwrap_or(Held::Grant(handle(number % 1_000_000))),
                epoch: Epoch(epoch),
                mark: Mark { era, sequence },
                until: Timestamp::from_seconds(until),
            };
            let text = description(Some(&stamp), &acme());
            prop_assert_eq!(Described::read(&text, &acme()), Described::Ours(stamp));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = Described::read(&format!("jitney:acme {text}"), &acme());
            let _ = handle_of(&text, &acme());
        }
    }
}
