//! What a plan may be, and above all what it may not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use jitney_core::catalogue::{Meaning as Row, PathUse, Tier};
use jitney_core::guarantee::Recall;
use jitney_core::handle::Handle;
use jitney_core::principal::Job;
use serde_json::{Value, json};

use super::*;
use crate::capability::TokenScope;
use crate::terms::Way;

const BUCKET: &str = "//storage.googleapis.com/projects/_/buckets/artifacts-prod";
const PROJECT: &str = "//cloudresourcemanager.googleapis.com/projects/acme-prod";
const OWN_ROLE: &str = "//iam.googleapis.com/projects/acme-prod/roles/deployer";
const READERS: &str = "projects/acme-prod/locations/global/entitlements/readers";
const READ_ONLY: &str = "https://www.googleapis.com/auth/devstorage.read_only";

fn email(number: u32) -> String {
    format!("jitney-{number:03}@acme-pool.iam.gserviceaccount.com")
}

fn planner(change: &Value) -> Planner {
    let mut target = json!({
        "project": "acme-prod",
        "pools": {
            "deploy": { "accounts": [email(1), email(2)] },
            "fast": { "accounts": [email(3)],
                      "standing": [{ "on": BUCKET, "role": "roles/storage.objectViewer" }] },
            "shared": { "mode": "sa-binding", "accounts": [email(4)] },
            "uploads": { "mode": "cab", "accounts": [email(5)], "leases_max": 7 },
            "managed": { "mode": "pam", "accounts": [email(6), email(7)],
                         "entitlements": [READERS] },
        },
    });
    for (key, value) in change.as_object().unwrap() {
        target[key] = value.clone();
    }
    Planner {
        cloud: "gcp".parse().unwrap(),
        target: "acme-gcp".parse().unwrap(),
        installation: "acme".parse().unwrap(),
        config: serde_json::from_value(target).unwrap(),
    }
}

fn wanted_with(scope: &str, native_id: &str, terms: &Value, derives: &Value) -> Wanted {
    let column = json!({ "terms": terms, "derives": derives });
    Wanted {
        scope: scope.parse().unwrap(),
        resource: Resource {
            target: "acme-gcp".parse().unwrap(),
            native_id: native_id.to_owned(),
            via: Some("deploy".to_owned()),
            tier: Tier::High,
            owner: "platform".to_owned(),
        },
        meaning: Row {
            summary: "for tests".to_owned(),
            tier: Tier::Standard,
            path: PathUse::Optional,
            persists: false,
            clouds: BTreeMap::from([(
                "gcp".parse().unwrap(),
                serde_json::from_value(column).unwrap(),
            )]),
        },
    }
}

fn read(path: &str) -> Wanted {
    let terms = json!({ "kind": "objects", "role": "roles/storage.objectViewer", "lists": true,
                        "token_scope": READ_ONLY });
    let scope = format!("object-storage:read@artifacts-prod{path}");
    wanted_with(&scope, BUCKET, &terms, &json!([]))
}

fn write(path: &str, ends_with_grant: bool) -> Wanted {
    let terms = json!({ "kind": "objects", "role": "roles/storage.objectCreator", "lists": false,
                        "token_scope": "https://www.googleapis.com/auth/devstorage.read_write" });
    let scope = format!("object-storage:write@artifacts-prod{path}");
    let derives = json!([{ "what": "resumable upload", "life_seconds": 604_800,
                           "ends_with_grant": ends_with_grant }]);
    wanted_with(&scope, BUCKET, &terms, &derives)
}

fn delete(path: &str) -> Wanted {
    let terms = json!({ "kind": "objects", "role": "object-deleter", "lists": false,
                        "permissions": ["storage.objects.delete"],
                        "token_scope": "https://www.googleapis.com/auth/devstorage.read_write" });
    let scope = format!("object-storage:delete@artifacts-prod{path}");
    wanted_with(&scope, BUCKET, &terms, &json!([]))
}

fn apply() -> Wanted {
    let terms = json!({ "kind": "own-role" });
    let mut wanted = wanted_with("infra:apply@deployer", OWN_ROLE, &terms, &json!([]));
    wanted.meaning.persists = true;
    wanted
}

fn via(pool: Option<&str>, mut wanted: Wanted) -> Wanted {
    wanted.resource.via = pool.map(str::to_owned);
    wanted
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

/// On the first slot that the planner names itself.
fn plan_with(planner: &Planner, wanted: &[Wanted], ttl_seconds: u64) -> Result<Plan, CannotPlan> {
    let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
    let slots = planner.slots(wanted);
    planner.plan(&Order {
        wanted,
        target: &planner.target,
        ttl: Duration::from_secs(ttl_seconds),
        lasts: Duration::from_secs(4 * ttl_seconds),
        slot: slots.first(),
        handle: &handle,
        job: &job(),
    })
}

fn plan(wanted: &[Wanted]) -> Result<Plan, CannotPlan> {
    plan_with(&planner(&json!({})), wanted, 900)
}

fn terms(plan: &Plan) -> Terms {
    serde_json::from_value(plan.terms.clone()).unwrap()
}

fn code(wanted: &[Wanted]) -> &'static str {
    plan(wanted).unwrap_err().code
}

#[test]
fn a_lease_is_a_slot_with_bindings_of_its_own() {
    let plan = plan(&[read("/releases/")]).unwrap();
    assert_eq!(
        plan.lane.to_string(),
        format!("acme-gcp/account/{}", email(1))
    );
    assert_eq!(plan.lane_capacity, 1);
    assert_eq!((plan.lives_seconds, plan.derived_seconds), (900, 0));
    assert_eq!(
        (plan.answers_within_seconds, plan.lands_within_seconds),
        (45, 180)
    );
    assert_eq!(
        plan.guarantees.recall,
        Recall::Severs { within_seconds: 70 }
    );
    assert!(plan.guarantees.ends_by_itself);
    let terms = terms(&plan);
    assert_eq!(
        terms
            .token_scopes
            .iter()
            .map(TokenScope::as_str)
            .collect::<Vec<_>>(),
        [READ_ONLY]
    );
    let Way::Own(grants) = &terms.way else {
        panic!("{terms:?}");
    };
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].on.to_string(), BUCKET);
    assert_eq!(grants[0].role.as_str(), "roles/storage.objectViewer");
    assert!(plan.summary[1].contains("releases/"), "{:?}", plan.summary);
}

#[test]
fn every_account_of_a_pool_is_a_slot_and_no_other_is_taken() {
    let planner = planner(&json!({}));
    let wanted = [read("/releases/")];
    let slots = planner.slots(&wanted);
    assert_eq!(slots.len(), 2);
    let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
    let on = |slot: Option<&LaneId>| {
        planner.plan(&Order {
            wanted: &wanted,
            target: &planner.target,
            ttl: Duration::from_secs(900),
            lasts: Duration::from_secs(900),
            slot,
            handle: &handle,
            job: &job(),
        })
    };
    assert_eq!(on(Some(&slots[1])).unwrap().lane, slots[1]);
    assert_eq!(on(None).unwrap_err().code, "no_slot");
    // The account of another pool may have more than was asked for.
    let fast = planner.slots(&[via(Some("fast"), read(""))]);
    assert_eq!(on(fast.first()).unwrap_err().code, "no_slot");
    let shared = planner.slots(&[via(Some("shared"), read(""))]);
    assert!(shared.is_empty());
}

#[test]
fn objects_are_deleted_by_a_role_that_the_target_names_and_beneath_the_path_alone() {
    let role = "projects/acme-prod/roles/jitneyObjectDeleter";
    let named = planner(&json!({ "roles": { "object-deleter": role } }));
    let plan = plan_with(&named, &[delete("/tmp/")], 900).unwrap();
    let Way::Own(grants) = terms(&plan).way else {
        panic!("{plan:?}");
    };
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].role.as_str(), role);
    let expression = grants[0].narrowed.as_ref().unwrap().expression();
    assert!(expression.contains("/objects/tmp/"), "{expression}");
    // It lists nothing, so nothing about a listing lets it through.
    assert!(!expression.contains("objectListPrefix"), "{expression}");
    assert_eq!(
        plan.guarantees.recall,
        Recall::Severs { within_seconds: 70 }
    );
    for path in ["", "/tmp/one"] {
        assert!(plan_with(&named, &[delete(path)], 900).is_ok(), "{path}");
    }
    // Beside it, what is read keeps its own role and its own path.
    let both = plan_with(&named, &[read("/releases/"), delete("/tmp/")], 900).unwrap();
    let Way::Own(grants) = terms(&both).way else {
        panic!("{both:?}");
    };
    assert_eq!(grants.len(), 2);
    let unnamed = plan_with(&planner(&json!({})), &[delete("/tmp/")], 900).unwrap_err();
    assert_eq!(unnamed.code, "role_not_configured");
    assert!(!unnamed.told.contains("object-deleter"), "{}", unnamed.told);
    assert!(
        unnamed
            .logged
            .contains("`targets.acme-gcp.roles.object-deleter`"),
        "{}",
        unnamed.logged
    );
    let mut on_project = delete("");
    on_project.resource.native_id = PROJECT.to_owned();
    let refused = plan_with(&named, &[on_project], 900).unwrap_err();
    assert_eq!(refused.code, "resource_unusable");
}

#[test]
fn a_role_of_a_project_is_bound_on_that_project() {
    let plan = plan(&[apply()]).unwrap();
    let Way::Own(grants) = terms(&plan).way else {
        panic!("{plan:?}");
    };
    assert_eq!(grants[0].on.to_string(), PROJECT);
    assert_eq!(grants[0].role.as_str(), "projects/acme-prod/roles/deployer");
    // It can make what outlives it.
    assert_eq!(
        plan.guarantees.recall,
        Recall::Lapses {
            within_seconds: 900
        }
    );
    let mut narrowed = apply();
    narrowed.scope = "infra:apply@deployer/x".parse().unwrap();
    assert_eq!(code(&[narrowed]), "path_not_allowed");
}

#[test]
fn what_lives_a_week_is_waited_for_unless_it_ends_with_its_account() {
    let lapses = plan(&[write("/releases/", false)]).unwrap();
    assert_eq!(
        lapses.guarantees.recall,
        Recall::Lapses {
            within_seconds: 604_870
        }
    );
    assert_eq!(lapses.derived_seconds, 604_800);
    // What ends with its account wakes with it, so the account rests as long.
    let severs = plan(&[write("/releases/", true)]).unwrap();
    assert_eq!(
        severs.guarantees.recall,
        Recall::Severs { within_seconds: 70 }
    );
    assert_eq!(severs.derived_seconds, 604_800);
    // What that costs the pool is told before it is granted, and only where it costs it.
    let told = |plan: &Plan| {
        let mut because = plan.guarantees.because.iter();
        because.any(|it| it.contains("no other lease for 604800 s"))
    };
    assert!(told(&lapses) && told(&severs));
    let narrowed = via(Some("uploads"), write("/releases/", false));
    assert!(!told(&plan(&[narrowed]).unwrap()) && !told(&plan(&[read("")]).unwrap()));
    // An operator who reckons with less is not given what lives longer.
    let planner = planner(&json!({ "max_derived_seconds": 3_600 }));
    let refused = plan_with(&planner, &[write("", false)], 900).unwrap_err();
    assert_eq!(refused.code, "derives_too_long");
    assert_eq!(planner.reach().lives, Duration::from_secs(7_200));
}

/// A grant is for a whole project, so what keeps it to a bucket stands in its condition.
#[test]
fn what_an_entitlement_must_give_says_where() {
    let gives = |wanted: Wanted| {
        let plan = plan(&[via(Some("managed"), wanted)]).unwrap();
        assert_eq!(plan.lane_capacity, 1);
        assert!(plan.guarantees.ends_by_itself);
        match terms(&plan).way {
            Way::Entitled {
                entitlements,
                gives,
            } => {
                assert_eq!(entitlements, BTreeSet::from([READERS.parse().unwrap()]));
                assert!(plan.summary[1].contains(&gives.first().unwrap().role));
                gives
            }
            other => panic!("{other:?}"),
        }
    };
    let condition = |wanted| gives(wanted).pop_first().unwrap().condition;
    let bucket = "resource.name == \"projects/_/buckets/artifacts-prod\"";
    let part = condition(read("/releases/")).unwrap();
    assert!(
        part.contains(bucket) && part.contains("/objects/releases/"),
        "{part}"
    );
    let whole = condition(read("")).unwrap();
    assert!(whole.contains(bucket), "{whole}");
    assert!(
        whole.contains("startsWith(\"projects/_/buckets/artifacts-prod/objects/\")"),
        "{whole}"
    );
    assert_eq!(condition(apply()), None);
    let slots = planner(&json!({})).slots(&[via(Some("managed"), read(""))]);
    assert_eq!(slots.len(), 2);
}

#[test]
fn what_stands_must_be_exactly_what_is_asked_for() {
    let fast = |wanted| via(Some("fast"), wanted);
    let plan = plan(&[fast(read(""))]).unwrap();
    assert_eq!(terms(&plan).way, Way::Standing);
    assert!(!plan.guarantees.ends_by_itself);
    for more_or_less in [
        vec![fast(read("/releases/"))],
        vec![fast(write("", false))],
        vec![fast(read("")), fast(write("", false))],
    ] {
        assert_eq!(code(&more_or_less), "not_what_stands");
    }
}

#[test]
fn a_shared_account_promises_no_more_than_its_tokens_end() {
    let plan = plan(&[via(Some("shared"), read("/releases/"))]).unwrap();
    assert_eq!(plan.lane.name, format!("shared/{}", email(4)));
    assert_eq!(plan.lane_capacity, 20);
    assert_eq!(
        plan.guarantees.recall,
        Recall::Lapses {
            within_seconds: 900
        }
    );
    assert!(plan.guarantees.because[0].contains("other leases"));
}

#[test]
fn a_boundary_is_for_objects_and_for_nothing_else() {
    let uploads = |wanted| via(Some("uploads"), wanted);
    let bounded = plan(&[uploads(write("/releases/", false))]).unwrap();
    assert_eq!(bounded.lane.name, format!("boundary/{}", email(5)));
    assert_eq!(bounded.lane_capacity, 7);
    assert_eq!(
        bounded.guarantees.recall,
        Recall::Lapses {
            within_seconds: 605_700
        }
    );
    assert!(matches!(terms(&bounded).way, Way::Boundary(rules) if rules.len() == 1));
    assert_eq!(code(&[uploads(apply())]), "not_for_boundaries");
    let roles = json!({ "kind": "roles", "roles": ["roles/storage.admin"],
                        "token_scope": READ_ONLY });
    let roles = wanted_with("bucket:admin@artifacts-prod", BUCKET, &roles, &json!([]));
    assert_eq!(code(&[uploads(roles)]), "not_for_boundaries");
    let long = |n: u32| uploads(read(&format!("/{}{n}/", "x".repeat(400))));
    assert_eq!(code(&[long(1), long(2), long(3)]), "plan_too_large");
}

#[test]
fn one_lease_has_one_account() {
    assert_eq!(
        code(&[read(""), via(Some("fast"), read(""))]),
        "needs_two_pools"
    );
    assert_eq!(code(&[via(None, read(""))]), "resource_unusable");
    assert_eq!(code(&[via(Some("nowhere"), read(""))]), "resource_unusable");
    // Where there is only one pool, it need not be named.
    let one = planner(&json!({ "pools": { "deploy": { "accounts": [email(1)] } } }));
    assert!(plan_with(&one, &[via(None, read(""))], 900).is_ok());
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    assert_eq!(code(&[]), "nothing_wanted");
    let mut elsewhere = read("");
    elsewhere.resource.target = "other".parse().unwrap();
    assert_eq!(code(&[elsewhere]), "wrong_target");
    let mut unknown = read("");
    unknown.meaning.clouds = BTreeMap::new();
    assert_eq!(code(&[unknown]), "not_on_this_cloud");
    let senseless = json!({ "kind": "objects", "role": "roles/owner", "lists": true,
                            "token_scope": READ_ONLY });
    let senseless = wanted_with("a:b@c", BUCKET, &senseless, &json!([]));
    assert_eq!(code(&[senseless]), "catalogue_unusable");
    for id in [
        PROJECT,
        OWN_ROLE,
        "artifacts-prod",
        "arn:aws:s3:::artifacts",
    ] {
        let mut not_a_bucket = read("");
        not_a_bucket.resource.native_id = id.to_owned();
        assert_eq!(code(&[not_a_bucket]), "resource_unusable", "{id}");
    }
    let mut other_project = apply();
    other_project.resource.native_id = OWN_ROLE.replace("acme-prod", "acme-other");
    assert_eq!(code(&[other_project]), "resource_unusable");
    let planner = planner(&json!({}));
    for (ttl, fits) in [(0, false), (1, true), (3_600, true), (3_601, false)] {
        assert_eq!(plan_with(&planner, &[read("")], ttl).is_ok(), fits, "{ttl}");
    }
}

#[test]
fn a_recovery_finds_every_account_that_could_have_carried_something() {
    let planner = planner(&json!({}));
    let (read, fast) = (read(""), via(Some("fast"), read("")));
    let lanes = planner.lanes(&[&read.resource, &fast.resource]);
    let names: Vec<String> = lanes.into_iter().map(|lane| lane.name).collect();
    assert_eq!(
        names,
        [1, 2, 3].map(|number| format!("account/{}", email(number)))
    );
}

#[test]
fn the_same_order_has_the_same_plan_and_it_holds_no_secret() {
    let wanted = [read("/releases/"), read("/snapshots/"), read("/releases/")];
    let (one, other) = (plan(&wanted).unwrap(), plan(&wanted).unwrap());
    assert_eq!(one, other);
    let Way::Own(grants) = terms(&one).way else {
        panic!("{one:?}");
    };
    // What is asked for twice is bound once.
    assert_eq!(grants.len(), 2);
}
