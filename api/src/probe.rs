//! A probe on the wire: whoever holds a credential shows it to the broker once more, which asks the
//! cloud, says what it answered, and keeps nothing.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::credential::Secret;

/// The credential, as it was handed out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeBody {
    /// Its secret parts, by name.
    pub fields: BTreeMap<String, Secret>,
}

impl fmt::Debug for ProbeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeBody").finish_non_exhaustive()
    }
}

/// What the cloud says of it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeAnswer {
    /// It does what the lease says.
    Accepted,
    /// It does not.
    Refused,
    /// No harmless call can tell.
    CannotTell,
    /// There was no clear answer this time.
    #[serde(other)]
    Unknown,
}

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeView {
    /// What the cloud says.
    pub answer: ProbeAnswer,
    /// Why there is no clear answer, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How soon a grant is in force by the provider's word, in seconds; 0 means at once.
    pub in_force_within_seconds: u32,
    /// The provider's word.
    pub in_force_says: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_word_that_is_new_to_a_reader_is_no_answer() {
        let read = |word: &str| serde_json::from_str::<ProbeAnswer>(word).unwrap();
        assert_eq!(read("\"accepted\""), ProbeAnswer::Accepted);
        assert_eq!(read("\"cannot-tell\""), ProbeAnswer::CannotTell);
        assert_eq!(read("\"splendid\""), ProbeAnswer::Unknown);
    }

    #[test]
    fn debug_never_shows_a_field() {
        let body: ProbeBody = serde_json::from_str(r#"{"fields":{"a":"canary-1d"}}"#).unwrap();
        assert!(!format!("{body:?}").contains("canary"));
        assert!(serde_json::to_string(&body).unwrap().contains("canary"));
    }
}
