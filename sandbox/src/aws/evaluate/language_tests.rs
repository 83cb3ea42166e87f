//! The policy language: what is refused, and what statements and conditions match.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;

fn request(context: Context) -> Request {
    Request {
        caller: Caller::Session {
            account: "111122223333".into(),
            role_arn: "arn:aws:iam::111122223333:role/deploy".into(),
            role_id: None,
            session_arn: "arn:aws:sts::111122223333:assumed-role/deploy/lease-1".into(),
        },
        action: "s3:GetObject".into(),
        resource: "arn:aws:s3:::artifacts/releases/a".into(),
        context,
    }
}

fn allows(statement: &str, request: &Request) -> bool {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
    decide(
        request,
        &Layers {
            identity: vec![policy],
            ..Layers::default()
        },
    )
    .is_allowed()
}

/// Whether `{operator: {key: values}}` holds.
fn holds(condition: &str, context: Context) -> bool {
    let statement =
        format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}"#);
    allows(&statement, &request(context))
}

fn refusal(text: &str, kind: PolicyKind) -> String {
    Policy::parse(text, kind).unwrap_err().to_string()
}

const GOOD: &str = r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#;

#[test]
fn malformed_identity_policies_are_refused() {
    let wrapped =
        |statement: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    for (text, reason) in [
        ("".to_owned(), "Syntax errors"),
        ("[]".to_owned(), "not an object"),
        (
            format!(r#"{{"Version":"2012-10-17","Statement":[{GOOD}]}} trailing"#),
            "Syntax errors",
        ),
        (
            r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
            "no statement",
        ),
        (r#"{"Version":"2012-10-17"}"#.to_owned(), "no statement"),
        (
            format!(r#"{{"Version":"2026-01-01","Statement":[{GOOD}]}}"#),
            "must be version 2012-10-17",
        ),
        (
            format!(r#"{{"Version":"2012-10-17","Statement":[{GOOD}],"Comment":"x"}}"#),
            "`Comment` is not known",
        ),
        (
            format!(r#"{{"Version":"2012-10-17","Statement":[{GOOD}],"Statement":[{GOOD}]}}"#),
            "appears twice",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Action":"iam:*","Resource":"*"}"#),
            "appears twice",
        ),
        (
            wrapped(r#"{"Effect":"allow","Action":"s3:*","Resource":"*"}"#),
            "`Effect`",
        ),
        (wrapped(r#"{"Action":"s3:*","Resource":"*"}"#), "`Effect`"),
        (
            wrapped(r#"{"Effect":"Allow","Resource":"*"}"#),
            "must contain actions",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#),
            "must contain actions",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"GetObject","Resource":"*"}"#),
            "prefaced by a vendor",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"*:GetObject","Resource":"*"}"#),
            "Vendor * is not valid",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*"}"#),
            "must contain resources",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Resource":[]}"#),
            "must contain resources",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Resource":"artifacts/*"}"#),
            "must be in ARN format",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}"#),
            "cannot stand together",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}"#),
            "cannot stand together",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}"#),
            "should not specify a principal",
        ),
        (
            wrapped(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Conditon":{}}"#),
            "`Conditon` is not known",
        ),
        (
            wrapped(r#"{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}"#),
            "only letters and digits",
        ),
        (
            wrapped(r#"{"Sid":null,"Effect":"Allow","Action":"s3:*","Resource":"*"}"#),
            "only letters and digits",
        ),
        (
            wrapped(
                r#"{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"s3:*","Resource":"*"}"#,
            ),
            "must be unique",
        ),
    ] {
        let got = refusal(&text, PolicyKind::Identity);
        assert!(
            got.contains(reason),
            "{text}: `{got}` should say `{reason}`"
        );
    }
}

#[test]
fn malformed_conditions_are_refused() {
    for (condition, reason) in [
        (r#""x""#, "not an object"),
        (r#"{"StringEquals":"x"}"#, "not an object"),
        (
            r#"{"StringSame":{"aws:userid":"x"}}"#,
            "Invalid Condition type",
        ),
        (
            r#"{"ForSomeValues:StringEquals":{"aws:userid":"x"}}"#,
            "Invalid Condition type",
        ),
        (
            r#"{"NullIfExists":{"aws:userid":"true"}}"#,
            "Invalid Condition type",
        ),
        (r#"{"StringEquals":{"userid":"x"}}"#, "no vendor"),
        (r#"{"StringEquals":{"aws:userid":[]}}"#, "no usable values"),
        (r#"{"StringEquals":{"aws:userid":{}}}"#, "no usable values"),
        (
            r#"{"StringEquals":{"aws:userid":null}}"#,
            "no usable values",
        ),
        (
            r#"{"StringEquals":{"aws:userid":"x","aws:userid":"y"}}"#,
            "appears twice",
        ),
    ] {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}]}}"#
        );
        let got = refusal(&text, PolicyKind::Identity);
        assert!(
            got.contains(reason),
            "{condition}: `{got}` should say `{reason}`"
        );
    }
}

#[test]
fn resource_and_trust_policies_have_their_own_rules() {
    let wrapped =
        |statement: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    for (kind, statement, reason) in [
        (
            PolicyKind::Resource,
            GOOD,
            "Missing required field Principal",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{}}"#,
            "neither `*` nor an object",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{"AWS":"arn:aws:iam::111122223333:role/*"}}"#,
            "Invalid principal",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/deploy/*"}}"#,
            "Invalid principal",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{"AWS":"12345"}}"#,
            "Invalid principal",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{"Service":"*"}}"#,
            "Invalid principal",
        ),
        (
            PolicyKind::Resource,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","NotPrincipal":{"AWS":"111122223333"}}"#,
            "NotPrincipal",
        ),
        (
            PolicyKind::Trust,
            r#"{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}"#,
            "prohibited field Resource",
        ),
        (
            PolicyKind::Trust,
            r#"{"Effect":"Allow","Action":"s3:GetObject","Principal":"*"}"#,
            "only specify STS",
        ),
        (
            PolicyKind::Trust,
            r#"{"Effect":"Allow","Action":"*","Principal":"*"}"#,
            "only specify STS",
        ),
        (
            PolicyKind::Trust,
            r#"{"Effect":"Deny","Action":"sts:AssumeRole","NotPrincipal":{"AWS":"111122223333"}}"#,
            "prohibited field NotPrincipal",
        ),
    ] {
        let got = refusal(&wrapped(statement), kind);
        assert!(
            got.contains(reason),
            "{statement}: `{got}` should say `{reason}`"
        );
    }
}

#[test]
fn actions_ignore_case_and_match_whole_names() {
    let request = request(Context::new());
    for (action, expected) in [
        (r#""s3:GetObject""#, true),
        (r#""S3:getobject""#, true),
        (r#""s3:Get*""#, true),
        (r#""s3:GetObjec?""#, true),
        (r#""*""#, true),
        (r#""s3:GetObjectTagging""#, false),
        (r#""s3:Get""#, false),
        (r#"["iam:*","s3:GetObject"]"#, true),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":{action},"Resource":"*"}}"#);
        assert_eq!(allows(&statement, &request), expected, "{action}");
        let negated = format!(r#"{{"Effect":"Allow","NotAction":{action},"Resource":"*"}}"#);
        assert_eq!(allows(&negated, &request), !expected, "not {action}");
    }
}

#[test]
fn resources_match_whole_arns() {
    let request = request(Context::new());
    for (resource, expected) in [
        (r#""arn:aws:s3:::artifacts/releases/a""#, true),
        (r#""arn:aws:s3:::artifacts/releases/*""#, true),
        (r#""arn:aws:s3:::artifacts/*""#, true),
        (r#""arn:aws:s3:::*""#, true),
        (r#""arn:aws:s3:::artifacts/releases""#, false),
        (r#""arn:aws:s3:::artifacts/release""#, false),
        (r#""arn:aws:s3:::artifacts/Releases/*""#, false),
        (r#""arn:aws:s3:::artifact/*""#, false),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":{resource}}}"#);
        assert_eq!(allows(&statement, &request), expected, "{resource}");
        let negated = format!(r#"{{"Effect":"Allow","Action":"*","NotResource":{resource}}}"#);
        assert_eq!(allows(&negated, &request), !expected, "not {resource}");
    }
}

#[test]
fn two_denies_close_what_one_deny_would_leave_open() {
    // `Deny NotAction` and `Deny … NotResource` in one statement deny only their overlap.
    let wanted = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let one =
        r#"{"Effect":"Deny","NotAction":"s3:PutObject","NotResource":"arn:aws:s3:::artifacts/*"}"#;
    let first = r#"{"Effect":"Deny","NotAction":"s3:PutObject","Resource":"*"}"#;
    let second =
        r#"{"Effect":"Deny","Action":"s3:PutObject","NotResource":"arn:aws:s3:::artifacts/*"}"#;
    let get = request(Context::new());
    let mut put_elsewhere = request(Context::new());
    put_elsewhere.action = "s3:PutObject".into();
    put_elsewhere.resource = "arn:aws:s3:::other/a".into();
    assert!(allows(&format!("{wanted},{one}"), &get));
    assert!(allows(&format!("{wanted},{one}"), &put_elsewhere));
    assert!(!allows(&format!("{wanted},{first},{second}"), &get));
    assert!(!allows(
        &format!("{wanted},{first},{second}"),
        &put_elsewhere
    ));
}

#[test]
fn an_absent_key_fails_positive_tests_and_passes_negated_ones() {
    let none = Context::new;
    assert!(!holds(
        r#"{"StringEquals":{"aws:PrincipalTag/jl":"a"}}"#,
        none()
    ));
    assert!(holds(
        r#"{"StringNotEquals":{"aws:PrincipalTag/jl":"a"}}"#,
        none()
    ));
    assert!(!holds(
        r#"{"StringLike":{"aws:PrincipalTag/jl":"*"}}"#,
        none()
    ));
    assert!(holds(
        r#"{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}}"#,
        none()
    ));
    assert!(holds(
        r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
        none()
    ));
    assert!(!holds(
        r#"{"Bool":{"aws:SecureTransport":"false"}}"#,
        none()
    ));
    assert!(!holds(
        r#"{"DateLessThan":{"aws:TokenIssueTime":"2030-01-01T00:00:00Z"}}"#,
        none()
    ));
    assert!(holds(
        r#"{"StringEqualsIfExists":{"aws:PrincipalTag/jl":"a"}}"#,
        none()
    ));
    assert!(holds(r#"{"Null":{"aws:TokenIssueTime":"true"}}"#, none()));
    assert!(!holds(r#"{"Null":{"aws:TokenIssueTime":"false"}}"#, none()));
}

#[test]
fn keys_ignore_case_and_values_do_not() {
    let context = || Context::new().with("aws:PrincipalTag/JL", "Lease");
    assert!(holds(
        r#"{"StringEquals":{"AWS:principaltag/jl":"Lease"}}"#,
        context()
    ));
    assert!(!holds(
        r#"{"StringEquals":{"aws:PrincipalTag/jl":"lease"}}"#,
        context()
    ));
    assert!(holds(
        r#"{"StringEqualsIgnoreCase":{"aws:PrincipalTag/jl":"lease"}}"#,
        context()
    ));
    assert!(holds(
        r#"{"StringNotEqualsIgnoreCase":{"aws:PrincipalTag/jl":"other"}}"#,
        context()
    ));
}

#[test]
fn string_operators() {
    let context = || Context::new().with("aws:userid", "AROA1:lease*1");
    for (condition, expected) in [
        (
            r#"{"StringEquals":{"aws:userid":["x","AROA1:lease*1"]}}"#,
            true,
        ),
        (r#"{"StringEquals":{"aws:userid":"AROA1:*"}}"#, false),
        (r#"{"StringLike":{"aws:userid":"AROA1:*"}}"#, true),
        (r#"{"StringLike":{"aws:userid":"AROA1:lease${*}1"}}"#, true),
        (r#"{"StringLike":{"aws:userid":"AROA2:*"}}"#, false),
        (
            r#"{"StringNotLike":{"aws:userid":["AROA2:*","AROA1:*"]}}"#,
            false,
        ),
        (r#"{"StringNotEquals":{"aws:userid":["a","b"]}}"#, true),
        (
            r#"{"StringEquals":{"aws:userid":"AROA1:lease*1"},"StringLike":{"aws:userid":"no"}}"#,
            false,
        ),
    ] {
        assert_eq!(holds(condition, context()), expected, "{condition}");
    }
}

#[test]
fn numbers_dates_booleans_addresses_and_arns() {
    let context = || {
        Context::new()
            .with("s3:max-keys", "10")
            .with("aws:CurrentTime", "2026-06-01T12:00:00Z")
            .with("aws:EpochTime", "1780315200")
            .with("aws:SecureTransport", "true")
            .with("aws:SourceIp", "10.1.2.3")
            .with("aws:PrincipalArn", "arn:aws:iam::111122223333:role/deploy")
    };
    for (condition, expected) in [
        (r#"{"NumericLessThanEquals":{"s3:max-keys":10}}"#, true),
        (r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#, false),
        (r#"{"NumericEquals":{"s3:max-keys":"10.0"}}"#, true),
        (r#"{"NumericNotEquals":{"s3:max-keys":"11"}}"#, true),
        (r#"{"NumericEquals":{"s3:max-keys":"ten"}}"#, false),
        (r#"{"NumericGreaterThan":{"s3:max-keys":"9"}}"#, true),
        (
            r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-06-01T11:59:59Z"}}"#,
            true,
        ),
        (
            r#"{"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:00Z"}}"#,
            false,
        ),
        (
            r#"{"DateLessThanEquals":{"aws:CurrentTime":"2026-06-01T14:00:00+02:00"}}"#,
            true,
        ),
        (
            r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-06-01"}}"#,
            true,
        ),
        (
            r#"{"DateGreaterThanEquals":{"aws:EpochTime":"2026-06-01T12:00:00Z"}}"#,
            true,
        ),
        (
            r#"{"NumericGreaterThanEquals":{"aws:EpochTime":"1780315200"}}"#,
            true,
        ),
        (r#"{"DateEquals":{"aws:CurrentTime":"yesterday"}}"#, false),
        (r#"{"Bool":{"aws:SecureTransport":true}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"False"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"10.1.2.3"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"10.1.2.4"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"::/0"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}"#, false),
        (
            r#"{"NotIpAddress":{"aws:SourceIp":["192.168.0.0/16","10.0.0.0/8"]}}"#,
            false,
        ),
        (
            r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/deploy"}}"#,
            true,
        ),
        (
            r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/dep*"}}"#,
            true,
        ),
        (
            r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}}"#,
            false,
        ),
        (
            r#"{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/other"}}"#,
            true,
        ),
        (r#"{"ArnLike":{"aws:PrincipalArn":"deploy"}}"#, false),
    ] {
        assert_eq!(holds(condition, context()), expected, "{condition}");
    }
}

#[test]
fn an_ipv6_network() {
    let context = || Context::new().with("aws:SourceIp", "2001:db8::5");
    assert!(holds(
        r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#,
        context()
    ));
    assert!(!holds(
        r#"{"IpAddress":{"aws:SourceIp":"2001:db9::/32"}}"#,
        context()
    ));
    assert!(!holds(
        r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#,
        context()
    ));
}

#[test]
fn quantifiers_over_keys_with_several_values() {
    let keys = |values: &[&str]| {
        let mut context = Context::new();
        context.set_all(
            "aws:TagKeys",
            values.iter().map(|&value| value.to_owned()).collect(),
        );
        context
    };
    let all = r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}"#;
    let any = r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}"#;
    assert!(holds(all, keys(&["a", "b"])));
    assert!(!holds(all, keys(&["a", "c"])));
    assert!(holds(any, keys(&["a", "c"])));
    assert!(!holds(any, keys(&["c"])));
    // Nothing at all: true of all of nothing, false of any of nothing.
    assert!(holds(all, Context::new()));
    assert!(!holds(any, Context::new()));
    assert!(holds(
        r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["x"]}}"#,
        keys(&["a", "b"])
    ));
    assert!(!holds(
        r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["a"]}}"#,
        keys(&["a", "b"])
    ));
    assert!(holds(
        r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a"]}}"#,
        keys(&["a", "b"])
    ));
    assert!(!holds(
        r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a"]}}"#,
        Context::new()
    ));
    assert!(holds(
        r#"{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":["a"]}}"#,
        Context::new()
    ));
}

#[test]
fn variables_in_resources_and_conditions() {
    let mut anna = request(
        Context::new()
            .with("aws:username", "anna")
            .with("aws:PrincipalTag/team", "blue"),
    );
    anna.resource = "arn:aws:s3:::home/anna/x".into();
    let own = r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::home/${aws:username}/*"}"#;
    assert!(allows(own, &anna));
    anna.resource = "arn:aws:s3:::home/otto/x".into();
    assert!(!allows(own, &anna));
    // An absent variable matches nothing, so its `NotResource` spares nothing.
    let nameless = request(Context::new());
    assert!(!allows(own, &nameless));
    let except =
        r#"{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::home/${aws:username}/*"}"#;
    assert!(allows(except, &nameless));
    assert!(holds(
        r#"{"StringEquals":{"aws:PrincipalTag/team":"${aws:RequestTag/team}"}}"#,
        Context::new()
            .with("aws:PrincipalTag/team", "blue")
            .with("aws:RequestTag/team", "blue"),
    ));
    assert!(!holds(
        r#"{"StringLike":{"aws:PrincipalTag/team":"${aws:RequestTag/team}"}}"#,
        Context::new()
            .with("aws:PrincipalTag/team", "blue")
            .with("aws:RequestTag/team", "*"),
    ));
}

#[test]
fn a_policy_of_the_old_version_takes_variables_as_text() {
    let text = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::home/${aws:username}/*"}]}"#;
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    let mut anna = request(Context::new().with("aws:username", "anna"));
    anna.resource = "arn:aws:s3:::home/anna/x".into();
    assert!(
        !decide(
            &anna,
            &Layers {
                identity: vec![policy],
                ..Layers::default()
            }
        )
        .is_allowed()
    );
}

#[test]
fn a_policy_without_its_denies_keeps_its_allows() {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}]}"#;
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    let with = |policy: Policy| {
        decide(
            &request(Context::new()),
            &Layers {
                identity: vec![policy],
                ..Layers::default()
            },
        )
        .is_allowed()
    };
    assert!(!with(policy.clone()));
    assert!(with(policy.without_deny()));
}
