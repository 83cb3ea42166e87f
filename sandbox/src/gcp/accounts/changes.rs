//! What makes, describes, enables, disables and deletes an account.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{found, project};
use crate::call::Answer;
use crate::gcp::cloud::BLANK_ETAG;
use crate::gcp::directory::{Account, Directory, Face};
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::policy::{Document, PolicyState};
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::Fields;

const ACCOUNTS_MAX: usize = 100;
const DESCRIPTION_BYTES_MAX: usize = 256;
const DISPLAY_NAME_BYTES_MAX: usize = 100;

pub(super) fn create(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming, "iam.serviceAccounts.create")?;
    incoming.cloud.rates.take_iam_write(&project.id)?;
    let name = incoming.body.text("accountId").unwrap_or_default();
    if !is_account_id(name) {
        let message = format!(
            "Invalid account ID {name}: it must match [a-z]([-a-z0-9]*[a-z0-9]), 6 to 30 characters."
        );
        return Err(ApiError::bad_field("account_id", message).into());
    }
    let mut face = Face {
        etag: incoming.cloud.identifiers.etag(),
        ..Face::default()
    };
    face.take_over(&given(incoming), &["displayName", "description"])?;
    let unique_id = incoming.cloud.identifiers.account_id();
    let account = Account::new(unique_id, &project.id, name, face);
    let answer = account.as_json(incoming.now);
    let mut directory = incoming.cloud.directory.write();
    check_room(&directory, &account)?;
    let blank = PolicyState::settled(Document::blank(BLANK_ETAG));
    directory.policies.insert(account.resource(), blank);
    directory
        .accounts
        .insert(account.unique_id.clone(), account);
    Ok(incoming.ok(&answer))
}

fn is_account_id(name: &str) -> bool {
    let is_inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    (6..=30).contains(&name.len())
        && name.starts_with(|char: char| char.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(is_inner)
}

fn check_room(directory: &Directory, account: &Account) -> Result<(), ApiError> {
    if directory.account(&account.email).is_some() {
        let message = format!(
            "Service account {} already exists within project projects/{}.",
            account.email, account.project
        );
        return Err(ApiError::new(Code::AlreadyExists, message));
    }
    let accounts = directory.accounts.values();
    let held = accounts.filter(|held| held.project == account.project && !held.deleted);
    if held.count() >= ACCOUNTS_MAX {
        let message = "Maximum number of service accounts on project reached.";
        return Err(ApiError::new(Code::Exhausted, message));
    }
    Ok(())
}

/// The account in the body.
fn given(incoming: &Incoming<'_>) -> Value {
    let given = incoming.body.get("serviceAccount").cloned();
    given.unwrap_or_else(|| json!({}))
}

impl Face {
    /// Takes over the fields of this mask.
    fn take_over(&mut self, given: &Value, mask: &[&str]) -> Result<(), ApiError> {
        for name in mask {
            let text = given.text(name).unwrap_or_default();
            let (field, bytes_max) = match *name {
                "displayName" | "display_name" => (&mut self.display_name, DISPLAY_NAME_BYTES_MAX),
                "description" => (&mut self.description, DESCRIPTION_BYTES_MAX),
                other => {
                    let message = format!("Invalid field mask: {other}.");
                    return Err(ApiError::bad_field("update_mask", message));
                }
            };
            if text.len() > bytes_max {
                let message = format!("The {name} is longer than {bytes_max} bytes.");
                return Err(ApiError::bad_field(name, message));
            }
            text.clone_into(field);
        }
        Ok(())
    }
}

pub(super) fn patch(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.update")?;
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let given = given(incoming);
    let mask = incoming
        .body
        .text("updateMask")
        .ok_or_else(|| ApiError::bad_field("update_mask", "An update mask is required."))?;
    let mask: Vec<&str> = mask.split(',').map(str::trim).collect();
    let mut directory = incoming.cloud.directory.write();
    let account = directory.account_mut(&account.unique_id)?;
    let mut face = account.face.written().clone();
    if given.text("etag").is_some_and(|etag| etag != face.etag) {
        let message = "There were concurrent changes. Please retry the whole read-modify-write.";
        return Err(ApiError::new(Code::Stale, message).into());
    }
    face.take_over(&given, &mask)?;
    face.etag = incoming.cloud.identifiers.etag();
    let answer = account.with(&face);
    show(incoming, account, face);
    Ok(incoming.ok(&answer))
}

pub(super) fn delete(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.delete")?;
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let mut directory = incoming.cloud.directory.write();
    directory.account_mut(&account.unique_id)?.deleted = true;
    Ok(incoming.ok(&json!({})))
}

pub(super) fn enable(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.enable")?;
    turn(incoming, &account, false)
}

pub(super) fn disable(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.disable")?;
    turn(incoming, &account, true)
}

/// Enables or disables an account. Whether it already was is not told.
fn turn(incoming: &Incoming<'_>, account: &Account, disabled: bool) -> Result<Answer, Failure> {
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let lags = incoming.cloud.settings.lags();
    let lag = if disabled {
        lags.disable_seconds
    } else {
        lags.enable_seconds
    };
    let mut directory = incoming.cloud.directory.write();
    let account = directory.account_mut(&account.unique_id)?;
    account
        .disabled
        .write(incoming.now, later(incoming.now, lag), disabled);
    let face = Face {
        disabled,
        etag: incoming.cloud.identifiers.etag(),
        ..account.face.written().clone()
    };
    show(incoming, account, face);
    Ok(incoming.ok(&json!({})))
}

/// Writes what reads show, once they have caught up.
fn show(incoming: &Incoming<'_>, account: &mut Account, face: Face) {
    let lag = incoming.cloud.settings.lags().read_seconds;
    account
        .face
        .write(incoming.now, later(incoming.now, lag), face);
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    let lag = SignedDuration::from_secs(seconds);
    now.saturating_add(lag).unwrap_or(Timestamp::MAX)
}
