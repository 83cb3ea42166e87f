//! The Blob service: what roles on data allow, and in which words it refuses.

use jitney_sandbox::azure::{Settings, builtin};
use reqwest::Method;

use crate::cloud::*;

async fn contributor() -> (Bench, String) {
    let estate = estate().assignment(&container(), builtin::BLOB_DATA_CONTRIBUTOR, SLOT, None);
    let bench = start_with(estate, Settings::default()).await;
    let token = bench.token(SLOT, STORAGE).await;
    (bench, token)
}

/// The status and `x-ms-error-code` of a call.
async fn outcome(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let code = answer.headers().get("x-ms-error-code");
    let code = code.map_or("", |code| code.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), code)
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_blob_is_put_read_listed_and_deleted() {
    let (bench, token) = contributor().await;
    let put = bench
        .blob(&token, Method::PUT, "releases/v2/ä b.txt")
        .header("x-ms-blob-type", "BlockBlob")
        .header("content-type", "text/x")
        .body("two");
    assert_eq!(outcome(put).await, code(201, ""));
    let got = bench
        .blob(&token, Method::GET, "releases/v2/ä b.txt")
        .send()
        .await
        .unwrap();
    assert_eq!(got.headers()["content-type"], "text/x");
    assert_eq!(got.text().await.unwrap(), "two");
    let part = bench
        .blob(&token, Method::GET, "releases/v2/ä b.txt")
        .header("x-ms-range", "bytes=1-9");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 1-2/3".parse().unwrap())
    );
    assert_eq!(part.text().await.unwrap(), "wo");
    let head = bench
        .blob(&token, Method::HEAD, "releases/v2/ä b.txt")
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], "3");

    let list = async |query: &str| {
        let path = format!("releases?restype=container&comp=list{query}");
        bench
            .blob(&token, Method::GET, &path)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let all = list("").await;
    assert!(
        all.contains("<Name>v1/a.txt</Name>") && all.contains("<Name>v2/ä b.txt</Name>"),
        "{all}"
    );
    let some = list("&prefix=v2").await;
    assert!(
        !some.contains("v1/a.txt") && some.contains("v2/ä b.txt"),
        "{some}"
    );
    let folded = list("&delimiter=/").await;
    assert!(
        folded.contains("<BlobPrefix><Name>v1/</Name></BlobPrefix>") && !folded.contains("a.txt"),
        "{folded}"
    );

    assert_eq!(
        outcome(bench.blob(&token, Method::DELETE, "releases/v2/ä b.txt")).await,
        code(202, "")
    );
    let gone = outcome(bench.blob(&token, Method::GET, "releases/v2/ä b.txt")).await;
    assert_eq!(gone, code(404, "BlobNotFound"));
}

#[tokio::test]
async fn each_action_needs_its_role() {
    let estate = estate().assignment(&container(), builtin::BLOB_DATA_READER, SLOT, None);
    let bench = start_with(estate, Settings::default()).await;
    let token = bench.token(SLOT, STORAGE).await;
    let denied = || code(403, "AuthorizationPermissionMismatch");
    assert!(bench.may_read(&token, "releases/v1/a.txt").await);
    assert!(!bench.may_read(&token, "other/a.txt").await);
    assert!(!bench.may_write(&token, "releases/v1/a.txt").await);
    assert!(!bench.may_write(&token, "releases/new.txt").await);
    assert_eq!(
        outcome(bench.blob(&token, Method::DELETE, "releases/v1/a.txt")).await,
        denied()
    );
    assert_eq!(
        outcome(bench.blob(&token, Method::GET, "?comp=list")).await,
        denied()
    );
    // Owning the control plane gives no data.
    bench
        .assign(&container(), name(1), builtin::OWNER, OTHER_SLOT)
        .await;
    let owner = bench.token(OTHER_SLOT, STORAGE).await;
    assert!(!bench.may_read(&owner, "releases/v1/a.txt").await);
    assert_eq!(bench.sandbox.keeps(OTHER_SLOT).len(), 1);
}

#[tokio::test]
async fn a_token_is_for_storage_or_is_none() {
    let (bench, token) = contributor().await;
    let arm = bench.token(SLOT, ARM).await;
    let read = |token: &str| bench.blob(token, Method::GET, "releases/v1/a.txt");
    assert_eq!(
        outcome(read(&arm)).await,
        code(401, "InvalidAuthenticationInfo")
    );
    assert_eq!(
        outcome(read("nonsense")).await,
        code(401, "InvalidAuthenticationInfo")
    );
    let own = bench
        .token(SLOT, &format!("https://{ACCOUNT}.blob.core.windows.net"))
        .await;
    assert_eq!(outcome(read(&own)).await, code(200, ""));
    let url = format!("{}/releases/v1/a.txt", bench.sandbox.blob_url(ACCOUNT));
    let bare = bench.http.get(&url).header("x-ms-version", "2024-11-04");
    let answer = bare.send().await.unwrap();
    let challenge = answer.headers()["www-authenticate"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        challenge.contains(&TENANT.to_string()) && challenge.contains(STORAGE),
        "{challenge}"
    );
    assert_eq!(
        answer.headers()["x-ms-error-code"],
        "NoAuthenticationInformation"
    );
    let old = bench.http.get(&url).bearer_auth(&token);
    assert_eq!(
        outcome(old).await,
        code(400, "InvalidHeaderValue"),
        "without a version"
    );
    bench.sandbox.clock().advance_seconds(5_401);
    assert_eq!(
        outcome(read(&token)).await,
        code(401, "InvalidAuthenticationInfo")
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_to_who_may_see_it() {
    let (bench, token) = contributor().await;
    let put = |path: &str| bench.blob(&token, Method::PUT, path).body("x");
    assert_eq!(
        outcome(put("releases/a")).await,
        code(400, "InvalidHeaderValue"),
        "no blob type"
    );
    let typed = |path: &str| put(path).header("x-ms-blob-type", "BlockBlob");
    let once = |path: &str| typed(path).header("if-none-match", "*");
    assert_eq!(outcome(once("releases/a")).await, code(201, ""));
    assert_eq!(
        outcome(once("releases/a")).await,
        code(409, "BlobAlreadyExists")
    );
    // Under a precondition that cannot hold nothing is written, over nothing and over something.
    let never = |path: &str| typed(path).header("if-match", "\"0x0\"");
    let unmet = || code(412, "ConditionNotMet");
    assert_eq!(outcome(never("releases/new")).await, unmet());
    assert_eq!(outcome(never("releases/a")).await, unmet());
    let taken = bench.blob(&token, Method::DELETE, "releases/a");
    let taken = taken.header("if-match", "\"0x0\"");
    assert_eq!(outcome(taken).await, unmet());
    let some = typed("releases/a").header("if-match", "*");
    assert_eq!(outcome(some).await, code(201, ""));
    assert_eq!(
        outcome(bench.blob(&token, Method::GET, "releases/new")).await,
        code(404, "BlobNotFound")
    );
    assert_eq!(
        outcome(bench.blob(&token, Method::DELETE, "releases/none")).await,
        code(404, "BlobNotFound")
    );
    assert_eq!(
        outcome(typed("nowhere/a")).await,
        code(403, "AuthorizationPermissionMismatch")
    );
    let account = container()
        .split("/blobServices")
        .next()
        .unwrap()
        .to_owned();
    bench
        .assign(&account, name(1), builtin::BLOB_DATA_OWNER, OTHER_SLOT)
        .await;
    let owner = bench.token(OTHER_SLOT, STORAGE).await;
    let nowhere = bench.blob(&owner, Method::GET, "nowhere/a");
    assert_eq!(outcome(nowhere).await, code(404, "ContainerNotFound"));
    assert_eq!(
        outcome(bench.blob(&owner, Method::GET, "?comp=list")).await,
        code(200, "")
    );
    let block = bench
        .blob(&owner, Method::PUT, "releases/a?comp=block&blockid=AA==")
        .body("x");
    assert_eq!(outcome(block).await, code(501, "NotImplemented"));
    let range = bench
        .blob(&owner, Method::GET, "releases/a")
        .header("x-ms-range", "bytes=7-");
    assert_eq!(outcome(range).await, code(416, "InvalidRange"));
}
