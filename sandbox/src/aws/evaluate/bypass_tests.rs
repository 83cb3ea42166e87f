//! How layers combine: every row of the table in [`super::decide`], and what explicit Denys do to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const ROLE: &str = "arn:aws:iam::111122223333:role/deploy";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/deploy/lease-1";
const OBJECT: &str = "arn:aws:s3:::artifacts/releases/a";

/// The five ways a resource policy can name a session of the role.
const NAMED: [(&str, &str, &str); 5] = [
    (
        "role",
        r#"{"AWS":"arn:aws:iam::111122223333:role/deploy"}"#,
        "{}",
    ),
    (
        "session",
        r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/deploy/lease-1"}"#,
        "{}",
    ),
    (
        "star and PrincipalArn",
        r#""*""#,
        r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/deploy"}}"#,
    ),
    (
        "star and PrincipalOrgID",
        r#"{"AWS":"*"}"#,
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#,
    ),
    (
        "account",
        r#"{"AWS":"arn:aws:iam::111122223333:root"}"#,
        "{}",
    ),
];

fn request() -> Request {
    Request {
        caller: Caller::Session {
            account: ACCOUNT.into(),
            role_arn: ROLE.into(),
            role_id: Some("AROAEXAMPLE".into()),
            session_arn: SESSION.into(),
        },
        action: "s3:GetObject".into(),
        resource: OBJECT.into(),
        context: Context::new()
            .with("aws:PrincipalArn", ROLE)
            .with("aws:PrincipalOrgID", "o-1"),
    }
}

fn identity(effect: &str, action: &str) -> Policy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#
    );
    Policy::parse(&text, PolicyKind::Identity).unwrap()
}

fn allows() -> Policy {
    identity("Allow", "s3:GetObject")
}

fn silent() -> Policy {
    identity("Allow", "s3:PutObject")
}

fn denies() -> Policy {
    let both = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}]}"#;
    Policy::parse(both, PolicyKind::Identity).unwrap()
}

fn bucket_policy(effect: &str, principal: &str, condition: &str) -> Policy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":{principal},
            "Action":"s3:GetObject","Resource":"arn:aws:s3:::artifacts/*","Condition":{condition}}}]}}"#
    );
    Policy::parse(&text, PolicyKind::Resource).unwrap()
}

fn side(account: &str, policy: Option<Policy>) -> Option<ResourceSide> {
    Some(ResourceSide {
        account: account.into(),
        policy,
        must_allow: false,
    })
}

fn layers(identity: Policy, boundary: Policy, session: Policy, policy: Option<Policy>) -> Layers {
    Layers {
        identity: vec![identity],
        boundary: Some(boundary),
        session: Some(vec![session]),
        resource: side(ACCOUNT, policy),
    }
}

fn is_allowed(layers: &Layers) -> bool {
    decide(&request(), layers).is_allowed()
}

#[test]
fn without_a_resource_policy_all_three_must_allow() {
    assert!(is_allowed(&layers(allows(), allows(), allows(), None)));
    for (layer, layers) in [
        (Layer::Identity, layers(silent(), allows(), allows(), None)),
        (Layer::Boundary, layers(allows(), silent(), allows(), None)),
        (Layer::Session, layers(allows(), allows(), silent(), None)),
    ] {
        assert_eq!(
            decide(&request(), &layers),
            Decision {
                verdict: Verdict::ImplicitDeny,
                layer
            }
        );
    }
}

#[test]
fn the_table_of_silences() {
    // For each way of being named: allowed when identity, boundary, session policy is silent.
    let expected = [
        ("role", [true, false, false]),
        ("session", [true, true, true]),
        ("star and PrincipalArn", [true, true, true]),
        ("star and PrincipalOrgID", [true, true, true]),
        ("account", [false, false, false]),
    ];
    for ((name, principal, condition), (expected_name, expected)) in NAMED.iter().zip(expected) {
        assert_eq!(*name, expected_name);
        let policy = || Some(bucket_policy("Allow", principal, condition));
        let got = [
            is_allowed(&layers(silent(), allows(), allows(), policy())),
            is_allowed(&layers(allows(), silent(), allows(), policy())),
            is_allowed(&layers(allows(), allows(), silent(), policy())),
        ];
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn an_explicit_deny_in_any_layer_beats_every_resource_policy() {
    for (name, principal, condition) in NAMED {
        let policy = || Some(bucket_policy("Allow", principal, condition));
        for (layer, layers) in [
            (
                Layer::Identity,
                layers(denies(), allows(), allows(), policy()),
            ),
            (
                Layer::Boundary,
                layers(allows(), denies(), allows(), policy()),
            ),
            (
                Layer::Session,
                layers(allows(), allows(), denies(), policy()),
            ),
        ] {
            assert_eq!(
                decide(&request(), &layers),
                Decision {
                    verdict: Verdict::ExplicitDeny,
                    layer
                },
                "{name}"
            );
        }
    }
}

#[test]
fn a_deny_in_the_resource_policy_beats_all_allows() {
    for (name, principal, condition) in NAMED {
        let layers = layers(
            allows(),
            allows(),
            allows(),
            Some(bucket_policy("Deny", principal, condition)),
        );
        assert_eq!(
            decide(&request(), &layers),
            Decision {
                verdict: Verdict::ExplicitDeny,
                layer: Layer::Resource
            },
            "{name}"
        );
    }
}

#[test]
fn a_star_with_a_condition_that_does_not_hold_is_nothing() {
    let policy = bucket_policy(
        "Allow",
        r#""*""#,
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-2"}}"#,
    );
    assert!(!is_allowed(&layers(
        silent(),
        allows(),
        allows(),
        Some(policy)
    )));
    // A condition on the session's ARN does not hold: the key is the role's ARN.
    let condition = format!(r#"{{"ArnEquals":{{"aws:PrincipalArn":"{SESSION}"}}}}"#);
    let policy = bucket_policy("Allow", r#""*""#, &condition);
    assert!(!is_allowed(&layers(
        silent(),
        allows(),
        allows(),
        Some(policy)
    )));
}

#[test]
fn another_session_of_the_same_role_is_somebody_else() {
    let principal = r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/deploy/lease-2"}"#;
    assert!(!is_allowed(&layers(
        silent(),
        allows(),
        allows(),
        Some(bucket_policy("Allow", principal, "{}"))
    )));
    assert!(is_allowed(&layers(
        allows(),
        allows(),
        allows(),
        Some(bucket_policy("Deny", principal, "{}"))
    )));
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let foreign = |policy: Option<Policy>, identity: Policy| Layers {
        identity: vec![identity],
        boundary: None,
        session: Some(vec![allows()]),
        resource: side(OTHER, policy),
    };
    assert!(!is_allowed(&foreign(None, allows())));
    for (name, principal, condition) in NAMED {
        let policy = || Some(bucket_policy("Allow", principal, condition));
        assert!(is_allowed(&foreign(policy(), allows())), "{name}");
        assert!(!is_allowed(&foreign(policy(), silent())), "{name}");
    }
    let mut narrowed = foreign(Some(bucket_policy("Allow", r#""*""#, "{}")), allows());
    narrowed.session = Some(vec![silent()]);
    assert!(!is_allowed(&narrowed));
}

#[test]
fn a_trust_policy_must_itself_name_the_caller() {
    let trust = |principal: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#
        );
        Some(Policy::parse(&text, PolicyKind::Trust).unwrap())
    };
    let mut request = request();
    request.action = "sts:AssumeRole".into();
    request.resource = "arn:aws:iam::111122223333:role/target".into();
    let decided = |identity: Option<Policy>, trust: Option<Policy>| {
        let layers = Layers {
            identity: identity.into_iter().collect(),
            boundary: None,
            session: None,
            resource: Some(ResourceSide {
                account: ACCOUNT.into(),
                policy: trust,
                must_allow: true,
            }),
        };
        decide(&request, &layers).is_allowed()
    };
    let may_assume = || Some(identity("Allow", "sts:AssumeRole"));
    // The caller's own right is not enough.
    assert!(!decided(
        may_assume(),
        trust(r#"{"AWS":"arn:aws:iam::111122223333:role/somebody"}"#)
    ));
    // Naming the role is enough by itself, naming the account only together with the caller's own right.
    assert!(decided(
        None,
        trust(r#"{"AWS":"arn:aws:iam::111122223333:role/deploy"}"#)
    ));
    assert!(!decided(None, trust(r#"{"AWS":"111122223333"}"#)));
    assert!(decided(may_assume(), trust(r#"{"AWS":"111122223333"}"#)));
}

#[test]
fn a_user_named_directly_passes_its_boundary_and_a_denied_user_does_not() {
    let arn = "arn:aws:iam::111122223333:user/anna";
    let mut request = request();
    request.caller = Caller::User {
        account: ACCOUNT.into(),
        arn: arn.into(),
        id: None,
    };
    let named = bucket_policy("Allow", &format!(r#"{{"AWS":"{arn}"}}"#), "{}");
    let layers = |boundary: Policy| Layers {
        identity: Vec::new(),
        boundary: Some(boundary),
        session: None,
        resource: side(ACCOUNT, Some(named.clone())),
    };
    assert!(decide(&request, &layers(silent())).is_allowed());
    assert!(!decide(&request, &layers(denies())).is_allowed());
}

#[test]
fn a_role_created_again_under_the_same_name_is_not_the_named_one() {
    let policy = bucket_policy(
        "Allow",
        r#"{"AWS":"arn:aws:iam::111122223333:role/deploy"}"#,
        "{}",
    );
    let with = |id: &str| {
        let bound = policy.bound(|_| Some(id.to_owned()));
        is_allowed(&layers(silent(), allows(), allows(), Some(bound)))
    };
    assert!(with("AROAEXAMPLE"));
    assert!(!with("AROAOLDROLE"));
    // Gone altogether when the policy was stored: nobody.
    let nobody = policy.bound(|_| None);
    assert!(
        is_allowed(&layers(silent(), allows(), allows(), Some(nobody))),
        "an unbound name is compared by ARN"
    );
}

#[test]
fn nobody_gets_only_what_everybody_gets() {
    let mut request = request();
    request.caller = Caller::Anonymous;
    request.context = Context::new();
    let with = |principal: &str| {
        let policy = Some(bucket_policy("Allow", principal, "{}"));
        let layers = Layers {
            resource: side(ACCOUNT, policy),
            ..Layers::default()
        };
        decide(&request, &layers).is_allowed()
    };
    assert!(with(r#""*""#));
    assert!(!with(r#"{"AWS":"111122223333"}"#));
    assert!(!decide(&request, &Layers::default()).is_allowed());
}

#[test]
fn root_may_all_in_its_own_account_unless_denied() {
    let mut request = request();
    request.caller = Caller::Root {
        account: ACCOUNT.into(),
    };
    let with = |account: &str, policy: Option<Policy>| {
        decide(
            &request,
            &Layers {
                resource: side(account, policy),
                ..Layers::default()
            },
        )
        .is_allowed()
    };
    assert!(with(ACCOUNT, None));
    assert!(!with(OTHER, None));
    assert!(!with(ACCOUNT, Some(bucket_policy("Deny", r#""*""#, "{}"))));
}

#[test]
fn not_principal_spares_only_who_is_named_in_every_way() {
    let deny = |names: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","NotPrincipal":{{"AWS":[{names}]}},
                "Action":"s3:*","Resource":"arn:aws:s3:::artifacts/*"}}]}}"#
        );
        Some(Policy::parse(&text, PolicyKind::Resource).unwrap())
    };
    let all = format!(r#""{ACCOUNT}","{ROLE}","{SESSION}""#);
    assert!(is_allowed(&layers(
        allows(),
        allows(),
        allows(),
        deny(&all)
    )));
    for missing_one in [
        format!(r#""{ROLE}","{SESSION}""#),
        format!(r#""{ACCOUNT}","{SESSION}""#),
        format!(r#""{ACCOUNT}","{ROLE}""#),
    ] {
        assert!(
            !is_allowed(&layers(allows(), allows(), allows(), deny(&missing_one))),
            "{missing_one}"
        );
    }
}

#[test]
fn a_session_with_an_empty_list_of_policies_may_nothing() {
    let mut layers = layers(allows(), allows(), allows(), None);
    layers.session = Some(Vec::new());
    assert!(!is_allowed(&layers));
    layers.session = None;
    assert!(is_allowed(&layers));
}

#[test]
fn session_policies_add_up_and_identity_policies_too() {
    let mut both = layers(silent(), allows(), silent(), None);
    both.identity.push(allows());
    both.session = Some(vec![silent(), allows()]);
    assert!(is_allowed(&both));
}

#[test]
fn layers_survive_json() {
    let before = layers(
        allows(),
        silent(),
        denies(),
        Some(bucket_policy("Allow", r#""*""#, "{}")),
    );
    let text = serde_json::to_string(&before).unwrap();
    let after: Layers = serde_json::from_str(&text).unwrap();
    assert_eq!(decide(&request(), &before), decide(&request(), &after));
    let text = serde_json::to_string(&request()).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request());
}
