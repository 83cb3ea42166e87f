//! Text patterns: wildcards, policy variables, and ARNs compared segment by segment.
//!
//! A variable's value is always taken literally: a session named `*` must not turn
//! `arn:aws:s3:::b/${aws:username}/x` into a wildcard.

use super::context::Context;

/// Whether `${…}` is read as a variable: only in documents of version `2012-10-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variables {
    /// `${key}` stands for the value of `key` in the request.
    Substituted,
    /// `${key}` is ordinary text, as in version `2008-10-17`.
    Literal,
}

/// Whether `*` and `?` are wildcards here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wildcards {
    /// `*` matches any text, `?` one character.
    Active,
    /// `*` and `?` are ordinary characters, as in `StringEquals`.
    Literal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    AnyText,
    AnyChar,
    Variable {
        key: String,
        fallback: Option<String>,
    },
}

/// One pattern, read once when its policy is stored.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
    /// The whole pattern as plain text, when it has neither wildcards nor variables.
    plain: Option<String>,
    has_variables: bool,
}

impl Pattern {
    pub(crate) fn parse(text: &str, wildcards: Wildcards, variables: Variables) -> Pattern {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if variables == Variables::Substituted
                && let Some((piece, after)) = variable_at_start(rest)
            {
                pieces.push(piece);
                rest = after;
                continue;
            }
            pieces.push(match first {
                '*' if wildcards == Wildcards::Active => Piece::AnyText,
                '?' if wildcards == Wildcards::Active => Piece::AnyChar,
                other => Piece::Char(other),
            });
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
        let has_variables = pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Variable { .. }));
        Pattern {
            plain: plain_text(&pieces),
            pieces,
            has_variables,
        }
    }

    /// Whether `value` matches, case-sensitively. A variable that the request does not have matches nothing.
    pub(crate) fn matches(&self, value: &str, context: &Context) -> bool {
        if let Some(plain) = &self.plain {
            return plain == value;
        }
        if !self.has_variables {
            return glob(&self.pieces, value);
        }
        self.expanded(context)
            .is_some_and(|pieces| glob(&pieces, value))
    }

    /// As [`Pattern::matches`], without regard to case.
    pub(crate) fn matches_ignoring_case(&self, value: &str, context: &Context) -> bool {
        self.expanded(context).is_some_and(|pieces| {
            let folded: Vec<Piece> = pieces
                .into_iter()
                .flat_map(|piece| match piece {
                    Piece::Char(char) => char.to_lowercase().map(Piece::Char).collect(),
                    other => vec![other],
                })
                .collect();
            glob(&folded, &value.to_lowercase())
        })
    }

    /// Whether the pattern ends in `*`.
    fn ends_open(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece::AnyText))
    }

    fn expanded(&self, context: &Context) -> Option<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            match piece {
                Piece::Variable { key, fallback } => {
                    let value = context.single(key).or(fallback.as_deref())?;
                    pieces.extend(value.chars().map(Piece::Char));
                }
                other => pieces.push(other.clone()),
            }
        }
        Some(pieces)
    }
}

fn plain_text(pieces: &[Piece]) -> Option<String> {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Char(char) => Some(*char),
            _ => None,
        })
        .collect()
}

/// Reads `${key}`, `${key, 'fallback'}`, or the escapes `${*}`, `${?}` and `${$}`.
fn variable_at_start(text: &str) -> Option<(Piece, &str)> {
    let (inside, after) = text.strip_prefix("${")?.split_once('}')?;
    let piece = match inside {
        "*" => Piece::Char('*'),
        "?" => Piece::Char('?'),
        "$" => Piece::Char('$'),
        _ => match inside.split_once(',') {
            None => Piece::Variable {
                key: inside.trim().to_lowercase(),
                fallback: None,
            },
            Some((key, fallback)) => {
                let fallback = fallback.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Piece::Variable {
                    key: key.trim().to_lowercase(),
                    fallback: Some(fallback.to_owned()),
                }
            }
        },
    };
    Some((piece, after))
}

/// Matches with one point of return: linear in practice, quadratic at worst, never exponential.
fn glob(pieces: &[Piece], value: &str) -> bool {
    let chars: Vec<char> = value.chars().collect();
    let (mut at_piece, mut at_char) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at_char < chars.len() {
        match (pieces.get(at_piece), chars.get(at_char)) {
            (Some(Piece::AnyText), _) => {
                last_star = Some((at_piece, at_char));
                at_piece += 1;
            }
            (Some(Piece::AnyChar), _) => {
                at_piece += 1;
                at_char += 1;
            }
            (Some(Piece::Char(expected)), Some(found)) if expected == found => {
                at_piece += 1;
                at_char += 1;
            }
            _ => match last_star {
                Some((star_piece, star_char)) => {
                    last_star = Some((star_piece, star_char + 1));
                    at_piece = star_piece + 1;
                    at_char = star_char + 1;
                }
                None => return false,
            },
        }
    }
    pieces
        .iter()
        .skip(at_piece)
        .all(|piece| *piece == Piece::AnyText)
}

/// The parts of an ARN: `arn`, partition, service, region, account, resource.
const ARN_SEGMENTS: usize = 6;

/// A pattern over ARNs. Each segment is matched by itself, so that `*` in the account cannot swallow the bucket.
#[derive(Clone, Debug)]
pub(crate) struct ArnPattern {
    segments: Vec<Pattern>,
}

impl ArnPattern {
    /// Reads a pattern; `None` when it is neither `*` nor shaped like an ARN.
    pub(crate) fn parse(text: &str, variables: Variables) -> Option<ArnPattern> {
        let segments: Vec<Pattern> = split_outside_variables(text)
            .iter()
            .map(|segment| Pattern::parse(segment, Wildcards::Active, variables))
            .collect();
        let pattern = ArnPattern { segments };
        let shaped = text == "*"
            || text.starts_with("arn:")
                && (pattern.segments.len() == ARN_SEGMENTS || pattern.is_open_ended());
        shaped.then_some(pattern)
    }

    pub(crate) fn matches(&self, arn: &str, context: &Context) -> bool {
        // A shorter pattern ends in `*`, which then stands for all the segments that follow.
        let parts: Vec<&str> = arn.splitn(self.segments.len(), ':').collect();
        parts.len() == self.segments.len()
            && (self.segments.len() == ARN_SEGMENTS || self.is_open_ended())
            && self
                .segments
                .iter()
                .zip(parts)
                .all(|(pattern, part)| pattern.matches(part, context))
    }

    fn is_open_ended(&self) -> bool {
        self.segments.last().is_some_and(Pattern::ends_open)
    }
}

/// Splits at colons, but not at those inside `${aws:username}`; at most [`ARN_SEGMENTS`] parts.
fn split_outside_variables(text: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut current = String::new();
    let mut inside = false;
    let mut previous = ' ';
    for char in text.chars() {
        match char {
            ':' if !inside && segments.len() + 1 < ARN_SEGMENTS => {
                segments.push(std::mem::take(&mut current))
            }
            _ => {
                inside = (inside || previous == '$' && char == '{') && char != '}';
                current.push(char);
            }
        }
        previous = char;
    }
    segments.push(current);
    segments
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

    fn glob_text(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern, Wildcards::Active, Variables::Substituted)
            .matches(value, &Context::new())
    }

    #[test]
    fn wildcards_match_whole_values_only() {
        assert!(glob_text("releases/*", "releases/a/b"));
        assert!(glob_text("releases/*", "releases/"));
        assert!(!glob_text("releases/*", "releases-evil/a"));
        assert!(!glob_text("releases/*", "x/releases/a"));
        assert!(glob_text("a?c", "abc"));
        assert!(!glob_text("a?c", "ac"));
        assert!(glob_text("*a*b*", "xxaxxbxx"));
        assert!(!glob_text("*a*b", "xxaxxbxx"));
        assert!(glob_text("", ""));
        assert!(!glob_text("", "x"));
    }

    #[test]
    fn a_long_pattern_of_stars_ends_soon() {
        let started = std::time::Instant::now();
        assert!(!glob_text(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!glob_text(
            &format!("{}b", "a*".repeat(30)),
            &"a".repeat(2_000)
        ));
        assert!(started.elapsed().as_secs() < 2);
    }

    #[test]
    fn a_variable_takes_its_value_literally() {
        let pattern = Pattern::parse(
            "home/${aws:username}/*",
            Wildcards::Active,
            Variables::Substituted,
        );
        let star = Context::new().with("aws:username", "*");
        assert!(pattern.matches("home/*/x", &star));
        assert!(!pattern.matches("home/anna/x", &star));
        assert!(!pattern.matches("home//x", &Context::new()));
    }

    #[test]
    fn variables_have_fallbacks_and_escapes() {
        let parse = |text| Pattern::parse(text, Wildcards::Active, Variables::Substituted);
        assert!(parse("${aws:PrincipalTag/team, 'none'}").matches("none", &Context::new()));
        assert!(parse("a${*}b").matches("a*b", &Context::new()));
        assert!(!parse("a${*}b").matches("axb", &Context::new()));
        assert!(parse("${?}${$}").matches("?$", &Context::new()));
    }

    #[test]
    fn the_old_language_version_has_no_variables() {
        let pattern = Pattern::parse("${aws:username}", Wildcards::Active, Variables::Literal);
        assert!(pattern.matches("${aws:username}", &Context::new()));
        assert!(!pattern.matches("anna", &Context::new().with("aws:username", "anna")));
    }

    #[test]
    fn arn_segments_do_not_run_into_each_other() {
        let matches = |pattern: &str, arn: &str| {
            ArnPattern::parse(pattern, Variables::Substituted)
                .unwrap()
                .matches(arn, &Context::new())
        };
        assert!(matches("*", "arn:aws:s3:::b/k"));
        assert!(matches("arn:aws:s3:::b/*", "arn:aws:s3:::b/k:with:colons"));
        assert!(!matches("arn:aws:*:::b", "arn:aws:s3:x::b"));
        assert!(!matches(
            "arn:aws:iam::*:role/deploy",
            "arn:aws:iam::1:x:role/deploy"
        ));
        assert!(matches("arn:aws:*", "arn:aws:s3:::b/k"));
        assert!(!matches("arn:aws:s3:::*", "*"));
        assert!(ArnPattern::parse("bucket/*", Variables::Substituted).is_none());
        assert!(ArnPattern::parse("arn:aws:s3", Variables::Substituted).is_none());
    }

    #[test]
    fn a_colon_inside_a_variable_is_not_a_separator() {
        let pattern = ArnPattern::parse(
            "arn:aws:iam::${aws:PrincipalAccount}:role/x",
            Variables::Substituted,
        )
        .unwrap();
        let context = Context::new().with("aws:PrincipalAccount", "111122223333");
        assert!(pattern.matches("arn:aws:iam::111122223333:role/x", &context));
        assert!(!pattern.matches("arn:aws:iam::444455556666:role/x", &context));
    }
}
