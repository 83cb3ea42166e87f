//! Which tags a new session carries: those passed, and those a chained session hands on.

use crate::aws::credentials::{Principal, Session};
use crate::aws::errors::AwsError;
use crate::aws::tags::Tags;

use super::parameters::Wanted;

/// The tags of a session to be, and which of them go on to the next.
pub(crate) struct SessionTags {
    pub(crate) tags: Tags,
    pub(crate) transitive_keys: Vec<String>,
}

impl SessionTags {
    /// A key handed on by the calling session cannot be passed again: otherwise a job could change the tag that
    /// its revocation is keyed on.
    pub(crate) fn of(wanted: &Wanted, caller: &Principal) -> Result<SessionTags, AwsError> {
        let inherited = inherited(caller);
        if let Some(key) = inherited
            .keys()
            .iter()
            .find(|key| wanted.tags.contains(key))
        {
            return Err(AwsError::validation(format!(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag \
                 key from the calling session: {key}"
            )));
        }
        let mut tags = wanted.tags.clone();
        let mut transitive_keys = wanted.transitive_keys.clone();
        for (key, value) in inherited.iter() {
            tags.set(key, value);
            transitive_keys.push(key.to_lowercase());
        }
        Ok(SessionTags {
            tags,
            transitive_keys,
        })
    }
}

fn inherited(caller: &Principal) -> Tags {
    let mut tags = Tags::default();
    if let Some(session) = chained_from(caller) {
        for (key, value) in session
            .tags
            .iter()
            .filter(|(key, _)| session.transitive_keys.contains(&key.to_lowercase()))
        {
            tags.set(key, value);
        }
    }
    tags
}

/// The calling session, when a session makes a session.
pub(crate) fn chained_from(caller: &Principal) -> Option<&Session> {
    match caller {
        Principal::Session(session) => Some(session),
        Principal::Anonymous | Principal::Root { .. } | Principal::User { .. } => None,
    }
}
