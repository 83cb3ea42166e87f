//! Who may say yes, and what every request leaves in the audit log.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::decision::PolicyDigest;
use crate::principal::{
    Actor, GitRef, Job, JobKey, KeyThumbprint, OnceKey, Origin, Provider, Repository, TokenFacts,
    Workflow,
};

const START: Timestamp = Timestamp::from_seconds(1_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn principal() -> Principal {
    let workflow = "acme/shop/.github/workflows/deploy.yml@refs/heads/main".to_owned();
    let job = Job {
        provider: Provider::GithubActions,
        issuer: "https://ci.example".to_owned(),
        key: JobKey::from_parts(["https://ci.example", "2002", "1", "1", "9"]),
        repository: Repository {
            id: "2002".to_owned(),
            path: "acme/shop".to_owned(),
            owner_id: "1001".to_owned(),
            visibility: None,
        },
        origin: Origin::Same,
        git_ref: GitRef {
            full: "refs/heads/main".to_owned(),
            kind: "branch".to_owned(),
            protected: Some(true),
        },
        sha: "9f31".to_owned(),
        workflow: Workflow {
            top_ref: workflow.clone(),
            top_sha: "9f31".to_owned(),
            job_ref: workflow,
            job_sha: "9f31".to_owned(),
        },
        environment: None,
        event: "push".to_owned(),
        actor: Actor {
            id: "31337".to_owned(),
            login: "octo-dev".to_owned(),
        },
        run_id: "1".to_owned(),
        run_attempt: "1".to_owned(),
        job_id: Some("9".to_owned()),
        runner: None,
        properties: std::collections::BTreeMap::new(),
    };
    let token = TokenFacts {
        once: OnceKey("once".to_owned()),
        issued_at: START,
        expires_at: after(300),
        remember_until: after(365),
    };
    Principal {
        job,
        token,
        key: KeyThumbprint("thumbprint".to_owned()),
    }
}

fn decision(verdict: Verdict) -> Decision {
    Decision {
        verdict,
        rules: vec!["rule".to_owned()],
        reasons: Vec::new(),
        notes: Vec::new(),
        policy: PolicyDigest("digest".to_owned()),
    }
}

fn submitted(verdict: Verdict) -> Submitted {
    Submitted::new(Terms {
        id: RequestId::fresh(),
        principal: principal(),
        owner: Owner {
            job: "job".to_owned(),
            repository: "repository".to_owned(),
            tenant: "tenant".to_owned(),
        },
        scopes: vec!["object-storage:write@artifacts-prod".parse().unwrap()],
        ttl_seconds: 900,
        reason: String::new(),
        submitted_at: START,
        decision: decision(verdict),
    })
}

fn pending(people: u32) -> Recorded<Pending> {
    let quorum = Quorum {
        people,
        answer_by: after(600),
    };
    submitted(Verdict::NeedsApproval)
        .pending(quorum)
        .committed_in_test()
}

fn events(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().map(|entry| entry.event().as_str()).collect()
}

#[test]
fn every_request_begins_with_who_asked_and_what_was_decided() {
    let denied = submitted(Verdict::Deny).denied();
    let opening = ["request_submitted", "request_decided"];
    assert_eq!(
        events(denied.entries()),
        [opening[0], opening[1], "request_closed"]
    );
    let allowed = submitted(Verdict::Allow).allowed(Vec::new(), after(20), after(900));
    assert_eq!(events(allowed.entries()), opening);
}

#[test]
fn nobody_approves_themselves_twice_or_too_late() {
    let why = |result: Result<Step<Pending>, (Box<Recorded<Pending>>, CannotApprove)>| {
        result.unwrap_err().1
    };
    assert_eq!(
        why(pending(1).approved("31337".to_owned(), after(1))),
        CannotApprove::OwnRequest
    );
    let once = pending(2)
        .approved("7".to_owned(), after(1))
        .unwrap()
        .committed_in_test();
    assert_eq!(
        why(once.approved("7".to_owned(), after(2))),
        CannotApprove::Already
    );
    let late = pending(1).approved("7".to_owned(), after(600));
    assert_eq!(why(late), CannotApprove::TooLate(after(600)));
}

#[test]
fn a_quorum_counts_distinct_people_and_the_policy_is_asked_again() {
    let grant = |request: Recorded<Pending>, again: Verdict| {
        request.granting(
            &decision(again),
            Vec::new(),
            after(30),
            after(900),
            after(10),
        )
    };
    let one = pending(2)
        .approved("7".to_owned(), after(1))
        .unwrap()
        .committed_in_test();
    let (one, why) = grant(one, Verdict::Allow).unwrap_err();
    assert_eq!(why, NotYetGranted::Quorum { have: 1, need: 2 });
    let two = one
        .approved("8".to_owned(), after(2))
        .unwrap()
        .committed_in_test();
    let (two, why) = grant(two, Verdict::Deny).unwrap_err();
    assert_eq!(why, NotYetGranted::PolicyRefuses);
    assert!(grant(*two, Verdict::NeedsApproval).is_ok());
}

#[test]
fn a_quorum_of_nobody_still_needs_one_person() {
    let none = pending(0).granting(
        &decision(Verdict::Allow),
        Vec::new(),
        after(30),
        after(900),
        after(10),
    );
    assert_eq!(
        none.unwrap_err().1,
        NotYetGranted::Quorum { have: 0, need: 1 }
    );
}

#[test]
fn one_no_beats_any_number_of_yes() {
    let approved = pending(1)
        .approved("7".to_owned(), after(1))
        .unwrap()
        .committed_in_test();
    let closed = approved.refused("8".to_owned(), after(2));
    assert_eq!(
        closed.next().outcome(),
        &Outcome::Refused {
            person_id: "8".to_owned()
        }
    );
    assert_eq!(
        pending(1).timed_out(after(600)).next().outcome(),
        &Outcome::TimedOut
    );
}

#[test]
fn every_state_but_the_last_is_due() {
    let granting = submitted(Verdict::Allow).allowed(Vec::new(), after(20), after(900));
    assert_eq!(Written::Granting(granting.next()).due_at(), Some(after(20)));
    let granted = granting.committed_in_test().granted();
    assert_eq!(Written::Granted(granted.next()).due_at(), Some(after(900)));
    let open = granted
        .committed_in_test()
        .still_open(Duration::from_secs(60), after(900));
    assert_eq!(Written::Granted(open.next()).due_at(), Some(after(960)));
    let done = open.committed_in_test().done(after(970));
    assert_eq!(Written::Closed(done.next()).due_at(), None);
}
