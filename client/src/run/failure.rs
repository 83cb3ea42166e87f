//! Why there was no command to run, or no lease to run it with: a text and an exit code.

use jitney_api::Problem;

use super::child::CannotStart;
use super::exit;
use super::export::CannotExport;
use super::notice::say;
use crate::error::CallError;

/// A run that did not come to its command's own end.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    pub exit: u8,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(exit::USAGE, text)
    }

    pub(crate) fn configuration(text: impl Into<String>) -> Self {
        Self::new(exit::CONFIGURATION, text)
    }

    pub(crate) fn try_again(text: impl Into<String>) -> Self {
        Self::new(exit::TRY_AGAIN, text)
    }

    pub(crate) fn new(exit: u8, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            exit,
        }
    }

    /// Tells the job.
    pub(crate) fn announce(&self) {
        say(&self.text);
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = exit::for_call(&error);
        let text = match &error {
            CallError::Refused(problem) => told(problem),
            _ => format!("{error} ({})", error.code()),
        };
        Self { text, exit }
    }
}

/// A problem as a person reads it: what, why, by which rule, and what to name when asking.
fn told(problem: &Problem) -> String {
    let detail = if problem.detail.is_empty() {
        &problem.title
    } else {
        &problem.detail
    };
    let code = match &problem.cause {
        Some(cause) => format!("{}, {cause}", problem.code),
        None => problem.code.clone(),
    };
    let mut lines = vec![format!("{detail} ({code})")];
    let reasons = problem.reasons.iter().filter(|reason| *reason != detail);
    lines.extend(reasons.map(|reason| format!("  because {reason}")));
    if !problem.rules.is_empty() {
        lines.push(format!("  by {}", problem.rules.join(", ")));
    }
    if let Some(request) = &problem.request {
        lines.push(format!("  request {request}"));
    }
    lines.join("\n")
}

impl From<CannotExport> for Failure {
    fn from(error: CannotExport) -> Self {
        Self::configuration(error.to_string())
    }
}

impl From<CannotStart> for Failure {
    fn from(error: CannotStart) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_api::ProblemCode;

    #[test]
    fn a_denial_says_why_and_by_which_rule() {
        let mut problem = Problem::new(ProblemCode::Denied, "no rule allows it");
        problem.reasons = vec!["the ref is `refs/heads/x`, expected `refs/heads/main`".to_owned()];
        problem.rules = vec!["allow-deploy".to_owned()];
        problem.request = Some("req_1".to_owned());
        let failure = Failure::from(CallError::Refused(Box::new(problem)));
        assert_eq!(failure.exit, exit::DENIED);
        assert_eq!(
            failure.text,
            "no rule allows it (denied)\n  because the ref is `refs/heads/x`, expected \
             `refs/heads/main`\n  by allow-deploy\n  request req_1"
        );
    }
}
