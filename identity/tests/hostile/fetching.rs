//! Issuers, networks and key sets that misbehave.

use std::time::{Duration, Instant};

use jitney_identity::RefusalCode;
use jitney_identity::fetch::{DOCUMENT_BYTES_MAX, FETCH_TIMEOUT};
use jitney_identity::keyring::{
    BACKGROUND_PERIOD, FIRST_FETCH_INTERVAL, REFRESH_INTERVAL, STALE_MAX,
};
use serde_json::json;

use crate::issuer::{Answer, DISCOVERY, FakeIssuer, JWKS, key_set, verifier};
use crate::mint::{Draft, after, other_rsa, rsa};

/// What the fake issuer's keys are fresh for: it sends no `Cache-Control`.
const FRESH_SECONDS: i64 = 300;

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap()
}

#[tokio::test]
async fn kid_traversal_and_invented_keys_cause_one_bounded_refresh() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    verifier.verify(&good.mint(), after(0)).await.unwrap();
    assert_eq!(issuer.asked(JWKS), 1);
    let kids = [
        "../../etc/passwd",
        "key-1\u{0}",
        "'; DROP TABLE keys; --",
        "http://169.254.169.254/",
        "key-2",
        "",
        &"k".repeat(10_000),
    ];
    for at in [0, 59] {
        for kid in kids {
            let token = good.clone().header("kid", kid).mint();
            let refusal = verifier.verify(&token, after(at)).await.unwrap_err();
            assert_eq!(refusal.code, RefusalCode::UnknownKey, "{kid}");
        }
        assert_eq!(issuer.asked(JWKS), 2, "one refresh, however many tokens");
    }
    let token = good.clone().header("kid", "key-2").mint();
    verifier.verify(&token, after(60)).await.unwrap_err();
    assert_eq!(issuer.asked(JWKS), 3, "the next minute has its own");
    verifier.verify(&good.mint(), after(60)).await.unwrap();
}

#[tokio::test]
async fn many_at_once_cause_one_fetch() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url).mint();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), good.clone());
        running.spawn(async move { verifier.verify(&token, after(0)).await });
    }
    while let Some(judged) = running.join_next().await {
        judged.unwrap().unwrap();
    }
    assert_eq!(issuer.asked(JWKS), 1);
    assert_eq!(issuer.asked(DISCOVERY), 1);
}

#[tokio::test]
async fn many_hostile_tokens_at_once_cause_two_fetches_at_most() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    let mut running = tokio::task::JoinSet::new();
    for number in 0..50 {
        let verifier = verifier.clone();
        let token = good
            .clone()
            .header("kid", format!("invented-{number}"))
            .mint();
        running.spawn(async move { verifier.verify(&token, after(0)).await });
    }
    while let Some(judged) = running.join_next().await {
        assert_eq!(judged.unwrap().unwrap_err().code, RefusalCode::UnknownKey);
    }
    assert!(issuer.asked(JWKS) <= 2, "{}", issuer.asked(JWKS));
    verifier.verify(&good.mint(), after(0)).await.unwrap();
}

#[tokio::test]
async fn a_rotated_key_is_learned_and_a_withdrawn_one_forgotten() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let old = Draft::new(&issuer.url);
    let new = old.clone().signed_with(other_rsa(), "key-2");
    verifier.verify(&old.mint(), after(0)).await.unwrap();
    let refusal = verifier.verify(&new.mint(), after(0)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
    issuer.publish(&[(other_rsa(), "key-2", Some("RS256"))]);
    verifier.verify(&new.mint(), after(60)).await.unwrap();
    let refusal = verifier.verify(&old.mint(), after(60)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
}

#[tokio::test]
async fn a_key_withdrawn_while_nobody_asked_is_not_good_for_one_more_token() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let old = Draft::new(&issuer.url);
    verifier.verify(&old.mint(), after(0)).await.unwrap();
    issuer.publish(&[(other_rsa(), "key-2", Some("RS256"))]);
    let later = FRESH_SECONDS + seconds(BACKGROUND_PERIOD) + 1;
    let token = old.issued_after(later).mint();
    let refusal = verifier.verify(&token, after(later)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
}

#[tokio::test]
async fn keys_just_past_their_freshness_are_renewed_without_making_anyone_wait() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    verifier.verify(&good.mint(), after(0)).await.unwrap();
    let body = key_set(&[(rsa(), "key-1", None), (other_rsa(), "key-2", None)]);
    let wait = Duration::from_secs(1);
    issuer.answer(JWKS, Answer::Late(wait, body));
    let later = FRESH_SECONDS + 1;
    let token = good.clone().issued_after(later).mint();
    let begun = Instant::now();
    verifier.verify(&token, after(later)).await.unwrap();
    verifier.verify(&token, after(later)).await.unwrap();
    assert!(begun.elapsed() < wait, "{:?}", begun.elapsed());
    while verifier.status(after(later))[0].keys < 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "never renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(issuer.asked(JWKS), 2);
}

#[tokio::test]
async fn keys_survive_errors_and_empty_sets_for_a_day() {
    let day = seconds(STALE_MAX);
    for answer in [
        Answer::Status(500, String::new()),
        Answer::Status(404, String::new()),
        Answer::Body(json!({"keys": []}).to_string()),
        Answer::Body("<html>maintenance</html>".into()),
        Answer::Body(json!({"keys": [{"kty": "oct", "k": "AAAA", "kid": "key-1"}]}).to_string()),
        Answer::Endless,
    ] {
        let issuer = FakeIssuer::start().await;
        let verifier = issuer.verifier();
        let good = Draft::new(&issuer.url);
        verifier.verify(&good.mint(), after(0)).await.unwrap();
        issuer.answer(JWKS, answer);
        for later in [FRESH_SECONDS + 400, day] {
            let token = good.clone().issued_after(later).mint();
            verifier.verify(&token, after(later)).await.unwrap();
        }
        assert!(verifier.status(after(day))[0].last_error.is_some());
        let token = good.clone().issued_after(day + 1).mint();
        let refusal = verifier.verify(&token, after(day + 1)).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
    }
}

#[tokio::test]
async fn jwks_huge_is_cut_off_at_the_limit() {
    let issuer = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let set = key_set(&[(rsa(), "key-1", Some("RS256"))]);
    let padded = |length: usize| format!("{set}{}", " ".repeat(length - set.len()));
    issuer.answer(JWKS, Answer::Body(padded(DOCUMENT_BYTES_MAX)));
    issuer
        .verifier()
        .verify(&good.mint(), after(0))
        .await
        .unwrap();
    let begun = Instant::now();
    for answer in [
        Answer::Body(padded(DOCUMENT_BYTES_MAX + 1)),
        Answer::Body(padded(10 * 1024 * 1024)),
        Answer::Endless,
    ] {
        issuer.answer(JWKS, answer);
        let refusal = issuer
            .verifier()
            .verify(&good.mint(), after(0))
            .await
            .unwrap_err();
        assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
        assert!(
            refusal.log_text.contains("102400 bytes"),
            "{}",
            refusal.log_text
        );
        assert!(
            !refusal.job_text.contains(JWKS),
            "the job learns no address"
        );
    }
    assert!(begun.elapsed() < FETCH_TIMEOUT, "cut off, not timed out");
}

#[tokio::test]
async fn slow_servers_are_given_five_seconds() {
    let good = |issuer: &FakeIssuer| Draft::new(&issuer.url).mint();
    let slow = async |path: &str, answer: Answer| {
        let issuer = FakeIssuer::start().await;
        issuer.answer(path, answer);
        let begun = Instant::now();
        let refusal = issuer
            .verifier()
            .verify(&good(&issuer), after(0))
            .await
            .unwrap_err();
        assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
        assert!(begun.elapsed() >= FETCH_TIMEOUT);
        assert!(begun.elapsed() < FETCH_TIMEOUT + Duration::from_secs(3));
    };
    tokio::join!(
        slow(JWKS, Answer::Drip),
        slow(JWKS, Answer::Silence),
        slow(DISCOVERY, Answer::Drip),
        slow(DISCOVERY, Answer::Silence),
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = FakeIssuer::start().await;
    for path in [DISCOVERY, JWKS] {
        for status in [301, 302, 303, 307, 308] {
            let issuer = FakeIssuer::start().await;
            let location = format!("location: {}{path}", elsewhere.url);
            issuer.answer(path, Answer::Status(status, location));
            let token = Draft::new(&issuer.url).mint();
            let refusal = issuer
                .verifier()
                .verify(&token, after(0))
                .await
                .unwrap_err();
            assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
            assert!(
                refusal.log_text.contains("redirect"),
                "{}",
                refusal.log_text
            );
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_discovery_document_cannot_speak_for_others() {
    let elsewhere = FakeIssuer::start().await;
    for (name, value) in [
        ("issuer", elsewhere.url.clone()),
        ("jwks_uri", format!("{}{JWKS}", elsewhere.url)),
        ("jwks_uri", "http://169.254.169.254/latest".to_owned()),
    ] {
        let issuer = FakeIssuer::start().await;
        let mut document = issuer.discovery();
        document[name] = json!(value);
        issuer.answer(DISCOVERY, Answer::Body(document.to_string()));
        let token = Draft::new(&issuer.url).mint();
        let refusal = issuer
            .verifier()
            .verify(&token, after(0))
            .await
            .unwrap_err();
        assert_eq!(refusal.code, RefusalCode::IssuerUnreachable, "{name}");
        assert_eq!(issuer.asked(JWKS), 0);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_not_connected_to() {
    let issuer = FakeIssuer::start().await;
    let url = issuer.url.replace("http://127.0.0.1", "https://localhost");
    let mut config = issuer.config();
    config["url"] = json!(url);
    config["allow_private"] = json!(false);
    let token = Draft::new(&url).mint();
    let refusal = verifier(&[config.clone()])
        .verify(&token, after(0))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
    assert!(
        refusal.log_text.contains("allow_private"),
        "{}",
        refusal.log_text
    );
    assert_eq!(issuer.connections(), 0);
    // With the permission it is connected to, and only the handshake fails.
    config["allow_private"] = json!(true);
    verifier(&[config])
        .verify(&token, after(0))
        .await
        .unwrap_err();
    assert!(issuer.connections() > 0);
}

#[tokio::test]
async fn pinned_keys_are_fetched_from_where_they_are_pinned_and_nowhere_else() {
    let issuer = FakeIssuer::start().await;
    let keys = FakeIssuer::start().await;
    let mut config = issuer.config();
    config["jwks_url"] = json!(format!("{}{JWKS}", keys.url));
    let token = Draft::new(&issuer.url).mint();
    verifier(&[config]).verify(&token, after(0)).await.unwrap();
    assert_eq!(issuer.connections(), 0);
    assert_eq!((keys.asked(JWKS), keys.asked(DISCOVERY)), (1, 0));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_use_up_the_fetch() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    verifier.verify(&good.mint(), after(0)).await.unwrap();
    let body = key_set(&[(other_rsa(), "key-2", None)]);
    issuer.answer(JWKS, Answer::Late(Duration::from_millis(300), body));
    let rotated = good.signed_with(other_rsa(), "key-2").mint();
    let hung_up = tokio::time::timeout(
        Duration::from_millis(100),
        verifier.verify(&rotated, after(0)),
    );
    assert!(hung_up.await.is_err());
    tokio::time::sleep(Duration::from_millis(600)).await;
    verifier.verify(&rotated, after(0)).await.unwrap();
    assert_eq!(issuer.asked(JWKS), 2);
}

#[tokio::test]
async fn without_keys_the_next_attempt_comes_soon_but_not_at_once() {
    let issuer = FakeIssuer::start().await;
    issuer.withdraw(JWKS);
    let verifier = issuer.verifier();
    let token = Draft::new(&issuer.url).mint();
    let soon = seconds(FIRST_FETCH_INTERVAL);
    for at in [0, soon - 1] {
        let refusal = verifier.verify(&token, after(at)).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::IssuerUnreachable);
        assert!(refusal.code.worth_retrying());
    }
    assert_eq!(issuer.asked(JWKS), 1);
    issuer.publish(&[(rsa(), "key-1", None)]);
    verifier.verify(&token, after(soon)).await.unwrap();
}

#[tokio::test]
async fn keys_that_cannot_be_renewed_are_tried_once_a_minute() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    verifier.verify(&good.mint(), after(0)).await.unwrap();
    issuer.answer(JWKS, Answer::Status(500, String::new()));
    let later = FRESH_SECONDS + seconds(BACKGROUND_PERIOD) + 1;
    for (wait, fetches) in [(0, 2), (1, 2), (59, 2), (60, 3), (61, 3)] {
        let token = good.clone().issued_after(later + wait).mint();
        verifier.verify(&token, after(later + wait)).await.unwrap();
        assert_eq!(issuer.asked(JWKS), fetches, "{wait} s");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_fetches() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let ahead = 10_000;
    let good = Draft::new(&issuer.url);
    let token = good.clone().issued_after(ahead).mint();
    verifier.verify(&token, after(ahead)).await.unwrap();
    let invented = good
        .clone()
        .issued_after(ahead)
        .header("kid", "invented")
        .mint();
    verifier.verify(&invented, after(ahead)).await.unwrap_err();
    assert_eq!(issuer.asked(JWKS), 2);
    // Keys from the future are not fresh, and the minute of the last refresh is over.
    issuer.publish(&[(other_rsa(), "key-2", None)]);
    let refusal = verifier.verify(&good.mint(), after(0)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
    let rotated = good.signed_with(other_rsa(), "key-2").mint();
    verifier.verify(&rotated, after(0)).await.unwrap();
}

#[tokio::test]
async fn a_known_key_costs_no_fetch_even_when_the_issuer_is_gone() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let url = issuer.url.clone();
    let warm = verifier.warm(after(0)).await;
    assert_eq!(warm[0].name, "ci");
    assert_eq!(warm[0].url, url);
    assert_eq!(warm[0].keys, 1);
    assert!(warm[0].usable);
    drop(issuer);
    verifier
        .verify(&Draft::new(&url).mint(), after(1))
        .await
        .unwrap();
    let status = verifier.status(after(42));
    assert_eq!(status[0].age, Some(Duration::from_secs(42)));
    assert_eq!(status[0].fetched_at, Some(after(0)));
    assert_eq!(status[0].last_error, None);
}

#[tokio::test]
async fn warming_says_which_issuer_cannot_be_reached() {
    let good = FakeIssuer::start().await;
    let bad = FakeIssuer::start().await;
    bad.answer(DISCOVERY, Answer::Status(503, String::new()));
    let mut bad_config = bad.config();
    bad_config["name"] = json!("bad");
    let statuses = verifier(&[good.config(), bad_config]).warm(after(0)).await;
    let of = |name: &str| statuses.iter().find(|status| status.name == name).unwrap();
    assert!(of("ci").usable && of("ci").last_error.is_none());
    assert!(!of("bad").usable);
    assert!(of("bad").last_error.as_deref().unwrap().contains("503"));
}

#[tokio::test]
async fn cache_control_shortens_the_time_keys_are_fresh() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    let old = key_set(&[(rsa(), "key-1", None)]);
    issuer.answer(
        JWKS,
        Answer::BodyWith(old, "cache-control: max-age=60".into()),
    );
    verifier.verify(&good.mint(), after(0)).await.unwrap();
    issuer.publish(&[(other_rsa(), "key-2", None)]);
    let later = seconds(REFRESH_INTERVAL + BACKGROUND_PERIOD) + 1;
    let token = good.issued_after(later).mint();
    let refusal = verifier.verify(&token, after(later)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
}
