//! What we write beside everything we ask for in Azure, so that it can be told from what others
//! did: whose it is, which lease it is for, and how far our ledger had come.
//!
//! ```text
//! jitney INSTALLATION HANDLE gives MARK lease LEASE repository ID run ID/ATTEMPT
//! jitney INSTALLATION HANDLE ends MARK
//! ```
//!
//! In a role assignment it is the description, in a request of PIM the justification. Whoever may
//! write those may copy it; that a handle is genuine is core's to judge.

use jitney_core::adapter::Mark;
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use jitney_core::lease;
use jitney_core::principal::Job;
use serde::{Deserialize, Serialize};

/// The longest word that comes from outside.
const WORD_CHARACTERS_MAX: usize = 64;

/// Which job a lease is for, as the cloud's own log should tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobLabels {
    pub(crate) repository: String,
    pub(crate) run: String,
}

impl JobLabels {
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            repository: word(&job.repository.id),
            run: word(&format!("{}/{}", job.run_id, job.run_attempt)),
        }
    }
}

/// A text as one word. What does not belong is replaced: these labels are for people and for
/// nothing that decides.
fn word(text: &str) -> String {
    let word: String = text
        .chars()
        .take(WORD_CHARACTERS_MAX)
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c) => c,
            _ => '_',
        })
        .collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// The stamp on what gives.
pub(crate) fn gives(
    installation: &InstallationName,
    lease: &lease::Terms,
    mark: Mark,
    job: &JobLabels,
) -> String {
    let (handle, lease) = (&lease.handle, lease.id);
    let JobLabels { repository, run } = job;
    format!(
        "jitney {installation} {handle} gives {mark} lease {lease} repository {repository} run {run}"
    )
}

/// The stamp on what takes away.
pub(crate) fn ends(installation: &InstallationName, handle: &Handle, mark: Mark) -> String {
    format!("jitney {installation} {handle} ends {mark}")
}

/// A stamp of this installation, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) handle: Handle,
    /// How far the ledger had come.
    pub(crate) mark: Mark,
    /// Whether it takes away.
    pub(crate) ends: bool,
}

impl Stamp {
    /// Reads a stamp, if it is one and of this installation.
    pub(crate) fn read(installation: &InstallationName, text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some("jitney") || words.next() != Some(installation.as_str()) {
            return None;
        }
        let handle = Handle::try_from(words.next()?.to_owned()).ok()?;
        let ends = match words.next()? {
            "gives" => false,
            "ends" => true,
            _ => return None,
        };
        let mark = mark(words.next()?)?;
        Some(Self { handle, mark, ends })
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (era, sequence) = text.split_once('.')?;
    Some(Mark {
        era: era.parse().ok()?,
        sequence: sequence.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const HANDLE: &str = "0123456789abcdefghj";

    fn acme() -> InstallationName {
        "acme".parse().unwrap()
    }

    fn handle() -> Handle {
        Handle::try_from(HANDLE.to_owned()).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let mark = Mark {
            era: 1,
            sequence: 20,
        };
        let text = ends(&acme(), &handle(), mark);
        let expected = Stamp {
            handle: handle(),
            mark,
            ends: true,
        };
        assert_eq!(Stamp::read(&acme(), &text), Some(expected.clone()));
        let given = format!("jitney acme {HANDLE} gives 1.20 lease x repository 77 run 42/1");
        let ends = false;
        assert_eq!(
            Stamp::read(&acme(), &given),
            Some(Stamp { ends, ..expected })
        );
    }

    #[test]
    fn what_others_write_is_no_stamp_of_ours() {
        for other in [
            String::new(),
            "jitney".to_owned(),
            format!("jitney acme-2 {HANDLE} gives 1.1 x"),
            format!("jitney  acme {HANDLE} gives 1.1 x"),
            format!("see jitney acme {HANDLE} gives 1.1 x"),
            "jitney acme short gives 1.1 x".to_owned(),
            format!("jitney acme {HANDLE}"),
            format!("jitney acme {HANDLE} lends 1.1"),
            format!("jitney acme {HANDLE} gives"),
            format!("jitney acme {HANDLE} ends 1"),
            format!("jitney acme {HANDLE} ends 1.x"),
        ] {
            assert_eq!(Stamp::read(&acme(), &other), None, "{other}");
        }
    }

    proptest! {
        /// A job names its repository and run. It must not be able to write a stamp of its own.
        #[test]
        fn a_word_from_outside_is_one_word(text in "\\PC{0,80}") {
            let word = word(&text);
            prop_assert!(!word.is_empty() && word.len() <= WORD_CHARACTERS_MAX);
            prop_assert!(!word.contains(' '));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = Stamp::read(&acme(), &text);
        }
    }
}
