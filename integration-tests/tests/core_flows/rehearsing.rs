//! Rehearsals: what is measured is what the cloud does, what goes wrong is said, and nothing is
//! left behind, whoever stops in the middle.

use jitney_core::audit::Event;
use jitney_core::credential::Credential;
use jitney_core::decision::Verdict;
use jitney_core::id::TargetName;
use jitney_core::lease::{End, Outcome};
use jitney_core::probe::Probed;
use jitney_core::question::{Answer, Finding};
use jitney_core::time::Timestamp;
use jitney_core::usecase::{Conclusion, Core, Rehearsal, Report, Signed, Stage};
use jitney_integration_tests::fake_cloud::{LAG, SETTLE, Style};
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD, PROD_SCOPE, SILENCE, World, proof};

use crate::{outcome, seconds, submit, wish, world, world_that};

fn signed() -> Signed {
    Signed {
        person: "ada (uid 7)".to_owned(),
        reason: "rehearsal".to_owned(),
    }
}

fn prod() -> TargetName {
    PROD.parse().unwrap()
}

async fn begin(core: &Core) -> Rehearsal {
    let scope = PROD_SCOPE.parse().unwrap();
    let begun = core.begin_rehearsal(&prod(), Some(&scope), &signed()).await;
    begun.unwrap()
}

/// What keeps a rehearsal's lease: somebody still wants to know.
async fn ask_after(core: &Core, rehearsal: &Rehearsal) {
    let lease = core.books.lease(rehearsal.lease()).await.unwrap();
    core.hear(&lease.unwrap());
}

/// Looks every second, as the broker does, with both promises checked each time, until it is over.
async fn look_on(world: &World, core: &Core, rehearsal: &mut Rehearsal) -> Report {
    for _ in 0..3_600 {
        rehearsal.look(core).await;
        if rehearsal.report().stage == Stage::ComingIntoForce {
            ask_after(core, rehearsal).await;
        }
        if rehearsal.is_over() {
            return rehearsal.report();
        }
        world.turn(core).await;
        world.clock.pass(seconds(1));
    }
    panic!("it does not end: {:?}", rehearsal.report());
}

/// What is wrong, in one text.
fn broken(report: &Report) -> String {
    match &report.conclusion {
        Some(Conclusion::Broken(why)) => why.join("; "),
        other => panic!("{other:?}"),
    }
}

fn unclear(report: &Report) -> String {
    match &report.conclusion {
        Some(Conclusion::CannotTell(why)) => why.join("; "),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_measured_is_what_the_cloud_does() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    let report = look_on(&world, &core, &mut rehearsal).await;
    assert_eq!(report.conclusion, Some(Conclusion::Kept), "{report:?}");
    assert_eq!(report.accepted_after, Some(seconds(0)));
    // One look takes a second.
    let removed = report.removed_after.unwrap();
    let refused = report.refused_after.unwrap() - removed;
    assert!((LAG..=LAG + seconds(1)).contains(&refused), "{report:?}");
    let evident = report.evident_after.unwrap() - removed;
    assert!(
        (SETTLE..=SETTLE + seconds(2)).contains(&evident),
        "{report:?}"
    );
    assert_eq!((report.evidence, report.settles), (Some("settled"), SETTLE));
    let proposed = report.proposed_settle_seconds.unwrap();
    assert!(u64::from(proposed) >= refused.as_secs() + 5, "{report:?}");
    // The hold is what any other lease leaves, and goes as it does.
    assert!(!world.holds(PROD, "deploy").await.is_empty());
    world.live_out(&core).await;
}

fn finding<'a>(report: &'a Report, id: &str) -> &'a Finding {
    let mut answered = report.questions.iter();
    let it = answered.find(|it| it.question.id == id);
    &it.unwrap_or_else(|| panic!("no `{id}` in {report:?}"))
        .finding
}

#[tokio::test]
async fn open_questions_are_asked_while_the_lease_lives_and_once_it_ends() {
    for (outlive, expected) in [(true, Answer::Yes), (false, Answer::No)] {
        let (world, _folder) = world();
        let core = world.broker("a");
        let cloud = world.cloud(PROD);
        cloud.set_visits_outlive(outlive);
        let mut rehearsal = begin(&core).await;
        // Nothing is tried before the lease is seen to be in force.
        assert!(cloud.moments().is_empty());
        rehearsal.look(&core).await;
        assert_eq!(
            (cloud.visits(), cloud.moments()),
            (1, vec!["active", "ending"])
        );
        let early = rehearsal.report();
        assert_eq!(finding(&early, "visits").answer.as_str(), "unanswered");
        let report = look_on(&world, &core, &mut rehearsal).await;
        assert_eq!(report.questions.len(), 3, "{report:?}");
        let visits = finding(&report, "visits");
        assert_eq!(
            (&visits.answer, visits.set.as_deref()),
            (&expected, Some("nothing"))
        );
        // What every rehearsal measures is no trial's to say.
        let measured = report.refused_after.unwrap() - report.removed_after.unwrap();
        assert_eq!(
            finding(&report, "denial").answer,
            Answer::Measured(measured)
        );
        let Answer::Unanswered { why } = &finding(&report, "late-calls").answer else {
            panic!("{report:?}");
        };
        assert_eq!(why, "whoever wrote the fake knows");
        // What a trial began is broken off.
        assert_eq!(cloud.visits(), 0);
        let moments = cloud.moments();
        assert_eq!(moments.last(), Some(&"closed"), "{moments:?}");
        assert!(moments.contains(&"over"), "{moments:?}");
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn nothing_is_tried_before_the_lease_is_in_force() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let cloud = world.cloud(PROD);
    cloud.set_probe(Some(Probed::Refused));
    let mut rehearsal = begin(&core).await;
    for _ in 0..3 {
        rehearsal.look(&core).await;
        assert_eq!((cloud.visits(), cloud.moments().len()), (0, 0));
        world.clock.pass(seconds(1));
    }
    cloud.set_probe(None);
    rehearsal.look(&core).await;
    assert_eq!(cloud.moments(), ["active", "ending"]);
    look_on(&world, &core, &mut rehearsal).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_settle_time_that_is_too_short_is_what_there_is_to_set() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    let report = look_on(&world, &core, &mut rehearsal).await;
    // Two seconds and a margin of five are more than the fake's four.
    let set = finding(&report, "denial").set.clone().unwrap();
    assert!(set.contains("`settle_seconds`"), "{set}");
    world.cloud(PROD).set_probe(Some(Probed::Refused));
    let mut rehearsal = begin(&core).await;
    let report = look_on(&world, &core, &mut rehearsal).await;
    let denial = finding(&report, "denial");
    assert_eq!((denial.answer.as_str(), &denial.set), ("unanswered", &None));
    world.live_out(&core).await;
}

#[tokio::test]
async fn whoever_stops_a_rehearsal_asks_nothing_more_and_what_was_begun_is_broken_off() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let cloud = world.cloud(PROD);
    let mut rehearsal = begin(&core).await;
    rehearsal.stop();
    rehearsal.look(&core).await;
    assert_eq!(cloud.moments(), ["closed"]);
    let mut rehearsal = begin(&core).await;
    rehearsal.look(&core).await;
    assert_eq!(cloud.visits(), 1);
    rehearsal.stop();
    rehearsal.look(&core).await;
    assert!(rehearsal.is_over());
    assert_eq!(cloud.visits(), 0);
    let answer = &finding(&rehearsal.report(), "visits").answer.clone();
    assert_eq!(answer.as_str(), "unanswered");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_cloud_of_slots_is_rehearsed_like_one_of_sessions() {
    for style in [Style::Denies, Style::Slots] {
        let (world, _folder) = world_that(style);
        let core = world.broker("a");
        let mut rehearsal = begin(&core).await;
        let report = look_on(&world, &core, &mut rehearsal).await;
        assert_eq!(
            report.conclusion,
            Some(Conclusion::Kept),
            "{style:?} {report:?}"
        );
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn the_intent_comes_first_and_the_log_names_the_operator() {
    let (world, _folder) = world();
    let core = world.broker("a");
    // Nobody is given anything, so no policy is asked.
    world.policy.say(Verdict::Deny);
    let mut rehearsal = begin(&core).await;
    let entries = world.entries().await;
    let of = |event: Event| {
        let mut entries = entries.iter();
        let at = entries.position(|entry| entry.event() == event);
        at.unwrap_or_else(|| panic!("no {event:?} in {entries:?}"))
    };
    assert!(of(Event::LeaseIntended) < of(Event::LeaseGranted));
    let text = format!("{:?}", entries[of(Event::RequestSubmitted)]);
    for expected in ["ada (uid 7)", "rehearsal", "operator", PROD_SCOPE] {
        assert!(text.contains(expected), "`{expected}` is not in {text}");
    }
    look_on(&world, &core, &mut rehearsal).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_removal_that_never_takes_effect_is_red() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    world.cloud(PROD).set_probe(Some(Probed::Accepted));
    let report = look_on(&world, &core, &mut rehearsal).await;
    let why = broken(&report);
    assert!(
        why.contains("after the ledger said that the lease was over"),
        "{why}"
    );
    assert!(why.contains("the removal did not take effect"), "{why}");
    assert_eq!(report.proposed_settle_seconds, None);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_removal_that_takes_longer_than_the_settle_time_is_red_and_says_what_would_do() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    rehearsal.look(&core).await;
    let ended_at = world.now();
    world.cloud(PROD).set_probe(Some(Probed::Accepted));
    let late = SETTLE + seconds(20);
    let report = loop {
        world.turn(&core).await;
        world.clock.pass(seconds(1));
        if world.now() >= ended_at.plus(late) {
            world.cloud(PROD).set_probe(None);
        }
        rehearsal.look(&core).await;
        if rehearsal.is_over() {
            break rehearsal.report();
        }
    };
    let why = broken(&report);
    assert!(why.contains("`settle_seconds` is too short"), "{why}");
    assert!(!why.contains("never"), "{why}");
    assert!(
        report.proposed_settle_seconds >= Some(24 + 12),
        "{report:?}"
    );
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_refusal_that_does_not_stay_one_does_not_count() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    rehearsal.look(&core).await;
    let ended_at = world.now();
    let report = loop {
        world.turn(&core).await;
        world.clock.pass(seconds(1));
        // A server that knows less than the others.
        let passed = world.now().since(ended_at).as_secs();
        let stale = (8..=9).contains(&passed).then_some(Probed::Accepted);
        world.cloud(PROD).set_probe(stale);
        rehearsal.look(&core).await;
        if rehearsal.is_over() {
            break rehearsal.report();
        }
    };
    assert_eq!(report.refused_after, Some(seconds(10)), "{report:?}");
    assert!(broken(&report).contains("was accepted"), "{report:?}");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_grant_that_never_comes_into_force_is_red_and_ended() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    world.cloud(PROD).set_probe(Some(Probed::Refused));
    let report = look_on(&world, &core, &mut rehearsal).await;
    let why = broken(&report);
    assert!(
        why.contains("was not accepted within 450 s of the grant"),
        "{why}"
    );
    // It was refused all along, which says nothing of a removal.
    assert_eq!(report.proposed_settle_seconds, None);
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_cannot_be_asked_or_is_not_answered_is_neither_kept_nor_broken() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let cannot = Probed::CannotTell {
        why: "there is no call".to_owned(),
    };
    world.cloud(PROD).set_probe(Some(cannot));
    let mut rehearsal = begin(&core).await;
    let report = look_on(&world, &core, &mut rehearsal).await;
    assert!(unclear(&report).contains("there is no call"), "{report:?}");
    assert!(report.evident_after.is_some(), "{report:?}");
    world.cloud(PROD).set_probe(None);
    let mut rehearsal = begin(&core).await;
    rehearsal.look(&core).await;
    let unknown = Probed::Unknown {
        why: "503".to_owned(),
    };
    world.cloud(PROD).set_probe(Some(unknown));
    let report = look_on(&world, &core, &mut rehearsal).await;
    assert!(unclear(&report).contains("503"), "{report:?}");
    assert_eq!(report.proposed_settle_seconds, None);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_grant_about_which_nobody_answers_is_not_called_broken() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let unknown = Probed::Unknown {
        why: "503".to_owned(),
    };
    world.cloud(PROD).set_probe(Some(unknown));
    let mut rehearsal = begin(&core).await;
    let report = loop {
        rehearsal.look(&core).await;
        match rehearsal.report() {
            report if rehearsal.is_over() => break report,
            report if report.stage == Stage::Ending => world.cloud(PROD).set_probe(None),
            _ => ask_after(&core, &rehearsal).await,
        }
        world.turn(&core).await;
        world.clock.pass(seconds(1));
    };
    assert!(
        unclear(&report).contains("whether the lease was in force"),
        "{report:?}"
    );
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_rehearsal_that_is_stopped_leaves_nothing() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let mut rehearsal = begin(&core).await;
    rehearsal.stop();
    rehearsal.look(&core).await;
    assert!(rehearsal.is_over());
    assert!(unclear(&rehearsal.report()).contains("stopped"));
    assert_eq!(world.lease(rehearsal.lease()).await.state(), "revoking");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_rehearsal_whose_process_is_gone_falls_silent_and_leaves_nothing() {
    let (world, _folder) = world();
    let core = world.broker("a");
    world.cloud(PROD).set_probe(Some(Probed::Refused));
    let mut rehearsal = begin(&core).await;
    rehearsal.look(&core).await;
    let lease = rehearsal.lease();
    drop((rehearsal, core));
    let next = world.broker("b");
    world.live(&next, SILENCE + seconds(10)).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked { why, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    assert_eq!(*why, End::Silent);
    world.live_out(&next).await;
}

#[tokio::test]
async fn a_lease_that_somebody_else_ended_was_not_rehearsed() {
    let (world, _folder) = world();
    let core = world.broker("a");
    world.cloud(PROD).set_probe(Some(Probed::Refused));
    let mut rehearsal = begin(&core).await;
    // Nobody asks after it.
    world.live(&core, SILENCE + seconds(1)).await;
    world.cloud(PROD).set_probe(None);
    let report = look_on(&world, &core, &mut rehearsal).await;
    assert!(unclear(&report).contains("silent"), "{report:?}");
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_is_asked_for_must_lie_in_the_target() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let elsewhere = BACKUP_SCOPE.parse().unwrap();
    let (prod, signed) = (prod(), signed());
    let refused = core.begin_rehearsal(&prod, Some(&elsewhere), &signed);
    assert_eq!(refused.await.unwrap_err().code, "bad_request");
    // Here there is nothing that reads.
    let refused = core.begin_rehearsal(&prod, None, &signed).await;
    let refused = refused.unwrap_err();
    assert!(refused.told.contains("name a scope"), "{refused:?}");
    assert!(world.leases().await.is_empty());
}

#[tokio::test]
async fn a_job_probes_its_own_lease_and_no_other() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, secret) = grant.only();
    let shown = |secret: &str| {
        let fields = [("secret", secret.to_owned())];
        Credential::new("fake-session", fields, Timestamp::FAR_FUTURE).kept()
    };
    let probed = core.probe(lease, &proof("key"), &shown(secret)).await;
    assert_eq!(probed.unwrap().0, Probed::Accepted);
    let other = core.probe(lease, &proof("other"), &shown(secret)).await;
    assert_eq!(other.unwrap_err().code, "not_found");
    core.release(lease, &proof("key")).await.unwrap();
    let over = core.probe(lease, &proof("key"), &shown(secret)).await;
    assert_eq!(over.unwrap_err().code, "lease_ended");
    world.live_out(&core).await;
}
