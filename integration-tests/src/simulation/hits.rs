//! Which faults met leases in which states: what a run has really tried.

use core::fmt;
use std::collections::BTreeMap;

use super::fault::Fault;

/// The states of a lease, as the ledger names them.
pub const STATES: [&str; 4] = ["elevating", "active", "revoking", "ended"];

/// How often each fault struck while there was a lease in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits(BTreeMap<(Fault, &'static str), u64>);

impl Hits {
    /// A fault struck while a lease was in a state.
    pub fn hit(&mut self, fault: Fault, state: &str) {
        if let Some(state) = STATES.iter().find(|name| **name == state) {
            *self.0.entry((fault, state)).or_default() += 1;
        }
    }

    /// Adds what another world has tried.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// How often a fault met a state.
    #[must_use]
    pub fn count(&self, fault: Fault, state: &'static str) -> u64 {
        self.0.get(&(fault, state)).copied().unwrap_or(0)
    }

    /// The cells that should not be empty and are.
    #[must_use]
    pub fn missing(&self) -> Vec<(Fault, &'static str)> {
        let cells = Fault::ALL
            .into_iter()
            .flat_map(|fault| STATES.map(|state| (fault, state)));
        cells
            .filter(|(fault, state)| impossible(*fault, state).is_none())
            .filter(|(fault, state)| self.count(*fault, state) == 0)
            .collect()
    }
}

/// Why a fault cannot meet a lease in a state.
#[must_use]
pub fn impossible(fault: Fault, state: &str) -> Option<&'static str> {
    use Fault as F;
    match (fault, state) {
        (
            F::MintThrottled | F::MintDenied | F::MintLost | F::MintAnswerLost | F::MintLate,
            "revoking" | "ended",
        ) => Some("nothing is minted for a lease that is over"),
        (
            F::RevokeThrottled
            | F::RevokeDenied
            | F::RevokeLost
            | F::RevokeAnswerLost
            | F::RevokeLate,
            "elevating" | "active",
        ) => Some("a revocation names no lease that is not over"),
        (F::HangUp, "active" | "revoking" | "ended") => {
            Some("who asks hangs up while the request is decided")
        }
        (F::Silence, "elevating" | "revoking" | "ended") => {
            Some("only a job that has a lease beats")
        }
        (F::PolicyDenies, "elevating" | "revoking" | "ended") => {
            Some("the policy is asked again when a lease is renewed")
        }
        (F::Unseen | F::Floor, "elevating" | "active") => {
            Some("nothing is to be taken away from a lease that is not over")
        }
        (F::PolicyChanged, "active" | "ended") => {
            Some("a policy is written when a lease begins and when it is taken back")
        }
        (F::Undone, "elevating" | "active") => Some("nothing is written yet that could be undone"),
        _ => None,
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<26}", "")?;
        for state in STATES {
            write!(f, "{state:>11}")?;
        }
        for fault in Fault::ALL {
            write!(f, "\n{:<26}", fault.as_str())?;
            for state in STATES {
                match impossible(fault, state) {
                    Some(_) => write!(f, "{:>11}", "-")?,
                    None => write!(f, "{:>11}", self.count(fault, state))?,
                }
            }
        }
        Ok(())
    }
}
