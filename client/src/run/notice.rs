//! What `run` says: short lines on standard error, never on standard output, which is the
//! command's. Nothing here is ever given a credential.

use std::io::Write as _;

/// The longest line, in characters.
const LINE_CHARS_MAX: usize = 2000;

/// Says `text`, line by line.
pub(crate) fn say(text: &str) {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str("jitney: ");
        out.push_str(&escaped(line));
        out.push('\n');
    }
    // One write, so that the command's own lines do not fall between. A closed standard error is
    // no reason to stop: the lease is more important than the talk.
    let _unheard = std::io::stderr().write_all(out.as_bytes());
}

/// A text from elsewhere, so that it cannot move the terminal's cursor or speak to the CI system:
/// a workflow command begins a line, and no text of ours begins one.
pub(crate) fn escaped(text: &str) -> String {
    text.chars()
        .take(LINE_CHARS_MAX)
        .flat_map(|c| {
            let plain = !c.is_control() && !is_invisible(c);
            let (kept, escape) = if plain {
                (Some(c), None)
            } else {
                (None, Some(c.escape_default()))
            };
            kept.into_iter().chain(escape.into_iter().flatten())
        })
        .collect()
}

/// Characters that reorder or hide what is beside them.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_act_on_the_terminal() {
        assert_eq!(escaped("a\u{1b}[2Jb\rc"), "a\\u{1b}[2Jb\\rc");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escaped("grüße `release.yml`"), "grüße `release.yml`");
        assert_eq!(escaped(&"z".repeat(9000)).len(), LINE_CHARS_MAX);
    }
}
