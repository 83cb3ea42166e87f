//! GitLab CI: what keys a job. Tokens of GitLab are not verified yet.

use jitney_core::principal::JobKey;

/// What a job is, and no other. A retried job is another job with another id.
pub(crate) fn job_key(issuer: &str, project_id: &str, job_id: &str) -> JobKey {
    JobKey::from_parts([issuer, project_id, job_id])
}
