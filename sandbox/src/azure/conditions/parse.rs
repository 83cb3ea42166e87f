//! From words to meaning: `NOT` binds tightest, then `AND`, then `OR`.

use uuid::Uuid;

use super::lexer::{Token, tokens};
use super::{Attribute, Clause, Comparison, How, Operator, Quantifier, Text};

/// Deeper ones are refused, so that nobody can exhaust the stack.
const DEPTH_MAX: usize = 32;

/// The sub-operations that Azure documents for blobs.
const SUB_OPERATIONS: [&str; 3] = [
    "Blob.List",
    "Blob.Read.WithTagConditions",
    "Blob.Write.WithTagHeaders",
];

pub(super) fn parse(text: &str) -> Result<Clause, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        rest: &tokens,
        depth: 0,
    };
    let clause = parser.any()?;
    match parser.rest.first() {
        None => Ok(clause),
        Some(token) => Err(format!("nothing was expected where {token:?} stands")),
    }
}

struct Parser<'a> {
    rest: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, String> {
        let (first, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(first.clone())
    }

    fn next_is(&mut self, token: &Token) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if first == token => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.next_is(token) {
            return Ok(());
        }
        Err(match self.rest.first() {
            Some(other) => format!("{token:?} was expected where {other:?} stands"),
            None => format!("{token:?} was expected where it ends"),
        })
    }

    fn any(&mut self) -> Result<Clause, String> {
        let mut clauses = vec![self.all()?];
        while self.next_is(&Token::Or) {
            clauses.push(self.all()?);
        }
        Ok(one_or(clauses, Clause::Any))
    }

    fn all(&mut self) -> Result<Clause, String> {
        let mut clauses = vec![self.single()?];
        while self.next_is(&Token::And) {
            clauses.push(self.single()?);
        }
        Ok(one_or(clauses, Clause::All))
    }

    fn single(&mut self) -> Result<Clause, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}"));
        }
        let clause = match self.next()? {
            Token::Not => Clause::Not(Box::new(self.single()?)),
            Token::Open => {
                let inner = self.any()?;
                self.expect(&Token::Close)?;
                inner
            }
            Token::Attribute { source, name } => self.comparison(known(&source, &name)?)?,
            Token::Word(word) => self.function(&word)?,
            other => return Err(format!("an expression was expected where {other:?} stands")),
        };
        self.depth -= 1;
        Ok(clause)
    }

    fn function(&mut self, word: &str) -> Result<Clause, String> {
        match word.to_lowercase().as_str() {
            "actionmatches" => {
                let action = self.argument()?;
                let lower = action.to_lowercase();
                let is_known = lower.starts_with("microsoft.storage/storageaccounts/blobservices/")
                    || lower.starts_with("microsoft.authorization/roleassignments/");
                if !is_known {
                    return Err(format!("conditions do not reach the action `{action}`"));
                }
                Ok(Clause::ActionMatches(action))
            }
            "suboperationmatches" => {
                let name = self.argument()?;
                if !SUB_OPERATIONS.contains(&name.as_str()) {
                    return Err(format!("there is no sub-operation `{name}`"));
                }
                Ok(Clause::SubOperationMatches(name))
            }
            "exists" => match self.next()? {
                Token::Attribute { source, name } => Ok(Clause::Exists(known(&source, &name)?)),
                other => Err(format!("an attribute was expected where {other:?} stands")),
            },
            _ => Err(format!("`{word}` is not a function of the subset")),
        }
    }

    /// `{'…'}`
    fn argument(&mut self) -> Result<String, String> {
        self.expect(&Token::OpenBrace)?;
        let Token::Literal(text) = self.next()? else {
            return Err("a literal was expected in braces".to_owned());
        };
        self.expect(&Token::CloseBrace)?;
        Ok(text.plain())
    }

    fn comparison(&mut self, attribute: Attribute) -> Result<Clause, String> {
        let Token::Word(word) = self.next()? else {
            return Err("an operator was expected after an attribute".to_owned());
        };
        let (quantifiers, name) = match word.split_once(':') {
            Some((quantifier, name)) => (Some(quantified(quantifier)?), name),
            None => (None, word.as_str()),
        };
        let operator = operator(name)?;
        let values = if self.next_is(&Token::OpenBrace) {
            self.values(operator)?
        } else {
            vec![self.value(operator)?]
        };
        // Without a quantifier there is one value on each side.
        if quantifiers.is_none() && values.len() != 1 {
            return Err(format!(
                "`{name}` takes one value; a set needs a quantifier"
            ));
        }
        let (attribute_quantifier, value_quantifier) =
            quantifiers.unwrap_or((Quantifier::Any, Quantifier::Any));
        Ok(Clause::Compare(Comparison {
            attribute,
            attribute_quantifier,
            value_quantifier,
            operator,
            values,
        }))
    }

    fn values(&mut self, operator: Operator) -> Result<Vec<Text>, String> {
        let mut values = vec![self.value(operator)?];
        while self.next_is(&Token::Comma) {
            values.push(self.value(operator)?);
        }
        self.expect(&Token::CloseBrace)?;
        Ok(values)
    }

    /// GUIDs may stand bare; strings are quoted.
    fn value(&mut self, operator: Operator) -> Result<Text, String> {
        let text = match self.next()? {
            Token::Literal(text) => text,
            Token::Word(word) if operator.how == How::Guid => {
                Text(word.chars().map(|char| (char, true)).collect())
            }
            other => return Err(format!("a value was expected where {other:?} stands")),
        };
        if operator.how == How::Guid && text.plain().parse::<Uuid>().is_err() {
            return Err(format!("`{}` is not a GUID", text.plain()));
        }
        Ok(text)
    }
}

fn one_or(mut clauses: Vec<Clause>, many: fn(Vec<Clause>) -> Clause) -> Clause {
    match clauses.pop() {
        Some(only) if clauses.is_empty() => only,
        Some(last) => {
            clauses.push(last);
            many(clauses)
        }
        None => many(clauses),
    }
}

fn known(source: &str, name: &str) -> Result<Attribute, String> {
    Attribute::named(source, name)
        .ok_or_else(|| format!("the attribute `@{source}[{name}]` is not in the subset"))
}

fn quantified(name: &str) -> Result<(Quantifier, Quantifier), String> {
    match name.to_lowercase().as_str() {
        "foranyofanyvalues" => Ok((Quantifier::Any, Quantifier::Any)),
        "forallofanyvalues" => Ok((Quantifier::All, Quantifier::Any)),
        "foranyofallvalues" => Ok((Quantifier::Any, Quantifier::All)),
        "forallofallvalues" => Ok((Quantifier::All, Quantifier::All)),
        _ => Err(format!("`{name}` is not a quantifier")),
    }
}

fn operator(name: &str) -> Result<Operator, String> {
    let unknown = || format!("`{name}` is not an operator of the subset");
    let lower = name.to_lowercase();
    let (rest, ignores_case) = match lower.strip_suffix("ignorecase") {
        Some(rest) => (rest, true),
        None => (lower.as_str(), false),
    };
    let (kind, rest) = match (rest.strip_prefix("string"), rest.strip_prefix("guid")) {
        (Some(rest), _) => ("string", rest),
        (_, Some(rest)) => ("guid", rest),
        _ => return Err(unknown()),
    };
    let (negated, rest) = match rest.strip_prefix("not") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let how = match (kind, rest) {
        ("guid", "equals") if !ignores_case => How::Guid,
        ("string", "equals") => How::Equals,
        ("string", "startswith") => How::StartsWith,
        ("string", "like") => How::Like,
        _ => return Err(unknown()),
    };
    Ok(Operator {
        how,
        negated,
        ignores_case,
    })
}
