//! Signals that reach `run` and mean its command.
//!
//! On a terminal the kernel sends what the keyboard makes to the whole foreground group, the
//! command included: passing it on would deliver it twice. Without one the command has a group of
//! its own and hears nothing unless we pass it on. `SIGCHLD`, `SIGPIPE` and `SIGURG` mean us, not
//! the command, and are never passed on: a runtime that uses `SIGURG` for itself breaks when it
//! gets a stranger's.

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Passed on wherever the command runs.
const ALWAYS: &[Signal] = &[
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
/// What a keyboard or a window makes. Passed on only without a terminal.
const FROM_TERMINAL: &[Signal] = &[
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];
/// On a terminal these reach us too. They must not end us before the command has ended: the lease
/// would not be given back. `SIGTSTP` is left alone, so that the shell sees us stop.
const SURVIVED: &[Signal] = &[Signal::SIGINT, Signal::SIGQUIT];

/// Signals remembered before anybody asks for them.
const WAITING_MAX: usize = 64;

/// A signal, and whether the command must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caught {
    pub signal: Signal,
    pub pass_on: bool,
}

/// The signals of this process, from now on.
pub(crate) struct Signals {
    caught: mpsc::Receiver<Caught>,
}

impl Signals {
    /// Begins to listen. From here on none of these signals ends this process.
    pub(crate) fn listen(on_terminal: bool) -> std::io::Result<Self> {
        let ignored = ignored_signals();
        let (sender, caught) = mpsc::channel(WAITING_MAX);
        let passed = if on_terminal { &[][..] } else { FROM_TERMINAL };
        let survived = if on_terminal { SURVIVED } else { &[] };
        let all = ALWAYS
            .iter()
            .chain(passed)
            .map(|signal| (*signal, true))
            .chain(survived.iter().map(|signal| (*signal, false)));
        for (number, pass_on) in all {
            // `nohup` and `&` ask that a signal be ignored, by us and by what we start. Listening
            // would undo that for the command.
            if ignored & mask(number) != 0 {
                continue;
            }
            let mut heard = signal(SignalKind::from_raw(number as i32))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while heard.recv().await.is_some() {
                    let caught = Caught {
                        signal: number,
                        pass_on,
                    };
                    // Full means that dozens wait already: one more says nothing new.
                    if matches!(
                        sender.try_send(caught),
                        Err(mpsc::error::TrySendError::Closed(_))
                    ) {
                        break;
                    }
                }
            });
        }
        Ok(Self { caught })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Caught {
        match self.caught.recv().await {
            Some(caught) => caught,
            // Every signal is ignored: nothing will ever come.
            None => core::future::pending().await,
        }
    }

    /// Waits for one that asks this process to end.
    pub(crate) async fn asked_to_end(&mut self) -> Signal {
        loop {
            let caught = self.next().await;
            if matches!(
                caught.signal,
                Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
            ) {
                return caught.signal;
            }
        }
    }
}

const fn mask(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

/// The signals our caller told us to ignore, as the kernel's mask; none where it does not say.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use nix::sys::signal::raise;

    /// Two interrupts at once may reach a command as one, so that it cannot tell how many were sent.
    #[tokio::test]
    async fn on_a_terminal_the_keyboards_interrupt_is_survived_and_not_passed_on() {
        for (on_terminal, pass_on) in [(true, false), (false, true)] {
            let mut signals = Signals::listen(on_terminal).unwrap();
            raise(Signal::SIGINT).unwrap();
            let expected = Caught {
                signal: Signal::SIGINT,
                pass_on,
            };
            assert_eq!(signals.next().await, expected);
        }
    }
}
