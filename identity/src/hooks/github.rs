//! GitHub's `workflow_job` events, signed over the whole body (`X-Hub-Signature-256`).

use aws_lc_rs::hmac;
use jitney_core::principal::JobKey;
use serde::Deserialize;

use super::{Heard, NotHeard, WeakSecret, checked, not_understood};
use crate::github::job_key;

/// Carries the event's name.
const EVENT: &str = "x-github-event";
/// Carries `sha256=` and the body's HMAC in hexadecimal.
const SIGNATURE: &str = "x-hub-signature-256";

/// A webhook of one GitHub.
pub struct GithubHook {
    issuer: String,
    key: hmac::Key,
}

#[derive(Deserialize)]
struct Event {
    action: String,
    workflow_job: WorkflowJob,
    repository: Repository,
}

/// A job by its ids. Its names (`name`, `workflow_name`, `head_branch`) are for people.
#[derive(Deserialize)]
struct WorkflowJob {
    run_id: u64,
    run_attempt: u64,
    /// Ends in the number that the job's tokens carry as `check_run_id`.
    check_run_url: String,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

impl GithubHook {
    /// A hook for jobs whose tokens have this `iss`.
    ///
    /// # Errors
    /// When the secret is too short to be one.
    pub fn new(issuer: &str, secret: &[u8]) -> Result<Self, WeakSecret> {
        Ok(Self {
            issuer: issuer.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, checked(secret)?),
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
        let signature = header(SIGNATURE)
            .and_then(|value| value.strip_prefix("sha256="))
            .and_then(bytes);
        // Before anything of the body is read: in constant time, as the library promises.
        let believed = signature.is_some_and(|tag| hmac::verify(&self.key, body, &tag).is_ok());
        if !believed {
            return Err(NotHeard::NotBelieved(format!(
                "the call has no header `{SIGNATURE}` that fits its body: the hook's secret at \
                 GitHub and the broker's `webhooks.github.secret_file` must be the same"
            )));
        }
        if header(EVENT) != Some("workflow_job") {
            return Ok(Heard::Other);
        }
        let event: Event = serde_json::from_slice(body).map_err(|e| not_understood(&e))?;
        if event.action != "completed" {
            return Ok(Heard::Other);
        }
        Ok(Heard::JobEnded(self.job(&event)?))
    }

    fn job(&self, event: &Event) -> Result<JobKey, NotHeard> {
        let job = &event.workflow_job;
        let check_run = job.check_run_url.rsplit_once("/check-runs/");
        let check_run = check_run.and_then(|(_, id)| id.parse::<u64>().ok());
        let check_run = check_run.ok_or_else(|| {
            NotHeard::NotUnderstood("the event's `check_run_url` ends in no check run".to_owned())
        })?;
        Ok(job_key(
            &self.issuer,
            &event.repository.id.to_string(),
            &job.run_id.to_string(),
            &job.run_attempt.to_string(),
            &check_run.to_string(),
        ))
    }
}

/// Reads hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let pairs = digits.as_chunks::<2>().0.iter();
    Some(pairs.map(|[high, low]| high << 4 | low).collect())
}
