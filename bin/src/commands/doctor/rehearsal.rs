//! `jitney doctor --rehearse`: orders a rehearsal of the running broker, asks after it until it is
//! over, and says what was measured and what follows.

use core::time::Duration;

use jitney_api::admin::{QuestionView, RehearsalBody, RehearsalView, Signature};
use jitney_api::{RecallKind, paths};
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::{Doctor, Format};
use crate::commands::serve::Stop;
use crate::configuration;
use crate::failure::{Failure, UNWELL};
use crate::operators::Operators;
use crate::terminal::{inline, say, table, warn};

/// How often the broker is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How many of these may fail in a row before the command gives up. The broker does not.
const UNHEARD_MAX: u32 = 30;
/// How often it is said that it goes on, in asks.
const SAID_EVERY: u32 = 10;
/// What the audit log says of why.
const REASON: &str = "rehearsal";
/// What the process returns when a person interrupts it, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the command.
pub(super) async fn rehearse(target: String, arguments: Doctor) -> Result<u8, Failure> {
    let configuration = configuration::read(&arguments.configuration.config, std::env::vars())?;
    let operators = Operators::of(&configuration)?;
    let mut stop = Stop::listen()?;
    let body = RehearsalBody {
        target,
        scope: arguments.scope,
        signed: Signature {
            person: arguments.person.unwrap_or_else(own_name),
            reason: REASON.to_owned(),
        },
    };
    // Not cut off by a signal: until it is answered there is nothing to stop by its name.
    let begun: RehearsalView = operators.act(paths::admin::REHEARSALS, &body).await?;
    warn(&inline(&format!(
        "rehearsing with `{}` on `{}`, lease {}",
        begun.scope, begun.target, begun.id
    )));
    let watched = tokio::select! {
        over = until_over(&operators, &begun) => Some(over?),
        () = stop.told() => None,
    };
    let Some(over) = watched else {
        let stopped = path(paths::admin::REHEARSAL_STOP, &begun.id)?;
        let _: RehearsalView = operators.act(&stopped, &()).await?;
        warn("stopped; the broker ends the lease, and what must stay ended is held as always");
        return Ok(INTERRUPTED);
    };
    match arguments.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&over);
            say(&text.map_err(|error| Failure::internal(&error))?)?;
        }
        Format::Text => {
            for line in told(&over) {
                say(&line)?;
            }
        }
    }
    let kept = over.conclusion.as_deref() == Some("kept");
    Ok(if kept { 0 } else { UNWELL })
}

fn own_name() -> String {
    let names = ["USER", "LOGNAME"].into_iter();
    let mut names = names.filter_map(|name| std::env::var(name).ok());
    let name = names.find(|name| !name.trim().is_empty());
    name.unwrap_or_else(|| "operator".to_owned())
}

fn path(template: &str, id: &str) -> Result<String, Failure> {
    paths::with_id(template, id)
        .ok_or_else(|| Failure::unreachable("not_a_broker", "the broker gave an id that is none"))
}

/// Asks until it is over, and says meanwhile what goes on. Asking is what keeps the lease until it
/// has been in force.
async fn until_over(
    operators: &Operators,
    begun: &RehearsalView,
) -> Result<RehearsalView, Failure> {
    let path = path(paths::admin::REHEARSAL, &begun.id)?;
    let mut clock = interval(ASK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut unheard, mut stage, mut asked) = (0, String::new(), 0_u32);
    loop {
        clock.tick().await;
        let view: RehearsalView = match operators.ask(&path).await {
            Ok(view) => view,
            // Whoever waits for minutes does not give up on one call.
            Err(failure) if unheard < UNHEARD_MAX && failure.code != "not_found" => {
                unheard += 1;
                tracing::debug!(%failure, "asking again");
                continue;
            }
            Err(failure) => return Err(lost(failure)),
        };
        unheard = 0;
        if view.conclusion.is_some() {
            return Ok(view);
        }
        if view.stage != stage || asked % SAID_EVERY == 0 {
            warn(&inline(&going_on(&view)));
            stage.clone_from(&view.stage);
        }
        asked = asked.wrapping_add(1);
    }
}

fn lost(failure: Failure) -> Failure {
    let told = format!(
        "{}; what was measured is lost, and the lease ends by itself as any other does",
        failure.told
    );
    Failure { told, ..failure }
}

fn going_on(view: &RehearsalView) -> String {
    let trouble = view.unknown.as_ref();
    let trouble = trouble.map_or(String::new(), |why| format!(" (no clear answer: {why})"));
    match view.stage.as_str() {
        "coming-into-force" => format!("not in force yet; {}{trouble}", view.in_force_says),
        _ if view.refused_after_milliseconds.is_some() => {
            format!("ended, and refused; watching that it stays so{trouble}")
        }
        _ => format!(
            "ended, and not yet refused; promised is {}{trouble}",
            promise(view)
        ),
    }
}

fn promise(view: &RehearsalView) -> String {
    let within = view.recall.within_seconds;
    match view.recall.kind {
        RecallKind::Severs => format!("severed within {within} s"),
        _ => format!("lapsed within {within} s"),
    }
}

fn seconds(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(
        || "not seen".to_owned(),
        |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    )
}

/// The measurement for people.
fn told(view: &RehearsalView) -> Vec<String> {
    let row = |what: &str, seen: String, expected: String| vec![what.to_owned(), seen, expected];
    let within = view.in_force_within_seconds;
    let evidence = view.evidence.as_deref().unwrap_or("none");
    let rows = [
        row(
            "asked to granted",
            seconds(Some(view.granted_after_milliseconds)),
            "-".to_owned(),
        ),
        row(
            "granted to accepted",
            seconds(view.accepted_after_milliseconds),
            format!("within {within} s"),
        ),
        row(
            "end to removal read back",
            seconds(view.removed_after_milliseconds),
            "-".to_owned(),
        ),
        row(
            "end to refused",
            seconds(view.refused_after_milliseconds),
            promise(view),
        ),
        row(
            "end to last accepted",
            view.last_accepted_after_milliseconds
                .map_or_else(|| "never after it".to_owned(), |ms| seconds(Some(ms))),
            "before the evidence".to_owned(),
        ),
        row(
            "end to evidence",
            seconds(view.evident_after_milliseconds),
            evidence.to_owned(),
        ),
    ];
    let mut lines = table(&["MEASURED", "SEEN", "EXPECTED"], &rows);
    lines.push(String::new());
    let conclusion = match view.conclusion.as_deref() {
        Some("kept") => "KEPT: it was in force, and its end was what was promised",
        Some("broken") => "BROKEN:",
        _ => "CANNOT TELL:",
    };
    lines.push(conclusion.to_owned());
    lines.extend(view.because.iter().map(|why| format!("  {}", inline(why))));
    lines.push(String::new());
    lines.push(proposal(view));
    if !view.questions.is_empty() {
        lines.push(String::new());
        lines.push("QUESTIONS that only a real account can answer".to_owned());
        lines.extend(questions(view));
    }
    lines
}

fn proposal(view: &RehearsalView) -> String {
    let configured = view.settle_seconds;
    match view.proposed_settle_seconds {
        None => format!("settle_seconds is {configured}; this rehearsal supports no other"),
        Some(proposed) if u64::from(proposed) > configured => format!(
            "settle_seconds is {configured}, which is LESS than this rehearsal supports: set it to \
             {proposed} or more in `targets.{}`",
            inline(&view.target)
        ),
        Some(proposed) => format!(
            "settle_seconds is {configured}; this rehearsal alone supports {proposed}. Rehearse at \
             several times of the day before you lower it"
        ),
    }
}

/// What was found of the open questions about the cloud: those with an answer first.
fn questions(view: &RehearsalView) -> Vec<String> {
    let is_open = |question: &&QuestionView| question.answer == "unanswered";
    let (open, answered): (Vec<_>, Vec<_>) = view.questions.iter().partition(is_open);
    answered.into_iter().chain(open).flat_map(found).collect()
}

/// One question, with what the answer rests on.
fn found(question: &QuestionView) -> Vec<String> {
    let answer = match question.measured_milliseconds {
        Some(milliseconds) => seconds(Some(milliseconds)),
        None => question.answer.clone(),
    };
    let mut lines = vec![format!(
        "{}: {}",
        inline(&question.id),
        inline(&format!("{} {answer}", question.asked))
    )];
    let seen = Some(&question.seen).filter(|seen| !seen.is_empty());
    let until_then = question.why.as_ref().map(|_| &question.until_then);
    for (what, text) in [
        ("seen", seen),
        ("why", question.why.as_ref()),
        ("until then", until_then),
        ("set", question.set.as_ref()),
    ] {
        lines.extend(text.map(|text| format!("  {what}: {}", inline(text))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_api::RecallView;

    fn view() -> RehearsalView {
        RehearsalView {
            id: "lease_1".to_owned(),
            scope: "object-storage:read@artifacts".to_owned(),
            target: "acme".to_owned(),
            cloud: "gcp".to_owned(),
            stage: "over".to_owned(),
            recall: RecallView {
                kind: RecallKind::Severs,
                within_seconds: 90,
            },
            settle_seconds: 60,
            in_force_within_seconds: 420,
            in_force_says: "Google says 2 minutes, potentially 7 or longer".to_owned(),
            granted_after_milliseconds: 1_250,
            accepted_after_milliseconds: Some(63_000),
            removed_after_milliseconds: Some(900),
            last_accepted_after_milliseconds: Some(2_000),
            refused_after_milliseconds: Some(3_100),
            evident_after_milliseconds: Some(61_000),
            evidence: Some("settled".to_owned()),
            unknown: None,
            conclusion: Some("kept".to_owned()),
            because: Vec::new(),
            proposed_settle_seconds: Some(8),
            questions: vec![
                QuestionView {
                    why: Some("nobody looked".to_owned()),
                    ..question("late-calls", "unanswered")
                },
                QuestionView {
                    measured_milliseconds: Some(2_200),
                    ..question("disabling", "measured")
                },
                QuestionView {
                    seen: "a piece was taken".to_owned(),
                    set: Some("use `cab`".to_owned()),
                    ..question("upload", "no")
                },
            ],
        }
    }

    fn question(id: &str, answer: &str) -> QuestionView {
        QuestionView {
            id: id.to_owned(),
            asked: format!("Is it so with {id}?"),
            answer: answer.to_owned(),
            measured_milliseconds: None,
            seen: String::new(),
            why: None,
            set: None,
            until_then: "it is reckoned with".to_owned(),
        }
    }

    #[test]
    fn a_person_reads_what_was_measured_and_what_it_supports() {
        let text = told(&view()).join("\n");
        assert!(text.find("upload:") < text.find("late-calls:"), "{text}");
        for expected in [
            "granted to accepted       63.0 s",
            "end to refused            3.1 s",
            "severed within 90 s",
            "KEPT",
            "disabling: Is it so with disabling? 2.2 s\n",
            "upload: Is it so with upload? no\n  seen: a piece was taken\n  set: use `cab`\n",
            "late-calls: Is it so with late-calls? unanswered\n  why: nobody looked\n  until then: it is reckoned with",
            "settle_seconds is 60; this rehearsal alone supports 8",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in\n{text}");
        }
    }

    #[test]
    fn a_settle_time_that_is_too_short_is_said_loudly() {
        let view = RehearsalView {
            settle_seconds: 2,
            conclusion: Some("broken".to_owned()),
            because: vec!["the credential was accepted 1 s after the ledger".to_owned()],
            ..view()
        };
        let text = told(&view).join("\n");
        assert!(
            text.contains("BROKEN:\n  the credential was accepted"),
            "{text}"
        );
        assert!(text.contains("LESS than this rehearsal supports: set it to 8 or more"));
    }
}
