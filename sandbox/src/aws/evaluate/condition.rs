//! One condition of a statement: operator, quantifier, key and values, and what an absent key means.

use super::context::Context;
use super::document::Document;
use super::operators::{Expected, Test, read_operator};
use super::pattern::Variables;
use super::policy::Malformed;

/// `ForAnyValue:` and `ForAllValues:`, for keys with several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    None,
    AnyValue,
    AllValues,
}

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    test: Test,
    negated: bool,
    quantifier: Quantifier,
    if_exists: bool,
    /// In lower case.
    key: String,
    expected: Vec<Expected>,
}

impl Condition {
    /// Reads a whole `Condition` block: every operator and every key must hold.
    pub(crate) fn read_block(
        block: &Document,
        variables: Variables,
    ) -> Result<Vec<Condition>, Malformed> {
        let Document::Object(operators) = block else {
            return Err(Malformed::new("the condition is not an object"));
        };
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let Document::Object(keys) = keys else {
                return Err(Malformed::new(format!(
                    "the condition `{operator}` is not an object"
                )));
            };
            for (key, values) in keys {
                conditions.push(Condition::read(operator, key, values, variables)?);
            }
        }
        Ok(conditions)
    }

    fn read(
        operator: &str,
        key: &str,
        values: &Document,
        variables: Variables,
    ) -> Result<Condition, Malformed> {
        let unknown = || Malformed::new(format!("Invalid Condition type : {operator}."));
        let (quantifier, name) = match operator.split_once(':') {
            None => (Quantifier::None, operator),
            Some(("ForAnyValue", name)) => (Quantifier::AnyValue, name),
            Some(("ForAllValues", name)) => (Quantifier::AllValues, name),
            Some(_) => return Err(unknown()),
        };
        let (if_exists, name) = match name.strip_suffix("IfExists") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let (test, negated) = read_operator(name).ok_or_else(unknown)?;
        if test == Test::Null && (if_exists || quantifier != Quantifier::None) {
            return Err(unknown());
        }
        if !key.contains(':') {
            return Err(Malformed::new(format!(
                "the condition key `{key}` has no vendor before a colon"
            )));
        }
        let expected = values
            .one_or_many()
            .iter()
            .map(|value| {
                value
                    .scalar()
                    .map(|text| Expected::read(test, &text, variables))
            })
            .collect::<Option<Vec<Expected>>>()
            .filter(|expected| !expected.is_empty())
            .ok_or_else(|| {
                Malformed::new(format!("the condition key `{key}` has no usable values"))
            })?;
        Ok(Condition {
            test,
            negated,
            quantifier,
            if_exists,
            key: key.to_lowercase(),
            expected,
        })
    }

    pub(crate) fn holds(&self, context: &Context) -> bool {
        let values = context.values(&self.key).unwrap_or_default();
        if self.test == Test::Null {
            return self
                .expected
                .iter()
                .any(|expected| expected.asks_for_absence() == Some(values.is_empty()));
        }
        if values.is_empty() {
            // A missing key fails a positive test and passes a negated one; `ForAllValues` is true of nothing,
            // `ForAnyValue` is not, whatever it tests.
            return self.if_exists
                || match self.quantifier {
                    Quantifier::None => self.negated,
                    Quantifier::AllValues => true,
                    Quantifier::AnyValue => false,
                };
        }
        let accepted = |value: &String| {
            self.expected
                .iter()
                .any(|one| one.accepts(self.test, value, context))
        };
        match self.quantifier {
            Quantifier::None => values.iter().any(accepted) != self.negated,
            Quantifier::AnyValue => values.iter().any(|value| accepted(value) != self.negated),
            Quantifier::AllValues => values.iter().all(|value| accepted(value) != self.negated),
        }
    }
}
