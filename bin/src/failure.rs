//! Why a command did not do what it was asked, and the code that the process then returns: those
//! of `sysexits.h`, so that a pipeline can tell them apart.

use core::fmt;

/// A step of the demonstration was not as promised.
pub const BROKEN_PROMISE: u8 = 1;
/// The doctor found something wrong.
pub const UNWELL: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// Data is not what it should be: an audit log that was tampered with.
pub const BAD_DATA: u8 = 65;
/// Something that is needed cannot be reached or read.
pub const UNREACHABLE: u8 = 69;
/// Our own mistake.
pub const INTERNAL: u8 = 70;
/// The broker refuses.
pub const REFUSED: u8 = 77;
/// Something must be configured differently.
pub const CONFIGURATION: u8 = 78;

/// A failure, for the person who typed the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process returns.
    pub exit: u8,
    /// A stable code.
    pub code: &'static str,
    /// What was seen, what was expected, where to change it.
    pub told: String,
}

impl Failure {
    pub fn new(exit: u8, code: &'static str, told: impl fmt::Display) -> Self {
        Self {
            exit,
            code,
            told: told.to_string(),
        }
    }

    pub fn configuration(code: &'static str, told: impl fmt::Display) -> Self {
        Self::new(CONFIGURATION, code, told)
    }

    pub fn unreachable(code: &'static str, told: impl fmt::Display) -> Self {
        Self::new(UNREACHABLE, code, told)
    }

    pub fn internal(told: impl fmt::Display) -> Self {
        Self::new(INTERNAL, "internal", told)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.told, self.code)
    }
}
