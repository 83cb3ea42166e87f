//! What only a real account can tell.

use jitney_core::question::{By, Inquire, Question};

use crate::adapter::AwsAdapter;

/// Every open question, as the README has them.
const QUESTIONS: &[Question] = &[Question {
    id: "deny-in-force",
    asks: "How soon is a Deny in force?",
    until_then: "`settle_seconds`, ten by default",
    by: By::Times,
}];

impl Inquire for AwsAdapter {
    fn questions(&self) -> &'static [Question] {
        QUESTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_core::question::table;

    #[test]
    fn the_readme_has_every_question() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(&table(QUESTIONS)), "{}", table(QUESTIONS));
    }
}
