//! The body of a `multipart/related` upload: metadata, then the object's bytes.

use bytes::Bytes;

/// The two parts.
#[derive(Debug)]
pub(super) struct Related {
    pub(super) metadata: Bytes,
    pub(super) media_type: Option<String>,
    pub(super) media: Bytes,
}

/// Takes a body apart; `None` when it is not what its content type says.
pub(super) fn take_apart(content_type: &str, body: &Bytes) -> Option<Related> {
    let boundary = content_type
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches(['"', '\'']))?;
    let delimiter = format!("--{boundary}");
    let mut rest = body.slice(find(body, delimiter.as_bytes())? + delimiter.len()..);
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.slice(skip_line(&rest)?..);
        let end = format!("\r\n{delimiter}");
        let length = find(&rest, end.as_bytes())?;
        parts.push(part(&rest.slice(..length))?);
        rest = rest.slice(length + end.len()..);
    }
    let [(_, metadata), (media_type, media)] = <[_; 2]>::try_from(parts).ok()?;
    Some(Related {
        metadata,
        media_type,
        media,
    })
}

/// The content type and the bytes of a part.
fn part(part: &Bytes) -> Option<(Option<String>, Bytes)> {
    // A part without headers begins with the empty line that ends them.
    let (headers, body) = match part.strip_prefix(b"\r\n") {
        Some(_) => (Bytes::new(), part.slice(2..)),
        None => {
            let length = find(part, b"\r\n\r\n")?;
            (part.slice(..length), part.slice(length + 4..))
        }
    };
    let headers = std::str::from_utf8(&headers).ok()?;
    let content_type = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.trim().to_owned());
    Some((content_type, body))
}

/// The length of the rest of a line, with its end.
fn skip_line(bytes: &[u8]) -> Option<usize> {
    find(bytes, b"\r\n").map(|end| end + 2)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
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

    const TYPE: &str = "multipart/related; boundary=\"==x==\"";

    #[test]
    fn two_parts_come_apart_and_the_media_keeps_every_byte() {
        let body = "--==x==\r\ncontent-type: application/json\r\n\r\n{\"name\":\"a\"}\r\n--==x==\r\nContent-Type: \
                    text/plain\r\n\r\nline\r\n\r\n--==x=\r\n--==x==--";
        let related = take_apart(TYPE, &Bytes::from(body)).unwrap();
        assert_eq!(related.metadata, "{\"name\":\"a\"}");
        assert_eq!(related.media_type.as_deref(), Some("text/plain"));
        assert_eq!(related.media, "line\r\n\r\n--==x=");
    }

    #[test]
    fn what_is_not_two_parts_is_nothing() {
        for body in [
            "",
            "--==x==--",
            "--==x==\r\n\r\n{}\r\n--==x==--",
            "--==x==\r\n\r\n{}\r\n--==x==\r\n\r\na\r\n--==x==\r\n\r\nb\r\n--==x==--",
            "--==x==\r\n\r\n{}\r\n--==x==\r\n\r\nno end",
        ] {
            assert!(take_apart(TYPE, &Bytes::from(body)).is_none(), "{body}");
        }
        assert!(take_apart("multipart/related", &Bytes::from("--\r\n")).is_none());
    }
}
