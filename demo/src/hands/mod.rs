//! A job's hands: what it does in a cloud with the credential it was given.

mod blob;
mod gcs;
mod s3;

pub use blob::BlobHands;
pub use gcs::GcsHands;
pub use s3::S3Hands;

/// What the cloud answered: `200 PutObject`, or `403 AccessDenied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// The operation that went through, or the cloud's code of the refusal.
    pub said: String,
}

impl Answer {
    /// There was none.
    pub fn none() -> Self {
        Self {
            status: 0,
            said: "no answer".to_owned(),
        }
    }

    /// Whether the cloud let it through.
    pub const fn is_ok(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// Whether the cloud refused it for want of rights, and for no other reason: each in its own
    /// words, and Google also because the account is disabled.
    pub fn is_refused(&self) -> bool {
        matches!(
            (self.status, self.said.as_str()),
            (
                403,
                "AccessDenied" | "AuthorizationPermissionMismatch" | "forbidden"
            ) | (401, "authError")
        )
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.said)
    }
}
