//! What can go wrong, by name.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A broker dies, at a call of a port: before it, in it or after it.
    Crash,
    /// A broker is stopped, and woken after its work may have been taken.
    Pause,
    /// A broker's clock is set, within what a cloud's adapter accepts.
    ClockJump,
    /// The ledger cannot be read.
    ReadRefused,
    /// The ledger takes no commit.
    CommitRefused,
    /// The answer to a commit is lost. It was applied or it was not.
    CommitLost,
    /// The answer to a commit is lost, and it is applied later.
    CommitLate,
    /// The ledger cannot be written for a while, and now and then not read either.
    LedgerOut,
    /// A call that gives is turned away, to come again later.
    MintThrottled,
    /// A call that gives is turned away for good.
    MintDenied,
    /// A call that gives never arrives.
    MintLost,
    /// A call that gives is carried out, and its answer is lost.
    MintAnswerLost,
    /// A call that gives is carried out after the broker hung up.
    MintLate,
    /// A call that takes back is turned away, to come again later.
    RevokeThrottled,
    /// A call that takes back is turned away for good.
    RevokeDenied,
    /// A call that takes back never arrives.
    RevokeLost,
    /// A call that takes back is carried out, and its answer is lost.
    RevokeAnswerLost,
    /// A call that takes back is carried out after the broker hung up.
    RevokeLate,
    /// A cloud does not answer at all, for up to more than a day.
    CloudDown,
    /// A stranger undoes what ends sessions.
    Undone,
    /// The ledger is restored from a copy, and has forgotten up to an hour.
    Restored,
    /// A client hangs up in the middle of its request.
    HangUp,
    /// A job is gone without a word.
    Silence,
    /// The policy no longer allows what it did.
    PolicyDenies,
    /// What was given is said not to exist by the cloud that gave it.
    Unseen,
    /// What was given cannot be taken away yet.
    Floor,
    /// A policy was changed by others between our read and our write.
    PolicyChanged,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 27] = [
        Self::Crash,
        Self::Pause,
        Self::ClockJump,
        Self::ReadRefused,
        Self::CommitRefused,
        Self::CommitLost,
        Self::CommitLate,
        Self::LedgerOut,
        Self::MintThrottled,
        Self::MintDenied,
        Self::MintLost,
        Self::MintAnswerLost,
        Self::MintLate,
        Self::RevokeThrottled,
        Self::RevokeDenied,
        Self::RevokeLost,
        Self::RevokeAnswerLost,
        Self::RevokeLate,
        Self::CloudDown,
        Self::Undone,
        Self::Restored,
        Self::HangUp,
        Self::Silence,
        Self::PolicyDenies,
        Self::Unseen,
        Self::Floor,
        Self::PolicyChanged,
    ];

    /// In words, for a table and a trace.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "broker dies",
            Self::Pause => "broker stands still",
            Self::ClockJump => "clock is set",
            Self::ReadRefused => "ledger cannot be read",
            Self::CommitRefused => "commit refused",
            Self::CommitLost => "commit's answer lost",
            Self::CommitLate => "commit lands late",
            Self::LedgerOut => "ledger takes nothing",
            Self::MintThrottled => "mint throttled",
            Self::MintDenied => "mint denied",
            Self::MintLost => "mint lost",
            Self::MintAnswerLost => "mint's answer lost",
            Self::MintLate => "mint lands late",
            Self::RevokeThrottled => "revocation throttled",
            Self::RevokeDenied => "revocation denied",
            Self::RevokeLost => "revocation lost",
            Self::RevokeAnswerLost => "revocation's answer lost",
            Self::RevokeLate => "revocation lands late",
            Self::CloudDown => "cloud is down",
            Self::Undone => "a stranger undoes it",
            Self::Restored => "ledger goes back in time",
            Self::HangUp => "client hangs up",
            Self::Silence => "job falls silent",
            Self::PolicyDenies => "policy denies",
            Self::Unseen => "grant not seen yet",
            Self::Floor => "grant cannot be taken yet",
            Self::PolicyChanged => "policy changed by others",
        }
    }

    /// What can go wrong with a kind of call.
    #[must_use]
    pub const fn of(call: Call) -> &'static [Self] {
        match call {
            Call::Step => &[Self::Crash, Self::Pause],
            Call::Read => &[Self::ReadRefused],
            Call::Commit => &[Self::CommitRefused, Self::CommitLost, Self::CommitLate],
            Call::Mint => &[
                Self::MintThrottled,
                Self::MintDenied,
                Self::MintLost,
                Self::MintAnswerLost,
                Self::MintLate,
            ],
            Call::Revoke => &[
                Self::RevokeThrottled,
                Self::RevokeDenied,
                Self::RevokeLost,
                Self::RevokeAnswerLost,
                Self::RevokeLate,
            ],
            Call::Ask => &[Self::HangUp],
            Call::Beat => &[Self::Silence],
            Call::Renewal => &[Self::PolicyDenies],
        }
    }

    /// How rarely it strikes, one time in so many, in a world where it is rare and in one where it
    /// is common.
    #[must_use]
    pub const fn odds(self) -> (u64, u64) {
        match self {
            Self::Crash | Self::Pause => (2_000, 150),
            Self::ReadRefused => (500, 60),
            Self::CommitRefused | Self::CommitLost | Self::CommitLate => (60, 12),
            Self::MintThrottled
            | Self::MintDenied
            | Self::MintLost
            | Self::MintAnswerLost
            | Self::MintLate => (24, 8),
            Self::RevokeThrottled
            | Self::RevokeDenied
            | Self::RevokeLost
            | Self::RevokeAnswerLost
            | Self::RevokeLate => (24, 6),
            Self::HangUp | Self::PolicyDenies => (12, 4),
            Self::Silence => (120, 30),
            Self::CloudDown | Self::Undone | Self::ClockJump => (3, 1),
            Self::Restored => (12, 4),
            Self::LedgerOut => (8, 2),
            // These strike by themselves, where a cloud is so.
            Self::Unseen | Self::Floor | Self::PolicyChanged => (0, 0),
        }
    }
}

/// Where something can go wrong in a broker or a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Between any two steps.
    Step,
    /// A question to the ledger.
    Read,
    /// A commit.
    Commit,
    /// A call that gives.
    Mint,
    /// A call that takes back.
    Revoke,
    /// A job's request.
    Ask,
    /// A job's sign of life.
    Beat,
    /// A job's wish to have its lease renewed.
    Renewal,
}

impl Call {
    /// Its name, where dice are drawn by it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Read => "read",
            Self::Commit => "commit",
            Self::Mint => "mint",
            Self::Revoke => "revoke",
            Self::Ask => "ask",
            Self::Beat => "beat",
            Self::Renewal => "renewal",
        }
    }
}
