//! `jitney audit`: whether the log is the one that was signed, and a copy that anybody can verify.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use jitney_core::audit::{
    ExportWriter, Note, NoteError, Piece, Verified, Verifier, VerifierKey, VerifyError,
    verify_export,
};
use jitney_core::ledger::CannotRead;
use jitney_ledger_sqlite::SqliteOptions;

use crate::arguments::{Audit, AuditExport, AuditVerify};
use crate::configuration::{self, Configuration, LedgerSection};
use crate::failure::{BAD_DATA, Failure, USAGE};
use crate::keys::audit_key;
use crate::ledgers::LedgerToRead;
use crate::terminal::{output, say, unwritable, warn};

/// How many entries are read at a time.
const PAGE: u32 = 1_000;

/// Runs the command.
pub async fn audit(command: Audit) -> Result<u8, Failure> {
    match command {
        Audit::Verify(arguments) => verify(arguments).await,
        Audit::Export(arguments) => export(arguments).await,
    }
}

async fn verify(arguments: AuditVerify) -> Result<u8, Failure> {
    let (key, ledger) = what_to_verify(&arguments)?;
    let mut verifier = Verifier::new(key);
    for file in &arguments.witnesses {
        let note = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        verifier
            .witness(&note)
            .map_err(|error| Failure::new(BAD_DATA, error.code(), error))?;
    }
    let verified = match (&arguments.export, ledger) {
        (Some(file), _) => {
            let input = File::open(file).map_err(|error| unreadable(file, &error))?;
            verify_export(BufReader::new(input), verifier)
                .map_err(|error| Failure::new(BAD_DATA, error.code(), error))?
        }
        (None, Some(section)) => {
            verify_ledger(&LedgerToRead::open(&section).await?, verifier).await?
        }
        (None, None) => return Err(Failure::internal("there is nothing to verify")),
    };
    tell(&verified)?;
    Ok(0)
}

/// The key and the ledger: those on the command line, or the configured ones.
fn what_to_verify(
    arguments: &AuditVerify,
) -> Result<(VerifierKey, Option<LedgerSection>), Failure> {
    let given = match &arguments.key {
        Some(text) => Some(
            text.parse::<VerifierKey>()
                .map_err(|error| Failure::new(USAGE, error.code(), error))?,
        ),
        None => None,
    };
    match (given, &arguments.export, &arguments.ledger) {
        (Some(key), Some(_), _) => Ok((key, None)),
        (Some(key), None, Some(path)) => {
            let options = SqliteOptions::at(path);
            Ok((key, Some(LedgerSection::Sqlite(options))))
        }
        (given, _, _) => {
            let file = &arguments.configuration.config;
            let configuration = configuration::read(file, std::env::vars())?;
            let key = match given {
                Some(key) => key,
                None => own_key(&configuration)?,
            };
            Ok((key, Some(configuration.ledger)))
        }
    }
}

fn own_key(configuration: &Configuration) -> Result<VerifierKey, Failure> {
    let key = audit_key(&configuration.keys, &configuration.installation)?;
    Ok(key.verifier())
}

async fn verify_ledger(ledger: &LedgerToRead, mut verifier: Verifier) -> Result<Verified, Failure> {
    let bad = |error: VerifyError| Failure::new(BAD_DATA, error.code(), error);
    let mut log = Log::open(ledger).await?;
    let mut page = log.page().await?;
    while let Some(pieces) = page {
        let looked_at = tokio::task::spawn_blocking(move || {
            let taken = verifier.take(&pieces);
            (verifier, taken)
        });
        // The next ones are read meanwhile.
        let (next, looked_at) = tokio::join!(log.page(), looked_at);
        let (looked_at, taken) = looked_at.map_err(Failure::internal)?;
        taken.map_err(bad)?;
        (verifier, page) = (looked_at, next?);
    }
    // What is signed for more entries than there are shows that some were taken away.
    for note in log.left_over() {
        verifier.checkpoint(&note).map_err(bad)?;
    }
    verifier.finish().map_err(bad)
}

fn tell(verified: &Verified) -> Result<(), Failure> {
    say(&format!(
        "the audit log is as it was signed: {} entries, {} checkpoints, root {}",
        verified.size, verified.checkpoints, verified.root
    ))?;
    match verified.uncovered() {
        0 => Ok(()),
        uncovered => say(&format!(
            "{uncovered} entries at its end are not signed yet: nothing is known of them"
        )),
    }
}

async fn export(arguments: AuditExport) -> Result<u8, Failure> {
    let file = &arguments.configuration.config;
    let configuration = configuration::read(file, std::env::vars())?;
    let key = own_key(&configuration)?;
    let ledger = LedgerToRead::open(&configuration.ledger).await?;
    let left_out = match &arguments.out {
        Some(path) => {
            let out = File::create_new(path).map_err(|error| {
                Failure::new(
                    USAGE,
                    "cannot_write",
                    format!("the export `{}` cannot be made: {error}", path.display()),
                )
            })?;
            write_export(&ledger, &key, BufWriter::new(out)).await?
        }
        None => write_export(&ledger, &key, output()).await?,
    };
    if left_out > 0 {
        warn(&format!(
            "jitney: {left_out} entries after the last checkpoint are not signed yet and are left out"
        ));
    }
    Ok(0)
}

/// Writes everything up to the last checkpoint. Gives the number of entries that were left out.
async fn write_export(
    ledger: &LedgerToRead,
    key: &VerifierKey,
    out: impl Write,
) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| unwritable(&error);
    let mut writer = ExportWriter::begin(out, key).map_err(failed)?;
    let mut log = Log::open(ledger).await?;
    let signed = log.signed();
    let mut written = 0_u64;
    'log: while let Some(pieces) = log.page().await? {
        for piece in pieces {
            match piece {
                Piece::Entry(_) if written >= signed => break 'log,
                Piece::Entry(bytes) => {
                    writer.entry(&bytes).map_err(failed)?;
                    written = written.saturating_add(1);
                }
                Piece::Checkpoint(note) => {
                    writer.checkpoint(&note_of(&note)?).map_err(failed)?;
                }
            }
        }
    }
    writer.finish().map_err(failed)?;
    let frontier = ledger.frontier().await.map_err(cannot_read)?;
    Ok(frontier.size().saturating_sub(written))
}

fn note_of(text: &str) -> Result<Note, Failure> {
    let note: Result<Note, NoteError> = text.parse();
    note.map_err(|error| Failure::new(BAD_DATA, error.code(), error))
}

/// A ledger's log in its order: each checkpoint right after the last entry it covers.
struct Log<'a> {
    ledger: &'a LedgerToRead,
    checkpoints: std::iter::Peekable<std::vec::IntoIter<(u64, String)>>,
    signed: u64,
    read: u64,
}

impl<'a> Log<'a> {
    async fn open(ledger: &'a LedgerToRead) -> Result<Self, Failure> {
        let mut checkpoints = ledger.checkpoints().await.map_err(cannot_read)?;
        checkpoints.sort_by_key(|(size, _)| *size);
        let signed = checkpoints.last().map_or(0, |(size, _)| *size);
        Ok(Self {
            ledger,
            checkpoints: checkpoints.into_iter().peekable(),
            signed,
            read: 0,
        })
    }

    /// How many entries the last checkpoint covers.
    const fn signed(&self) -> u64 {
        self.signed
    }

    /// The next pieces; nothing at the end of the log.
    async fn page(&mut self) -> Result<Option<Vec<Piece>>, Failure> {
        let entries = self.ledger.entries(self.read, PAGE).await;
        let mut pieces = Vec::new();
        self.reached(&mut pieces);
        for entry in entries.map_err(cannot_read)? {
            pieces.push(Piece::Entry(entry.bytes));
            self.read = self.read.saturating_add(1);
            self.reached(&mut pieces);
        }
        Ok(Some(pieces).filter(|pieces| !pieces.is_empty()))
    }

    /// Adds the checkpoints of as many entries as were read.
    fn reached(&mut self, pieces: &mut Vec<Piece>) {
        let read = self.read;
        while let Some((_, note)) = self.checkpoints.next_if(|(size, _)| *size <= read) {
            pieces.push(Piece::Checkpoint(note));
        }
    }

    /// Checkpoints for more entries than there are.
    fn left_over(self) -> impl Iterator<Item = String> {
        self.checkpoints.map(|(_, note)| note)
    }
}

fn cannot_read(error: CannotRead) -> Failure {
    Failure::unreachable("ledger_unreadable", error)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::unreachable(
        "file_unreadable",
        format!("`{}` cannot be read: {error}", file.display()),
    )
}
