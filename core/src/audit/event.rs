//! What can happen: the closed list of audited events and their names in the log.
//!
//! The names are written into every entry and read by people, by queries and by verifiers older
//! than this program. A row may be added; a name is never changed and never used again.

use core::fmt;
use core::str::FromStr;

/// Why a text names no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event is not one that this version knows")]
pub struct UnknownEvent;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One kind of audited event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Event {
            /// Every event, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The event's name in the log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl FromStr for Event {
            type Err = UnknownEvent;
            fn from_str(name: &str) -> Result<Self, UnknownEvent> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownEvent),
                }
            }
        }
    };
}

events! {
    /// A job asked for scopes, and the request is in the ledger.
    RequestSubmitted = "request_submitted",
    /// The policy decided a request.
    RequestDecided = "request_decided",
    /// A request waits for people to approve it.
    RequestPending = "request_pending",
    /// Enough people approved a request.
    RequestApproved = "request_approved",
    /// A request reached its end, whatever the end was.
    RequestClosed = "request_closed",
    /// A request was turned away before it became one: a bad token, a bad scope, a full budget.
    RequestRefused = "request_refused",
    /// A CI token was presented again by somebody who does not hold the key it was bound to.
    TokenReplayed = "token_replayed",
    /// The plan is recorded: the cloud is about to be called.
    LeaseIntended = "lease_intended",
    /// The cloud elevated, and the lease is active.
    LeaseGranted = "lease_granted",
    /// A lease was prolonged, in the ledger first.
    LeaseRenewed = "lease_renewed",
    /// Nobody can say whether the cloud elevated: the lease is revoked to be sure.
    LeaseDoubted = "lease_doubted",
    /// A lease is being revoked; the entry says why it ends.
    LeaseEnding = "lease_ending",
    /// A lease ended without anything ever having been sent or granted.
    LeaseNeverGranted = "lease_never_granted",
    /// A revocation was written to the cloud and read back; it is not yet evidence.
    LeaseWritten = "lease_written",
    /// A lease ended, with the evidence that nothing is left of it.
    LeaseEnded = "lease_ended",
    /// A named person declared a lease over without evidence.
    LeaseWrittenOff = "lease_written_off",
    /// Something must stay in force in a cloud after its lease ended.
    HoldPlaced = "hold_placed",
    /// A hold is no longer needed.
    HoldDropped = "hold_dropped",
    /// Somebody undid in a cloud what keeps ended leases ended. It is put back.
    HoldUndone = "hold_undone",
    /// Holds were replaced by one watermark that covers all of them.
    HoldsCompacted = "holds_compacted",
    /// Something was found in a cloud that bears our stamp and belongs to nothing that is open.
    StrayFound = "stray_found",
    /// A lease is under revocation for longer than was promised.
    LeaseStuck = "lease_stuck",
    /// An operator ordered leases to be ended.
    KillOrdered = "kill_ordered",
    /// Every lease that a kill order is about is durably ending.
    KillDone = "kill_done",
    /// A cloud bears traces of a later ledger than this one: nothing is elevated any more.
    Halted = "halted",
    /// An operator ordered everything to be cut that the ledger may have forgotten.
    RecoveryOrdered = "recovery_ordered",
    /// Everything that the ledger may have forgotten is cut; elevations go on.
    Recovered = "recovered",
    /// A broker came up on this ledger.
    BrokerStarted = "broker_started",
    /// A broker took over a lane with a new epoch.
    LaneClaimed = "lane_claimed",
    /// Ends that were noted while the ledger could not be written are in the ledger.
    SpoolMerged = "spool_merged",
    /// An end that was noted while the ledger could not be written was not needed any more.
    SpoolPassedOver = "spool_passed_over",
    /// Another policy became the one that decides.
    PolicyActivated = "policy_activated",
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_snake_case_read_back_and_never_shared() {
        let mut seen = std::collections::BTreeSet::new();
        for &event in Event::ALL {
            let name = event.as_str();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.parse::<Event>().unwrap(), event);
            assert!(seen.insert(name), "{name} names two events");
        }
        for near_miss in [
            "",
            "lease",
            "Lease_Granted",
            "lease_granted ",
            "lease-granted",
        ] {
            assert_eq!(near_miss.parse::<Event>(), Err(UnknownEvent));
        }
    }
}
