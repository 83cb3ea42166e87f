//! Keys, whose they are, and the sessions the cloud has given out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evaluate::Policy;
use super::tags::Tags;
use crate::shared::Shared;

/// Whose key it is.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    Anonymous,
    Root { account: String },
    User { account: String, name: String },
    Session(Arc<Session>),
}

/// One session of a role, with everything that was settled when it was made. It cannot be changed afterwards.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) account: String,
    pub(crate) role_name: String,
    pub(crate) role_id: String,
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    /// Passed tags and those inherited from a chained session; the role's own tags are looked up at use.
    pub(crate) tags: Tags,
    /// Keys, in lower case, that go on to the next session in a chain.
    pub(crate) transitive_keys: Vec<String>,
    pub(crate) source_identity: Option<String>,
    /// The session policy as passed.
    pub(crate) policy: Option<Policy>,
    /// The managed policies passed as session policies.
    pub(crate) policy_arns: Vec<String>,
    pub(crate) caller_arn: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

impl Session {
    pub(crate) fn arn(&self) -> String {
        format!(
            "arn:aws:sts::{}:assumed-role/{}/{}",
            self.account, self.role_name, self.session_name
        )
    }

    /// The value of `aws:userid`.
    pub(crate) fn user_id(&self) -> String {
        format!("{}:{}", self.role_id, self.session_name)
    }

    pub(crate) fn info(&self) -> SessionInfo {
        SessionInfo {
            access_key_id: self.access_key_id.clone(),
            role_arn: self.role_arn.clone(),
            role_id: self.role_id.clone(),
            session_name: self.session_name.clone(),
            session_arn: self.arn(),
            tags: self.tags.to_map(),
            source_identity: self.source_identity.clone(),
            session_policy: self
                .policy
                .as_ref()
                .map(|policy| policy.source().to_owned()),
            session_policy_arns: self.policy_arns.clone(),
            caller_arn: self.caller_arn.clone(),
            issued: self.issued,
            expires: self.expires,
        }
    }
}

/// What the sandbox knows of one session it gave out. The secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// `ASIA…`; names the session in [`crate::aws::AwsSandbox::would_allow`].
    pub access_key_id: String,
    /// The role.
    pub role_arn: String,
    /// The role's unique id.
    pub role_id: String,
    /// The `RoleSessionName`.
    pub session_name: String,
    /// `arn:aws:sts::…:assumed-role/Role/SessionName`
    pub session_arn: String,
    /// Session tags, passed and inherited.
    pub tags: BTreeMap<String, String>,
    /// The source identity, if one was set.
    pub source_identity: Option<String>,
    /// The inline session policy as it was passed.
    pub session_policy: Option<String>,
    /// Managed policies passed as session policies.
    pub session_policy_arns: Vec<String>,
    /// Who asked for it.
    pub caller_arn: String,
    /// Policy time of issue.
    #[serde(with = "crate::time_text")]
    pub issued: Timestamp,
    /// Policy time of expiry.
    #[serde(with = "crate::time_text")]
    pub expires: Timestamp,
}

/// A key that signs.
pub(crate) struct Key {
    pub(crate) secret: String,
    /// The session token that must come with it.
    pub(crate) token: Option<String>,
    pub(crate) owner: Principal,
}

impl Key {
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        matches!(&self.owner, Principal::Session(session) if session.expires <= now)
    }
}

/// Every key by its id, and every session in the order of issue.
#[derive(Default)]
pub(crate) struct Keyring {
    keys: Shared<HashMap<String, Arc<Key>>>,
    sessions: Shared<Vec<Arc<Session>>>,
}

impl Keyring {
    pub(crate) fn add(&self, access_key_id: &str, key: Key) {
        self.keys
            .write()
            .insert(access_key_id.to_owned(), Arc::new(key));
    }

    pub(crate) fn add_session(&self, session: Arc<Session>, secret: String, token: String) {
        let key = Key {
            secret,
            token: Some(token),
            owner: Principal::Session(Arc::clone(&session)),
        };
        self.add(&session.access_key_id, key);
        self.sessions.write().push(session);
    }

    pub(crate) fn key(&self, access_key_id: &str) -> Option<Arc<Key>> {
        self.keys.read().get(access_key_id).cloned()
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions.read().clone()
    }

    pub(crate) fn clear(&self) {
        self.keys.write().clear();
        self.sessions.write().clear();
    }
}
