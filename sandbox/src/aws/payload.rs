//! The body of an S3 request: plain, or in `aws-chunked` frames with signatures and trailing checksums.
//!
//! Judges: botocore (plain bodies and unsigned trailers) and the AWS SDK for Rust (signed chunks and trailers).

use bytes::{Bytes, BytesMut};

use super::checksums::{Algorithm, md5_base64};
use super::errors::AwsError;
use super::sigv4::{Signed, hex, hmac_sha256, sha256_hex};
use crate::call::Call;

/// A body whose claims about itself were checked.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    pub(crate) data: Bytes,
    /// The checksum the client sent along, now known to be right.
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// How a body says it is framed.
enum Framing {
    Plain,
    Chunked { signed: bool },
}

impl Payload {
    /// Opens the body of a request whose signature held. `signed` is absent for anonymous callers.
    pub(crate) fn open(
        call: &Call,
        signed: Option<&Signed>,
        presigned: bool,
    ) -> Result<Payload, AwsError> {
        let framing = match call.header("x-amz-content-sha256") {
            Some("UNSIGNED-PAYLOAD") => Framing::Plain,
            Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER") => Framing::Chunked { signed: false },
            Some(
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            ) => Framing::Chunked { signed: true },
            Some(hash) if hash == sha256_hex(&call.body) => Framing::Plain,
            Some(_) => {
                return Err(AwsError::new(
                    400,
                    "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ));
            }
            None if presigned || signed.is_none() => Framing::Plain,
            None => {
                return Err(AwsError::new(
                    400,
                    "InvalidRequest",
                    "Missing required header for this request: x-amz-content-sha256",
                ));
            }
        };
        let (data, trailers) = match framing {
            Framing::Plain => (call.body.clone(), Vec::new()),
            Framing::Chunked { signed: false } => Frames::new(&call.body, None).decode()?,
            Framing::Chunked { signed: true } => {
                Frames::new(&call.body, Some(signed.ok_or_else(broken_frames)?)).decode()?
            }
        };
        check_decoded_length(call, &data)?;
        let checksum = check_checksums(call, &trailers, &data)?;
        Ok(Payload { data, checksum })
    }
}

fn check_decoded_length(call: &Call, data: &Bytes) -> Result<(), AwsError> {
    match call.header("x-amz-decoded-content-length") {
        Some(length) if length.parse() != Ok(data.len()) => Err(AwsError::new(
            400,
            "IncompleteBody",
            "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
        )),
        _ => Ok(()),
    }
}

fn check_checksums(
    call: &Call,
    trailers: &[(String, String)],
    data: &Bytes,
) -> Result<Option<(Algorithm, String)>, AwsError> {
    if let Some(announced) = call.header("x-amz-trailer")
        && !trailers.iter().any(|(name, _)| {
            announced
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(name))
        })
    {
        return Err(AwsError::new(
            400,
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed",
        ));
    }
    if let Some(expected) = call.header("content-md5")
        && expected != md5_base64(data)
    {
        return Err(AwsError::new(
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ));
    }
    let headers = call
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let trailers = trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut checked = None;
    for (name, expected) in headers.chain(trailers) {
        let Some(algorithm) = Algorithm::of_header(name) else {
            continue;
        };
        if algorithm.of(data) != expected {
            let message = format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            );
            return Err(AwsError::new(400, "BadDigest", message));
        }
        checked = Some((algorithm, expected.to_owned()));
    }
    Ok(checked)
}

/// The frames of an `aws-chunked` body, read from front to back.
struct Frames<'a> {
    rest: &'a [u8],
    /// With signatures: the key, and the signature each next one is chained to.
    chain: Option<(&'a Signed, String)>,
}

fn broken_frames() -> AwsError {
    AwsError::new(
        400,
        "InvalidChunkSizeError",
        "The aws-chunked body is not well-formed",
    )
}

fn wrong_chunk_signature() -> AwsError {
    AwsError::new(
        403,
        "SignatureDoesNotMatch",
        "A chunk's signature does not match what was computed.",
    )
}

type Decoded = (Bytes, Vec<(String, String)>);

impl<'a> Frames<'a> {
    fn new(body: &'a [u8], signed: Option<&'a Signed>) -> Frames<'a> {
        Frames {
            rest: body,
            chain: signed.map(|signed| (signed, signed.signature.clone())),
        }
    }

    fn decode(mut self) -> Result<Decoded, AwsError> {
        let mut data = BytesMut::new();
        loop {
            let line = self.line()?;
            let (size, extension) = line.split_once(';').unwrap_or((&line, ""));
            let size = usize::from_str_radix(size, 16).map_err(|_| broken_frames())?;
            let (chunk, rest) = self.rest.split_at_checked(size).ok_or_else(broken_frames)?;
            self.rest = rest;
            self.check_chunk(chunk, extension)?;
            if size == 0 {
                return Ok((data.freeze(), self.trailers()?));
            }
            data.extend_from_slice(chunk);
            self.rest = self.rest.strip_prefix(b"\r\n").ok_or_else(broken_frames)?;
        }
    }

    /// The next line without its line end.
    fn line(&mut self) -> Result<String, AwsError> {
        let end = self
            .rest
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .ok_or_else(broken_frames)?;
        let (line, rest) = self.rest.split_at_checked(end).ok_or_else(broken_frames)?;
        self.rest = rest.strip_prefix(b"\r\n").ok_or_else(broken_frames)?;
        String::from_utf8(line.to_vec()).map_err(|_| broken_frames())
    }

    fn check_chunk(&mut self, chunk: &[u8], extension: &str) -> Result<(), AwsError> {
        let Some((signed, previous)) = &mut self.chain else {
            return Ok(());
        };
        let given = extension
            .strip_prefix("chunk-signature=")
            .ok_or_else(wrong_chunk_signature)?;
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{}\n{}",
            signed.date,
            signed.scope,
            sha256_hex(b""),
            sha256_hex(chunk)
        );
        if hex(&hmac_sha256(&signed.signing_key, text.as_bytes())) != given {
            return Err(wrong_chunk_signature());
        }
        given.clone_into(previous);
        Ok(())
    }

    fn trailers(&mut self) -> Result<Vec<(String, String)>, AwsError> {
        let mut trailers = Vec::new();
        let mut signature = None;
        while !self.rest.is_empty() {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(broken_frames)?;
            match name.to_lowercase().as_str() {
                "x-amz-trailer-signature" => signature = Some(value.trim().to_owned()),
                name => trailers.push((name.to_owned(), value.trim().to_owned())),
            }
        }
        self.check_trailers(&trailers, signature)?;
        Ok(trailers)
    }

    fn check_trailers(
        &self,
        trailers: &[(String, String)],
        signature: Option<String>,
    ) -> Result<(), AwsError> {
        let Some((signed, previous)) = &self.chain else {
            return Ok(());
        };
        if trailers.is_empty() {
            return Ok(());
        }
        let text: String = trailers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let text = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{}",
            signed.date,
            signed.scope,
            sha256_hex(text.as_bytes())
        );
        if Some(hex(&hmac_sha256(&signed.signing_key, text.as_bytes()))) == signature {
            Ok(())
        } else {
            Err(wrong_chunk_signature())
        }
    }
}
