//! What a plan may be, and above all what it may not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use jitney_core::catalogue::{Meaning as Row, PathUse, Tier};
use jitney_core::guarantee::Recall;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::principal::Job;
use serde_json::{Value, json};

use super::*;
use crate::config::FastStop;

const SUBSCRIPTION: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001";
const CONTAINER: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/shop/providers\
     /Microsoft.Storage/storageAccounts/acme/blobServices/default/containers/artifacts";
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";
const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// A slot's service principal.
fn object(number: u32) -> Uuid {
    format!("eeeeeeee-0000-4000-8000-{number:012}")
        .parse()
        .unwrap()
}

/// Its lane: whatever the slot is called, and to whom its name is given later.
fn lane(number: u32) -> String {
    format!("slot/{}", object(number))
}

fn planner(change: &Value) -> Planner {
    let slot = |number: u32, carries: &str| {
        json!({
            "client_id": format!("cccccccc-0000-4000-8000-{number:012}"),
            "object_id": object(number), "carries": carries,
        })
    };
    let mut target = json!({
        "tenant": "11111111-0000-4000-8000-000000000001",
        "subscription": "aaaaaaaa-0000-4000-8000-000000000001",
        "credentials": { "from": "managed-identity" },
        "roles": { "blob-writer": "dddddddd-0000-4000-8000-000000000001" },
        "slots": { "b1": slot(1, "blobs"), "b2": slot(2, "blobs"), "r1": slot(3, "role") },
    });
    for (key, value) in change.as_object().unwrap() {
        target[key] = value.clone();
    }
    Planner {
        cloud: "azure".parse().unwrap(),
        target: "acme-azure".parse().unwrap(),
        installation: "acme".parse().unwrap(),
        config: serde_json::from_value(target).unwrap(),
    }
}

fn row(terms: &Value, persists: bool, derives: &Value) -> Row {
    let column = json!({ "terms": terms, "derives": derives });
    Row {
        summary: "for tests".to_owned(),
        tier: Tier::Standard,
        path: PathUse::Optional,
        persists,
        clouds: BTreeMap::from([(
            "azure".parse().unwrap(),
            serde_json::from_value(column).unwrap(),
        )]),
    }
}

fn wanted(scope: &str, native_id: &str, via: Option<&str>, row: Row) -> Wanted {
    Wanted {
        scope: scope.parse().unwrap(),
        resource: Resource {
            target: "acme-azure".parse().unwrap(),
            native_id: native_id.to_owned(),
            via: via.map(str::to_owned),
            tier: Tier::High,
            owner: "platform".to_owned(),
        },
        meaning: row,
    }
}

fn blobs(capability: &str, path: &str, role: &str, verbs: &[&str]) -> Wanted {
    let actions: Vec<String> = verbs.iter().map(|verb| format!("{BLOBS}{verb}")).collect();
    let terms = json!({ "kind": "blobs", "role": role, "data_actions": actions });
    let scope = format!("object-storage:{capability}@artifacts-prod{path}");
    wanted(&scope, CONTAINER, None, row(&terms, false, &json!([])))
}

fn write(path: &str) -> Wanted {
    blobs("write", path, "blob-writer", &["write", "add/action"])
}

fn read(path: &str) -> Wanted {
    blobs("read", path, READER, &["read"])
}

fn apply() -> Wanted {
    let derives = json!([{ "what": "registry token", "life_seconds": 10800,
                           "ends_with_grant": false }]);
    let row = row(&json!({ "kind": "role" }), true, &derives);
    let group = format!("{SUBSCRIPTION}/resourceGroups/shop");
    wanted("infra:apply@shop", &group, Some(CONTRIBUTOR), row)
}

fn job() -> Job {
    serde_json::from_value(json!({
        "provider": "github-actions", "issuer": "https://ci.example", "key": "1:a",
        "repository": { "id": "77", "path": "acme/shop", "owner_id": "7", "visibility": null },
        "origin": "same",
        "git_ref": { "full": "refs/heads/main", "kind": "branch", "protected": true },
        "sha": "0", "workflow": { "top_ref": "w", "top_sha": "0", "job_ref": "w", "job_sha": "0" },
        "environment": null, "event": "push", "actor": { "id": "1", "login": "ada" },
        "run_id": "42", "run_attempt": "1", "job_id": null, "runner": null, "properties": {}
    }))
    .unwrap()
}

fn plan_lasting(planner: &Planner, wanted: &[Wanted], seconds: u64) -> Result<Plan, CannotPlan> {
    let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
    let slots = planner.slots(wanted);
    planner.plan(&Order {
        wanted,
        target: &planner.target,
        ttl: Duration::from_secs(seconds.min(900)),
        lasts: Duration::from_secs(seconds),
        slot: slots.first(),
        handle: &handle,
        job: &job(),
    })
}

fn plan(wanted: &[Wanted]) -> Result<Plan, CannotPlan> {
    plan_lasting(&planner(&json!({})), wanted, 900)
}

fn terms(plan: &Plan) -> Terms {
    serde_json::from_value(plan.terms.clone()).unwrap()
}

fn code(wanted: &[Wanted]) -> &'static str {
    plan(wanted).unwrap_err().code
}

#[test]
fn a_plan_names_its_slot_its_roles_and_its_ends() {
    let plan = plan(&[write("/releases/")]).unwrap();
    assert_eq!(plan.lane.to_string(), format!("acme-azure/{}", lane(1)));
    assert_eq!((plan.lane_capacity, plan.answers_within_seconds), (1, 45));
    assert_eq!(plan.lands_within_seconds, 45 + 300);
    assert_eq!((plan.lives_seconds, plan.derived_seconds), (5_400, 0));
    let severs = Recall::Severs {
        within_seconds: 975,
    };
    assert_eq!(plan.guarantees.recall, severs);
    assert!(plan.guarantees.ends_by_itself);
    let terms = terms(&plan);
    assert_eq!(
        terms.object_id.to_string(),
        "eeeeeeee-0000-4000-8000-000000000001"
    );
    assert_eq!(terms.audience, Audience::Storage);
    // The whole request, the time to grant it and a minute, in whole minutes.
    assert_eq!(terms.duration_seconds, 1_020);
    let [grant] = terms.grants.as_slice() else {
        panic!("{:?}", terms.grants);
    };
    assert_eq!(grant.scope.as_str(), CONTAINER);
    assert_eq!(
        grant.role.to_string(),
        "dddddddd-0000-4000-8000-000000000001"
    );
    let condition = grant.condition.as_deref().unwrap();
    assert!(
        condition.contains("StringStartsWith 'releases/'"),
        "{condition}"
    );
    assert!(
        condition.contains("StringEquals 'artifacts'"),
        "{condition}"
    );
}

#[test]
fn a_grants_name_is_the_leases_and_no_other() {
    let terms = terms(&plan(&[write("/a/"), read("/a/")]).unwrap());
    let [one, other] = terms.grants.as_slice() else {
        panic!("{:?}", terms.grants);
    };
    let lease = LeaseId::fresh();
    assert_eq!(one.name(lease), one.name(lease));
    assert_ne!(one.name(lease), other.name(lease));
    assert_ne!(one.name(lease), one.name(LeaseId::fresh()));
    let mut shouted = one.clone();
    shouted.scope = CONTAINER
        .replace("resourceGroups", "RESOURCEGROUPS")
        .parse()
        .unwrap();
    assert_eq!(one.name(lease), shouted.name(lease));
}

#[test]
fn one_role_on_one_scope_is_one_grant_whatever_the_paths() {
    let plan = plan(&[read("/a/"), read("/b/c.tar"), read("/d/")]).unwrap();
    let terms = terms(&plan);
    assert_eq!(terms.grants.len(), 1);
    let condition = terms.grants[0].condition.as_deref().unwrap();
    for part in [
        "StringStartsWith 'a/'",
        "StringEquals 'b/c.tar'",
        "StringStartsWith 'd/'",
    ] {
        assert!(condition.contains(part), "{condition}");
    }
}

#[test]
fn a_whole_container_needs_no_condition_and_swallows_its_parts() {
    let terms = terms(&plan(&[read("/a/"), read("")]).unwrap());
    assert_eq!(terms.grants.len(), 1);
    assert_eq!(terms.grants[0].condition, None);
}

#[test]
fn one_role_for_two_capabilities_keeps_their_paths_apart() {
    let delete = blobs("delete", "/tmp/", "blob-writer", &["delete"]);
    let terms = terms(&plan(&[write("/releases/"), delete]).unwrap());
    assert_eq!(terms.grants.len(), 1);
    let condition = terms.grants[0].condition.as_deref().unwrap();
    let (write, delete) = condition.split_once(" AND ((!(").unwrap();
    assert!(
        delete.contains("'tmp/'") && !delete.contains("'releases/'"),
        "{condition}"
    );
    assert!(
        write.contains("'releases/'") && !write.contains("'tmp/'"),
        "{condition}"
    );
}

#[test]
fn a_whole_role_is_what_it_is() {
    let plan = plan(&[apply()]).unwrap();
    assert_eq!(plan.lane.name, lane(3));
    assert_eq!(plan.derived_seconds, 10_800);
    assert!(matches!(plan.guarantees.recall, Recall::Lapses { .. }));
    let terms = terms(&plan);
    assert_eq!(terms.audience, Audience::Management);
    assert_eq!(
        terms.grants[0].role_id(),
        format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}")
    );
}

#[test]
fn what_a_job_logs_in_with_makes_the_slot_rest_longer() {
    let assertion = planner(&json!({ "hands_out": "assertion", "assertion_seconds": 300 }));
    let plan = plan_lasting(&assertion, &[write("/a/")], 900).unwrap();
    assert_eq!((plan.lives_seconds, plan.derived_seconds), (300, 5_400));
    assert!(matches!(plan.guarantees.recall, Recall::Severs { .. }));
    let plan = plan_lasting(&assertion, &[apply()], 900).unwrap();
    assert_eq!(plan.derived_seconds, 5_400 + 10_800);
}

#[test]
fn plain_assignments_do_not_end_by_themselves() {
    let rbac = planner(&json!({ "mode": "rbac" }));
    let plan = plan_lasting(&rbac, &[write("/a/")], 900).unwrap();
    assert!(!plan.guarantees.ends_by_itself);
    let severs = Recall::Severs {
        within_seconds: 610,
    };
    assert_eq!(plan.guarantees.recall, severs);
}

#[test]
fn short_leases_get_five_minutes_and_long_ones_are_refused() {
    let short = plan_lasting(&planner(&json!({})), &[write("/a/")], 60).unwrap();
    assert_eq!(terms(&short).duration_seconds, 300);
    let bounded = planner(&json!({ "max_lease_seconds": 900 }));
    assert!(plan_lasting(&bounded, &[write("/a/")], 900).is_ok());
    let refused = plan_lasting(&bounded, &[write("/a/")], 901).unwrap_err();
    assert_eq!(refused.code, "ttl_too_long");
}

#[test]
fn slots_of_another_kind_are_not_offered() {
    let planner = planner(&json!({}));
    let names = |wanted: &[Wanted]| -> Vec<String> {
        planner
            .slots(wanted)
            .into_iter()
            .map(|lane| lane.name)
            .collect()
    };
    assert_eq!(names(&[write("/a/"), read("/a/")]), [lane(1), lane(2)]);
    assert_eq!(names(&[apply()]), [lane(3)]);
    assert!(names(&[apply(), read("")]).is_empty());
    assert_eq!(code(&[apply(), read("")]), "needs_two_slots");
    let lanes = planner.lanes(&[&apply().resource]);
    assert_eq!(lanes.len(), 3, "a recovery cuts every slot");
}

#[test]
fn a_slot_that_cannot_carry_it_is_refused() {
    let planner = planner(&json!({}));
    let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
    let with = |slot: Option<&LaneId>| {
        let order = Order {
            wanted: &[write("/a/")],
            target: &planner.target,
            ttl: Duration::from_secs(900),
            lasts: Duration::from_secs(900),
            slot,
            handle: &handle,
            job: &job(),
        };
        planner
            .plan(&order)
            .map(|plan| plan.lane.name)
            .map_err(|cannot| cannot.code)
    };
    assert_eq!(with(Some(&planner.lane(object(2)))), Ok(lane(2)));
    assert_eq!(with(None), Err("no_slot"));
    assert_eq!(with(Some(&planner.lane(object(3)))), Err("wrong_slot"));
    assert_eq!(with(Some(&planner.lane(object(9)))), Err("wrong_slot"));
    let elsewhere = LaneId {
        target: "other".parse().unwrap(),
        ..planner.lane(object(1))
    };
    assert_eq!(with(Some(&elsewhere)), Err("wrong_slot"));
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    assert_eq!(code(&[]), "nothing_wanted");
    let mut elsewhere = write("/a/");
    elsewhere.resource.target = "other".parse().unwrap();
    assert_eq!(code(&[elsewhere]), "wrong_target");
    let mut unknown = write("/a/");
    unknown.meaning.clouds.clear();
    assert_eq!(code(&[unknown]), "not_on_this_cloud");
    let mistaken = blobs("write", "/a/", "blob-writer", &["*"]);
    assert_eq!(code(&[mistaken]), "catalogue_unusable");
    let unnamed = blobs("delete", "/a/", "blob-deleter", &["delete"]);
    assert_eq!(code(&[unnamed]), "role_not_configured");
    let mut narrowed_role = apply();
    narrowed_role.scope = "infra:apply@shop/a/".parse().unwrap();
    assert_eq!(code(&[narrowed_role]), "path_not_allowed");
    // On the account, a role on blobs would also make keys that sign for a week.
    let account = CONTAINER.split("/blobServices").next().unwrap();
    let other = CONTAINER.replacen("aaaaaaaa", "bbbbbbbb", 1);
    for native_id in [account, &other, "artifacts", SUBSCRIPTION] {
        let mut wide = write("/a/");
        wide.resource.native_id = native_id.to_owned();
        assert_eq!(code(&[wide]), "resource_unusable", "{native_id}");
    }
    for via in [None, Some("Contributor")] {
        let mut roleless = apply();
        roleless.resource.via = via.map(str::to_owned);
        assert_eq!(code(&[roleless]), "resource_unusable");
    }
    let mut ambiguous = write("/a/");
    ambiguous.resource.via = Some(READER.to_owned());
    assert_eq!(code(&[ambiguous]), "resource_unusable");
}

#[test]
fn a_condition_has_room_for_so_much() {
    let long = |number: u32| read(&format!("/{}{number}/", "x".repeat(400)));
    let few: Vec<Wanted> = (0..3).map(long).collect();
    assert!(plan(&few).is_ok());
    let many: Vec<Wanted> = (0..16).map(long).collect();
    assert_eq!(code(&many), "plan_too_large");
}

#[test]
fn a_fast_stop_is_recorded_told_and_promises_nothing() {
    let stopping = planner(&json!({ "fast_stop": "deny-assignment" }));
    let tells = |plan: &Plan, part: &str| {
        let because = &plan.guarantees.because;
        because.iter().any(|reason| reason.contains(part))
    };
    for (wanted, reach) in [
        ([write("/a/")], "none is taken for data"),
        ([apply()], "not what reads"),
    ] {
        let plain = plan(&wanted).unwrap();
        let stopped = plan_lasting(&stopping, &wanted, 900).unwrap();
        assert_eq!(terms(&stopped).fast_stop, Some(FastStop::DenyAssignment));
        assert_eq!(stopped.guarantees.recall, plain.guarantees.recall);
        assert!(tells(&stopped, reach) && !tells(&plain, reach));
        // As it was before there was such a thing, so that what is being ended then can be read.
        assert_eq!(terms(&plain).fast_stop, None);
        assert!(plain.terms.get("fast_stop").is_none());
    }
}

#[test]
fn what_is_denied_is_what_was_given_and_nothing_that_reads() {
    let given = terms(&plan(&[write("/a/"), read("/a/")]).unwrap());
    let whole = terms(&plan(&[apply()]).unwrap());
    let lease = LeaseId::fresh();
    let of = |grant: &Grant| crate::denial::Denial::of(grant, lease);
    let [one, other] = given.grants.as_slice() else {
        panic!("{:?}", given.grants);
    };
    assert_eq!(of(one), of(one));
    assert_ne!(of(one).name, of(other).name);
    assert_ne!(of(one).name, one.name(lease));
    let shown = serde_json::to_value(of(one).denies()).unwrap();
    let Purpose::Blobs { data_actions } = &one.purpose else {
        panic!("{one:?}");
    };
    assert_eq!(shown, json!({ "dataActions": data_actions }));
    let shown = serde_json::to_value(of(&whole.grants[0]).denies()).unwrap();
    assert_eq!(
        shown,
        json!({ "actions": ["*/write", "*/delete", "*/action"] })
    );
}
