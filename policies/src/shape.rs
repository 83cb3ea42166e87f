//! How long and how deep a rule may be, counted before it is parsed. Cedar reads, checks and
//! prints rules by recursion: a rule nested deep enough would not be refused but end the process.

use crate::problem::{Place, Problem};

/// The most words and signs of one rule.
const TOKENS_MAX: usize = 2_000;
/// The most signs of one rule that nest what follows them: `.`, `&&`, `||`, arithmetic and `if`.
/// A level takes Cedar about 4 KiB of stack; a quarter of a thread's 2 MiB is spent here.
const JOINTS_MAX: usize = 128;
/// The most brackets that are open at once.
const DEPTH_MAX: usize = 32;

/// What one rule has used up so far.
#[derive(Default)]
struct Spent {
    tokens: usize,
    joints: usize,
    depth: usize,
}

impl Spent {
    fn take(&mut self, token: &str) {
        match token {
            ";" if self.depth == 0 => *self = Self::default(),
            "(" | "[" | "{" => self.depth = self.depth.saturating_add(1),
            ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
            "." | "&&" | "||" | "+" | "-" | "*" | "if" => {
                self.joints = self.joints.saturating_add(1);
            }
            _ => {}
        }
        self.tokens = self.tokens.saturating_add(1);
    }

    fn too_much(&self) -> Option<(&'static str, String)> {
        if self.depth > DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} brackets are open here");
            return Some(("too_deep", message));
        }
        if self.joints > JOINTS_MAX {
            let message = format!("the rule has more than {JOINTS_MAX} of `.`, `&&` and the like");
            return Some(("too_deep", message));
        }
        if self.tokens > TOKENS_MAX {
            let message = format!("the rule has more than {TOKENS_MAX} words and signs");
            return Some(("too_long", message));
        }
        None
    }
}

/// What is too much in a file: at most one thing, for everything behind it is in doubt.
pub(crate) fn review_shape(file: &str, text: &str) -> Option<Problem> {
    let mut rest = text;
    let mut spent = Spent::default();
    while let Some(first) = rest.chars().next() {
        let here = text.len().saturating_sub(rest.len());
        let length = token_length(rest, first);
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = behind;
        if first.is_whitespace() || token.starts_with("//") {
            continue;
        }
        spent.take(token);
        if let Some((code, message)) = spent.too_much() {
            let problem = Problem::new(file, Some(Place::at(text, here)), code, message);
            return Some(problem.advise("make several rules of it"));
        }
    }
    None
}

/// How many bytes belong together: a comment, a string, a word, a double sign, or a single one.
fn token_length(rest: &str, first: char) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("&&") || rest.starts_with("||") {
        2
    } else if first == '"' {
        string_length(rest)
    } else if is_word(first) {
        rest.find(|c| !is_word(c)).unwrap_or(rest.len())
    } else {
        first.len_utf8()
    }
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (index, character) in rest.char_indices().skip(1) {
        match character {
            '"' if !escaped => return index.saturating_add(1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        review_shape("f", text).map(|problem| problem.code)
    }

    #[test]
    fn depth_and_length_have_an_edge() {
        let deep = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(code(&deep(DEPTH_MAX)), None);
        assert_eq!(code(&deep(DEPTH_MAX + 1)), Some("too_deep"));
        assert_eq!(code(&"a ".repeat(TOKENS_MAX)), None);
        assert_eq!(code(&"a ".repeat(TOKENS_MAX + 1)), Some("too_long"));
        assert_eq!(code(&"!".repeat(TOKENS_MAX + 1)), Some("too_long"));
        for joint in [".", "&&", "||", " +", " -", " *", " if "] {
            assert_eq!(code(&joint.repeat(JOINTS_MAX)), None, "{joint}");
            let more = joint.repeat(JOINTS_MAX + 1);
            assert_eq!(code(&more), Some("too_deep"), "{joint}");
        }
    }

    #[test]
    fn each_rule_is_counted_by_itself() {
        assert_eq!(code(&"permit (principal);\n".repeat(TOKENS_MAX)), None);
        // Inside brackets a semicolon ends nothing.
        assert_eq!(
            code(&format!("({}", "a;".repeat(TOKENS_MAX))),
            Some("too_long")
        );
    }

    #[test]
    fn brackets_in_texts_and_comments_do_not_count() {
        let brackets = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(code(&format!("\"{brackets}\"")), None);
        assert_eq!(code(&format!("\"\\\"{brackets}\"")), None);
        assert_eq!(code(&format!("// {brackets}\n")), None);
        assert_eq!(code(&format!("\"\\\\\" {brackets}")), Some("too_deep"));
        assert_eq!(code(&format!("\"ä\" {brackets}")), Some("too_deep"));
        assert_eq!(code("\"no end"), None);
    }
}
