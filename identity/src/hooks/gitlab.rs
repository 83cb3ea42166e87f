//! GitLab's job events. GitLab shows the secret itself (`X-Gitlab-Token`) and signs nothing, so a
//! call is as good as the line it came over.

use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use serde::Deserialize;

use super::{Heard, NotHeard, WeakSecret, checked, not_understood};
use crate::gitlab::job_key;

/// Carries the event's name.
const EVENT: &str = "x-gitlab-event";
/// Carries the secret.
const TOKEN: &str = "x-gitlab-token";

/// A job in one of these does nothing more. `canceling` is none: `after_script` still runs.
const TERMINAL: &[&str] = &["canceled", "failed", "skipped", "success"];

/// A webhook of one GitLab.
pub struct GitlabHook {
    issuer: String,
    secret: Digest,
}

#[derive(Deserialize)]
struct Event {
    build_id: u64,
    build_status: String,
    project_id: u64,
}

impl GitlabHook {
    /// A hook for jobs whose tokens have this `iss`.
    ///
    /// # Errors
    /// When the secret is too short to be one.
    pub fn new(issuer: &str, secret: &[u8]) -> Result<Self, WeakSecret> {
        Ok(Self {
            issuer: issuer.to_owned(),
            secret: digest(&SHA256, checked(secret)?),
        })
    }

    /// Reads one call. `header` gives a header's value by its lower-case name.
    ///
    /// # Errors
    /// When it does not show the secret, or cannot be understood.
    pub fn hear<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<Heard, NotHeard> {
        let shown = header(TOKEN).map(|token| digest(&SHA256, token.as_bytes()));
        // Digests, so that not even the secret's length can be told from the time it takes.
        let believed = shown.is_some_and(|shown| {
            constant_time::verify_slices_are_equal(shown.as_ref(), self.secret.as_ref()).is_ok()
        });
        if !believed {
            return Err(NotHeard::NotBelieved(format!(
                "the call has no header `{TOKEN}` with the hook's secret: it must be the same at \
                 GitLab and in the broker's `webhooks.gitlab.secret_file`"
            )));
        }
        if header(EVENT) != Some("Job Hook") {
            return Ok(Heard::Other);
        }
        let event: Event = serde_json::from_slice(body).map_err(|e| not_understood(&e))?;
        if !TERMINAL.contains(&event.build_status.as_str()) {
            return Ok(Heard::Other);
        }
        let (project, job) = (event.project_id.to_string(), event.build_id.to_string());
        Ok(Heard::JobEnded(job_key(&self.issuer, &project, &job)))
    }
}
