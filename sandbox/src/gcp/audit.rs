//! The sandbox's own books: questions about the cloud that no API answers.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::access::{Target, Verdict};
use super::cloud::Cloud;
use super::directory::{Directory, Resource};
use super::founding::EstateError;
use super::iamcredentials::{GET_ACCESS_TOKEN, IAM_SCOPE};
use super::principals::Principal;
use super::storage::{self, UploadInfo};
use super::tokens::{CLOUD_PLATFORM, CLOUD_PLATFORM_READ_ONLY, Issue, Origin, Token, TokenInfo};

/// Everything that gives a principal rights, now or perhaps later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// As a policy names it.
    pub principal: String,
    /// For service accounts: whether its tokens are taken now.
    pub account: Option<AccountState>,
    /// Bindings that name it and count now, or will once their lag is over. Conditions are told, not judged.
    pub bindings: Vec<StandingBinding>,
    /// Tokens that are taken now.
    pub live_tokens: Vec<TokenInfo>,
    /// Tokens that are refused only because their account is disabled: they wake when it is enabled.
    pub sleeping_tokens: Vec<TokenInfo>,
    /// Uploads that whoever holds their URI can still finish.
    pub uploads: Vec<UploadInfo>,
}

/// What a service account's tokens meet now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// They are taken.
    Enabled,
    /// They are refused until it is enabled again.
    Disabled,
    /// They are refused.
    Deleted,
}

/// A role in a principal's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingBinding {
    /// As `projects/acme-prod`, `projects/_/buckets/artifacts-prod`, `projects/acme-prod/serviceAccounts/…`.
    pub resource: String,
    /// The role.
    pub role: String,
    /// The title of the condition.
    pub title: Option<String>,
    /// The expression of the condition.
    pub expression: Option<String>,
}

impl Cloud {
    /// Everything that gives a principal rights; it is named by address, with or without its kind, or by member.
    pub(crate) fn standing(&self, who: &str) -> Standing {
        let now = self.clock.now();
        let principal = self.principal(who);
        let member = principal
            .as_ref()
            .map_or_else(|| who.to_owned(), Principal::member);
        let (live_tokens, sleeping_tokens) = self.tokens_of(&member, now);
        let directory = self.directory.read();
        let uploads = self.objects.read().open_uploads(now);
        Standing {
            account: member
                .strip_prefix("serviceAccount:")
                .map(|email| state(&directory, email, now)),
            bindings: bindings(&directory, principal.as_ref(), &member, now),
            live_tokens,
            sleeping_tokens,
            uploads: uploads
                .into_iter()
                .filter(|upload| upload.principal == member)
                .collect(),
            principal: member,
        }
    }

    fn tokens_of(&self, member: &str, now: Timestamp) -> (Vec<TokenInfo>, Vec<TokenInfo>) {
        let all = self.tokens.all().into_iter();
        let own = all.filter(|token| token.principal.member() == member && now < token.expires);
        let (live, sleeping): (Vec<_>, Vec<_>) =
            own.partition(|token| self.check_alive(token).is_ok());
        let infos =
            |tokens: Vec<std::sync::Arc<Token>>| tokens.iter().map(|token| token.info()).collect();
        (infos(live), infos(sleeping))
    }

    /// What would be decided now if the token of this fingerprint were used. `None` when there is no such token, or no
    /// such resource.
    pub(crate) fn would_allow(
        &self,
        fingerprint: &str,
        permission: &str,
        resource: &str,
    ) -> Option<Verdict> {
        let token = self
            .tokens
            .all()
            .into_iter()
            .find(|token| token.fingerprint == fingerprint)?;
        let target = self.directory.read().target(resource)?;
        if self.check_alive(&token).is_err() {
            return Some(Verdict::TokenRefused);
        }
        let scopes = match permission.split_once('.') {
            Some(("storage", _)) => storage::scopes_for(permission),
            Some(("resourcemanager", _)) if permission.contains(".get") => {
                &[CLOUD_PLATFORM_READ_ONLY]
            }
            _ if permission == GET_ACCESS_TOKEN => &[IAM_SCOPE],
            _ => &[],
        };
        if !token.has_scope(scopes) {
            return Some(Verdict::OutOfScope);
        }
        Some(self.decide(Some(&token), permission, &target))
    }

    /// A token as if the principal's own workload had asked for one.
    pub(crate) fn token_for(
        &self,
        who: &str,
        scopes: Option<Vec<String>>,
        lifetime_seconds: Option<i64>,
    ) -> Option<String> {
        const LIFETIME_DEFAULT_SECONDS: i64 = 3_600;
        let lifetime =
            SignedDuration::from_secs(lifetime_seconds.unwrap_or(LIFETIME_DEFAULT_SECONDS));
        Some(
            self.issue(Issue {
                principal: self.principal(who)?,
                scopes: scopes.unwrap_or_else(|| vec![CLOUD_PLATFORM.to_owned()]),
                expires: self
                    .clock
                    .now()
                    .saturating_add(lifetime)
                    .unwrap_or(Timestamp::MAX),
                boundary: None,
                origin: Origin::Sandbox,
            }),
        )
    }

    /// Back to the estate, with an empty journal and no offsets.
    pub(crate) fn reset(&self) -> Result<(), EstateError> {
        self.faults.clear();
        self.clock.set_offset_seconds(0);
        self.clock.set_wire_offset_seconds(0);
        self.populate()?;
        self.journal.clear();
        Ok(())
    }
}

fn state(directory: &Directory, email: &str, now: Timestamp) -> AccountState {
    match directory.account(email) {
        None => AccountState::Deleted,
        Some(account) if account.is_disabled(now) => AccountState::Disabled,
        Some(_) => AccountState::Enabled,
    }
}

fn bindings(
    directory: &Directory,
    principal: Option<&Principal>,
    member: &str,
    now: Timestamp,
) -> Vec<StandingBinding> {
    let means = |held: &str| {
        held == member || principal.is_some_and(|principal| principal.is_meant_by(held))
    };
    let policies = directory.policies.iter();
    policies
        .flat_map(|(resource, policy)| policy.held().iter().map(move |held| (resource, held)))
        .filter(|(_, held)| means(&held.member) && !held.is_gone(now))
        .map(|(resource, held)| StandingBinding {
            resource: directory.name_of(resource),
            role: held.role.clone(),
            title: held
                .condition
                .as_ref()
                .map(|condition| condition.title.clone()),
            expression: held
                .condition
                .as_ref()
                .map(|condition| condition.expression.text().to_owned()),
        })
        .collect()
}

impl Directory {
    fn name_of(&self, resource: &Resource) -> String {
        match resource {
            Resource::Project(id) => format!("projects/{id}"),
            Resource::Bucket(name) => format!("projects/_/buckets/{name}"),
            Resource::Account(id) => match self.accounts.get(id) {
                Some(account) => format!(
                    "projects/{}/serviceAccounts/{}",
                    account.project, account.email
                ),
                None => format!("projects/-/serviceAccounts/{id}"),
            },
        }
    }

    /// The thing of this name: a project, a service account, a bucket or an object.
    pub(crate) fn target(&self, name: &str) -> Option<Target> {
        if let Some(rest) = name.strip_prefix("projects/_/buckets/") {
            let (bucket, object) = match rest.split_once("/objects/") {
                Some((bucket, object)) => (bucket, Some(object)),
                None => (rest, None),
            };
            self.buckets.get(bucket)?;
            return Some(match object {
                Some(object) => Target::object(bucket, object),
                None => Target::bucket(bucket),
            });
        }
        let rest = name.strip_prefix("projects/")?;
        match rest.split_once("/serviceAccounts/") {
            Some((_, account)) => self.account(account).map(|account| account.target()),
            None => self
                .project(rest)
                .map(|project| Target::project(&project.id)),
        }
    }
}
