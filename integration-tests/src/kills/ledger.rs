//! The ledger as an operator reads it: by the binary's own commands, whatever keeps it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitney_core::audit::Entry;
use serde::Deserialize;

use super::Installation;
use super::lanes::{LANES, Way, bucket_of};

/// A lease as `jitney lease list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LeaseSeen {
    /// Its id.
    pub id: String,
    /// Its request's id.
    pub request: String,
    /// The name by which the cloud knows the grant.
    pub handle: String,
    /// The state's name.
    pub state: String,
    /// What it is for.
    pub scopes: Vec<String>,
    /// Why it ends or ended.
    pub why: Option<String>,
}

impl LeaseSeen {
    /// Whether the ledger says that nothing is left of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == "ended"
    }

    /// Whether it is revoked, and nothing but time can show it: nobody knows what became of its
    /// call, and in its lane absence counts only once that can no longer land, minutes later.
    #[must_use]
    pub fn waits_for_time(&self) -> bool {
        let waits = |lane: &usize| match Way::of(*lane) {
            Way::Bounded | Way::Rbac | Way::Pim => true,
            Way::Session | Way::Account | Way::Standing => false,
        };
        let doubted = self.state == "revoking" && self.why.as_deref() == Some("doubted");
        doubted && self.lane().as_ref().is_some_and(waits)
    }

    /// The lane that it is for.
    fn lane(&self) -> Option<usize> {
        let is_for = |bucket: String| self.scopes.iter().any(|scope| scope.contains(&bucket));
        (0..LANES).find(|lane| is_for(bucket_of(*lane)))
    }
}

/// The ledger of an installation.
#[derive(Debug, Clone, Copy)]
pub struct Ledger<'a>(pub &'a Installation);

impl Ledger<'_> {
    /// The leases that have not ended.
    #[must_use]
    pub fn open_leases(self) -> Vec<LeaseSeen> {
        self.list(&[])
    }

    /// Every lease there ever was.
    #[must_use]
    pub fn leases(self) -> Vec<LeaseSeen> {
        self.list(&["--all"])
    }

    fn list(self, options: &[&str]) -> Vec<LeaseSeen> {
        let list = ["lease", "list", "--format", "json", "--limit", "100000"];
        let text = self.said(&[&list[..], options].concat());
        serde_json::from_str(&text).expect("leases are listed as JSON")
    }

    /// The audit log, as far as it is signed.
    #[must_use]
    pub fn audit_log(self) -> Vec<Entry> {
        #[derive(Deserialize)]
        struct Line {
            entry: Option<String>,
        }
        let export = self.said(&["audit", "export"]);
        let lines = export.lines().map(|line| {
            let line: Line = serde_json::from_str(line).expect("an export is JSON lines");
            line.entry
        });
        let entry = |text: String| {
            let bytes = STANDARD.decode(text).expect("an entry is base64");
            Entry::decode(&bytes).expect("an entry is canonical")
        };
        lines.flatten().map(entry).collect()
    }

    /// What `jitney audit verify` says against the log, if anything.
    #[must_use]
    pub fn doubts(self) -> Option<String> {
        let verified = self.0.ask(&["audit", "verify"]);
        let told = || String::from_utf8_lossy(&verified.stderr).into_owned();
        (!verified.status.success()).then(told)
    }

    fn said(self, words: &[&str]) -> String {
        let output = self.0.ask(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {told}");
        String::from_utf8(output.stdout).expect("the binary writes text")
    }
}
