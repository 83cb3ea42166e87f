#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use serde_json::{Value, json};

fn config(changes: &[(&str, Value)]) -> Value {
    let mut config = json!({
        "name": "github",
        "url": "https://token.actions.githubusercontent.com",
        "provider": "github-actions",
        "audience": "https://jitney.acme.example",
    });
    for (name, value) in changes {
        config
            .as_object_mut()
            .unwrap()
            .insert((*name).to_owned(), value.clone());
    }
    config
}

fn table(rows: &[Value]) -> Result<Issuers, BadIssuer> {
    Issuers::new(
        rows.iter()
            .map(|row| serde_json::from_value(row.clone()).unwrap())
            .collect(),
    )
}

#[test]
fn defaults_are_githubs() {
    let table = table(&[config(&[])]).unwrap();
    let issuer = table
        .choose("https://token.actions.githubusercontent.com")
        .unwrap();
    assert_eq!(issuer.algorithms, [Algorithm::RS256]);
    assert_eq!(issuer.max_token_age, Duration::from_secs(120));
    assert_eq!(issuer.max_lifetime, Duration::from_secs(600));
    assert_eq!(issuer.leeway, Duration::from_secs(30));
    let KeysAt::Discovered(at) = &issuer.keys_at else {
        panic!("pinned")
    };
    assert_eq!(
        at.as_str(),
        "https://token.actions.githubusercontent.com/.well-known/openid-configuration"
    );
}

#[test]
fn discovery_keeps_the_issuers_path() {
    for (issuer, document) in [
        (
            "https://h.example",
            "https://h.example/.well-known/openid-configuration",
        ),
        (
            "https://h.example/",
            "https://h.example/.well-known/openid-configuration",
        ),
        (
            "https://h.example/_services/token",
            "https://h.example/_services/token/.well-known/openid-configuration",
        ),
    ] {
        assert_eq!(discovery(&Url::parse(issuer).unwrap()).as_str(), document);
    }
}

#[test]
fn an_issuer_is_chosen_by_the_exact_text() {
    let table = table(&[config(&[])]).unwrap();
    for near in [
        "https://token.actions.githubusercontent.com/",
        "https://TOKEN.actions.githubusercontent.com",
        "http://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com:443",
        "https://token.actions.githubusercontent.com/acme",
        " https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com\u{0}",
        "",
    ] {
        let refusal = table.choose(near).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::UnknownIssuer, "{near:?}");
    }
}

#[test]
fn keys_nobody_knows_are_refused() {
    for (name, value) in [
        ("alg", json!("RS256")),
        ("max_age", json!(1)),
        ("allow-private", json!(true)),
        ("provider", json!("gitlab-runner")),
        ("algorithms", json!(["none"])),
        ("algorithms", json!(["HS256"])),
        ("leeway_seconds", json!("30")),
        ("leeway_seconds", json!(-1)),
    ] {
        let row = config(&[(name, value.clone())]);
        assert!(
            serde_json::from_value::<IssuerConfig>(row).is_err(),
            "{name} {value}"
        );
    }
}

#[test]
fn bad_rows_say_what_is_wrong() {
    for (name, value, says) in [
        ("name", json!(""), "`name`"),
        ("name", json!("Git Hub"), "`name`"),
        ("name", json!("a".repeat(65)), "`name`"),
        ("provider", json!("operator"), "no CI system"),
        ("url", json!("github"), "not a URL"),
        ("url", json!("http://ci.example"), "https://"),
        ("url", json!("http://127.0.0.1:1"), "allow_private"),
        ("url", json!("https://127.0.0.1:1"), "allow_private"),
        ("url", json!("https://10.0.0.1"), "allow_private"),
        ("url", json!("https://[::1]"), "allow_private"),
        ("url", json!("https://0x7f000001"), "allow_private"),
        ("url", json!("https://169.254.169.254"), "never"),
        ("url", json!("https://user@ci.example"), "user name"),
        ("url", json!("https://ci.example/?a=b"), "`?`"),
        ("url", json!("https://ci.example/#a"), "`?`"),
        ("url", json!("file:///etc/passwd"), "https://"),
        (
            "url",
            json!(format!("https://ci.example/{}", "a".repeat(600))),
            "longer",
        ),
        ("jwks_url", json!("http://ci.example/jwks"), "https://"),
        (
            "jwks_url",
            json!("https://192.168.0.1/jwks"),
            "allow_private",
        ),
        ("audience", json!("api://AzureADTokenExchange"), "own URL"),
        ("audience", json!("sts.amazonaws.com"), "own URL"),
        ("audience", json!("https://github.com/acme"), "by default"),
        (
            "audience",
            json!("https://token.actions.githubusercontent.com/x"),
            "by default",
        ),
        ("audience", json!("http://jitney.example"), "own URL"),
        ("audience", json!(""), "own URL"),
        ("algorithms", json!([]), "empty"),
        ("leeway_seconds", json!(29), "30 to 60"),
        ("leeway_seconds", json!(61), "30 to 60"),
        ("max_token_age_seconds", json!(0), "1 to 3600"),
        ("max_token_age_seconds", json!(3601), "1 to 3600"),
        ("max_lifetime_seconds", json!(0), "1 to 3600"),
        ("max_lifetime_seconds", json!(86_400), "1 to 3600"),
    ] {
        let error = table(&[config(&[(name, value.clone())])])
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{name} = {value}: {error}");
    }
}

#[test]
fn default_audiences_of_enterprise_issuers_are_refused() {
    for (url, audience) in [
        (
            "https://token.actions.acme.ghe.com",
            "https://acme.ghe.com/shop",
        ),
        (
            "https://ghes.acme.example/_services/token",
            "https://ghes.acme.example/shop",
        ),
    ] {
        let row = config(&[("url", json!(url)), ("audience", json!(audience))]);
        assert!(
            table(&[row])
                .unwrap_err()
                .to_string()
                .contains("by default"),
            "{url}"
        );
    }
}

#[test]
fn loopback_needs_to_be_allowed_and_then_may_be_plain() {
    let row = config(&[
        ("url", json!("http://127.0.0.1:9000")),
        ("audience", json!("http://127.0.0.1:8000")),
        ("allow_private", json!(true)),
    ]);
    let table = table(&[row]).unwrap();
    assert_eq!(
        table.choose("http://127.0.0.1:9000").unwrap().reach,
        Reach::Loopback
    );
}

#[test]
fn names_and_urls_are_unique_and_few() {
    let twice = table(&[config(&[]), config(&[("name", json!("other"))])]).unwrap_err();
    assert!(twice.to_string().contains("also that of issuer `github`"));
    let twice = table(&[config(&[]), config(&[("url", json!("https://b.example"))])]);
    assert!(twice.unwrap_err().to_string().contains("used twice"));
    let many: Vec<_> = (0..=ISSUERS_MAX)
        .map(|n| {
            config(&[
                ("name", json!(format!("i{n}"))),
                ("url", json!(format!("https://ci{n}.example"))),
            ])
        })
        .collect();
    assert!(
        table(&many)
            .unwrap_err()
            .to_string()
            .contains("more than 64")
    );
}

#[test]
fn signs_of_life_have_an_audience_of_their_own() {
    let beats = |changes: &[(&str, Value)]| {
        let table = table(&[config(changes)]).map_err(|error| error.to_string())?;
        let issuer = table
            .choose("https://token.actions.githubusercontent.com")
            .unwrap();
        Ok::<_, String>(issuer.beat_audience.clone())
    };
    let own = |audience: &str| Ok(Some(audience.to_owned()));
    assert_eq!(beats(&[]), own("https://jitney.acme.example/beat"));
    let slash = ("audience", json!("https://jitney.acme.example/"));
    assert_eq!(beats(&[slash]), own("https://jitney.acme.example/beat"));
    let other = ("beat_audience", json!("https://alive.acme.example"));
    assert_eq!(
        beats(std::slice::from_ref(&other)),
        own("https://alive.acme.example")
    );
    let stale = ("fresh_tokens", json!(false));
    assert_eq!(beats(std::slice::from_ref(&stale)), Ok(None));
    for (bad, part) in [
        (
            vec![("beat_audience", json!("https://jitney.acme.example"))],
            "is also `audience`",
        ),
        (
            vec![("beat_audience", json!("beats"))],
            "`beat_audience` is `beats`",
        ),
        (
            vec![("beat_audience", json!("https://github.com/acme"))],
            "gives to every job",
        ),
        (vec![other, stale], "of no use"),
    ] {
        let refused = beats(&bad).unwrap_err();
        assert!(refused.contains(part), "{refused}");
    }
}

fn gitlab(changes: &[(&str, Value)]) -> Result<Arc<Issuer>, String> {
    let mut all = vec![
        ("name", json!("gitlab")),
        ("url", json!("https://gitlab.com")),
        ("provider", json!("gitlab-ci")),
    ];
    all.extend_from_slice(changes);
    let table = table(&[config(&all)]).map_err(|error| error.to_string())?;
    Ok(Arc::clone(table.choose("https://gitlab.com").unwrap()))
}

#[test]
fn a_token_of_gitlab_lives_for_as_long_as_its_job_may() {
    let issuer = gitlab(&[]).unwrap();
    assert_eq!(issuer.provider, Provider::GitlabCi);
    assert_eq!(issuer.max_token_age, Duration::from_secs(3600));
    assert_eq!(issuer.max_lifetime, Duration::from_secs(3600));
    for name in ["max_token_age_seconds", "max_lifetime_seconds"] {
        assert!(gitlab(&[(name, json!(86_400))]).is_ok());
        let refused = gitlab(&[(name, json!(86_401))]).unwrap_err();
        assert!(refused.contains("1 to 86400"), "{refused}");
    }
}

#[test]
fn nothing_is_demanded_of_gitlab_that_it_cannot_give() {
    let stale = ("fresh_tokens", json!(false));
    for fine in [&[][..], &[stale]] {
        assert_eq!(gitlab(fine).unwrap().beat_audience, None);
    }
    for asked in [
        ("fresh_tokens", json!(true)),
        ("beat_audience", json!("https://alive.acme.example")),
    ] {
        let refused = gitlab(std::slice::from_ref(&asked)).unwrap_err();
        for part in [asked.0, "gitlab-ci", "none while it runs", "remove the key"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
