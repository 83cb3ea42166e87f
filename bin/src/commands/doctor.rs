//! `jitney doctor`: looks at everything an operator can have set up wrongly, one line each, with
//! what to change. What cannot be looked at is said, and is not taken for well.

mod rehearsal;
mod targets;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jitney_api::admin::StatusView;
use jitney_api::paths;
use jitney_broker::SystemClock;
use jitney_core::time::Clock as _;
use jitney_ledger_postgres::posture;

use crate::arguments::Doctor;
use crate::commands::published::{self, Published};
use crate::configuration::{self, Configuration, IssuerSection, LedgerSection};
use crate::failure::{Failure, UNWELL};
use crate::ledgers::LedgerToRead;
use crate::operators::Operators;
use crate::terminal::{inline, say};
use crate::{keys, wiring};

/// What was found in one place.
enum Finding {
    Well(String),
    /// With what to change.
    Wrong(String),
    NotLookedAt(String),
}

impl Finding {
    /// What a check that can fail came to.
    fn of<T>(outcome: Result<T, Failure>, well: impl FnOnce(T) -> String) -> Self {
        match outcome {
            Ok(value) => Self::Well(well(value)),
            Err(failure) => Self::Wrong(failure.to_string()),
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    wrong: u32,
}

impl Report {
    fn line(&mut self, place: &str, finding: &Finding) -> Result<(), Failure> {
        let (word, told) = match finding {
            Finding::Well(told) => ("ok", told),
            Finding::Wrong(told) => ("WRONG", told),
            Finding::NotLookedAt(told) => ("?", told),
        };
        self.wrong += u32::from(matches!(finding, Finding::Wrong(_)));
        say(&format!("{word:5}  {place:24}  {}", inline(told)))
    }
}

/// Runs the command.
pub async fn doctor(arguments: Doctor) -> Result<u8, Failure> {
    if let Some(target) = arguments.rehearse.clone() {
        return rehearsal::rehearse(target, arguments).await;
    }
    let file = &arguments.configuration.config;
    let mut report = Report::default();
    let read = configuration::read(file, std::env::vars());
    let configuration = match read {
        Ok(configuration) => configuration,
        Err(failure) => {
            report.line("configuration", &Finding::Wrong(failure.to_string()))?;
            let rest = "everything else is named in the configuration";
            report.line("the rest", &Finding::NotLookedAt(rest.to_owned()))?;
            return Ok(UNWELL);
        }
    };
    let name = configuration.file.display().to_string();
    report.line("configuration", &Finding::Well(name))?;
    look_at_files(&configuration, &mut report)?;
    look_at_own_issuer(&configuration, &mut report).await?;
    report.line("ledger", &ledger(&configuration).await)?;
    targets::look(&configuration, &mut report).await?;
    look_at_broker(&configuration, &mut report).await?;
    Ok(if report.wrong == 0 { 0 } else { UNWELL })
}

fn look_at_files(configuration: &Configuration, report: &mut Report) -> Result<(), Failure> {
    let read = keys::read(&configuration.keys, &configuration.installation);
    let told = |_| "both are there, for their owner alone".to_owned();
    report.line("keys", &Finding::of(read, told))?;
    let secrets = [
        (
            "TLS key",
            configuration.broker.tls.as_ref().map(|tls| &tls.key_file),
        ),
        (
            "webhook secret, GitHub",
            configuration
                .webhooks
                .github
                .as_ref()
                .map(|h| &h.secret_file),
        ),
        (
            "webhook secret, GitLab",
            configuration
                .webhooks
                .gitlab
                .as_ref()
                .map(|h| &h.secret_file),
        ),
        ("alarm secret", configuration.alarms.secret_file.as_ref()),
    ];
    for (place, file) in secrets {
        if let Some(file) = file {
            let told = |_| "for its owner alone".to_owned();
            report.line(place, &Finding::of(keys::secret_file(file), told))?;
        }
    }
    let told = |()| "they load".to_owned();
    report.line(
        "policies",
        &Finding::of(wiring::check_policies(configuration), told),
    )?;
    let told = |()| "every row holds together".to_owned();
    report.line(
        "issuers",
        &Finding::of(wiring::check_issuers(configuration), told),
    )
}

/// The broker as an issuer, if it is one: its keys, and what clouds find of it.
async fn look_at_own_issuer(
    configuration: &Configuration,
    report: &mut Report,
) -> Result<(), Failure> {
    let Some(section) = &configuration.issuer else {
        return Ok(());
    };
    look_at_vault(section, report).await?;
    let finding = match keys::issuer(section) {
        Err(failure) => Finding::Wrong(failure.to_string()),
        Ok(issuer) => match published::look(&issuer).await {
            Published::AsHere => Finding::Well(format!("clouds find `{}`", issuer.url())),
            Published::Otherwise(url) => Finding::Wrong(format!(
                "`{url}` is not what this broker publishes, and clouds refuse what it signs: copy \
                 it there anew, or restart the broker that serves it"
            )),
            Published::Unasked(why) => Finding::NotLookedAt(format!("{why}; clouds must reach it")),
        },
    };
    report.line("own issuer", &finding)
}

/// The issuer's keys in a vault, if some lie there.
async fn look_at_vault(section: &IssuerSection, report: &mut Report) -> Result<(), Failure> {
    let place = "own issuer";
    let keys = match keys::vault_keys(section) {
        Err(failure) => return report.line(place, &Finding::Wrong(failure.to_string())),
        Ok(keys) => keys,
    };
    let signing = section.key_vault.as_ref().and_then(|it| it.key.as_ref());
    let signing = signing.map(ToString::to_string);
    for key in keys {
        let signs = signing.as_deref() == Some(key.id());
        match key.examine(signs, SystemClock.now()).await {
            Ok(well) => report.line(place, &Finding::Well(well))?,
            Err(wrong) => {
                for wrong in wrong {
                    report.line(place, &Finding::Wrong(wrong))?;
                }
            }
        }
    }
    Ok(())
}

/// The ledger as it stands there. Whoever can write it can forget leases.
async fn ledger(configuration: &Configuration) -> Finding {
    let section = &configuration.ledger;
    match section {
        LedgerSection::Sqlite(options) if !options.path.exists() => {
            let path = options.path.display();
            let told = format!("`{path}` is not there; the first start makes it");
            return Finding::NotLookedAt(told);
        }
        LedgerSection::Sqlite(options) => {
            if let Some(wrong) = open_to_others(&options.path) {
                return Finding::Wrong(wrong);
            }
        }
        LedgerSection::Postgres(options) => match posture(options).await {
            Ok(posture) if !posture.concerns().is_empty() => {
                return Finding::Wrong(posture.concerns().join("; "));
            }
            Ok(_) => {}
            Err(error) => return Finding::Wrong(error.to_string()),
        },
    }
    let reader = match LedgerToRead::open(section).await {
        Ok(reader) => reader,
        Err(failure) if failure.code == "ledger_to_be_made" => {
            return Finding::NotLookedAt(failure.to_string());
        }
        Err(failure) => return Finding::Wrong(failure.to_string()),
    };
    match reader.frontier().await {
        Ok(frontier) => Finding::Well(format!("{} audit entries", frontier.size())),
        Err(error) => Finding::Wrong(error.to_string()),
    }
}

fn open_to_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & 0o022 != 0).then(|| {
        format!(
            "`{}` can be written by others (mode {:03o}): run `chmod go-w` on it",
            path.display(),
            mode & 0o777
        )
    })
}

async fn look_at_broker(configuration: &Configuration, report: &mut Report) -> Result<(), Failure> {
    let operators = Operators::of(configuration)?;
    let status = match operators.ask::<StatusView>(paths::admin::STATUS).await {
        Ok(status) => status,
        Err(failure) => {
            let told = format!("{failure}; so halt, orders and stuck leases are not known");
            return report.line("broker", &Finding::NotLookedAt(told));
        }
    };
    let granting = match &status.halted {
        None => Finding::Well("it grants".to_owned()),
        Some(why) => Finding::Wrong(format!("it does not grant: {why}")),
    };
    report.line("broker", &granting)?;
    let stuck = match status.stuck.first() {
        None => Finding::Well("no revocation is overdue".to_owned()),
        Some(worst) => Finding::Wrong(format!(
            "{} revocations are overdue, `{}` on `{}` is exposed until {}: its target does not \
             answer or refuses; see `jitney status` and the log",
            status.stuck_count, worst.lease, worst.target, worst.exposed_until
        )),
    };
    report.line("revocations", &stuck)
}
