//! What people read: standard output for answers, standard error for everything else. Texts that
//! may come from outside are escaped here, so that a branch called `\x1b[2J` clears no screen.

use std::io::{self, Write};

use crate::failure::{Failure, UNREACHABLE};

/// Writes one line to standard output.
pub fn say(line: &str) -> Result<(), Failure> {
    print_to(&mut io::stdout().lock(), line)
}

/// Writes one line to standard error. When even that is closed there is nobody to tell.
pub fn warn(line: &str) {
    drop(print_to(&mut io::stderr().lock(), line));
}

fn print_to(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    writeln!(out, "{}", escaped(line)).map_err(|error| unwritable(&error))
}

/// Standard output for what is not lines: an export.
pub fn output() -> impl Write {
    io::stdout().lock()
}

/// The failure of an output that cannot be written.
pub fn unwritable(error: &io::Error) -> Failure {
    Failure::new(
        UNREACHABLE,
        "cannot_write",
        format!("the output cannot be written: {error}"),
    )
}

/// A text without control characters, those that reorder what is seen among them. Line feeds
/// stay: whatever comes from outside is escaped by whoever puts it into a line.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !(c.is_control() || reorders(c)) {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
    }
    safe
}

/// A value for one cell or one word: line feeds are escaped too.
pub fn inline(text: &str) -> String {
    escaped(text).replace('\n', "\\n")
}

const fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// Lays rows out in columns, each as wide as its widest cell.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let all: Vec<Vec<String>> = core::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| inline(cell)).collect())
        .collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(escaped("a\u{1b}[2J\rb\tc"), "a\\u{1b}[2J\\rb\\tc");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escaped("zwei\nZeilen, größer"), "zwei\nZeilen, größer");
        assert_eq!(inline("a\nb"), "a\\nb");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".to_owned(), "long".to_owned()],
            vec!["bbb\u{1b}".to_owned(), "x".to_owned()],
        ];
        let lines = table(&["one", "two"], &rows);
        assert_eq!(
            lines,
            ["one        two", "a          long", "bbb\\u{1b}  x"]
        );
    }
}
