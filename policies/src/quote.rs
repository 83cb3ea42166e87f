//! Showing a text that came from outside. Claims are chosen by whoever names a branch: they reach
//! a terminal and an audit reader only escaped, cut and in backticks.

/// The longest part of a foreign text that is shown, in characters.
const SHOWN_MAX: usize = 160;

/// `text` in backticks, with everything but printable ASCII escaped, cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for character in text.chars().take(SHOWN_MAX) {
        match character {
            '`' => shown.push('\''),
            ' '..='~' => shown.push(character),
            other => shown.extend(other.escape_default()),
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_move_the_cursor_or_end_its_quotes() {
        assert_eq!(quoted("a`b"), "`a'b`");
        assert_eq!(quoted("\u{1b}[2Jx\n"), "`\\u{1b}[2Jx\\n`");
        assert_eq!(quoted("\u{202e}x"), "`\\u{202e}x`");
        assert_eq!(quoted(&"x".repeat(9999)).chars().count(), SHOWN_MAX + 3);
    }
}
