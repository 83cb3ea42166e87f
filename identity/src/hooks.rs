//! Webhooks: a CI system says that a job is over. A hook is believed for its secret; what it says
//! becomes a job's key by ids alone, the same that the job's tokens have, so that it can name that
//! job and no other. Whatever else a CI reports is nothing to us.

mod github;
mod gitlab;

pub use github::GithubHook;
pub use gitlab::GitlabHook;

use jitney_core::principal::JobKey;

/// The largest event that is read, in bytes.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// The shortest secret that a hook may have, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

/// A hook's secret is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {0} characters: expected at least {SECRET_BYTES_MIN}, made by chance")]
pub struct WeakSecret(usize);

/// What a call to a hook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This job is over.
    JobEnded(JobKey),
    /// Something that ends no job.
    Other,
}

/// Why a call to a hook is not heard. The texts are for whoever set the hook up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// It does not show the secret.
    #[error("{0}")]
    NotBelieved(String),
    /// It shows the secret, and cannot be understood.
    #[error("{0}")]
    NotUnderstood(String),
}

/// A secret as it stands in a file: a line end does not belong to it.
fn checked(secret: &[u8]) -> Result<&[u8], WeakSecret> {
    let secret = secret.trim_ascii();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(WeakSecret(secret.len()));
    }
    Ok(secret)
}

fn not_understood(error: &serde_json::Error) -> NotHeard {
    NotHeard::NotUnderstood(format!(
        "the event cannot be read at line {}, column {}: is the hook's content type \
         `application/json`?",
        error.line(),
        error.column()
    ))
}
