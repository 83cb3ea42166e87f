//! What `run` returns when the command cannot say it: the codes of `sysexits.h`, and the shell's.
//! Otherwise it is the command's own code, exactly, or 128 and the signal that ended it.

use jitney_api::ProblemCode;

use crate::error::CallError;

/// The call itself is wrong: no command, a scope that is none.
pub const USAGE: u8 = 64;
/// The broker cannot be reached.
pub const UNREACHABLE: u8 = 69;
/// Our own mistake.
pub const INTERNAL: u8 = 70;
/// The same call may succeed later.
pub const TRY_AGAIN: u8 = 75;
/// The request was refused, or the lease was taken back.
pub const DENIED: u8 = 77;
/// Something must be configured differently: here, in the workflow, or at the broker.
pub const CONFIGURATION: u8 = 78;
/// The command is there and cannot be started.
pub const CANNOT_START: u8 = 126;
/// There is no such command.
pub const NO_COMMAND: u8 = 127;

/// What a signal adds to its number.
const SIGNALLED: i32 = 128;

/// The code of a command that a signal ended.
#[must_use]
pub fn by_signal(signal: i32) -> u8 {
    u8::try_from(SIGNALLED.saturating_add(signal)).unwrap_or(u8::MAX)
}

/// The code for a call that failed.
pub(crate) fn for_call(error: &CallError) -> u8 {
    match error {
        CallError::Unreachable { .. } | CallError::NoAnswer { .. } => UNREACHABLE,
        CallError::NotABroker { .. } => CONFIGURATION,
        CallError::Token(refusal) if refusal.may_pass() => TRY_AGAIN,
        CallError::Token(_) => CONFIGURATION,
        CallError::Body(_) => USAGE,
        CallError::Key(_) => INTERNAL,
        CallError::Refused(problem) => problem.known().map_or_else(
            || {
                if problem.status >= 500 {
                    TRY_AGAIN
                } else {
                    DENIED
                }
            },
            for_problem,
        ),
    }
}

fn for_problem(code: ProblemCode) -> u8 {
    match code {
        ProblemCode::BadScope | ProblemCode::BadRequest | ProblemCode::TooLarge => USAGE,
        ProblemCode::UnknownResource
        | ProblemCode::UnknownCapability
        | ProblemCode::CannotPlan
        | ProblemCode::UnknownIssuer
        | ProblemCode::BadAudience
        | ProblemCode::MethodNotAllowed
        | ProblemCode::UnsupportedMediaType => CONFIGURATION,
        ProblemCode::OverBudget
        | ProblemCode::NotGranted
        | ProblemCode::TryAgain
        | ProblemCode::Stopped
        | ProblemCode::Halted
        | ProblemCode::LedgerUnavailable
        | ProblemCode::IssuerUnreachable
        | ProblemCode::TooManyProofs
        | ProblemCode::Timeout
        | ProblemCode::Internal => TRY_AGAIN,
        ProblemCode::MissingToken
        | ProblemCode::MissingProof
        | ProblemCode::BadAlg
        | ProblemCode::BadHeader
        | ProblemCode::UnknownKey
        | ProblemCode::BadSignature
        | ProblemCode::TokenExpired
        | ProblemCode::TokenNotYetValid
        | ProblemCode::TokenTooOld
        | ProblemCode::TokenLifetimeTooLong
        | ProblemCode::MissingClaim
        | ProblemCode::BadClaim
        | ProblemCode::BadToken
        | ProblemCode::TokenTooLong
        | ProblemCode::TokenReplayed
        | ProblemCode::BadProof
        | ProblemCode::ProofTooLong
        | ProblemCode::ProofMismatch
        | ProblemCode::ProofKeyMismatch
        | ProblemCode::ProofTooOld
        | ProblemCode::ProofNotYetValid
        | ProblemCode::ProofReplayed
        | ProblemCode::Denied
        | ProblemCode::NotFound
        | ProblemCode::IdempotencyConflict
        | ProblemCode::AtAbsoluteEnd
        | ProblemCode::NeedsProofOfLife
        | ProblemCode::LeaseEnded => DENIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_api::Problem;

    fn code(problem: ProblemCode) -> u8 {
        for_call(&CallError::Refused(Box::new(Problem::new(problem, ""))))
    }

    #[test]
    fn refusals_are_told_apart() {
        assert_eq!(code(ProblemCode::Denied), 77);
        assert_eq!(code(ProblemCode::TokenReplayed), 77);
        assert_eq!(code(ProblemCode::LedgerUnavailable), 75);
        assert_eq!(code(ProblemCode::OverBudget), 75);
        assert_eq!(code(ProblemCode::UnknownResource), 78);
        assert_eq!(code(ProblemCode::BadScope), 64);
    }

    #[test]
    fn a_code_of_a_newer_broker_is_judged_by_its_status() {
        let strange = |status| {
            let mut problem = Problem::new(ProblemCode::Denied, "");
            problem.code = "teapot".to_owned();
            problem.status = status;
            for_call(&CallError::Refused(Box::new(problem)))
        };
        assert_eq!(strange(418), 77);
        assert_eq!(strange(599), 75);
    }

    #[test]
    fn signals_are_counted_from_128() {
        assert_eq!(by_signal(15), 143);
        assert_eq!(by_signal(2), 130);
        assert_eq!(by_signal(i32::MAX), 255);
    }
}
