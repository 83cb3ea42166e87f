//! `jitney lease revoke`, `lease write-off`, `order`, `recover`, `sweep` and `status`: what is done by
//! the running broker, asked through its socket.

use jitney_api::admin::{
    AimBody, KillBody, KillView, OrderView, RecoverBody, RecoverView, Signature, StatusView,
    SweepBody, SweepView, WriteOffBody,
};
use jitney_api::{LeaseView, paths};
use jitney_core::id::{LeaseId, OrderId};

use crate::arguments::{
    Aim, ConfigurationFile, Format, LeaseRevoke, LeaseWriteOff, OrderCommand, Recover, Signed,
    Status, Sweep,
};
use crate::configuration;
use crate::failure::{Failure, USAGE};
use crate::operators::Operators;
use crate::terminal::{inline, say, table};

fn operators(file: &ConfigurationFile) -> Result<Operators, Failure> {
    Operators::of(&configuration::read(&file.config, std::env::vars())?)
}

fn signature(signed: Signed) -> Signature {
    Signature {
        person: signed.person,
        reason: signed.reason,
    }
}

fn path(template: &str, id: &str) -> Result<String, Failure> {
    let told = format!("`{}` is no id", inline(id));
    paths::with_id(template, id).ok_or_else(|| Failure::new(USAGE, "bad_id", told))
}

/// Ends every lease that something is true of.
pub async fn revoke(arguments: LeaseRevoke) -> Result<u8, Failure> {
    let body = KillBody {
        aim: aim(arguments.aim),
        cut_lanes: arguments.cut_role,
        dry_run: arguments.dry_run,
        signed: signature(arguments.signed),
    };
    let operators = operators(&arguments.configuration)?;
    let view: KillView = operators.act(paths::admin::ORDERS, &body).await?;
    say(&format!(
        "{} open leases in {} lanes",
        view.leases,
        view.lanes.len()
    ))?;
    for lane in &view.lanes {
        say(&format!("  {}", inline(lane)))?;
    }
    match view.order {
        None => say("nothing was done: this was a dry run")?,
        Some(order) => say(&format!(
            "{order} is being carried out, and nothing like them is granted until it is; \
             `jitney order show {order}` tells how far it is"
        ))?,
    }
    Ok(0)
}

fn aim(aim: Aim) -> AimBody {
    AimBody {
        issuer: aim.issuer,
        repository: aim.repo,
        target: aim.target,
        resource: aim.resource,
        lease: aim.lease,
        since: aim.since,
    }
}

/// Declares a lease over without evidence.
pub async fn write_off(arguments: LeaseWriteOff) -> Result<u8, Failure> {
    let id: LeaseId = arguments
        .id
        .parse()
        .map_err(|error| Failure::new(USAGE, "bad_lease_id", error))?;
    let body: WriteOffBody = signature(arguments.signed);
    let path = path(paths::admin::WRITE_OFF, &id.to_string())?;
    let operators = operators(&arguments.configuration)?;
    let _: LeaseView = operators.act(&path, &body).await?;
    say(&format!(
        "{id} is written off; what it gave is kept denied for as long as it could work"
    ))?;
    Ok(0)
}

/// Shows kill orders.
pub async fn order(command: OrderCommand) -> Result<u8, Failure> {
    match command {
        OrderCommand::List(arguments) => {
            let operators = operators(&arguments.configuration)?;
            let orders: Vec<OrderView> = operators.ask(paths::admin::ORDERS).await?;
            if arguments.format == Format::Json {
                return json(&orders);
            }
            list(&orders)
        }
        OrderCommand::Show(arguments) => {
            let id: OrderId = arguments
                .id
                .parse()
                .map_err(|error| Failure::new(USAGE, "bad_order_id", error))?;
            let path = path(paths::admin::ORDER, &id.to_string())?;
            let operators = operators(&arguments.configuration)?;
            let order: OrderView = operators.ask(&path).await?;
            if arguments.format == Format::Json {
                return json(&order);
            }
            show(&order)
        }
    }
}

fn list(orders: &[OrderView]) -> Result<u8, Failure> {
    if orders.is_empty() {
        say("no orders")?;
        return Ok(0);
    }
    let cells = |order: &OrderView| {
        vec![
            order.id.clone(),
            order.ordered_at.clone(),
            order.signed.person.clone(),
            describe(&order.aim),
            order.ended.to_string(),
            order
                .done_at
                .clone()
                .unwrap_or_else(|| "going on".to_owned()),
        ]
    };
    let rows: Vec<_> = orders.iter().map(cells).collect();
    for line in table(&["ORDER", "GIVEN", "BY", "ABOUT", "ENDED", "DONE"], &rows) {
        say(&line)?;
    }
    Ok(0)
}

fn show(order: &OrderView) -> Result<u8, Failure> {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let rate = order.over_per_minute.unwrap_or_default();
    let eta = match order.eta_seconds {
        Some(0) => "all are over".to_owned(),
        Some(left) => format!("about {left} s, at {rate} a minute as until now"),
        None => "cannot be told yet".to_owned(),
    };
    let count = |count: Option<u32>| count.unwrap_or_default().to_string();
    for (name, value) in [
        ("order", order.id.clone()),
        ("about", describe(&order.aim)),
        ("lanes cut", order.lanes_cut.join(" ")),
        ("by", order.signed.person.clone()),
        ("because", order.signed.reason.clone()),
        ("given", order.ordered_at.clone()),
        ("looked at", format!("{} open leases", order.looked_at)),
        ("ended", format!("{} of them, durably", order.ended)),
        ("still to end", count(order.to_end)),
        ("done", or(&order.done_at, "not yet")),
        ("still revoking", count(order.revoking)),
        ("over", count(order.over)),
        ("exposed until", or(&order.exposed_until, "-")),
        ("time left", eta),
    ] {
        say(&format!("{name:14}  {}", inline(&value)))?;
    }
    Ok(0)
}

/// An aim as it is written on the command line.
fn describe(aim: &AimBody) -> String {
    let parts = [
        ("issuer", &aim.issuer),
        ("repo", &aim.repository),
        ("target", &aim.target),
        ("resource", &aim.resource),
        ("lease", &aim.lease),
        ("since", &aim.since),
    ];
    let parts = parts
        .iter()
        .filter_map(|(name, value)| Some(format!("--{name} {}", value.as_ref()?)));
    parts.collect::<Vec<_>>().join(" ")
}

/// Recovers from a ledger that went back in time.
pub async fn recover(arguments: Recover) -> Result<u8, Failure> {
    let body = RecoverBody {
        dry_run: arguments.dry_run,
        restored: arguments.restored,
        signed: signature(arguments.signed),
    };
    let operators = operators(&arguments.configuration)?;
    let view: RecoverView = operators.act(paths::admin::RECOVER, &body).await?;
    for lane in &view.lanes {
        say(&format!("  {}", inline(lane)))?;
    }
    let mark = view.latest_mark.unwrap_or_else(|| "none".to_owned());
    say(&format!(
        "{} lanes in which something may have been issued; the latest stamp in a cloud is {mark}",
        view.lanes.len()
    ))?;
    match (view.ordered, view.cut_before) {
        (true, Some(moment)) => say(&format!(
            "everything issued before {moment} is being cut; `jitney status` tells how far it is"
        ))?,
        (true, None) => say("there was nothing to cut")?,
        (false, _) => say("nothing was done: this was a dry run")?,
    }
    Ok(0)
}

/// Looks through a target for what bears our stamp and belongs to nothing.
pub async fn sweep(arguments: Sweep) -> Result<u8, Failure> {
    let body = SweepBody {
        target: arguments.target,
        act: arguments.act,
        cap: arguments.cap,
        signed: signature(arguments.signed),
    };
    let operators = operators(&arguments.configuration)?;
    let view: SweepView = operators.act(paths::admin::SWEEPS, &body).await?;
    for stray in &view.strays {
        let done = if stray.ended { "ended" } else { "left" };
        let (lane, held, native) = (&stray.lane, &stray.held, &stray.native);
        say(&inline(&format!("  {done}  {lane}  {held}  {native}")))?;
    }
    say(&format!(
        "{} things bear this installation's name; {} belong to nothing, {} do not prove the name \
         and are left alone",
        view.seen,
        view.strays.len(),
        view.foreign
    ))?;
    if view.behind {
        say("a stamp is later than the ledger: nothing was done, see `jitney recover`")?;
    }
    Ok(0)
}

/// Says how the broker and its leases are.
pub async fn status(arguments: Status) -> Result<u8, Failure> {
    let operators = operators(&arguments.configuration)?;
    let status: StatusView = operators.ask(paths::admin::STATUS).await?;
    if arguments.format == Format::Json {
        return json(&status);
    }
    let counts = status.leases.iter();
    let counts: Vec<_> = counts.map(|(state, n)| format!("{n} {state}")).collect();
    say(&format!("leases   {}", counts.join(", ")))?;
    let granting = match &status.halted {
        None => "yes".to_owned(),
        Some(why) => format!("NO: {why}"),
    };
    say(&format!("granting {}", inline(&granting)))?;
    say(&format!("resting  {} lanes", status.lanes_resting))?;
    say(&format!("stuck    {}", status.stuck_count))?;
    for stuck in &status.stuck {
        let (lease, target, until) = (&stuck.lease, &stuck.target, &stuck.exposed_until);
        say(&inline(&format!(
            "  {lease} on {target}: tried {} times since {}, exposed until {until}",
            stuck.attempts, stuck.since
        )))?;
    }
    say(&format!("orders   {} open", status.orders.len()))?;
    for order in &status.orders {
        let about = describe(&order.aim);
        say(&inline(&format!("  {} {about}", order.id)))?;
    }
    Ok(0)
}

fn json(value: &impl serde::Serialize) -> Result<u8, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::internal(&error))?;
    say(&text)?;
    Ok(0)
}
