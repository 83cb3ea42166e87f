//! What a condition says is read back by a reader of the language that shares nothing with the
//! writer, and tried.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
const ADD: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action";

/// What somebody tries.
struct Try<'a> {
    action: &'a str,
    lists: bool,
    container: &'a str,
    /// The blob's path, or the prefix that is listed.
    name: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Braced(String),
    Literal(String),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            ' ' => {
                rest = &rest[1..];
                continue;
            }
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '!' => (Token::Word("NOT".to_owned()), &rest[1..]),
            '\'' => {
                let end = rest[1..].find('\'').unwrap();
                (Token::Literal(rest[1..=end].to_owned()), &rest[end + 2..])
            }
            '{' => {
                let end = rest.find('}').unwrap();
                let inner = rest[1..end].trim_matches('\'');
                (Token::Braced(inner.to_owned()), &rest[end + 1..])
            }
            _ => {
                let end = rest.find([' ', '(', ')', '{', '\'']).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), &rest[end..])
            }
        };
        tokens.push(token);
        rest = after;
    }
    tokens
}

struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    tried: &'a Try<'a>,
}

impl Reader<'_> {
    fn next(&mut self) -> Token {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    fn is_word(&self, word: &str) -> bool {
        self.tokens.get(self.at) == Some(&Token::Word(word.to_owned()))
    }

    fn or(&mut self) -> bool {
        let mut holds = self.and();
        while self.is_word("OR") {
            self.at += 1;
            let right = self.and();
            holds = holds || right;
        }
        holds
    }

    fn and(&mut self) -> bool {
        let mut holds = self.one();
        while self.is_word("AND") {
            self.at += 1;
            let right = self.one();
            holds = holds && right;
        }
        holds
    }

    fn one(&mut self) -> bool {
        match self.next() {
            Token::Open => {
                let holds = self.or();
                assert_eq!(self.next(), Token::Close);
                holds
            }
            Token::Word(word) if word == "NOT" => !self.one(),
            Token::Word(word) => self.term(&word),
            other => panic!("{other:?} begins no clause"),
        }
    }

    fn term(&mut self, word: &str) -> bool {
        match (word, self.next()) {
            ("ActionMatches", Token::Braced(action)) => action == self.tried.action,
            ("SubOperationMatches", Token::Braced(kind)) => kind == LIST && self.tried.lists,
            (attribute, Token::Word(operator)) => {
                let Token::Literal(value) = self.next() else {
                    panic!("{operator} compares with nothing");
                };
                let seen = match attribute {
                    CONTAINER => Some(self.tried.container),
                    PATH if !self.tried.lists => self.tried.name,
                    PREFIX if self.tried.lists => self.tried.name,
                    _ => None,
                };
                seen.is_some_and(|seen| match operator.as_str() {
                    "StringEquals" => seen == value,
                    "StringStartsWith" => seen.starts_with(&value),
                    other => panic!("{other} is no operator"),
                })
            }
            other => panic!("{other:?} is no term"),
        }
    }
}

fn holds(condition: &str, tried: &Try<'_>) -> bool {
    let mut reader = Reader {
        tokens: tokens(condition),
        at: 0,
        tried,
    };
    let holds = reader.or();
    assert_eq!(reader.at, reader.tokens.len(), "{condition}");
    holds
}

fn beneath(prefix: &str) -> Part {
    Part::Beneath(prefix.to_owned())
}

fn may(condition: &str, action: &str, container: &str, name: &str) -> bool {
    let tried = Try {
        action,
        lists: false,
        container,
        name: Some(name),
    };
    holds(condition, &tried)
}

fn lists(condition: &str, container: &str, name: Option<&str>) -> bool {
    let tried = Try {
        action: READ,
        lists: true,
        container,
        name,
    };
    holds(condition, &tried)
}

#[test]
fn writing_is_bound_to_container_and_path() {
    let condition = narrowed(&[WRITE, ADD], "artifacts", &[beneath("releases/")]).unwrap();
    for action in [WRITE, ADD] {
        assert!(may(&condition, action, "artifacts", "releases/app.tar"));
        for (container, path) in [
            ("artifacts", "other/app.tar"),
            ("artifacts", "releases"),
            ("artifacts", "releases-evil/app.tar"),
            ("artifacts", "Releases/app.tar"),
            ("artifacts2", "releases/app.tar"),
        ] {
            assert!(!may(&condition, action, container, path), "{path}");
        }
    }
}

#[test]
fn listing_is_bound_by_the_prefix_that_is_asked_for() {
    let condition = narrowed(&[READ], "artifacts", &[beneath("releases/")]).unwrap();
    assert!(may(&condition, READ, "artifacts", "releases/app.tar"));
    assert!(!may(&condition, READ, "artifacts", "other/app.tar"));
    assert!(lists(&condition, "artifacts", Some("releases/")));
    assert!(lists(&condition, "artifacts", Some("releases/1.2/")));
    for (container, prefix) in [
        ("artifacts", None),
        ("artifacts", Some("")),
        ("artifacts", Some("releases")),
        ("artifacts", Some("other/")),
        ("artifacts2", Some("releases/")),
    ] {
        assert!(!lists(&condition, container, prefix), "{prefix:?}");
    }
}

#[test]
fn one_blob_is_read_and_never_listed() {
    let part = Part::Exactly("releases/app.tar".to_owned());
    let condition = narrowed(&[READ], "artifacts", &[part]).unwrap();
    assert!(may(&condition, READ, "artifacts", "releases/app.tar"));
    assert!(!may(&condition, READ, "artifacts", "releases/app.tar.sig"));
    assert!(!lists(&condition, "artifacts", Some("releases/app.tar")));
}

#[test]
fn what_the_language_would_read_otherwise_is_refused() {
    for bad in [
        "",
        "a'b",
        "a\\",
        "a*",
        "a?",
        "a$b",
        "a b",
        "a{",
        "a\n",
        "ä",
        "a') OR ('",
    ] {
        assert!(
            narrowed(&[WRITE], "artifacts", &[beneath(bad)]).is_err(),
            "{bad:?}"
        );
        assert!(
            narrowed(&[WRITE], bad, &[beneath("a/")]).is_err(),
            "{bad:?}"
        );
    }
}

fn segment() -> impl Strategy<Value = String> {
    "[a-cA-C0-1._=+-]{1,3}"
}

fn part() -> impl Strategy<Value = Part> {
    (prop::collection::vec(segment(), 1..3), any::<bool>()).prop_map(|(segments, beneath)| {
        let text = segments.join("/");
        if beneath {
            Part::Beneath(format!("{text}/"))
        } else {
            Part::Exactly(text)
        }
    })
}

proptest! {
    #[test]
    fn a_condition_says_what_its_parts_say(
        parts in prop::collection::vec(part(), 1..4),
        path in prop::collection::vec(segment(), 1..4).prop_map(|segments| segments.join("/")),
    ) {
        let condition = narrowed(&[READ, WRITE], "artifacts", &parts).unwrap();
        let is_wanted = parts.iter().any(|part| match part {
            Part::Beneath(prefix) => path.starts_with(prefix.as_str()),
            Part::Exactly(exact) => path == *exact,
        });
        let is_listed = parts.iter().any(|part| match part {
            Part::Beneath(prefix) => path.starts_with(prefix.as_str()),
            Part::Exactly(_) => false,
        });
        prop_assert_eq!(may(&condition, READ, "artifacts", &path), is_wanted);
        prop_assert_eq!(may(&condition, WRITE, "artifacts", &path), is_wanted);
        prop_assert_eq!(lists(&condition, "artifacts", Some(&path)), is_listed);
        prop_assert!(!may(&condition, READ, "other", &path));
    }
}
