//! The body of a `multipart/related` upload: metadata, then the object's bytes.

use bytes::Bytes;

/// The two parts.
#[derive(Debug)]
pub(super) struct Related {
    pub(super) metadata: Bytes,
    pub(super) media_type: Option<String>,
    pub(super) media: Bytes,
}

/// Takes a body apart; `None` when it is not what its content type says. Lines may end without a carriage return, as
/// gcloud's do.
pub(super) fn take_apart(content_type: &str, body: &Bytes) -> Option<Related> {
    let boundary = content_type
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches(['"', '\'']))?;
    let delimiter = format!("--{boundary}");
    let mut rest = body.slice(find(body, delimiter.as_bytes())? + delimiter.len()..);
    let line_end = if rest.starts_with(b"\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let end = format!("{line_end}{delimiter}");
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.slice(find(&rest, line_end.as_bytes())? + line_end.len()..);
        let length = find(&rest, end.as_bytes())?;
        parts.push(part(&rest.slice(..length), line_end)?);
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
fn part(part: &Bytes, line_end: &str) -> Option<(Option<String>, Bytes)> {
    // A part without headers begins with the empty line that ends them.
    let (headers, body) = if part.starts_with(line_end.as_bytes()) {
        (Bytes::new(), part.slice(line_end.len()..))
    } else {
        let empty_line = line_end.repeat(2);
        let length = find(part, empty_line.as_bytes())?;
        (
            part.slice(..length),
            part.slice(length + empty_line.len()..),
        )
    };
    let headers = std::str::from_utf8(&headers).ok()?;
    let content_type = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.trim().to_owned());
    Some((content_type, body))
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
    fn lines_may_end_without_a_carriage_return() {
        let body = "--==x==\nContent-Type: application/json\n\n{}\n--==x==\nContent-Type: a/b\n\none\r\ntwo\n--==x==--";
        let related = take_apart(TYPE, &Bytes::from(body)).unwrap();
        assert_eq!(
            (&related.metadata[..], &related.media[..]),
            (&b"{}"[..], &b"one\r\ntwo"[..])
        );
        assert_eq!(related.media_type.as_deref(), Some("a/b"));
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
