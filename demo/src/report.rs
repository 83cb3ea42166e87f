//! What is shown of each step: what was promised, what was answered, and how long it took.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How to show the steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// One step of the demonstration.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Its name; stable.
    pub step: &'static str,
    /// What was promised.
    pub expect: String,
    /// What was answered: by the cloud, wherever the step is about the cloud.
    pub got: String,
    /// Whether they agree.
    pub ok: bool,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What there is to see beside it, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

/// Shows steps as they happen and remembers whether all were as promised.
pub struct Report<'a> {
    format: Format,
    out: &'a mut (dyn Write + Send),
    begun: Instant,
    steps: u32,
    broken: u32,
}

impl<'a> Report<'a> {
    /// A report that begins now.
    pub fn new(format: Format, out: &'a mut (dyn Write + Send)) -> Self {
        Self {
            format,
            out,
            begun: Instant::now(),
            steps: 0,
            broken: 0,
        }
    }

    /// Begins a part of the story.
    pub fn heading(&mut self, text: &str) {
        if self.format == Format::Text {
            self.line(&format!("\n{text}"));
        }
    }

    /// Shows a step that began at `since`.
    pub fn step(
        &mut self,
        step: &'static str,
        since: Instant,
        expect: impl Into<String>,
        got: impl Into<String>,
        ok: bool,
        detail: Vec<String>,
    ) {
        let (expect, got) = (expect.into(), got.into());
        let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let step = Step {
            step,
            expect,
            got,
            ok,
            elapsed_ms,
            detail,
        };
        self.steps = self.steps.saturating_add(1);
        self.broken = self.broken.saturating_add(u32::from(!ok));
        match self.format {
            Format::Text => self.show(&step),
            Format::Json => {
                let line = serde_json::to_string(&step).unwrap_or_default();
                self.line(&line);
            }
        }
    }

    fn show(&mut self, step: &Step) {
        let at = self.begun.elapsed().as_secs_f64();
        let mark = if step.ok { "ok  " } else { "FAIL" };
        self.line(&format!(
            "  {at:6.2}s  {mark}  {:<24} {}",
            step.step, step.got
        ));
        if !step.ok {
            self.line(&format!("{:>41} expected: {}", "", step.expect));
        }
        for line in &step.detail {
            self.line(&format!("{:>41} {line}", ""));
        }
    }

    fn line(&mut self, text: &str) {
        // A reader that hung up does not make the demonstration fail.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Ends the report. True when every step was as promised.
    pub fn close(mut self) -> bool {
        if self.format == Format::Text {
            let (steps, broken, seconds) = (self.steps, self.broken, self.seconds());
            self.line(&match broken {
                0 => format!("\nall {steps} steps as promised, in {seconds:.1} s"),
                _ => format!("\n{broken} of {steps} steps were NOT as promised"),
            });
        }
        self.broken == 0 && self.steps > 0
    }

    fn seconds(&self) -> f64 {
        Duration::as_secs_f64(&self.begun.elapsed())
    }
}
