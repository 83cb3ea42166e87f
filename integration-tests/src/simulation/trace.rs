//! What happened in a world, for a person to read. Told only where somebody will.

use std::sync::{Arc, Mutex};

use jitney_core::time::Timestamp;

use super::executor::{Stage, lock};

/// The story of one world.
#[derive(Clone)]
pub struct Trace {
    stage: Stage,
    began: Timestamp,
    lines: Option<Arc<Mutex<Vec<String>>>>,
}

impl Trace {
    /// A story that begins now; nothing is written down unless `told`.
    #[must_use]
    pub fn new(stage: Stage, told: bool) -> Self {
        Self {
            began: stage.now(),
            stage,
            lines: told.then(Arc::default),
        }
    }

    /// Something happened.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let at = self.stage.now().since(self.began);
            let (seconds, millis) = (at.as_secs(), at.subsec_millis());
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            let line = format!("{minutes:>5}:{seconds:02}.{millis:03}  {}", what());
            lock(lines).push(line);
        }
    }

    /// The story so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .as_ref()
            .map(|lines| lock(lines).clone())
            .unwrap_or_default()
    }
}
