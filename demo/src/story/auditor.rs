//! The auditor: the whole log is verified, and one changed bit is found.

use std::time::Instant;

use jitney_broker::RunningBroker;
use jitney_core::audit::{ExportWriter, Note, Verified, Verifier, verify_export};

use crate::report::Report;
use crate::stage::{CannotStage, Stage, cannot};

/// The whole log is exported and verified; then the same with one bit changed.
pub(super) async fn audit(
    stage: &Stage,
    broker: RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let since = Instant::now();
    broker
        .core()
        .seal_audit_log(&stage.audit_key()?)
        .await
        .map_err(cannot)?;
    let honest = export(stage, &broker, None).await?;
    let verified = verify(stage, &honest)?;
    let got = match &verified {
        Ok(log) => format!("{} entries under a signed root", log.size),
        Err(error) => error.clone(),
    };
    report.step(
        "audit",
        since,
        "the audit log verifies",
        got,
        verified.is_ok(),
        Vec::new(),
    );
    let since = Instant::now();
    let entries = verified.map_or(0, |log| log.size);
    let forged = export(stage, &broker, Some(entries / 2)).await?;
    let (got, ok) = match verify(stage, &forged)? {
        Ok(_) => ("the forged log verified".to_owned(), false),
        Err(error) => (error, true),
    };
    report.step(
        "tampered-copy",
        since,
        "one changed bit is found",
        got,
        ok,
        Vec::new(),
    );
    broker.shutdown().await;
    Ok(())
}

/// Writes the log out, with one bit of one entry changed if `forge` names one.
async fn export(
    stage: &Stage,
    broker: &RunningBroker,
    forge: Option<u64>,
) -> Result<Vec<u8>, CannotStage> {
    let ledger = broker.core().books.ledger();
    let notes = ledger.checkpoints().await.map_err(cannot)?;
    // The broker is at work: what it has written since is sealed by the next note.
    let sealed = notes.iter().map(|(size, _)| *size).max().unwrap_or(0);
    let sealed = u32::try_from(sealed).unwrap_or(u32::MAX);
    let mut notes = notes.iter().peekable();
    let mut out = ExportWriter::begin(Vec::new(), &stage.verifier_key()?).map_err(cannot)?;
    for mut stored in ledger.entries(0, sealed).await.map_err(cannot)? {
        if forge == Some(stored.index) {
            let last = stored.bytes.last_mut();
            *last.ok_or_else(|| cannot("an empty entry"))? ^= 1;
        }
        out.entry(&stored.bytes).map_err(cannot)?;
        while let Some((_, note)) = notes.next_if(|(size, _)| *size <= stored.index + 1) {
            out.checkpoint(&note.parse::<Note>().map_err(cannot)?)
                .map_err(cannot)?;
        }
    }
    out.finish().map_err(cannot)
}

fn verify(stage: &Stage, log: &[u8]) -> Result<Result<Verified, String>, CannotStage> {
    let verifier = Verifier::new(stage.verifier_key()?);
    Ok(verify_export(log, verifier).map_err(|error| error.to_string()))
}
