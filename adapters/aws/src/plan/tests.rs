//! What a plan may be, and above all what it may not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use core::time::Duration;

use jitney_core::catalogue::{Meaning as Row, PathUse, Resource, Tier};
use jitney_core::scope::Scope;
use serde_json::{Value, json};

use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/jitney/deploy";

fn config(change: &Value) -> AwsTarget {
    let mut target = json!({ "account": "111122223333", "region": "eu-central-1" });
    for (key, value) in change.as_object().unwrap() {
        target[key] = value.clone();
    }
    serde_json::from_value(target).unwrap()
}

fn planner(change: &Value) -> Planner {
    Planner {
        cloud: "aws".parse().unwrap(),
        target: "acme-prod".parse().unwrap(),
        installation: "acme".parse().unwrap(),
        config: config(change),
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
            "aws".parse().unwrap(),
            serde_json::from_value(column).unwrap(),
        )]),
    }
}

fn read_terms() -> Value {
    json!({ "kind": "objects", "service": "s3", "object_actions": ["s3:GetObject"],
            "list_actions": ["s3:ListBucket"], "companion_actions": ["kms:Decrypt"] })
}

fn write_terms() -> Value {
    json!({ "kind": "objects", "service": "s3", "object_actions": ["s3:PutObject"],
            "list_actions": [], "companion_actions": [] })
}

fn wanted(scope: &str, terms: &Value) -> Wanted {
    Wanted {
        scope: scope.parse::<Scope>().unwrap(),
        resource: Resource {
            target: "acme-prod".parse().unwrap(),
            native_id: "arn:aws:s3:::artifacts-prod".to_owned(),
            via: Some(ROLE.to_owned()),
            tier: Tier::High,
            owner: "platform".to_owned(),
        },
        meaning: row(terms, false, &json!([])),
    }
}

fn write(path: &str) -> Wanted {
    wanted(
        &format!("object-storage:write@artifacts-prod{path}"),
        &write_terms(),
    )
}

fn whole_role() -> Wanted {
    let mut wanted = wanted("infra:apply@deploy-role", &json!({ "kind": "role" }));
    wanted.resource.native_id = ROLE.to_owned();
    wanted.resource.via = None;
    wanted.meaning.persists = true;
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

fn plan_with(planner: &Planner, wanted: &[Wanted], ttl_seconds: u64) -> Result<Plan, CannotPlan> {
    let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
    planner.plan(&Order {
        wanted,
        target: &planner.target,
        ttl: Duration::from_secs(ttl_seconds),
        lasts: Duration::from_secs(ttl_seconds),
        slot: None,
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

fn refused(wanted: &[Wanted]) -> CannotPlan {
    plan(wanted).unwrap_err()
}

#[test]
fn a_plan_names_its_lane_its_session_and_its_ends() {
    let plan = plan(&[write("/releases/")]).unwrap();
    assert_eq!(plan.lane.to_string(), "acme-prod/role/deploy");
    assert_eq!(plan.lands_within_seconds, 10 + 900 + 60);
    assert_eq!((plan.lives_seconds, plan.derived_seconds), (900, 0));
    assert_eq!(
        plan.guarantees.recall,
        Recall::Severs { within_seconds: 15 }
    );
    let terms = terms(&plan);
    assert_eq!(terms.session_name, "jitney-0123456789abcdefghj");
    assert_eq!(terms.role.to_string(), ROLE);
    assert_eq!(
        terms
            .tags
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>(),
        [
            "jitney:installation=acme",
            "jitney:lease=0123456789abcdefghj",
            "jitney:repository=77",
            "jitney:run=42/1",
        ]
    );
}

#[test]
fn the_same_order_has_the_same_plan() {
    let order = [write("/releases/"), write("/snapshots/")];
    assert_eq!(plan(&order).unwrap(), plan(&order).unwrap());
    let turned = [write("/snapshots/"), write("/releases/")];
    assert_eq!(plan(&order).unwrap().terms, plan(&turned).unwrap().terms);
}

#[test]
fn a_short_lease_gets_the_shortest_session_and_a_long_one_is_refused() {
    let planner = planner(&json!({}));
    let duration = |seconds| {
        let plan = plan_with(&planner, &[write("")], seconds)?;
        Ok::<_, CannotPlan>(plan.lives_seconds)
    };
    assert_eq!(duration(60).unwrap(), 900);
    assert_eq!(duration(901).unwrap(), 901);
    assert_eq!(duration(3_600).unwrap(), 3_600);
    assert_eq!(duration(3_601).unwrap_err().code, "ttl_too_long");
    assert_eq!(duration(u64::MAX).unwrap_err().code, "ttl_too_long");
}

#[test]
fn scopes_of_two_roles_are_two_requests() {
    let mut other = write("/b/");
    other.resource.via = Some("arn:aws:iam::111122223333:role/other".to_owned());
    let refused = refused(&[write("/a/"), other]);
    assert_eq!(refused.code, "needs_two_roles");
    assert!(refused.told.contains("two requests"), "{}", refused.told);
    // The job is not told what the operator's estate looks like inside.
    assert!(!refused.told.contains("arn:"), "{}", refused.told);
    assert!(refused.logged.contains("role/other"), "{}", refused.logged);
}

#[test]
fn what_the_inventory_gets_wrong_is_refused() {
    for (change, code) in [
        (json!({ "via": null }), "resource_unusable"),
        (json!({ "via": "deploy" }), "resource_unusable"),
        (
            json!({ "via": "arn:aws:iam::999988887777:role/jitney/deploy" }),
            "resource_unusable",
        ),
        (
            json!({ "via": "arn:aws-cn:iam::111122223333:role/jitney/deploy" }),
            "resource_unusable",
        ),
        (
            json!({ "native_id": "artifacts-prod" }),
            "resource_unusable",
        ),
        (
            json!({ "native_id": "arn:aws:s3:::*" }),
            "resource_unusable",
        ),
        (
            json!({ "native_id": "arn:aws-cn:s3:::artifacts-prod" }),
            "resource_unusable",
        ),
        (json!({ "target": "elsewhere" }), "wrong_target"),
    ] {
        let mut wanted = write("/a/");
        let mut resource = serde_json::to_value(&wanted.resource).unwrap();
        for (key, value) in change.as_object().unwrap() {
            resource[key] = value.clone();
        }
        wanted.resource = serde_json::from_value(resource).unwrap();
        let refused = refused(&[wanted]);
        assert_eq!(refused.code, code, "{change}");
        assert!(!refused.told.contains("999988887777"));
    }
}

#[test]
fn what_the_catalogue_gets_wrong_is_refused() {
    let mut wildcard = write_terms();
    wildcard["object_actions"] = json!(["s3:*"]);
    assert_eq!(
        refused(&[wanted("a:b@c", &wildcard)]).code,
        "catalogue_unusable"
    );
    let mut nowhere = write("/a/");
    nowhere.meaning.clouds.clear();
    assert_eq!(refused(&[nowhere]).code, "not_on_this_cloud");
    assert_eq!(refused(&[]).code, "nothing_wanted");
}

#[test]
fn nothing_is_allowed_that_is_not_also_fenced() {
    let plan = plan(&[write("/releases/")]).unwrap();
    let text = terms(&plan).policy.compact().unwrap();
    for expected in [
        r#""Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::artifacts-prod/releases/*""#,
        r#""Effect":"Deny","NotAction":"s3:PutObject","Resource":"*""#,
        r#""Effect":"Deny","Action":"s3:PutObject","NotResource":"arn:aws:s3:::artifacts-prod/releases/*""#,
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

/// Scopes with paths of a given length, all different.
fn scopes_of_length(count: usize, length: usize) -> Vec<Wanted> {
    (0..count)
        .map(|number| {
            let tail = "x".repeat(length - 3);
            write(&format!("/{number:02}{tail}/"))
        })
        .collect()
}

#[test]
fn the_policy_loses_its_second_fence_before_it_is_refused_and_says_so() {
    let mut whole = 0;
    let mut last: Option<Plan> = None;
    for length in 4..512 {
        match plan(&scopes_of_length(4, length)) {
            Ok(found) => {
                let is_whole = found.guarantees.because.len() == 1;
                assert!(
                    !is_whole
                        || last
                            .as_ref()
                            .is_none_or(|p| p.guarantees.because.len() == 1)
                );
                whole += usize::from(is_whole);
                let text = sent(&terms(&found).policy, Timestamp::from_seconds(1)).unwrap();
                assert!(text.len() <= 2_048, "{}", text.len());
                last = Some(found);
            }
            Err(refused) => {
                assert_eq!(refused.code, "plan_too_large");
                assert!(refused.told.contains("2048"), "{}", refused.told);
                break;
            }
        }
    }
    let last = last.unwrap();
    assert!(whole > 0, "no plan had room for both fences");
    assert!(
        last.guarantees
            .because
            .iter()
            .any(|why| why.contains("no room")),
        "the last plan that fitted had both fences"
    );
    // The edge itself: as full as it can be, one path's length more did not fit.
    let text = sent(&terms(&last).policy, Timestamp::from_seconds(1)).unwrap();
    assert!(text.len() > 2_048 - 4, "{}", text.len());
}

#[test]
fn the_end_takes_the_same_room_whenever_it_is() {
    let policy = terms(&plan(&[write("")]).unwrap()).policy;
    let length = |seconds| {
        let end = Timestamp::from_seconds(seconds);
        sent(&policy, end).unwrap().len()
    };
    assert_eq!(length(0), length(1_795_392_900));
    assert_eq!(length(0), length(4_000_000_000));
}

#[test]
fn a_role_as_a_whole_lapses_and_takes_no_path() {
    let plan = plan(&[whole_role()]).unwrap();
    assert!(matches!(plan.guarantees.recall, Recall::Lapses { .. }));
    assert_eq!(plan.derived_seconds, BEARER_SECONDS_MAX);
    assert!(
        terms(&plan)
            .policy
            .compact()
            .unwrap()
            .contains("sts:Assume*")
    );
    let mut narrowed = whole_role();
    narrowed.scope = "infra:apply@deploy-role/x/".parse().unwrap();
    assert_eq!(refused(&[narrowed]).code, "path_not_allowed");
}

#[test]
fn a_role_as_a_whole_swallows_narrower_scopes_of_the_same_role_only() {
    let plan = plan(&[whole_role(), write("/a/")]).unwrap();
    assert!(
        terms(&plan)
            .policy
            .compact()
            .unwrap()
            .contains("iam:PassRole")
    );
    let mut elsewhere = write("/a/");
    elsewhere.resource.via = Some("arn:aws:iam::111122223333:role/other".to_owned());
    assert_eq!(refused(&[whole_role(), elsewhere]).code, "needs_two_roles");
}

#[test]
fn a_role_that_claims_to_be_carried_by_another_is_refused() {
    let mut wanted = whole_role();
    wanted.resource.via = Some("arn:aws:iam::111122223333:role/other".to_owned());
    assert_eq!(refused(&[wanted]).code, "resource_unusable");
}

#[test]
fn something_derived_that_goes_on_weakens_the_promise_and_lengthens_the_hold() {
    let derived = |ends_with_grant: bool| {
        let derives = json!([{ "what": "ecr login", "life_seconds": 43_200,
                               "ends_with_grant": ends_with_grant }]);
        let mut wanted = write("/a/");
        wanted.meaning = row(&write_terms(), false, &derives);
        plan(&[wanted]).unwrap()
    };
    let lasting = derived(false);
    assert_eq!(lasting.derived_seconds, 43_200);
    assert_eq!(
        lasting.guarantees.recall,
        Recall::Lapses {
            within_seconds: 43_215
        }
    );
    let why = lasting.guarantees.because.join("; ");
    assert!(why.contains("ecr login"), "{why}");
    let ending = derived(true);
    assert_eq!(ending.derived_seconds, 0);
    assert!(matches!(ending.guarantees.recall, Recall::Severs { .. }));
}

#[test]
fn one_object_can_be_read_but_not_listed() {
    let scope = "object-storage:read@artifacts-prod/a/b.tar";
    let plan = plan(&[wanted(scope, &read_terms())]).unwrap();
    assert!(
        !terms(&plan)
            .policy
            .compact()
            .unwrap()
            .contains("ListBucket")
    );
    let mut list_only = read_terms();
    list_only["object_actions"] = json!([]);
    assert_eq!(
        refused(&[wanted(scope, &list_only)]).code,
        "path_not_allowed"
    );
}

#[test]
fn a_list_has_room_for_half_of_what_the_role_has_left() {
    let capacity = |operator| {
        let planner = planner(&json!({ "operator_inline_characters": operator }));
        plan_with(&planner, &[write("")], 900)
            .unwrap()
            .lane_capacity
    };
    assert_eq!(capacity(0), (5_120 - 320) / 22);
    assert_eq!(capacity(1_024), (4_608 - 320) / 22);
    // Two full lists, of the hand that goes and the hand that comes, fit beside the operator's.
    for operator in [0, 1_024, 9_216] {
        let list = EMPTY_CHARACTERS + capacity(operator) * ENTRY_CHARACTERS;
        assert!(2 * list + operator <= ROLE_INLINE_CHARACTERS);
    }
}

#[test]
fn tags_keep_to_their_alphabet_and_length() {
    assert_eq!(tag_value("acme/shop"), "acme/shop");
    assert_eq!(tag_value("a\"b\u{1b}ü*?${x}"), "a_b______x_");
    assert_eq!(tag_value(&"x".repeat(1_000)).len(), TAG_VALUE_LENGTH_MAX);
    let planner = planner(&json!({ "job_tags": false }));
    let plan = plan_with(&planner, &[write("")], 900).unwrap();
    assert_eq!(terms(&plan).tags.len(), 2);
}
