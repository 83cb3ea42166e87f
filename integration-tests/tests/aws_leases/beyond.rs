//! What a plan allows: exactly its scopes, also where resource policies let everybody in. Judged by
//! the sandbox's evaluator, which shares no code with the planner.

use std::sync::{Arc, LazyLock};

use aws_credential_types::provider::SharedCredentialsProvider;
use jitney_aws::{AwsAdapter, Identities};
use jitney_core::adapter::Elevate;
use jitney_core::catalogue::{Catalogue, Inventory, Resource, Tier, Wanted, resolve};
use jitney_core::handle::StampKey;
use jitney_core::id::LeaseId;
use jitney_core::plan::{Order, Plan};
use jitney_core::scope::{Path, Scope};
use jitney_integration_tests::adapter_laws::SystemClock;
use jitney_sandbox::aws::evaluate::{
    Caller, Context, Layers, Policy, PolicyKind, Request, ResourceSide, Verdict, decide,
};
use proptest::prelude::*;
use serde_json::json;

use crate::stage::{INSTALLATION, TARGET, job, keys};

const ACCOUNT: &str = "111122223333";
const ROLE: &str = "arn:aws:iam::111122223333:role/deploy";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/deploy/jitney-x";

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| jitney_policies::catalogue(None).unwrap());

static INVENTORY: LazyLock<Inventory> = LazyLock::new(|| {
    let bucket = |name: &str| Resource {
        target: TARGET.parse().unwrap(),
        native_id: format!("arn:aws:s3:::{name}"),
        via: Some(ROLE.to_owned()),
        tier: Tier::Low,
        owner: "platform".to_owned(),
    };
    let names = ["one", "two", "three"];
    let resources = names.map(|name| (name.parse().unwrap(), bucket(&format!("bucket-{name}"))));
    Inventory::new(resources.into())
});

static ADAPTER: LazyLock<AwsAdapter> = LazyLock::new(|| {
    let target = json!({ "account": ACCOUNT, "region": "eu-central-1" });
    let identity = SharedCredentialsProvider::new(keys("AKIAEXAMPLE", "secret"));
    AwsAdapter::new(
        TARGET.parse().unwrap(),
        serde_json::from_value(target).unwrap(),
        INSTALLATION.parse().unwrap(),
        &Identities::one(identity),
        Arc::new(SystemClock),
    )
    .unwrap()
});

fn planned(scopes: &[Scope]) -> Plan {
    let wanted: Vec<Wanted> = scopes
        .iter()
        .map(|scope| resolve(scope, &INVENTORY, &CATALOGUE).unwrap())
        .collect();
    let stamp = StampKey::new(INSTALLATION.parse().unwrap(), &[7; 32]).unwrap();
    let order = Order {
        wanted: &wanted,
        target: &TARGET.parse().unwrap(),
        ttl: core::time::Duration::from_secs(900),
        lasts: core::time::Duration::from_secs(900),
        slot: None,
        handle: &stamp.handle(LeaseId::fresh()),
        job: &job(),
    };
    let plan = ADAPTER.plan(&order).unwrap();
    // A plan that had no room for its second fence says so, and is another matter.
    assert_eq!(plan.guarantees.because.len(), 1, "{:?}", plan.guarantees);
    plan
}

/// What the operator's policies say beside the session policy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Estate {
    /// No policy on any resource.
    Bare,
    /// Everything is open to everybody of the account, under a condition.
    Everybody,
    /// Everything is open to the role by its name.
    ByRole,
    /// Everything is open to the very session.
    BySession,
}

impl Estate {
    fn policy(self) -> Option<Policy> {
        let principal = match self {
            Self::Bare => return None,
            Self::Everybody => json!("*"),
            Self::ByRole => json!({ "AWS": ROLE }),
            Self::BySession => json!({ "AWS": SESSION }),
        };
        let text = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Principal": principal, "Action": "*",
                "Resource": "*",
                "Condition": { "StringEquals": { "aws:PrincipalAccount": ACCOUNT } }
            }]
        });
        Some(Policy::parse(&text.to_string(), PolicyKind::Resource).unwrap())
    }
}

/// One thing a job may try.
#[derive(Debug, Clone)]
struct Probe {
    action: &'static str,
    resource: String,
    prefix: Option<String>,
}

fn verdict(session_policy: &str, probe: &Probe, estate: Estate, at: &str) -> Verdict {
    let everything = json!({ "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
    let identity = |text: &str| Policy::parse(text, PolicyKind::Identity).unwrap();
    let mut context = Context::new()
        .with("aws:PrincipalAccount", ACCOUNT)
        .with("aws:CurrentTime", at);
    if let Some(prefix) = &probe.prefix {
        context = context.with("s3:prefix", prefix);
    }
    let request = Request {
        caller: Caller::Session {
            account: ACCOUNT.to_owned(),
            role_arn: ROLE.to_owned(),
            role_id: None,
            session_arn: SESSION.to_owned(),
        },
        action: probe.action.to_owned(),
        resource: probe.resource.clone(),
        context,
    };
    let layers = Layers {
        identity: vec![identity(&everything.to_string())],
        boundary: None,
        session: Some(vec![identity(session_policy)]),
        resource: Some(ResourceSide {
            account: ACCOUNT.to_owned(),
            policy: estate.policy(),
            must_allow: false,
        }),
    };
    decide(&request, &layers).verdict
}

/// What the words of a scope mean, said a second time and without IAM.
fn is_within(scope: &Scope, probe: &Probe) -> bool {
    let bucket = format!("arn:aws:s3:::bucket-{}", scope.resource);
    let key = probe.resource.strip_prefix(&format!("{bucket}/"));
    let verb = scope.capability.verb();
    let on_object = match probe.action {
        "s3:GetObject" => verb == "read",
        "s3:PutObject" | "s3:AbortMultipartUpload" => verb == "write",
        "s3:DeleteObject" => verb == "delete",
        _ => false,
    };
    if on_object {
        return key.is_some_and(|key| match &scope.path {
            Path::Whole => true,
            Path::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Path::Exact(exact) => key == exact,
        });
    }
    let on_bucket = probe.action == "s3:ListBucket" && verb == "read" && probe.resource == bucket;
    on_bucket
        && match (&scope.path, &probe.prefix) {
            (Path::Whole, _) => true,
            (Path::Prefix(prefix), Some(listed)) => listed.starts_with(prefix.as_str()),
            (Path::Prefix(_), None) | (Path::Exact(_), _) => false,
        }
}

fn a_path() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "(/(a|b|ab|a-b|a\\.b|A)){1,3}/?",]
}

fn a_scope() -> impl Strategy<Value = Scope> {
    let verb = prop::sample::select(vec!["read", "write", "delete"]);
    let bucket = prop::sample::select(vec!["one", "two"]);
    (verb, bucket, a_path()).prop_map(|(verb, bucket, path)| {
        format!("object-storage:{verb}@{bucket}{path}")
            .parse()
            .unwrap()
    })
}

fn a_probe() -> impl Strategy<Value = Probe> {
    let bucket = prop::sample::select(vec!["one", "two", "three"]);
    let on_object = prop::sample::select(vec![
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:GetObjectAcl",
        "s3:PutObjectAcl",
        "s3:DeleteObjectVersion",
        "s3:RestoreObject",
    ]);
    let key = "(a|b|ab|a-b|a\\.b|A|a/|b/|x|\\*|\\?|/){1,4}";
    let objects = (bucket.clone(), on_object, key).prop_map(|(bucket, action, key)| Probe {
        action,
        resource: format!("arn:aws:s3:::bucket-{bucket}/{key}"),
        prefix: None,
    });
    let prefix = prop::option::of("(a|b|ab|a-b|a/|b/|x){0,3}");
    let listings = (bucket.clone(), prefix).prop_map(|(bucket, prefix)| Probe {
        action: "s3:ListBucket",
        resource: format!("arn:aws:s3:::bucket-{bucket}"),
        prefix,
    });
    let on_bucket = prop::sample::select(vec![
        "s3:PutBucketPolicy",
        "s3:DeleteBucket",
        "s3:ListBucketVersions",
        "s3:ListBucketMultipartUploads",
        "s3:GetBucketPolicy",
    ]);
    let buckets = (bucket, on_bucket).prop_map(|(bucket, action)| Probe {
        action,
        resource: format!("arn:aws:s3:::bucket-{bucket}"),
        prefix: None,
    });
    let elsewhere = prop::sample::select(vec![
        ("sts:AssumeRole", "arn:aws:iam::111122223333:role/other"),
        ("sts:TagSession", ROLE),
        ("iam:DeleteRolePolicy", ROLE),
        ("iam:PutRolePolicy", ROLE),
        ("ecr:GetAuthorizationToken", "*"),
        (
            "s3:GetDataAccess",
            "arn:aws:s3:eu-central-1:111122223333:access-grants/default",
        ),
        (
            "s3express:CreateSession",
            "arn:aws:s3express:eu-central-1:111122223333:bucket/b--x-s3",
        ),
        (
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:eu-central-1:111122223333:secret:a",
        ),
        ("ec2:RunInstances", "*"),
    ]);
    let elsewhere = elsewhere.prop_map(|(action, resource)| Probe {
        action,
        resource: resource.to_owned(),
        prefix: None,
    });
    prop_oneof![6 => objects, 3 => listings, 1 => buckets, 1 => elsewhere]
}

const SOON: &str = "2026-11-23T00:10:00Z";

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_plan_allows_its_scopes_and_nothing_beyond_them(
        scopes in prop::collection::vec(a_scope(), 1..4),
        probes in prop::collection::vec(a_probe(), 12),
    ) {
        let plan = planned(&scopes);
        let policy = plan.terms["policy"].to_string();
        for probe in probes {
            let within = scopes.iter().any(|scope| is_within(scope, &probe));
            for estate in [Estate::Bare, Estate::Everybody, Estate::ByRole, Estate::BySession] {
                let verdict = verdict(&policy, &probe, estate, SOON);
                prop_assert_eq!(
                    verdict == Verdict::Allowed,
                    within,
                    "{:?} under {:?} with {:?}: {:?}\n{}", probe, estate, scopes, verdict, policy
                );
            }
        }
    }
}

/// The search above finds what slips past: without its Denies the same plan lets it through.
#[test]
fn a_plan_without_its_denies_is_slipped_past() {
    let plan = planned(&["object-storage:read@one/a/".parse().unwrap()]);
    let mut policy = plan.terms["policy"].clone();
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.retain(|statement| statement["Effect"] == "Allow");
    let policy = policy.to_string();
    for (action, resource) in [
        ("s3:PutObject", "arn:aws:s3:::bucket-one/a/x"),
        ("s3:GetObject", "arn:aws:s3:::bucket-one/b/x"),
        ("s3:GetObject", "arn:aws:s3:::bucket-three/a/x"),
    ] {
        let probe = Probe {
            action,
            resource: resource.to_owned(),
            prefix: None,
        };
        assert_eq!(
            verdict(&policy, &probe, Estate::Everybody, SOON),
            Verdict::Allowed
        );
        assert_eq!(
            verdict(&policy, &probe, Estate::BySession, SOON),
            Verdict::Allowed
        );
        assert_eq!(
            verdict(&policy, &probe, Estate::ByRole, SOON),
            Verdict::ImplicitDeny
        );
    }
}

/// What the service calls on the job's behalf is not granted, and not stood in the way of.
#[test]
fn companions_are_neither_granted_nor_denied() {
    let plan = planned(&["object-storage:read@one/a/".parse().unwrap()]);
    let policy = plan.terms["policy"].to_string();
    let probe = Probe {
        action: "kms:Decrypt",
        resource: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(),
        prefix: None,
    };
    assert_eq!(
        verdict(&policy, &probe, Estate::Bare, SOON),
        Verdict::ImplicitDeny
    );
    assert_eq!(
        verdict(&policy, &probe, Estate::Everybody, SOON),
        Verdict::Allowed
    );
}
