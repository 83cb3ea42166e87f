//! The command: started with exactly the environment it should have, ended with everything it
//! started.

use core::time::Duration;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::exit;
use super::options::Environment;

/// How long what the command left behind may take to end when it is asked.
const STRAGGLERS_PATIENCE: Duration = Duration::from_millis(500);
const STRAGGLERS_LOOK: Duration = Duration::from_millis(20);

/// Whether a terminal controls this process.
pub(crate) fn on_terminal() -> bool {
    // Opening it is the test: standard input may well be a pipe on a terminal.
    std::fs::File::open("/dev/tty").is_ok()
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    process: Pid,
    /// Whether it leads a process group of its own.
    leads: bool,
    ended: bool,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` cannot be started: {cause}")]
pub(crate) struct CannotStart {
    command: String,
    cause: std::io::Error,
}

impl CannotStart {
    /// As a shell would say it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.cause.kind() {
            std::io::ErrorKind::NotFound => exit::NO_COMMAND,
            _ => exit::CANNOT_START,
        }
    }
}

impl Running {
    /// Starts a command with this environment and no other.
    pub(crate) fn start(
        program: &OsString,
        arguments: &[OsString],
        environment: &Environment,
        on_terminal: bool,
    ) -> Result<Self, CannotStart> {
        let refuse = |cause| CannotStart {
            command: program.to_string_lossy().into_owned(),
            cause,
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter())
            // The last resort, when this value is dropped without having been waited for.
            .kill_on_drop(true);
        if !on_terminal {
            // A group of its own, so that it can be ended with all it started. On a terminal it
            // has to stay in ours: only the foreground group may read the keyboard.
            command.process_group(0);
        }
        let child = command.spawn().map_err(refuse)?;
        let process = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| refuse(std::io::Error::other("it was gone at once")))?;
        Ok(Self {
            child,
            process: Pid::from_raw(process),
            leads: !on_terminal,
            ended: false,
        })
    }

    /// Waits for its end. Safe to be dropped and called again.
    pub(crate) async fn wait(&mut self) -> u8 {
        let status = self.child.wait().await;
        self.ended = true;
        status.map_or(exit::INTERNAL, exit_code)
    }

    /// Sends it a signal, and everything it started.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended {
            return;
        }
        // It may have ended in this moment, and then there is nobody to tell.
        let _gone = if self.leads {
            killpg(self.process, signal)
        } else {
            kill(self.process, signal)
        };
    }

    /// Ends what the command left behind in its group.
    pub(crate) async fn end_stragglers(&self) {
        if !self.leads {
            return;
        }
        // As long as one member lives the kernel does not give the group's number away; when none
        // does, the first call says so.
        let until = Instant::now() + STRAGGLERS_PATIENCE;
        let mut ask = Some(Signal::SIGTERM);
        while killpg(self.process, ask) != Err(Errno::ESRCH) {
            ask = None;
            if Instant::now() >= until {
                let _gone = killpg(self.process, Signal::SIGKILL);
                return;
            }
            sleep(STRAGGLERS_LOOK).await;
        }
    }
}

impl Drop for Running {
    /// Whatever way we leave, nothing of ours runs on unwatched.
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// The command's own code, or 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(exit::INTERNAL),
        (None, Some(signal)) => exit::by_signal(signal),
        (None, None) => exit::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Starts a shell that starts another process and names it in a file.
    async fn family(directory: &std::path::Path) -> (Running, Pid) {
        let file = directory.join("pid");
        let script = format!(
            "sleep 300 & echo $! > {0}.new; mv {0}.new {0}; wait",
            file.display()
        );
        let words = ["-c".into(), script.into()];
        let environment = Environment::of_process();
        let running = Running::start(&"sh".into(), &words, &environment, false).unwrap();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break text;
            }
            sleep(STRAGGLERS_LOOK).await;
        };
        (running, Pid::from_raw(text.trim().parse().unwrap()))
    }

    async fn is_gone(process: Pid) -> bool {
        for _ in 0..250 {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"));
            if status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ")) {
                return true;
            }
            sleep(STRAGGLERS_LOOK).await;
        }
        false
    }

    #[tokio::test]
    async fn dropped_on_a_panic_it_ends_with_all_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let (running, grandchild) = family(directory.path()).await;
        let child = running.process;
        let mishap = tokio::spawn(async move {
            let _held = running;
            std::panic::resume_unwind(Box::new("for the test"));
        });
        assert!(mishap.await.is_err());
        assert!(is_gone(child).await && is_gone(grandchild).await);
    }

    #[tokio::test]
    async fn a_signal_reaches_all_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let (mut running, grandchild) = family(directory.path()).await;
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().await, 143);
        assert!(is_gone(grandchild).await);
    }
}
