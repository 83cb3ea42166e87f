//! Uploads with metadata, and uploads in pieces: their URI is a credential of its own.

use serde_json::json;

use crate::cloud::*;

const PIECE: usize = 256 * 1024;

impl Cloud {
    /// Begins an upload; where it goes on.
    async fn begin(&self, token: &str, object: &str) -> String {
        let path = format!(
            "{}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable",
            self.sandbox.url()
        );
        let request = self
            .http
            .post(path)
            .bearer_auth(token)
            .json(&json!({ "name": object }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Sends a piece without a token; the status, and how far the upload is.
    async fn piece(&self, uri: &str, range: &str, bytes: Vec<u8>) -> (u16, String) {
        let request = self
            .http
            .put(uri)
            .header("content-range", range)
            .body(bytes);
        let response = request.send().await.unwrap();
        let range = response
            .headers()
            .get("range")
            .map(|range| range.to_str().unwrap().to_owned());
        (response.status().as_u16(), range.unwrap_or_default())
    }
}

#[tokio::test]
async fn metadata_and_bytes_come_in_one_body() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let send = |metadata: &str| {
        let body = format!(
            "--b\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n--b\r\ncontent-type: text/css\r\n\r\nbody\r\n--b--"
        );
        let path = format!(
            "{}/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart",
            cloud.sandbox.url()
        );
        let request = cloud
            .http
            .post(path)
            .bearer_auth(&broker)
            .header("content-type", "multipart/related; boundary=b");
        request.body(body).send()
    };
    let written = answered(
        send(r#"{"name":"m.css","metadata":{"lease":"1"}}"#)
            .await
            .unwrap(),
    )
    .await
    .ok();
    assert_eq!(
        (&written["contentType"], &written["metadata"]),
        (&json!("text/css"), &json!({ "lease": "1" }))
    );
    assert_eq!(
        cloud.sandbox.object(BUCKET, "m.css").as_deref(),
        Some("body")
    );
    for wrong in [
        r#"{"name":"m.css","colour":"red"}"#,
        r#"{"name":5}"#,
        "{}",
        r#"{"name":"m.css","md5Hash":"AAAA"}"#,
    ] {
        assert_eq!(send(wrong).await.unwrap().status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn an_upload_comes_in_pieces() {
    let cloud = start().await;
    let uri = cloud.begin(&cloud.token(BROKER), "big.bin").await;
    let last = PIECE - 1;
    let total = PIECE + 5;
    assert_eq!(
        cloud.piece(&uri, "bytes */*", vec![]).await,
        (308, String::new())
    );
    assert_eq!(
        cloud.piece(&uri, "bytes 0-9/*", vec![1; 10]).await.0,
        400,
        "too small a piece"
    );
    assert_eq!(
        cloud
            .piece(&uri, &format!("bytes 0-{last}/{total}"), vec![1; 10])
            .await
            .0,
        400,
        "not what it says"
    );
    let first = cloud
        .piece(&uri, &format!("bytes 0-{last}/{total}"), vec![1; PIECE])
        .await;
    assert_eq!(first, (308, format!("bytes=0-{last}")));
    let again = cloud
        .piece(&uri, &format!("bytes 0-{last}/{total}"), vec![2; PIECE])
        .await;
    assert_eq!(
        again,
        (308, format!("bytes=0-{last}")),
        "a piece that is there already is not taken again"
    );
    assert_eq!(cloud.sandbox.object(BUCKET, "big.bin"), None);
    let range = format!("bytes {PIECE}-{}/{total}", total - 1);
    assert_eq!(cloud.piece(&uri, &range, vec![3; 5]).await.0, 200);
    assert_eq!(
        cloud.sandbox.object(BUCKET, "big.bin").unwrap().len(),
        total
    );
    assert_eq!(
        cloud
            .piece(&uri, &format!("bytes */{total}"), vec![])
            .await
            .0,
        200,
        "asked again, told again"
    );
}

#[tokio::test]
async fn an_open_upload_survives_its_account_for_a_week() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectUser", None).await;
    let token = cloud.lease().await;
    let uris = [
        cloud.begin(&token, "one").await,
        cloud.begin(&token, "two").await,
    ];
    cloud.disable(SLOT).await;
    cloud.ungrant(SLOT).await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 401);
    assert_eq!(cloud.sandbox.standing(SLOT).uploads.len(), 2);
    assert_eq!(
        cloud.piece(&uris[0], "bytes 0-3/4", vec![b'x'; 4]).await.0,
        200
    );
    assert_eq!(cloud.sandbox.object(BUCKET, "one").as_deref(), Some("xxxx"));
    cloud.sandbox.clock().advance_seconds(7 * 24 * 3_600 + 1);
    assert_eq!(
        cloud.piece(&uris[1], "bytes 0-3/4", vec![b'x'; 4]).await.0,
        404
    );
    assert_eq!(cloud.sandbox.standing(SLOT).uploads, []);
    assert_eq!(cloud.sandbox.object(BUCKET, "two"), None);
}

#[tokio::test]
async fn beginning_needs_the_right_and_cancelling_only_the_uri() {
    let cloud = start().await;
    let path = format!("/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=x");
    assert_eq!(
        cloud
            .post(&cloud.token(NOBODY), &path, json!({}))
            .await
            .status,
        403
    );
    let uri = cloud.begin(&cloud.token(BROKER), "x").await;
    let guessed = format!("{uri}x");
    assert_eq!(
        cloud.piece(&guessed, "bytes 0-3/4", vec![0; 4]).await.0,
        404
    );
    assert_eq!(cloud.http.delete(&uri).send().await.unwrap().status(), 499);
    assert_eq!(cloud.piece(&uri, "bytes 0-3/4", vec![0; 4]).await.0, 410);
    assert_eq!(cloud.sandbox.object(BUCKET, "x"), None);
}
