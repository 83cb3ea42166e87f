//! Edits that wait share a write, and nobody's work is lost.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use jitney_core::adapter::Mark;
use serde_json::{Value, json};

use super::*;
use crate::classify::{Answer, Call};

#[derive(Default)]
struct Kept {
    policy: Value,
    version: u64,
    reads: u32,
    writes: u32,
    rested: Duration,
    /// What is answered to the next writes; after that they are done.
    answers: Vec<Answer<'static>>,
    /// A stranger writes after each of so many reads.
    stranger_writes: u32,
    /// A stranger writes right after the next write.
    stranger_follows: bool,
    lags: bool,
    now: i64,
    two_hands: bool,
    /// As whom each read and write was made.
    hands: Vec<Purpose>,
    /// Whether each write did what is the other hand's.
    written: Vec<(bool, Purpose)>,
}

struct Fake(Mutex<Kept>);

impl Fake {
    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }
}

const REFUSED: Answer<'_> = Answer::Refused {
    status: 400,
    name: Some("INVALID_ARGUMENT"),
    after: None,
};

impl Store for Fake {
    fn has_two_hands(&self) -> bool {
        self.with(|kept| kept.two_hands)
    }

    async fn get(&self, _: &PolicyName, purpose: Purpose) -> Result<Policy, Fault> {
        tokio::task::yield_now().await;
        Ok(self.with(|kept| {
            kept.reads += 1;
            kept.hands.push(purpose);
            let mut policy = kept.policy.clone();
            policy["etag"] = json!(kept.version.to_string());
            if kept.stranger_writes > 0 {
                kept.stranger_writes -= 1;
                kept.version += 1;
                let role = format!("roles/stranger.{}", kept.version);
                let theirs = json!({ "role": role, "members": ["user:ada@acme.example"] });
                kept.policy["bindings"].as_array_mut().unwrap().push(theirs);
            }
            Policy::read(policy).unwrap()
        }))
    }

    async fn set(&self, _: &PolicyName, policy: &Policy, purpose: Purpose) -> Result<(), Failed> {
        tokio::task::yield_now().await;
        let failed = |answer| Err(Failed::new(Call::Changes, "set", answer, "x"));
        self.with(|kept| {
            kept.writes += 1;
            kept.hands.push(purpose);
            let mut written = policy.written();
            // Google's own rule: only the version that was read.
            if written["etag"] != json!(kept.version.to_string()) {
                return failed(Answer::Refused {
                    status: 409,
                    name: Some("ABORTED"),
                    after: None,
                });
            }
            if let Some(answer) = kept.answers.pop() {
                return failed(answer);
            }
            let bindings = |policy: &Value| policy["bindings"].as_array().unwrap().clone();
            let (before, after) = (bindings(&kept.policy), bindings(&written));
            let is_foreign = match purpose {
                Purpose::Gives => before.iter().any(|it| !after.contains(it)),
                Purpose::Takes => after.iter().any(|it| !before.contains(it)),
            };
            kept.written.push((is_foreign, purpose));
            assert_eq!(written["version"], 3);
            written.as_object_mut().unwrap().remove("etag");
            kept.version += 1;
            if !kept.lags {
                kept.policy = written;
            }
            if std::mem::take(&mut kept.stranger_follows) {
                kept.version += 1;
                let theirs = json!({ "role": "roles/x", "members": ["user:ada@acme.example"] });
                kept.policy["bindings"].as_array_mut().unwrap().push(theirs);
            }
            Ok(())
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.with(|kept| kept.now))
    }
    fn passed(&self) -> Duration {
        self.with(|kept| kept.rested)
    }
    async fn rest(&self, time: Duration) {
        self.with(|kept| kept.rested += time);
        tokio::task::yield_now().await;
    }
    fn some_of(&self, time: Duration) -> Duration {
        time / 2
    }
}

fn account(number: u64) -> AccountEmail {
    let email = format!("jitney-{number:03}@acme-pool.iam.gserviceaccount.com");
    email.parse().unwrap()
}

fn handle(number: u64) -> Handle {
    Handle::try_from(format!("{number:019}")).unwrap()
}

fn add(number: u64) -> Edit {
    let binding = Binding {
        account: account(number),
        role: "roles/storage.objectViewer".parse().unwrap(),
        expression: "true".to_owned(),
        handle: handle(number),
        mark: Mark::default(),
    };
    Edit::Add(binding, Timestamp::from_seconds(1_000))
}

fn remove(number: u64) -> Edit {
    Edit::Remove(account(number), Which::Every)
}

fn lane() -> (Arc<PolicyLane<Fake>>, Arc<Fake>) {
    let kept = Kept {
        policy: json!({ "bindings": [], "auditConfigs": [{ "service": "allServices" }] }),
        ..Kept::default()
    };
    let fake = Arc::new(Fake(Mutex::new(kept)));
    let on = "//cloudresourcemanager.googleapis.com/projects/acme-prod"
        .parse()
        .unwrap();
    let installation = "acme".parse().unwrap();
    let interval = Duration::from_secs(1);
    (
        PolicyLane::new(on, Arc::clone(&fake), installation, interval),
        fake,
    )
}

async fn all(lane: &Arc<PolicyLane<Fake>>, edits: Vec<Edit>) -> Vec<Edited> {
    let mut tasks = tokio::task::JoinSet::new();
    for (at, edit) in edits.into_iter().enumerate() {
        let lane = Arc::clone(lane);
        tasks.spawn(async move { (at, lane.edit(edit).await) });
    }
    let mut edited = tasks.join_all().await;
    edited.sort_by_key(|it| it.0);
    edited.into_iter().map(|it| it.1).collect()
}

async fn titles(lane: &Arc<PolicyLane<Fake>>) -> Vec<Handle> {
    let policy = lane.look(Freshness::Now, Purpose::Takes).await.unwrap();
    let mut handles: Vec<_> = policy
        .ours(&lane.installation)
        .into_iter()
        .map(|it| it.handle)
        .collect();
    handles.sort();
    handles
}

#[tokio::test(flavor = "current_thread")]
async fn edits_that_wait_share_one_write() {
    let (lane, fake) = lane();
    let edited = all(&lane, (1..30).map(add).collect()).await;
    assert!(edited.iter().all(Result::is_ok));
    assert_eq!(titles(&lane).await.len(), 29);
    // The first may go alone; the others wait for it and go together.
    let writes = fake.with(|kept| kept.writes);
    assert!(writes <= 2, "{writes} writes for 29 edits");
    assert_eq!(
        fake.with(|kept| kept.policy["auditConfigs"][0]["service"].clone()),
        "allServices"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_written_back_overwrites_nobody() {
    let (lane, fake) = lane();
    all(&lane, vec![add(1)]).await;
    let before = fake.with(|kept| kept.policy.clone());
    let written = lane.write_back(Purpose::Gives).await;
    assert_eq!(written.unwrap(), Some(true));
    assert_eq!(fake.with(|kept| kept.policy.clone()), before);
    // Somebody else writes between our reading and our writing: theirs stands, and nothing is told.
    fake.with(|kept| kept.stranger_writes = 1);
    assert_eq!(lane.write_back(Purpose::Gives).await.unwrap(), None);
    // Or between our writing and our reading: then the etag is not ours to tell of.
    fake.with(|kept| kept.stranger_follows = true);
    assert_eq!(lane.write_back(Purpose::Gives).await.unwrap(), None);
    let bindings = fake.with(|kept| kept.policy["bindings"].as_array().unwrap().len());
    assert!(bindings > 2, "{bindings}");
    fake.with(|kept| kept.answers = vec![REFUSED]);
    assert!(lane.write_back(Purpose::Gives).await.is_err());
}

/// An identity that may only take away must not write what gives, nor the other way round.
#[tokio::test(flavor = "current_thread")]
async fn of_two_hands_each_writes_its_own() {
    let (lane, fake) = lane();
    all(&lane, (1..5).map(add).collect()).await;
    fake.with(|kept| (kept.two_hands, kept.writes, kept.hands) = (true, 0, Vec::new()));
    let edits = vec![add(6), remove(1), add(7), remove(2)];
    let edited = all(&lane, edits).await;
    assert!(edited.iter().all(Result::is_ok), "{edited:?}");
    let hands = fake.with(|kept| kept.hands.clone());
    let gave = hands.iter().filter(|hand| **hand == Purpose::Gives).count();
    // The first may go alone, and both hands share the rest. What is gone is read back.
    assert!((2..=4).contains(&gave), "{hands:?}");
    assert!(hands.contains(&Purpose::Takes), "{hands:?}");
    assert_eq!(titles(&lane).await, [3, 4, 6, 7].map(handle));
    fake.with(|kept| {
        for (mixed, purpose) in &kept.written {
            assert!(!mixed, "{purpose:?} wrote what is the other's");
        }
    });
}

#[tokio::test(flavor = "current_thread")]
async fn a_policy_is_not_written_more_often_than_it_takes() {
    let (lane, fake) = lane();
    for number in 1..4 {
        lane.edit(add(number)).await.unwrap();
    }
    assert_eq!(fake.with(|kept| kept.rested), Duration::from_secs(2));
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_was_faster_is_read_again_and_keeps_what_is_theirs() {
    let (lane, fake) = lane();
    fake.with(|kept| kept.stranger_writes = 3);
    lane.edit(add(1)).await.unwrap();
    assert_eq!(fake.with(|kept| kept.writes), 4);
    assert_eq!(titles(&lane).await, [handle(1)]);
    let strangers = fake.with(|kept| kept.policy["bindings"].as_array().unwrap().len() - 1);
    assert_eq!(strangers, 3);
}

#[tokio::test(flavor = "current_thread")]
async fn a_race_that_is_never_won_is_given_up_with_nothing_written() {
    let (lane, fake) = lane();
    fake.with(|kept| kept.stranger_writes = 1_000);
    let fault = lane.edit(add(1)).await.unwrap_err();
    assert_eq!(fault.code, "gcp_policy_changed");
    assert!(matches!(fault.kind, FaultKind::Retryable { .. }));
    assert_eq!(fake.with(|kept| kept.writes), CONFLICTS_MAX);
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_that_is_refused_keeps_no_other_from_ending() {
    let (lane, fake) = lane();
    lane.edit(add(1)).await.unwrap();
    // The batch is refused, and so is the one edit in it that is to blame: the last to be tried.
    let mut refusals = 0;
    fake.with(|kept| kept.answers = vec![REFUSED]);
    let edited = all(&lane, vec![add(2), add(3), remove(1)]).await;
    for edited in &edited {
        refusals += u32::from(edited.is_err());
    }
    assert!(
        edited[2].as_ref().is_ok_and(|gone| *gone == [handle(1)]),
        "{edited:?}"
    );
    assert!(refusals <= 1, "{edited:?}");
    assert!(!titles(&lane).await.contains(&handle(1)));
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_that_is_lost_is_lost_for_everybody_in_the_batch() {
    let (lane, fake) = lane();
    fake.with(|kept| kept.answers = vec![Answer::Lost]);
    let fault = lane.edit(add(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Ambiguous);
    // And the next edit begins anew.
    lane.edit(add(2)).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn what_reads_back_as_there_is_not_removed() {
    let (lane, fake) = lane();
    lane.edit(add(1)).await.unwrap();
    fake.with(|kept| kept.lags = true);
    let fault = lane.edit(remove(1)).await.unwrap_err();
    assert_eq!(fault.code, "gcp_not_read_back");
    fake.with(|kept| kept.lags = false);
    assert_eq!(lane.edit(remove(1)).await.unwrap(), [handle(1)]);
    // Once more, and there is nothing to write.
    let writes = fake.with(|kept| kept.writes);
    assert_eq!(lane.edit(remove(1)).await.unwrap(), []);
    assert_eq!(fake.with(|kept| kept.writes), writes);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_late_is_not_written_and_what_is_moot_is_refused() {
    let (lane, fake) = lane();
    fake.with(|kept| kept.now = 1_000);
    let fault = lane.edit(add(1)).await.unwrap_err();
    assert_eq!(fault.code, "gcp_not_asked_in_time");
    fake.with(|kept| {
        kept.now = 0;
        kept.policy["bindings"] = json!([{ "role": "roles/storage.objectViewer",
                                           "members": [account(1).member()] }]);
    });
    let fault = lane.edit(add(1)).await.unwrap_err();
    assert_eq!(
        (fault.code, fault.kind),
        ("gcp_lease_is_moot", FaultKind::Permanent)
    );
    assert_eq!(fake.with(|kept| kept.writes), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn an_edit_goes_on_when_nobody_waits_for_it_any_more() {
    let (lane, _fake) = lane();
    let waiting = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { lane.edit(add(1)).await }
    });
    tokio::task::yield_now().await;
    waiting.abort();
    lane.edit(add(2)).await.unwrap();
    assert_eq!(titles(&lane).await, [handle(1), handle(2)]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_look_of_late_may_be_shared_but_not_after_a_write() {
    let (lane, fake) = lane();
    lane.look(Freshness::OfLate, Purpose::Takes).await.unwrap();
    lane.look(Freshness::OfLate, Purpose::Takes).await.unwrap();
    assert_eq!(fake.with(|kept| kept.reads), 1);
    lane.look(Freshness::Now, Purpose::Takes).await.unwrap();
    assert_eq!(fake.with(|kept| kept.reads), 2);
    lane.edit(add(1)).await.unwrap();
    let seen = lane.look(Freshness::OfLate, Purpose::Takes).await.unwrap();
    assert_eq!(seen.ours(&lane.installation).len(), 1);
    fake.with(|kept| kept.rested += Duration::from_secs(POLICY_AGE_SECONDS_MAX + 1));
    let reads = fake.with(|kept| kept.reads);
    lane.look(Freshness::OfLate, Purpose::Takes).await.unwrap();
    assert_eq!(fake.with(|kept| kept.reads), reads + 1);
}
