//! Webhooks that are almost right. What a hook says must name one job, by ids, and that job's own
//! tokens must have the same key.

use aws_lc_rs::hmac;
use jitney_core::principal::JobKey;
use jitney_identity::hooks::{GithubHook, GitlabHook, Heard, NotHeard};
use serde_json::{Value, json};

use crate::issuer::FakeIssuer;
use crate::mint::{Draft, after};

const SECRET: &[u8] = b"a secret of some length\n";

type Headers = Vec<(&'static str, String)>;

fn hear(
    hook: impl Fn(&dyn Fn(&str) -> Option<&'static str>, &[u8]) -> Result<Heard, NotHeard>,
    headers: Headers,
    body: &[u8],
) -> Result<Heard, NotHeard> {
    let headers: Vec<(&str, &'static str)> = headers
        .into_iter()
        .map(|(name, value)| (name, &*value.leak()))
        .collect();
    let find = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    hook(&find, body)
}

fn signed(secret: &[u8], body: &[u8]) -> Headers {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.trim_ascii());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    vec![
        ("x-github-event", "workflow_job".to_owned()),
        ("x-hub-signature-256", format!("sha256={hex}")),
    ]
}

/// The end of the job whose token [`Draft::new`] is, as GitHub tells of it.
fn completed() -> Value {
    json!({
        "action": "completed",
        "workflow_job": {
            "id": 43_210_987_654_u64, "run_id": 15_523_008_123_u64, "run_attempt": 1,
            "check_run_url": "https://api.github.com/repos/acme/shop/check-runs/43210987654",
            "name": "deploy", "workflow_name": "Deploy", "conclusion": "success",
        },
        "repository": { "id": 2002, "full_name": "acme/shop" },
    })
}

fn github(issuer: &str, headers: Headers, body: &[u8]) -> Result<Heard, NotHeard> {
    let hook = GithubHook::new(issuer, SECRET).unwrap();
    hear(|find, body| hook.hear(find, body), headers, body)
}

async fn key_of(draft: Draft, issuer: &FakeIssuer) -> JobKey {
    let verified = issuer.verifier().verify(&draft.mint(), after(1)).await;
    verified.unwrap().job.key
}

#[tokio::test]
async fn github_names_the_job_that_its_tokens_prove_and_no_other() {
    let issuer = FakeIssuer::start().await;
    let own = Draft::new(&issuer.url);
    let heard = |event: Value| {
        let body = event.to_string().into_bytes();
        github(&issuer.url, signed(SECRET, &body), &body).unwrap()
    };
    let ended = Heard::JobEnded(key_of(own.clone(), &issuer).await);
    assert_eq!(heard(completed()), ended);
    // The same job by other names is the same job.
    let mut renamed = completed();
    renamed["workflow_job"]["name"] = json!("test");
    renamed["repository"]["full_name"] = json!("evil/shop");
    assert_eq!(heard(renamed), ended);
    // One id changed is another job, whatever its names.
    for (pointer, value) in [
        ("/repository/id", json!(2003)),
        ("/workflow_job/run_id", json!(15_523_008_124_u64)),
        ("/workflow_job/run_attempt", json!(2)),
        (
            "/workflow_job/check_run_url",
            json!("x/check-runs/43210987655"),
        ),
    ] {
        let mut other = completed();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_ne!(heard(other), ended, "{pointer}");
    }
    // A job of an old server has no id of its own: no word about one job may end its siblings.
    let nameless = key_of(own.without("check_run_id"), &issuer).await;
    assert_ne!(heard(completed()), Heard::JobEnded(nameless));
    let body = completed().to_string().into_bytes();
    let elsewhere = github("https://other.example", signed(SECRET, &body), &body);
    assert_ne!(elsewhere.unwrap(), ended);
}

#[test]
fn github_is_believed_for_its_signature_over_the_whole_body() {
    let body = completed().to_string().into_bytes();
    let good = signed(SECRET, &body);
    assert!(matches!(
        github("i", good.clone(), &body),
        Ok(Heard::JobEnded(_))
    ));
    let with = |signature: &str| {
        vec![
            good[0].clone(),
            ("x-hub-signature-256", signature.to_owned()),
        ]
    };
    let signature = good[1].1.clone();
    let shorter = |by: usize| signature.get(..signature.len() - by).unwrap();
    let mut touched = body.clone();
    touched[20] ^= 1;
    let mut longer = body.clone();
    longer.push(b' ');
    for (case, headers, body) in [
        ("another body", good.clone(), &touched),
        ("a longer body", good.clone(), &longer),
        ("no signature", good[..1].to_vec(), &body),
        (
            "another secret",
            signed(b"another secret, as long", &body),
            &body,
        ),
        ("an empty one", with("sha256="), &body),
        (
            "without the scheme",
            with(signature.strip_prefix("sha256=").unwrap()),
            &body,
        ),
        (
            "the old scheme",
            with(&signature.replace("sha256", "sha1")),
            &body,
        ),
        ("cut off", with(shorter(2)), &body),
        ("an odd digit", with(shorter(1)), &body),
        ("no digits", with("sha256=zz"), &body),
    ] {
        let refused = github("i", headers, body);
        assert!(
            matches!(refused, Err(NotHeard::NotBelieved(_))),
            "{case}: {refused:?}"
        );
    }
}

#[test]
fn what_ends_no_job_is_nothing_to_us_and_nonsense_is_said_to_be() {
    let judge = |event: &'static str, body: Value| {
        let body = body.to_string().into_bytes();
        let mut headers = signed(SECRET, &body);
        headers[0].1 = event.to_owned();
        github("i", headers, &body)
    };
    assert_eq!(judge("ping", json!({"zen": "x"})), Ok(Heard::Other));
    assert_eq!(judge("workflow_run", completed()), Ok(Heard::Other));
    for action in ["queued", "in_progress", "waiting", "COMPLETED"] {
        let mut event = completed();
        event["action"] = json!(action);
        assert_eq!(judge("workflow_job", event), Ok(Heard::Other), "{action}");
    }
    for (pointer, value) in [
        ("/repository/id", json!("2002")),
        ("/repository/id", json!(-1)),
        ("/workflow_job/run_id", json!(1.5)),
        ("/workflow_job/run_attempt", Value::Null),
        ("/workflow_job/check_run_url", json!("x/check-runs/")),
        (
            "/workflow_job/check_run_url",
            json!("x/check-runs/1/annotations"),
        ),
        ("/workflow_job", json!([])),
    ] {
        let mut event = completed();
        *event.pointer_mut(pointer).unwrap() = value;
        let refused = judge("workflow_job", event);
        assert!(
            matches!(refused, Err(NotHeard::NotUnderstood(_))),
            "{pointer}"
        );
    }
}

#[test]
fn gitlab_is_believed_for_its_token_and_names_a_job_by_ids() {
    let hook = GitlabHook::new("https://gitlab.example", SECRET).unwrap();
    let judge = |token: Option<&str>, event: &str, body: Value| {
        let mut headers = vec![("x-gitlab-event", event.to_owned())];
        headers.extend(token.map(|token| ("x-gitlab-token", token.to_owned())));
        let body = body.to_string().into_bytes();
        hear(|find, body| hook.hear(find, body), headers, &body)
    };
    let event = |status: &str, job: u64, project: u64| {
        json!({"object_kind": "build", "build_id": job, "build_status": status,
               "project_id": project, "build_name": "deploy", "pipeline_id": 574})
    };
    let secret = Some("a secret of some length");
    let ended = judge(secret, "Job Hook", event("success", 302, 20)).unwrap();
    assert!(matches!(ended, Heard::JobEnded(_)));
    for status in ["failed", "canceled", "skipped"] {
        assert_eq!(
            judge(secret, "Job Hook", event(status, 302, 20)),
            Ok(ended.clone())
        );
    }
    for status in [
        "created",
        "pending",
        "running",
        "canceling",
        "manual",
        "Success",
    ] {
        let other = judge(secret, "Job Hook", event(status, 302, 20));
        assert_eq!(other, Ok(Heard::Other), "{status}");
    }
    assert_eq!(
        judge(secret, "Pipeline Hook", event("success", 302, 20)),
        Ok(Heard::Other)
    );
    for (job, project) in [(303, 20), (302, 21)] {
        let other = judge(secret, "Job Hook", event("success", job, project)).unwrap();
        assert_ne!(other, ended);
    }
    for token in [
        None,
        Some(""),
        Some("a secret of some lengt"),
        Some("another"),
    ] {
        let refused = judge(token, "Job Hook", event("success", 302, 20));
        assert!(
            matches!(refused, Err(NotHeard::NotBelieved(_))),
            "{token:?}"
        );
    }
    let nonsense = judge(secret, "Job Hook", json!({"build_id": "302"}));
    assert!(matches!(nonsense, Err(NotHeard::NotUnderstood(_))));
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    for weak in [
        &b""[..],
        b"\n",
        b"fifteen letters",
        b"fifteen letters\n\n\n",
    ] {
        assert!(GithubHook::new("i", weak).is_err());
        assert!(GitlabHook::new("i", weak).is_err());
    }
}
