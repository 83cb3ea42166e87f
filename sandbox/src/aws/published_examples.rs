//! The worked examples of AWS's own documentation: signed requests whose signatures others computed. Each must
//! verify as published, and must not verify after any one change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::payload::Payload;
use super::sigv4::{Refusal, Signed, claimed};
use crate::call::Call;

const IAM_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const S3_SCOPE: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Example {
    method: Method,
    path: &'static str,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    secret: &'static str,
    at: &'static str,
}

impl Example {
    fn call(&self) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Call {
            method: self.method.clone(),
            path: self.path.to_owned(),
            query: self.query.clone(),
            headers,
            body: Bytes::from(self.body.clone()),
            peer: "127.0.0.1".parse().unwrap(),
        }
    }

    fn verify(&self) -> Result<Signed, Refusal> {
        let call = self.call();
        let at: Timestamp = self.at.parse().unwrap();
        claimed(&call)?
            .expect("the example is signed")
            .verify(&call, self.secret, at)
    }

    fn set(&mut self, name: &str, value: &str) {
        let header = self
            .headers
            .iter_mut()
            .find(|(known, _)| *known == name)
            .unwrap();
        header.1 = value.to_owned();
    }
}

fn s3(
    method: Method,
    path: &'static str,
    query: &str,
    signed: &str,
    signature: &str,
    more: &[(&'static str, &str)],
) -> Example {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={S3_SCOPE},SignedHeaders={signed},Signature={signature}"
    );
    let mut headers = vec![
        ("authorization", authorization),
        ("host", "examplebucket.s3.amazonaws.com".to_owned()),
        ("x-amz-date", "20130524T000000Z".to_owned()),
    ];
    headers.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    Example {
        method,
        path,
        query: query.to_owned(),
        headers,
        body: Vec::new(),
        secret: S3_SECRET,
        at: "2013-05-24T00:00:00Z",
    }
}

fn list_users() -> Example {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    Example {
        method: Method::GET,
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08".to_owned(),
        headers: vec![
            ("authorization", authorization.to_owned()),
            ("host", "iam.amazonaws.com".to_owned()),
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
            ),
            ("x-amz-date", "20150830T123600Z".to_owned()),
        ],
        body: Vec::new(),
        secret: IAM_SECRET,
        at: "2015-08-30T12:36:00Z",
    }
}

fn get_object() -> Example {
    s3(
        Method::GET,
        "/test.txt",
        "",
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        &[("range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY_HASH)],
    )
}

fn put_object() -> Example {
    let mut example = s3(
        Method::PUT,
        "/test%24file.text",
        "",
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        &[
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
        ],
    );
    example.body = b"Welcome to Amazon S3.".to_vec();
    example
}

fn list_objects() -> Example {
    s3(
        Method::GET,
        "/",
        "max-keys=2&prefix=J",
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        &[("x-amz-content-sha256", EMPTY_HASH)],
    )
}

fn get_lifecycle() -> Example {
    s3(
        Method::GET,
        "/",
        "lifecycle",
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        &[("x-amz-content-sha256", EMPTY_HASH)],
    )
}

fn presigned() -> Example {
    Example {
        method: Method::GET,
        path: "/test.txt",
        query: "X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
            .to_owned(),
        headers: vec![("host", "examplebucket.s3.amazonaws.com".to_owned())],
        body: Vec::new(),
        secret: S3_SECRET,
        at: "2013-05-24T23:59:59Z",
    }
}

#[test]
fn the_published_signatures_verify() {
    for (name, example) in [
        ("list users", list_users()),
        ("get object", get_object()),
        ("put object", put_object()),
        ("list objects", list_objects()),
        ("get lifecycle", get_lifecycle()),
        ("presigned", presigned()),
    ] {
        assert!(
            example.verify().is_ok(),
            "{name}: {:?}",
            example.verify().err()
        );
    }
}

#[test]
fn any_one_change_breaks_a_signature() {
    type Change = (&'static str, fn(&mut Example));
    let changes: [Change; 9] = [
        ("method", |example| example.method = Method::HEAD),
        ("path", |example| example.path = "/test2.txt"),
        ("query", |example| example.query = "versionId=1".to_owned()),
        ("range", |example| example.set("range", "bytes=0-10")),
        ("host", |example| {
            example.set("host", "otherbucket.s3.amazonaws.com")
        }),
        ("payload hash", |example| {
            example.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        }),
        ("secret", |example| example.secret = IAM_SECRET),
        ("header repeated", |example| {
            example.headers.push(("range", "bytes=0-9".to_owned()))
        }),
        ("date", |example| {
            example.set("x-amz-date", "20130524T000001Z")
        }),
    ];
    for (name, change) in changes {
        let mut example = get_object();
        change(&mut example);
        assert_eq!(example.verify().err(), Some(Refusal::Mismatch), "{name}");
    }
    let mut with_other_body = list_users();
    with_other_body.body = b"Action=DeleteUser".to_vec();
    assert_eq!(with_other_body.verify().err(), Some(Refusal::Mismatch));
}

#[test]
fn headers_that_matter_must_be_signed() {
    let mut smuggled = get_object();
    smuggled
        .headers
        .push(("x-amz-copy-source", "/other/secret".to_owned()));
    assert_eq!(
        smuggled.verify().err(),
        Some(Refusal::UnsignedHeader("x-amz-copy-source".to_owned()))
    );
    let mut hostless = get_object();
    let authorization = hostless.headers[0].1.replace("host;", "");
    hostless.set("authorization", &authorization);
    assert_eq!(
        hostless.verify().err(),
        Some(Refusal::UnsignedHeader("host".to_owned()))
    );
}

#[test]
fn dates_are_checked_at_both_edges() {
    for (at, accepted) in [
        ("2013-05-24T00:15:00Z", true),
        ("2013-05-24T00:15:01Z", false),
        ("2013-05-23T23:45:00Z", true),
        ("2013-05-23T23:44:59Z", false),
    ] {
        let mut example = get_object();
        example.at = at;
        match example.verify() {
            Ok(_) => assert!(accepted, "{at}"),
            Err(refusal) => assert!(
                !accepted && matches!(refusal, Refusal::Skewed { .. }),
                "{at}: {refusal:?}"
            ),
        }
    }
    let mut late = presigned();
    late.at = "2013-05-25T00:00:01Z";
    assert_eq!(late.verify().err(), Some(Refusal::PresignedExpired));
    let mut early = presigned();
    early.at = "2013-05-23T23:44:59Z";
    assert_eq!(early.verify().err(), Some(Refusal::PresignedExpired));
}

#[test]
fn a_scope_of_another_day_is_not_taken() {
    let mut example = get_object();
    let authorization = example.headers[0].1.replace("20130524", "20130523");
    example.set("authorization", &authorization);
    assert!(matches!(
        example.verify().err(),
        Some(Refusal::Incomplete(_))
    ));
}

/// A body of two chunks, as in the documentation: 64 KiB and 1 KiB of `a`.
fn chunks(signatures: [&str; 3], trailers: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [
        (65_536, signatures[0]),
        (1_024, signatures[1]),
        (0, signatures[2]),
    ] {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        if size > 0 {
            body.extend_from_slice(b"\r\n");
        }
    }
    body.extend_from_slice(trailers.as_bytes());
    body.extend_from_slice(b"\r\n");
    body
}

fn chunked_put() -> Example {
    let mut example = s3(
        Method::PUT,
        "/examplebucket/chunkObject.txt",
        "",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        &[
            ("content-encoding", "aws-chunked"),
            ("content-length", "66824"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
    );
    example.set("host", "s3.amazonaws.com");
    example.body = chunks(
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        "",
    );
    example
}

fn trailing_put() -> Example {
    let mut example = s3(
        Method::PUT,
        "/examplebucket/chunkObject.txt",
        "",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;\
         x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        &[
            ("content-encoding", "aws-chunked"),
            (
                "x-amz-content-sha256",
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            ),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
    );
    example.set("host", "s3.amazonaws.com");
    example.body = chunks(
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        "x-amz-checksum-crc32c:sOO8/Q==\r\n\
         x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
    );
    example
}

fn opened(example: &Example) -> Result<Bytes, String> {
    let signed = example.verify().unwrap();
    let payload = Payload::open(&example.call(), Some(&signed), false);
    payload
        .map(|payload| payload.data)
        .map_err(|error| error.code.into_owned())
}

#[test]
fn the_published_chunks_verify() {
    for (name, example) in [
        ("chunks", chunked_put()),
        ("chunks and trailer", trailing_put()),
    ] {
        let data = opened(&example).unwrap_or_else(|code| panic!("{name}: {code}"));
        assert!(
            data.len() == 66_560 && data.iter().all(|byte| *byte == b'a'),
            "{name}"
        );
    }
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = body
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&body[..at], to, &body[at + from.len()..]].concat()
}

#[test]
fn any_one_change_breaks_a_chunked_body() {
    let changed = |from: &[u8], to: &[u8]| {
        let mut example = trailing_put();
        example.body = replaced(&example.body, from, to);
        opened(&example).unwrap_err()
    };
    assert_eq!(
        changed(b"aaaa\r\n400", b"aaab\r\n400"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(
        changed(b"signature=1c13", b"signature=1c14"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(
        changed(b"signature=2ca2", b"signature=2ca3"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(
        changed(b";chunk-signature=2ca2", b";chunk-sig=2ca2"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(changed(b"sOO8/Q==", b"sOO8/g=="), "SignatureDoesNotMatch");
    assert_eq!(
        changed(b"signature:d81f", b"signature:d81e"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(
        changed(b"x-amz-trailer-signature:", b"x-amz-other:"),
        "SignatureDoesNotMatch"
    );
    assert_eq!(changed(b"10000;", b"10001;"), "SignatureDoesNotMatch");
    assert_eq!(changed(b"10000;", b"zz;"), "InvalidChunkSizeError");
    assert_eq!(
        changed(b"10000;", b"ffffffffffffffffff;"),
        "InvalidChunkSizeError"
    );
    assert_eq!(changed(b"400;", b"40000;"), "InvalidChunkSizeError");
}

#[test]
fn a_body_that_ends_too_soon_is_refused() {
    let mut example = chunked_put();
    let whole = example.body.clone();
    for keep in [0, 10, 100, 70_000 - 66_560, whole.len() - 100] {
        example.body = whole[..keep].to_vec();
        assert!(opened(&example).is_err(), "{keep}");
    }
    // Without its last chunk the body is whole frames, and still not a whole body.
    let last = whole
        .windows(3)
        .rposition(|window| window == b"0;c")
        .unwrap();
    example.body = whole[..last].to_vec();
    assert_eq!(opened(&example), Err("InvalidChunkSizeError".to_owned()));
}

#[test]
fn a_plain_body_must_have_the_hash_it_was_signed_with() {
    let mut example = put_object();
    assert_eq!(
        opened(&example).unwrap(),
        Bytes::from_static(b"Welcome to Amazon S3.")
    );
    example.body = b"Welcome to Amazon S4.".to_vec();
    assert_eq!(
        opened(&example),
        Err("XAmzContentSHA256Mismatch".to_owned())
    );
}
