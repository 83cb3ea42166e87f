//! `jitney ledger`: a whole ledger into a file, out of one, or straight into another ledger.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jitney_core::dump::{BadDump, CannotImport, Counts, DumpReader, DumpWriter, Export, Import};
use jitney_core::ledger::CannotRead;

use crate::arguments::{Ledger, LedgerExport, LedgerImport, LedgerMigrate};
use crate::configuration::{self, LedgerSection};
use crate::failure::{BAD_DATA, Failure, USAGE};
use crate::ledgers;
use crate::terminal::{output, say, unwritable, warn};

/// How many records are given to a ledger at a time.
const PAGE: usize = 500;
/// A dump tells who may do what: it is its owner's alone.
const OWNER_ONLY: u32 = 0o600;

/// Runs the command.
pub async fn ledger(command: Ledger) -> Result<u8, Failure> {
    match command {
        Ledger::Export(arguments) => export(arguments).await,
        Ledger::Import(arguments) => import(arguments).await,
        Ledger::Migrate(arguments) => migrate(arguments).await,
    }
}

fn section(file: &Path) -> Result<LedgerSection, Failure> {
    Ok(configuration::read(file, std::env::vars())?.ledger)
}

/// The ledger of a configuration, to be read as a whole. What is noted in its spool is not in it
/// yet: moved without that, a lease that has ended would be alive in the new ledger.
async fn whole(file: &Path) -> Result<Box<dyn Export>, Failure> {
    let configuration = configuration::read(file, std::env::vars())?;
    let spool = &configuration.spool.path;
    let waiting = jitney_ledger_spool::waiting(spool, configuration.installation.as_str());
    let unusable =
        |error| Failure::unreachable("spool_unusable", format!("{error} (`spool.path`)"));
    match waiting.map_err(unusable)? {
        0 => ledgers::export(&configuration.ledger).await,
        records => {
            let told = format!(
                "{records} ends are noted in the spool `{}` and not merged: start the broker on \
                 this ledger, stop it once its log says that they are merged, and move then",
                spool.display()
            );
            Err(Failure::unreachable("spool_not_merged", told))
        }
    }
}

async fn export(arguments: LedgerExport) -> Result<u8, Failure> {
    let mut from = whole(&arguments.configuration.config).await?;
    let counts = match &arguments.out {
        Some(path) => {
            let mut options = File::options();
            let out = options.write(true).create_new(true).mode(OWNER_ONLY);
            let out = out.open(path).map_err(|error| {
                let told = format!("the dump `{}` cannot be made: {error}", path.display());
                Failure::new(USAGE, "cannot_write", told)
            })?;
            let counts = write(from.as_mut(), BufWriter::new(&out)).await?;
            // Whoever puts the old ledger away relies on the dump.
            out.sync_all().map_err(|error| unwritable(&error))?;
            counts
        }
        None => write(from.as_mut(), output()).await?,
    };
    // Standard output may be the dump.
    warn(&format!("jitney: {}", told(&counts)));
    Ok(0)
}

async fn write(from: &mut dyn Export, out: impl Write) -> Result<Counts, Failure> {
    let failed = |error: std::io::Error| unwritable(&error);
    let mut writer = DumpWriter::begin(out).map_err(failed)?;
    loop {
        let records = from.next().await.map_err(|error| cannot_read(&error))?;
        if records.is_empty() {
            return writer.finish().map_err(failed);
        }
        for record in records {
            writer.record(record).map_err(failed)?;
        }
    }
}

async fn import(arguments: LedgerImport) -> Result<u8, Failure> {
    let to = ledgers::import(&section(&arguments.configuration.config)?).await?;
    let input: Box<dyn Read> = match &arguments.dump {
        Some(path) => Box::new(File::open(path).map_err(|error| {
            let told = format!("the dump `{}` cannot be read: {error}", path.display());
            Failure::unreachable("file_unreadable", told)
        })?),
        None => Box::new(std::io::stdin()),
    };
    let counts = read(BufReader::new(input), to).await?;
    say(&told(&counts))?;
    Ok(0)
}

async fn read(input: impl std::io::BufRead, mut to: Box<dyn Import>) -> Result<Counts, Failure> {
    let bad = |error: BadDump| Failure::new(BAD_DATA, error.code(), error);
    let mut reader = DumpReader::begin(input).map_err(bad)?;
    let mut page = Vec::with_capacity(PAGE);
    while let Some(record) = reader.record().map_err(bad)? {
        page.push(record);
        if page.len() == PAGE {
            take(to.as_mut(), std::mem::take(&mut page)).await?;
        }
    }
    take(to.as_mut(), page).await?;
    let finished = to.finish(reader.frontier()).await;
    finished.map_err(|error| cannot_import(&error))?;
    let whole = || Failure::internal("a dump that was read has no end");
    reader.counts().ok_or_else(whole)
}

async fn take(to: &mut dyn Import, page: Vec<jitney_core::dump::Record>) -> Result<(), Failure> {
    to.take(page).await.map_err(|error| cannot_import(&error))
}

async fn migrate(arguments: LedgerMigrate) -> Result<u8, Failure> {
    let mut from = whole(&arguments.configuration.config).await?;
    let mut to = ledgers::import(&section(&arguments.to)?).await?;
    let mut counts = Counts::default();
    loop {
        let records = from.next().await.map_err(|error| cannot_read(&error))?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            counts.add(record.part());
        }
        take(to.as_mut(), records).await?;
    }
    let finished = to.finish(from.frontier()).await;
    finished.map_err(|error| cannot_import(&error))?;
    say(&told(&counts))?;
    say("put the old ledger away, so that no broker is started on it")?;
    Ok(0)
}

fn told(counts: &Counts) -> String {
    format!(
        "{} requests, {} leases, {} once-keys, {} names, {} holds, {} lanes, {} looks, {} sheets, \
         {} audit entries, {} checkpoints",
        counts.requests,
        counts.leases,
        counts.once,
        counts.claims,
        counts.holds,
        counts.epochs,
        counts.looks,
        counts.sheets,
        counts.entries,
        counts.checkpoints
    )
}

fn cannot_read(error: &CannotRead) -> Failure {
    Failure::unreachable("ledger_unreadable", error)
}

fn cannot_import(error: &CannotImport) -> Failure {
    match error {
        CannotImport::OtherLog(_) => Failure::new(BAD_DATA, "ledger_other_log", error),
        CannotImport::Failed(_) => Failure::unreachable("ledger_failed", error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use jitney_core::audit::{Entry, Event};
    use jitney_core::ledger::{Ledger as _, Transaction};
    use jitney_core::time::Timestamp;
    use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};

    use super::*;
    use crate::arguments::ConfigurationFile;

    const EXAMPLE: &str = include_str!("../../../examples/jitney.toml");

    /// A configuration in a folder of its own.
    fn configuration(folder: &Path, name: &str) -> PathBuf {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("jitney.toml"), EXAMPLE).unwrap();
        folder.join("jitney.toml")
    }

    fn given(config: &Path) -> ConfigurationFile {
        let config = config.to_owned();
        ConfigurationFile { config }
    }

    /// How many entries the ledger of a configuration has.
    async fn entries(config: &Path) -> u64 {
        let options = SqliteOptions::at(config.with_file_name("jitney.db"));
        let ledger = SqliteLedger::open(&options).unwrap();
        ledger.frontier().await.unwrap().size()
    }

    async fn old(folder: &Path) -> PathBuf {
        let config = configuration(folder, "old");
        let options = SqliteOptions::at(config.with_file_name("jitney.db"));
        let ledger = SqliteLedger::open(&options).unwrap();
        let entry = Entry::new(Timestamp::from_seconds(1), Event::BrokerStarted);
        let said = Transaction {
            entries: vec![entry.clone(), entry],
            ..Transaction::default()
        };
        ledger.commit(said).await.unwrap();
        config
    }

    #[tokio::test]
    async fn a_ledger_moves_into_an_empty_one_and_stays_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let old = old(folder.path()).await;
        let new = configuration(folder.path(), "new");
        let migrate = || LedgerMigrate {
            configuration: given(&old),
            to: new.clone(),
        };
        assert_eq!(ledger(Ledger::Migrate(migrate())).await, Ok(0));
        assert_eq!((entries(&new).await, entries(&old).await), (2, 2));
        let again = ledger(Ledger::Migrate(migrate())).await.unwrap_err();
        assert_eq!(again.code, "ledger_not_empty");
    }

    #[tokio::test]
    async fn a_dump_is_its_owners_and_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let old = old(folder.path()).await;
        let new = configuration(folder.path(), "new");
        let file = folder.path().join("dump");
        let export = || LedgerExport {
            configuration: given(&old),
            out: Some(file.clone()),
        };
        assert_eq!(ledger(Ledger::Export(export())).await, Ok(0));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = ledger(Ledger::Export(export())).await.unwrap_err();
        assert_eq!(again.code, "cannot_write");

        let whole = fs::read(&file).unwrap();
        let import = || {
            let (configuration, dump) = (given(&new), Some(file.clone()));
            let arguments = LedgerImport {
                configuration,
                dump,
            };
            ledger(Ledger::Import(arguments))
        };
        let (cut, _) = whole.split_at(whole.len() - 10);
        fs::write(&file, cut).unwrap();
        let failure = import().await.unwrap_err();
        assert_eq!((failure.exit, failure.code), (BAD_DATA, "dump_cut_off"));
        assert_eq!(entries(&new).await, 0);
        fs::write(&file, &whole).unwrap();
        assert_eq!(import().await, Ok(0));
        assert_eq!(entries(&new).await, 2);
    }
}
