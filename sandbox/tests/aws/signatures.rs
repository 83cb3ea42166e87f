//! Signatures: what a wrong key, a wrong token, a wrong clock or a changed request gets. Requests are signed by
//! the SDK and changed by hand.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::presigning::PresigningConfig;
use jitney_sandbox::aws::AwsSandbox;

use crate::cloud::*;

fn changed(credentials: &Credentials, secret: Option<&str>, token: Option<&str>) -> Credentials {
    Credentials::from_keys(
        credentials.access_key_id(),
        secret.unwrap_or(credentials.secret_access_key()),
        token.map(str::to_owned),
    )
}

/// The codes of one call to each service.
async fn codes(sandbox: &AwsSandbox, credentials: Credentials) -> [String; 3] {
    [
        code(
            sts(sandbox, credentials.clone())
                .get_caller_identity()
                .send()
                .await,
        ),
        code(iam(sandbox, credentials.clone()).list_roles().send().await),
        code(
            s3(sandbox, credentials)
                .put_object()
                .bucket(BUCKET)
                .key("a")
                .send()
                .await,
        ),
    ]
}

#[tokio::test]
async fn wrong_keys_secrets_and_tokens_are_told_apart_as_each_service_does() {
    let sandbox = start().await;
    let lease = lease(&sandbox, "lease-1").await;
    let token = lease.session_token().unwrap().to_owned();
    let unknown = Credentials::from_keys("AKIAUNKNOWN000000000", "secret", None);
    assert_eq!(
        codes(&sandbox, unknown).await,
        [
            "InvalidClientTokenId",
            "InvalidClientTokenId",
            "InvalidAccessKeyId"
        ]
    );
    let wrong_secret = changed(&lease, Some("wrong"), Some(&token));
    assert_eq!(
        codes(&sandbox, wrong_secret).await,
        ["SignatureDoesNotMatch"; 3]
    );
    let no_token = changed(&lease, None, None);
    assert_eq!(
        codes(&sandbox, no_token).await,
        [
            "InvalidClientTokenId",
            "InvalidClientTokenId",
            "InvalidAccessKeyId"
        ]
    );
    let other_token = changed(&lease, None, Some("Zm9yZ2Vk"));
    assert_eq!(
        codes(&sandbox, other_token).await,
        [
            "InvalidClientTokenId",
            "InvalidClientTokenId",
            "InvalidToken"
        ]
    );
    // A token does not go with a long-lived key either.
    let mixed = changed(&root(&sandbox), None, Some(&token));
    assert_eq!(
        codes(&sandbox, mixed).await,
        [
            "InvalidClientTokenId",
            "InvalidClientTokenId",
            "InvalidToken"
        ]
    );
}

#[tokio::test]
async fn a_token_of_another_session_does_not_fit() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    let two = lease(&sandbox, "lease-2").await;
    let crossed = changed(&one, None, two.session_token());
    assert_eq!(codes(&sandbox, crossed).await[2], "InvalidToken");
}

#[tokio::test]
async fn dates_may_be_off_by_fifteen_minutes_of_the_clouds_clock() {
    let sandbox = start().await;
    for (seconds, accepted) in [(-880, true), (880, true), (-920, false), (920, false)] {
        sandbox.clock().set_wire_offset_seconds(seconds);
        let client = sts(&sandbox, root(&sandbox));
        let result = client.get_caller_identity().send().await;
        match accepted {
            true => assert!(result.is_ok(), "{seconds}"),
            false => assert_eq!(code(result), "SignatureDoesNotMatch", "{seconds}"),
        }
        let put = s3(&sandbox, root(&sandbox))
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .send()
            .await;
        match accepted {
            true => assert!(put.is_ok(), "{seconds}"),
            false => assert_eq!(code(put), "RequestTimeTooSkewed", "{seconds}"),
        }
    }
    // The policy clock has nothing to do with it.
    sandbox.clock().set_wire_offset_seconds(0);
    sandbox.clock().set_offset_seconds(86_400);
    assert!(
        sts(&sandbox, root(&sandbox))
            .get_caller_identity()
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_date_header_shows_the_clouds_clock() {
    let sandbox = start().await;
    sandbox.clock().set_wire_offset_seconds(3_600);
    let answer = http().get(sandbox.url()).send().await.unwrap();
    let date = answer.headers()["date"].to_str().unwrap().to_owned();
    let told = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    let ahead = told.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3_595..=3_605).contains(&ahead), "{date}");
}

async fn presigned(sandbox: &AwsSandbox, credentials: Credentials, signed_ago: Duration) -> String {
    let config = PresigningConfig::builder().expires_in(Duration::from_secs(60));
    let config = config
        .start_time(SystemTime::now() - signed_ago)
        .build()
        .unwrap();
    let request = s3(sandbox, credentials)
        .get_object()
        .bucket(BUCKET)
        .key("releases/old.txt");
    request.presigned(config).await.unwrap().uri().to_owned()
}

async fn fetch(url: &str) -> (u16, String) {
    let answer = http().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_presigned_url_works_until_it_or_its_signer_ends() {
    let sandbox = start().await;
    let lease = lease(&sandbox, "lease-1").await;
    let url = presigned(&sandbox, lease.clone(), Duration::ZERO).await;
    assert_eq!(fetch(&url).await, (200, "old".to_owned()));
    let (status, body) =
        fetch(&presigned(&sandbox, lease.clone(), Duration::from_secs(120)).await).await;
    assert!(
        status == 403
            && body.contains("<Code>AccessDenied</Code>")
            && body.contains("Request has expired")
    );
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    let (status, body) = fetch(&url).await;
    assert!(
        status == 403 && body.contains("<Code>AccessDenied</Code>"),
        "{body}"
    );
    sandbox.clock().advance_seconds(1_000);
    let (status, body) = fetch(&url).await;
    assert!(
        status == 400 && body.contains("<Code>ExpiredToken</Code>"),
        "{body}"
    );
}

#[tokio::test]
async fn any_change_to_a_presigned_url_breaks_it() {
    let sandbox = start().await;
    let lease = lease(&sandbox, "lease-1").await;
    let url = presigned(&sandbox, lease, Duration::ZERO).await;
    for (from, to) in [
        ("old.txt", "new.txt"),
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
        ("artifacts-prod", "other-bucket"),
        ("eu-central-1", "eu-central-2"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("x-id=GetObject", "x-id=HeadObject"),
        ("?", "?response-content-type=text%2Fhtml&"),
    ] {
        let changed = url.replacen(from, to, 1);
        assert_ne!(changed, url, "{from}");
        let (status, body) = fetch(&changed).await;
        assert!(
            status == 403 && body.contains("<Code>SignatureDoesNotMatch</Code>"),
            "{from}: {status} {body}"
        );
    }
    let too_long = url.replacen("X-Amz-Expires=60", "X-Amz-Expires=604801", 1);
    assert!(
        fetch(&too_long)
            .await
            .1
            .contains("<Code>AuthorizationHeaderMalformed</Code>")
    );
    assert_eq!(fetch(&url).await.0, 200);
}

#[tokio::test]
async fn nobody_gets_nothing() {
    let sandbox = start().await;
    let (status, body) = fetch(&format!("{}/{BUCKET}/releases/old.txt", sandbox.url())).await;
    assert!(
        status == 403 && body.contains("<Code>AccessDenied</Code>"),
        "{body}"
    );
    let (status, body) = fetch(&sandbox.url()).await;
    assert!(
        status == 403 && body.contains("<Code>AccessDenied</Code>"),
        "{body}"
    );
    let client = http();
    for form in [
        "Action=GetCallerIdentity&Version=2011-06-15",
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/deploy&RoleSessionName=xx",
    ] {
        let post = client
            .post(sandbox.url())
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = post.body(form).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("<Code>MissingAuthenticationToken</Code>")
        );
    }
    assert!(sandbox.sessions().is_empty());
}

#[tokio::test]
async fn half_a_signature_is_refused() {
    let sandbox = start().await;
    let client = http();
    for authorization in [
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=AKIA/20250101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    ] {
        let get = client
            .get(format!("{}/{BUCKET}/a", sandbox.url()))
            .header("authorization", authorization);
        let answer = get
            .header("x-amz-date", "20260101T000000Z")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400, "{authorization}");
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("<Code>AuthorizationHeaderMalformed</Code>")
        );
    }
}

#[tokio::test]
async fn a_service_that_is_not_here_says_so() {
    let sandbox = start().await;
    let credential = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-central-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
    let post = http()
        .post(sandbox.url())
        .header("authorization", credential);
    let answer = post
        .header("x-amz-date", "20260101T000000Z")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 501);
    assert!(answer.text().await.unwrap().contains("no service `sqs`"));
}
