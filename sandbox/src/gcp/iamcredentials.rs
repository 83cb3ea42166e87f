//! IAM Credentials: short-lived tokens of service accounts.
//!
//! `generateAccessToken` is judged by google-cloud-iam and google-auth. `generateIdToken`, `signBlob` and `signJwt`
//! are refused to everybody: what they sign outlives every revocation, and nothing is to depend on them.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::access::Target;
use super::cloud::whole_second;
use super::directory::{Account, Directory};
use super::errors::{ApiError, Code};
use super::principals::Principal;
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::schema::{Fields, Kind, read_duration};
use super::tokens::{Issue, Origin};
use crate::call::Answer;

pub(crate) const GET_ACCESS_TOKEN: &str = "iam.serviceAccounts.getAccessToken";
const IMPLICIT_DELEGATION: &str = "iam.serviceAccounts.implicitDelegation";
/// The scope, besides that for everything, that IAM Credentials takes: google-auth asks with it.
pub(crate) const IAM_SCOPE: &str = "https://www.googleapis.com/auth/iam";

const LIFETIME_DEFAULT_SECONDS: i64 = 3_600;
/// The longest life of an ordinary account's token.
const LIFETIME_SECONDS_MAX: i64 = 3_600;
/// The longest life where an organization policy allows more.
const LONG_LIFETIME_SECONDS_MAX: i64 = 43_200;

const GENERATE_ACCESS_TOKEN: Kind = Kind::Object(&[
    ("delegates", Kind::List(&Kind::Text)),
    ("scope", Kind::List(&Kind::Text)),
    ("lifetime", Kind::Duration),
]);
const GENERATE_ID_TOKEN: Kind = Kind::Object(&[
    ("delegates", Kind::List(&Kind::Text)),
    ("audience", Kind::Text),
    ("includeEmail", Kind::Flag),
    ("organizationNumberIncluded", Kind::Flag),
]);
const SIGN: Kind = Kind::Object(&[
    ("delegates", Kind::List(&Kind::Text)),
    ("payload", Kind::Text),
]);

pub(crate) const ROUTES: &[Route] = &[
    Route {
        service: Service::IamCredentials,
        action: "GenerateAccessToken",
        method: Method::POST,
        path: "/v1/projects/{project}/serviceAccounts/{account}:generateAccessToken",
        query: &[],
        body: Body::Json(&GENERATE_ACCESS_TOKEN),
        caller: CallerBy::Token,
        handler: generate_access_token,
    },
    Route {
        service: Service::IamCredentials,
        action: "GenerateIdToken",
        method: Method::POST,
        path: "/v1/projects/{project}/serviceAccounts/{account}:generateIdToken",
        query: &[],
        body: Body::Json(&GENERATE_ID_TOKEN),
        caller: CallerBy::Token,
        handler: refuse_to_sign,
    },
    Route {
        service: Service::IamCredentials,
        action: "SignBlob",
        method: Method::POST,
        path: "/v1/projects/{project}/serviceAccounts/{account}:signBlob",
        query: &[],
        body: Body::Json(&SIGN),
        caller: CallerBy::Token,
        handler: refuse_to_sign,
    },
    Route {
        service: Service::IamCredentials,
        action: "SignJwt",
        method: Method::POST,
        path: "/v1/projects/{project}/serviceAccounts/{account}:signJwt",
        query: &[],
        body: Body::Json(&SIGN),
        caller: CallerBy::Token,
        handler: refuse_to_sign,
    },
];

fn generate_access_token(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let caller = incoming.caller(&[IAM_SCOPE])?;
    check_wildcard(incoming)?;
    let scopes = read_scopes(incoming)?;
    let delegates = read_delegates(incoming)?;
    let directory = incoming.cloud.directory.read();
    let chain = Chain {
        directory: &directory,
        now: incoming.now,
    };
    let account = chain.walk(
        &caller.principal,
        &delegates,
        incoming.capture("account"),
        GET_ACCESS_TOKEN,
    )?;
    // A narrowed token speaks for its account in Cloud Storage only.
    if caller.boundary.is_some() {
        return Err(ApiError::denied(GET_ACCESS_TOKEN, "").into());
    }
    let lifetime = read_lifetime(incoming, account)?;
    if !incoming.cloud.settings.ignores_disabling() && account.is_disabled(incoming.now) {
        let refusal = match incoming.cloud.settings.habits().disabled_is_precondition {
            true => ApiError::new(Code::FailedPrecondition, "The service account is disabled."),
            false => ApiError::denied(GET_ACCESS_TOKEN, ""),
        };
        return Err(refusal.into());
    }
    let principal = account.principal();
    drop(directory);
    let expires = whole_second(incoming.now)
        .saturating_add(lifetime)
        .map_err(|_| ApiError::invalid("Invalid lifetime."))?;
    let token = incoming.cloud.issue(Issue {
        principal,
        scopes,
        expires,
        boundary: None,
        origin: Origin::Impersonation,
    });
    Ok(incoming.ok(&json!({ "accessToken": token, "expireTime": expires.to_string() })))
}

fn refuse_to_sign(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    incoming.caller(&[IAM_SCOPE])?;
    let permission = match incoming.call.path.rsplit_once(':') {
        Some((_, "generateIdToken")) => "iam.serviceAccounts.getOpenIdToken",
        Some((_, "signJwt")) => "iam.serviceAccounts.signJwt",
        _ => "iam.serviceAccounts.signBlob",
    };
    Err(ApiError::denied(permission, "").into())
}

/// The account is named without its project, and any other way to name it is invalid.
fn check_wildcard(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    if incoming.capture("project") == "-" {
        return Ok(());
    }
    Err(ApiError::bad_field(
        "name",
        "Invalid form of account ID. Should be [Gaia ID |Email |Unique ID |] of the account, under projects/-.",
    ))
}

fn read_scopes(incoming: &Incoming<'_>) -> Result<Vec<String>, ApiError> {
    let scopes = incoming.body.texts("scope");
    if scopes.is_empty() {
        return Err(ApiError::bad_field("scope", "Scope required."));
    }
    let is_scope = |scope: &String| {
        scope.starts_with("https://www.googleapis.com/auth/")
            || ["openid", "email", "profile"].contains(&scope.as_str())
    };
    match scopes.iter().find(|scope| !is_scope(scope)) {
        Some(wrong) => Err(ApiError::bad_field(
            "scope",
            format!("Invalid scope: {wrong}."),
        )),
        None => Ok(scopes),
    }
}

fn read_delegates(incoming: &Incoming<'_>) -> Result<Vec<String>, ApiError> {
    let delegates = incoming.body.texts("delegates").into_iter().map(|delegate| {
        let account = delegate.strip_prefix("projects/-/serviceAccounts/").filter(|name| !name.contains('/'));
        account.map(str::to_owned).ok_or_else(|| {
            let message = format!(
                "Invalid delegate: {delegate}. It must have the form projects/-/serviceAccounts/ACCOUNT."
            );
            ApiError::bad_field("delegates", message)
        })
    });
    delegates.collect()
}

fn read_lifetime(incoming: &Incoming<'_>, account: &Account) -> Result<SignedDuration, ApiError> {
    let asked = incoming.body.text("lifetime").and_then(read_duration);
    let lifetime = asked.unwrap_or_else(|| SignedDuration::from_secs(LIFETIME_DEFAULT_SECONDS));
    if lifetime <= SignedDuration::ZERO {
        return Err(ApiError::bad_field(
            "lifetime",
            "Lifetime must be positive.",
        ));
    }
    if lifetime > SignedDuration::from_secs(LONG_LIFETIME_SECONDS_MAX) {
        return Err(ApiError::bad_field(
            "lifetime",
            "Lifetime must not be more than 12 hours.",
        ));
    }
    if lifetime > SignedDuration::from_secs(LIFETIME_SECONDS_MAX) && !account.long_lifetimes {
        return Err(ApiError::bad_field(
            "lifetime",
            format!(
                "Access tokens for service account {} can not have lifetimes of more than 1 hour. Use the Org Policy \
                 Constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours.",
                account.email
            ),
        ));
    }
    Ok(lifetime)
}

impl Account {
    pub(crate) fn principal(&self) -> Principal {
        Principal::Account {
            unique_id: self.unique_id.clone(),
            email: self.email.clone(),
        }
    }
}

/// The way from a caller over its delegates to an account. Each step needs a right on the next account.
pub(crate) struct Chain<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) now: Timestamp,
}

impl<'a> Chain<'a> {
    /// The account at the end; a missing one looks like a missing right.
    pub(crate) fn walk(
        &self,
        caller: &Principal,
        delegates: &[String],
        account: &str,
        permission: &str,
    ) -> Result<&'a Account, ApiError> {
        let mut hand = caller.clone();
        for delegate in delegates {
            hand = self
                .step(&hand, delegate, IMPLICIT_DELEGATION, permission)?
                .principal();
        }
        self.step(&hand, account, permission, permission)
    }

    fn step(
        &self,
        hand: &Principal,
        account: &str,
        needed: &str,
        shown: &str,
    ) -> Result<&'a Account, ApiError> {
        let found = self.directory.account(account).filter(|account| {
            let target = Target::account(&account.project, &account.unique_id);
            self.directory.grants(Some(hand), needed, &target, self.now)
        });
        found.ok_or_else(|| ApiError::denied(shown, ""))
    }
}
