//! How bodies arrive: streamed in signed chunks, with checksums, in parts.

use std::io::Write;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use serde_json::json;

use crate::cloud::*;

const MIB: usize = 1024 * 1024;

async fn read(client: &Client, key: &str) -> Vec<u8> {
    let object = client
        .get_object()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await
        .unwrap();
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_file_is_streamed_in_signed_chunks() {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    let content: Vec<u8> = (0..300_000_u32)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let path = std::env::temp_dir().join(format!("jitney-sandbox-{}", std::process::id()));
    std::fs::File::create(&path)
        .unwrap()
        .write_all(&content)
        .unwrap();
    let algorithms = [
        None,
        Some(ChecksumAlgorithm::Crc32),
        Some(ChecksumAlgorithm::Crc32C),
        Some(ChecksumAlgorithm::Crc64Nvme),
        Some(ChecksumAlgorithm::Sha1),
        Some(ChecksumAlgorithm::Sha256),
    ];
    for algorithm in algorithms {
        let body = ByteStream::from_path(&path).await.unwrap();
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("streamed")
            .set_checksum_algorithm(algorithm.clone());
        put.body(body)
            .send()
            .await
            .unwrap_or_else(|error| panic!("{algorithm:?}: {error:?}"));
        assert_eq!(read(&client, "streamed").await, content);
    }
    std::fs::remove_file(&path).unwrap();
    // How the body was framed is not part of the object.
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("streamed")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_encoding(), None);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    let put = || {
        client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .body(ByteStream::from_static(b"hello"))
    };
    assert_eq!(
        code(put().checksum_crc32("AAAAAA==").send().await),
        "BadDigest"
    );
    assert_eq!(
        code(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        "BadDigest"
    );
    assert!(put().checksum_crc32("NhCmhg==").send().await.is_ok());
    assert!(
        put()
            .content_md5("XUFAKrxLKna5cZ2REBfFkg==")
            .send()
            .await
            .is_ok()
    );
}

async fn upload(client: &Client, key: &str, parts: &[usize]) -> Result<Vec<u8>, String> {
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await;
    let id = created
        .map_err(|error| code(Err::<(), _>(error)))?
        .upload_id()
        .unwrap()
        .to_owned();
    let mut completed = CompletedMultipartUpload::builder();
    let mut content = Vec::new();
    for (number, size) in (1..).zip(parts) {
        let bytes = vec![u8::try_from(number).unwrap(); *size];
        content.extend_from_slice(&bytes);
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key(key)
            .upload_id(&id)
            .part_number(number);
        let sent = part
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| code(Err::<(), _>(error)))?;
        let tag = sent.e_tag().unwrap();
        completed = completed.parts(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(tag)
                .build(),
        );
    }
    let complete = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .upload_id(&id);
    let complete = complete.multipart_upload(completed.build()).send().await;
    complete
        .map(|_| content)
        .map_err(|error| code(Err::<(), _>(error)))
}

#[tokio::test]
async fn parts_become_one_object() {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    let content = upload(&client, "large", &[5 * MIB, 5 * MIB, 10])
        .await
        .unwrap();
    assert_eq!(read(&client, "large").await, content);
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("large")
        .send()
        .await
        .unwrap();
    assert!(head.e_tag().unwrap().ends_with("-3\""));
    assert_eq!(
        upload(&client, "small-parts", &[5 * MIB - 1, 10]).await,
        Err("EntityTooSmall".to_owned())
    );
}

#[tokio::test]
async fn an_upload_belongs_to_its_key_and_can_be_abandoned() {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    let id = created.upload_id().unwrap();
    let part = |key: &str, number| {
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key(key)
            .upload_id(id)
            .part_number(number);
        part.body(ByteStream::from_static(b"x")).send()
    };
    assert_eq!(code(part("b", 1).await), "NoSuchUpload");
    assert_eq!(code(part("a", 0).await), "InvalidArgument");
    assert_eq!(code(part("a", 10_001).await), "InvalidArgument");
    part("a", 2).await.unwrap();
    part("a", 1).await.unwrap();
    let listed = client
        .list_parts()
        .bucket(BUCKET)
        .key("a")
        .upload_id(id)
        .send()
        .await
        .unwrap();
    let numbers: Vec<i32> = listed
        .parts()
        .iter()
        .filter_map(|part| part.part_number())
        .collect();
    assert_eq!(numbers, [1, 2]);
    let wrong = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"wrong\"")
        .build();
    let complete = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .upload_id(id);
    let complete =
        complete.multipart_upload(CompletedMultipartUpload::builder().parts(wrong).build());
    assert_eq!(code(complete.send().await), "InvalidPart");
    client
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .upload_id(id)
        .send()
        .await
        .unwrap();
    assert_eq!(code(part("a", 1).await), "NoSuchUpload");
    assert_eq!(
        code(client.get_object().bucket(BUCKET).key("a").send().await),
        "NoSuchKey"
    );
}

#[tokio::test]
async fn each_part_is_judged_when_it_arrives() {
    let sandbox = start().await;
    let lease = lease(&sandbox, "lease-1").await;
    let client = s3(&sandbox, lease.clone());
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    let id = created.upload_id().unwrap();
    let part = |number| {
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key("a")
            .upload_id(id)
            .part_number(number);
        part.body(ByteStream::from_static(b"x")).send()
    };
    part(1).await.unwrap();
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    assert_eq!(code(part(2).await), "AccessDenied");
}

#[tokio::test]
async fn parts_of_an_upload_need_the_right_to_put() {
    let sandbox = start().await;
    let scope = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::artifacts-prod/releases/*" },
    ]});
    let client = s3(
        &sandbox,
        lease_with(&sandbox, "lease-1", Some(scope.to_string())).await,
    );
    assert!(upload(&client, "releases/large", &[10]).await.is_ok());
    assert_eq!(
        upload(&client, "elsewhere", &[10]).await,
        Err("AccessDenied".to_owned())
    );
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("releases/b")
        .send()
        .await
        .unwrap();
    let abort = client
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("releases/b");
    assert_eq!(
        code(abort.upload_id(created.upload_id().unwrap()).send().await),
        "AccessDenied"
    );
}
