//! `jitney lease`: what the ledger says of leases. Reads, and changes nothing.

use jitney_api::LeaseView;
use jitney_broker::view;
use jitney_core::books::{FoundLease, found_lease};
use jitney_core::id::LeaseId;
use jitney_core::ledger::{LeaseFilter, RowId};

use crate::arguments::{ConfigurationFile, Format, Lease, LeaseList, LeaseShow};
use crate::commands::operate;
use crate::configuration::{self, Configuration};
use crate::failure::{Failure, UNREACHABLE, USAGE};
use crate::ledgers::LedgerToRead;
use crate::terminal::{inline, say, table};

/// Runs the command.
pub async fn lease(command: Lease) -> Result<u8, Failure> {
    match command {
        Lease::List(arguments) => list(arguments).await,
        Lease::Show(arguments) => show(arguments).await,
        Lease::Revoke(arguments) => operate::revoke(arguments).await,
        Lease::WriteOff(arguments) => operate::write_off(arguments).await,
    }
}

/// The configuration and its ledger.
async fn open(file: &ConfigurationFile) -> Result<(Configuration, LedgerToRead), Failure> {
    let configuration = configuration::read(&file.config, std::env::vars())?;
    let ledger = LedgerToRead::open(&configuration.ledger).await?;
    Ok((configuration, ledger))
}

async fn list(arguments: LeaseList) -> Result<u8, Failure> {
    let (configuration, ledger) = open(&arguments.configuration).await?;
    let filter = LeaseFilter {
        ended_too: arguments.all,
        limit: arguments.limit,
        ..LeaseFilter::default()
    };
    let rows = ledger.leases(filter).await.map_err(cannot_read)?;
    let mut views = Vec::new();
    for row in &rows {
        let found = found_lease(row).map_err(cannot_read)?;
        views.push(view_of(&found, &configuration));
    }
    match arguments.format {
        Format::Json => say(&json(&views)?)?,
        Format::Text if views.is_empty() => say("no leases")?,
        Format::Text => {
            let rows: Vec<_> = views.iter().map(cells).collect();
            for line in table(
                &["LEASE", "STATE", "TARGET", "SCOPES", "ENDS", "WHY"],
                &rows,
            ) {
                say(&line)?;
            }
        }
    }
    Ok(0)
}

fn cells(view: &LeaseView) -> Vec<String> {
    vec![
        view.id.clone(),
        word(&view.state),
        view.target.clone(),
        view.scopes.join(" "),
        view.ends_at
            .as_ref()
            .or(view.exposed_until.as_ref())
            .cloned()
            .unwrap_or_else(|| "-".to_owned()),
        view.why.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

async fn show(arguments: LeaseShow) -> Result<u8, Failure> {
    let id: LeaseId = arguments
        .id
        .parse()
        .map_err(|error| Failure::new(USAGE, "bad_lease_id", error))?;
    let (configuration, ledger) = open(&arguments.configuration).await?;
    let row = ledger.row(RowId::Lease(id)).await.map_err(cannot_read)?;
    let Some(row) = row else {
        return Err(Failure::new(
            UNREACHABLE,
            "not_found",
            format!("the ledger has no lease `{id}`"),
        ));
    };
    let view = view_of(&found_lease(&row).map_err(cannot_read)?, &configuration);
    if arguments.format == Format::Json {
        say(&json(&view)?)?;
        return Ok(0);
    }
    for (name, value) in facts(&view) {
        say(&format!("{name:14}  {}", inline(&value)))?;
    }
    Ok(0)
}

fn facts(view: &LeaseView) -> Vec<(&'static str, String)> {
    let recall = format!(
        "{} within {} s of its end",
        word(&view.recall.kind),
        view.recall.within_seconds
    );
    let mut facts = vec![
        ("lease", view.id.clone()),
        ("request", view.request.clone()),
        ("state", word(&view.state)),
        ("target", format!("{} ({})", view.target, view.cloud)),
        ("handle", view.handle.clone()),
        ("recall", recall),
        ("absolute end", view.absolute_end.clone()),
    ];
    let optional = [
        ("granted", &view.granted_at),
        ("ends", &view.ends_at),
        ("exposed until", &view.exposed_until),
        ("why", &view.why),
        ("evidence", &view.evidence),
    ];
    for (name, value) in optional {
        facts.extend(value.clone().map(|value| (name, value)));
    }
    facts.extend(view.scopes.iter().map(|scope| ("scope", scope.clone())));
    facts.extend(view.plan_summary.iter().map(|line| ("plan", line.clone())));
    facts
}

fn view_of(lease: &FoundLease, configuration: &Configuration) -> LeaseView {
    let target = configuration.targets.get(&lease.terms().plan.lane.target);
    view::lease(lease, target.map_or("", |target| target.cloud()))
}

/// A word of the API, as it stands on the wire.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::internal(&error))
}

fn cannot_read(error: jitney_core::ledger::CannotRead) -> Failure {
    Failure::unreachable("ledger_unreadable", error)
}
