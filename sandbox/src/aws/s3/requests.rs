//! The XML that clients send: the keys to delete, the parts to join, the region of a new bucket.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::aws::errors::AwsError;

/// `DeleteObjects` takes at most this many keys.
const DELETED_KEYS_MAX: usize = 1_000;
/// An upload has at most this many parts.
pub(super) const PARTS_MAX: usize = 10_000;

/// What `DeleteObjects` asks.
pub(super) struct DeleteRequest {
    pub(super) keys: Vec<String>,
    /// Only failures are told.
    pub(super) quiet: bool,
}

pub(super) fn read_delete(body: &[u8]) -> Result<DeleteRequest, AwsError> {
    let leaves = read_leaves(body)?;
    let keys: Vec<String> = texts(&leaves, "Delete/Object/Key");
    if keys.is_empty()
        || keys.len() > DELETED_KEYS_MAX
        || leaves
            .iter()
            .any(|(path, _)| path == "Delete/Object/VersionId")
    {
        return Err(malformed());
    }
    Ok(DeleteRequest {
        keys,
        quiet: texts(&leaves, "Delete/Quiet")
            .first()
            .is_some_and(|quiet| quiet == "true"),
    })
}

/// The parts of `CompleteMultipartUpload`: number and entity tag, without quotes.
pub(super) fn read_parts(body: &[u8]) -> Result<Vec<(u32, String)>, AwsError> {
    let leaves = read_leaves(body)?;
    let numbers = texts(&leaves, "CompleteMultipartUpload/Part/PartNumber");
    let tags = texts(&leaves, "CompleteMultipartUpload/Part/ETag");
    if numbers.is_empty() || numbers.len() != tags.len() || numbers.len() > PARTS_MAX {
        return Err(malformed());
    }
    numbers
        .iter()
        .zip(&tags)
        .map(|(number, tag)| {
            Ok((
                number.parse().map_err(|_| malformed())?,
                tag.trim_matches('"').to_owned(),
            ))
        })
        .collect()
}

/// The `LocationConstraint` of `CreateBucket`, if there is one.
pub(super) fn read_location(body: &[u8]) -> Result<Option<String>, AwsError> {
    if body.is_empty() {
        return Ok(None);
    }
    let leaves = read_leaves(body)?;
    Ok(
        texts(&leaves, "CreateBucketConfiguration/LocationConstraint")
            .into_iter()
            .next(),
    )
}

fn malformed() -> AwsError {
    AwsError::new(
        400,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

fn texts(leaves: &[(String, String)], path: &str) -> Vec<String> {
    leaves
        .iter()
        .filter(|(at, _)| at == path)
        .map(|(_, text)| text.clone())
        .collect()
}

/// Every element without children: its path from the root, and its text. Namespaces are left out. Entities
/// other than XML's own five, and document types, are refused, so that a body cannot grow while it is read.
fn read_leaves(body: &[u8]) -> Result<Vec<(String, String)>, AwsError> {
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut leaves = Vec::new();
    let mut current: Option<String> = None;
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                current = Some(String::new());
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                leaves.push((format!("{}/{name}", path.join("/")), String::new()));
            }
            Event::Text(text) => {
                if let Some(current) = &mut current {
                    current.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let resolved = resolve(&reference)?;
                if let Some(current) = &mut current {
                    current.push(resolved);
                }
            }
            Event::End(_) => {
                if let Some(text) = current.take() {
                    leaves.push((path.join("/"), text));
                }
                path.pop();
            }
            Event::Decl(_) | Event::Comment(_) => {}
            Event::CData(_) | Event::PI(_) | Event::DocType(_) => return Err(malformed()),
            Event::Eof if path.is_empty() && !leaves.is_empty() => return Ok(leaves),
            Event::Eof => return Err(malformed()),
        }
    }
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, AwsError> {
    if let Some(char) = reference.resolve_char_ref().map_err(|_| malformed())? {
        return Ok(char);
    }
    match reference.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn keys_are_read_with_their_entities() {
        let body =
            br#"<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Object><Key>a &amp; b&#x20;c</Key></Object><Quiet>true</Quiet></Delete>"#;
        let request = read_delete(body).unwrap();
        assert_eq!(request.keys, ["a & b c"]);
        assert!(request.quiet);
    }

    #[test]
    fn a_document_type_is_refused() {
        let body =
            br#"<!DOCTYPE d [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>"#;
        assert_eq!(read_delete(body).err().unwrap().code, "MalformedXML");
        let body = b"<Delete><Object><Key>&e;</Key></Object></Delete>";
        assert_eq!(read_delete(body).err().unwrap().code, "MalformedXML");
    }

    #[test]
    fn half_a_document_is_refused() {
        for body in [
            &b"<Delete><Object><Key>a</Key></Object>"[..],
            b"",
            b"<Delete></Delete>",
            b"<<",
        ] {
            assert_eq!(read_delete(body).err().unwrap().code, "MalformedXML");
        }
    }

    #[test]
    fn parts_have_numbers_and_tags() {
        let body = b"<CompleteMultipartUpload><Part><ETag>&quot;abc&quot;</ETag><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>";
        assert_eq!(read_parts(body).unwrap(), [(2, "abc".to_owned())]);
    }
}
