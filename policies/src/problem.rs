//! What is wrong with a file, and where: the operator's answer when the broker does not start.

use core::fmt;

use miette::Diagnostic;

/// How many problems are printed; the rest are counted.
const PROBLEMS_SHOWN_MAX: usize = 50;

/// A place in a text file, counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    /// The place `offset` bytes into `text`.
    pub(crate) fn at(text: &str, offset: usize) -> Self {
        Self::START.after(text.get(..offset).unwrap_or(text))
    }

    /// The place after a text that begins here.
    fn after(self, text: &str) -> Self {
        let mut place = self;
        for character in text.chars() {
            if character == '\n' {
                place.line = place.line.saturating_add(1);
                place.column = 1;
            } else {
                place.column = place.column.saturating_add(1);
            }
        }
        place
    }
}

/// Finds texts one after the other and their places, reading the whole once.
pub(crate) struct Finder<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            place: Place::START,
        }
    }

    /// Where `part` begins, behind the part that was asked for before.
    pub(crate) fn find(&mut self, part: &str) -> Place {
        let (before, _) = self.rest.split_once(part).unwrap_or(("", ""));
        let begins = self.place.after(before);
        self.place = begins.after(part);
        let behind = before.len().saturating_add(part.len());
        self.rest = self.rest.get(behind..).unwrap_or_default();
        begins
    }
}

/// One thing that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, by the name it was given.
    pub file: String,
    /// Where in it; absent when it is about the file as a whole.
    pub place: Option<Place>,
    /// A stable word for it.
    pub code: &'static str,
    /// What was seen and what was expected.
    pub message: String,
    /// What to change.
    pub advice: Option<String>,
}

impl Problem {
    pub(crate) fn new(
        file: &str,
        place: Option<Place>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            place,
            code,
            message: message.into(),
            advice: None,
        }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What Cedar found, with the first place it points at.
    pub(crate) fn from_cedar(
        file: &str,
        text: &str,
        code: &'static str,
        found: &dyn Diagnostic,
    ) -> Self {
        let labels = found.labels().into_iter().flatten().collect::<Vec<_>>();
        let place = labels.first().map(|label| Place::at(text, label.offset()));
        let mut message = found.to_string();
        if let Some(label) = labels.iter().find_map(|label| label.label()) {
            message = format!("{message}: {label}");
        }
        let problem = Self::new(file, place, code, message);
        match found.help() {
            Some(help) => problem.advise(help.to_string()),
            None => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(place) = self.place {
            write!(f, "{}:{}:", place.line, place.column)?;
        }
        write!(f, " {} ({})", self.message, self.code)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  advice: {advice}"),
            None => Ok(()),
        }
    }
}

/// Why the policies cannot be used: everything that was found, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotLoad {
    /// What was found, at least one thing.
    pub problems: Vec<Problem>,
}

impl CannotLoad {
    pub(crate) fn one(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for CannotLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for CannotLoad {}

/// The known word nearest to a misspelt one, when one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(2))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let text = "ä = 1\nbad";
        assert_eq!(Place::at(text, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::at(text, 3), Place { line: 1, column: 3 });
        assert_eq!(Place::at(text, 7), Place { line: 2, column: 1 });
        assert_eq!(Place::at(text, 999), Place { line: 2, column: 4 });
    }

    #[test]
    fn parts_are_found_in_turn_even_when_they_are_alike() {
        let mut finder = Finder::new("x\nab\n  ab");
        assert_eq!(finder.find("ab"), Place { line: 2, column: 1 });
        assert_eq!(finder.find("ab"), Place { line: 3, column: 3 });
    }

    #[test]
    fn a_word_from_nowhere_has_no_neighbour() {
        assert_eq!(nearest("resaon", ["id", "reason"]), Some("reason"));
        assert_eq!(nearest("zzzzzz", ["id", "reason"]), None);
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let problems = vec![Problem::new("a", None, "x", "m"); PROBLEMS_SHOWN_MAX + 3];
        let text = CannotLoad { problems }.to_string();
        assert!(text.ends_with("\nand 3 more"), "{text}");
    }
}
