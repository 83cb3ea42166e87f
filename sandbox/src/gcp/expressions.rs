//! CEL as IAM speaks it: the common language by the `cel` crate, and Google's functions beside it.
//!
//! Judge: cel-python, another implementation, on the common language.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::extractors::This;
use cel::{Context, ExecutionError, Program, Value as CelValue};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The most logical operators (`&&`, `||`, `!`) in one condition.
pub(crate) const LOGICAL_OPERATORS_MAX: usize = 12;
/// The most that brackets may be nested, so that no expression exhausts the parser's stack.
const NESTING_MAX: usize = 64;

/// An expression that parses.
#[derive(Clone)]
pub(crate) struct Expression {
    text: String,
    program: Arc<Program>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Expression")
            .field(&self.text)
            .finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text
    }
}

/// What a condition of IAM can ask about.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub(crate) time: Timestamp,
    pub(crate) resource_name: String,
    pub(crate) resource_type: &'static str,
    pub(crate) resource_service: &'static str,
    /// What `api.getAttribute` finds.
    pub(crate) attributes: Attributes,
}

/// Attributes of the call: texts, and lists of texts.
pub(crate) type Attributes = HashMap<&'static str, Value>;

impl Expression {
    /// Reads an expression that may use these variables.
    pub(crate) fn parse(text: &str, variables: &[&str]) -> Result<Expression, String> {
        if nesting(text) > NESTING_MAX {
            return Err("the expression is nested too deeply".to_owned());
        }
        let program = Program::compile(text).map_err(|error| error.to_string())?;
        let references = program.references();
        let unknown = references
            .variables()
            .into_iter()
            .find(|name| !variables.contains(name));
        if let Some(unknown) = unknown {
            return Err(format!("undeclared reference to '{unknown}'"));
        }
        Ok(Expression {
            text: text.to_owned(),
            program: Arc::new(program),
        })
    }

    /// Reads a condition of an IAM policy.
    pub(crate) fn condition(text: &str) -> Result<Expression, String> {
        let expression = Expression::parse(text, &["request", "resource", "api"])?;
        let references = expression.program.references();
        if let Some(unknown) = references
            .functions()
            .into_iter()
            .find(|name| !is_function(name))
        {
            return Err(format!("undeclared reference to '{unknown}'"));
        }
        Ok(expression)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How many logical operators it has.
    pub(crate) fn logical_operators(&self) -> usize {
        logical_operators(self.program.expression())
    }

    /// Whether it asks the call for this attribute.
    pub(crate) fn asks_for(&self, attribute: &str) -> bool {
        self.text.contains(attribute)
    }

    /// Whether a condition holds. One that cannot be evaluated does not.
    pub(crate) fn holds(&self, circumstances: &Circumstances) -> bool {
        self.try_holds(circumstances).unwrap_or(false)
    }

    /// The same, telling what went wrong.
    pub(crate) fn try_holds(&self, circumstances: &Circumstances) -> Result<bool, String> {
        let context = circumstances.context().map_err(|error| error.to_string())?;
        match self.program.execute(&context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("the value is not a bool but {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The value over these variables.
    pub(crate) fn value(&self, variables: &[(&str, &Value)]) -> Result<CelValue, String> {
        let mut context = Context::default();
        add_functions(&mut context, Attributes::new()).map_err(|error| error.to_string())?;
        for (name, value) in variables {
            context
                .add_variable(*name, *value)
                .map_err(|error| error.to_string())?;
        }
        self.program
            .execute(&context)
            .map_err(|error| error.to_string())
    }
}

impl Circumstances {
    fn context(&self) -> Result<Context<'static, 'static>, ExecutionError> {
        let failed = |error: String| ExecutionError::function_error("context", error);
        let mut context = Context::default();
        add_functions(&mut context, self.attributes.clone())
            .map_err(|error| failed(error.to_string()))?;
        let resource = json!({
            "name": self.resource_name,
            "type": self.resource_type,
            "service": self.resource_service,
        });
        context
            .add_variable("resource", resource)
            .map_err(|error| failed(error.to_string()))?;
        let time = self
            .time
            .to_string()
            .parse()
            .map_err(|_| failed("no time".to_owned()))?;
        let request = HashMap::from([("time", CelValue::Timestamp(time))]);
        context.add_variable_from_value("request", request);
        Ok(context)
    }
}

fn add_functions(
    context: &mut Context<'_, '_>,
    attributes: Attributes,
) -> Result<(), cel::DeclarationError> {
    context.add_function("extract", extract)?;
    context.add_function("hasOnly", has_only)?;
    // Nothing in the sandbox has tags.
    context.add_function(
        "matchTag",
        |_: This<CelValue>, _: Arc<String>, _: Arc<String>| false,
    )?;
    context.add_function(
        "matchTagId",
        |_: This<CelValue>, _: Arc<String>, _: Arc<String>| false,
    )?;
    context.add_function("hasTagKey", |_: This<CelValue>, _: Arc<String>| false)?;
    context.add_function("hasTagKeyId", |_: This<CelValue>, _: Arc<String>| false)?;
    context.add_function(
        "api.getAttribute",
        move |name: Arc<String>, otherwise: CelValue| match attributes.get(name.as_str()) {
            Some(value) => cel::to_value(value).unwrap_or(otherwise),
            None => otherwise,
        },
    )
}

/// `'a/b/c'.extract('a/{x}/')` is `b`; without the text around the braces, it is empty.
fn extract(
    This(text): This<Arc<String>>,
    template: Arc<String>,
) -> Result<CelValue, ExecutionError> {
    let wrong = || ExecutionError::function_error("extract", "the template has no `{name}`");
    let (before, rest) = template.split_once('{').ok_or_else(wrong)?;
    let (_, after) = rest.split_once('}').ok_or_else(wrong)?;
    let found = text.split_once(before).and_then(|(_, rest)| match after {
        "" => Some(rest),
        after => rest.split_once(after).map(|(found, _)| found),
    });
    Ok(CelValue::from(found.unwrap_or_default()))
}

/// Whether a list holds nothing but these. An empty list does.
fn has_only(This(list): This<Arc<Vec<CelValue>>>, allowed: Arc<Vec<CelValue>>) -> bool {
    list.iter().all(|item| allowed.contains(item))
}

/// What a condition may call; everything else is not part of IAM's dialect.
fn is_function(name: &str) -> bool {
    const OPERATORS: &[&str] = &[
        "_?_:_",
        "_&&_",
        "_||_",
        "!_",
        "_-_",
        "_+_",
        "_*_",
        "_/_",
        "_%_",
        "_==_",
        "_!=_",
        "_>=_",
        "_<=_",
        "_>_",
        "_<_",
        "-_",
        "_[_]",
        "@in",
        "@not_strictly_false",
    ];
    const FUNCTIONS: &[&str] = &[
        "timestamp",
        "duration",
        "date",
        "int",
        "string",
        "size",
        "startsWith",
        "endsWith",
        "contains",
        "extract",
        "hasOnly",
        "getAttribute",
        "api.getAttribute",
        "matchTag",
        "matchTagId",
        "hasTagKey",
        "hasTagKeyId",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    ];
    OPERATORS.contains(&name) || FUNCTIONS.contains(&name)
}

fn nesting(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for char in text.chars() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn logical_operators(expression: &IdedExpr) -> usize {
    let all = |expressions: &[IdedExpr]| expressions.iter().map(logical_operators).sum::<usize>();
    match &expression.expr {
        Expr::Call(call) => {
            let own = usize::from(matches!(call.func_name.as_str(), "_&&_" | "_||_" | "!_"));
            own + call.target.as_deref().map_or(0, logical_operators) + all(&call.args)
        }
        Expr::Select(select) => logical_operators(&select.operand),
        Expr::List(list) => all(&list.elements),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    logical_operators(&entry.key) + logical_operators(&entry.value)
                }
                EntryExpr::StructField(field) => logical_operators(&field.value),
            })
            .sum(),
        Expr::Comprehension(comprehension) => {
            logical_operators(&comprehension.iter_range)
                + logical_operators(&comprehension.loop_step)
        }
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    }
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

    fn circumstances() -> Circumstances {
        Circumstances {
            time: "2026-11-26T12:00:00Z".parse().unwrap(),
            resource_name: "projects/_/buckets/artifacts/objects/releases/a.txt".to_owned(),
            resource_type: "storage.googleapis.com/Object",
            resource_service: "storage.googleapis.com",
            attributes: HashMap::from([
                (
                    "storage.googleapis.com/objectListPrefix",
                    json!("releases/"),
                ),
                (
                    "iam.googleapis.com/modifiedGrantsByRole",
                    json!(["roles/viewer"]),
                ),
            ]),
        }
    }

    fn holds(text: &str) -> bool {
        Expression::condition(text)
            .unwrap()
            .try_holds(&circumstances())
            .unwrap()
    }

    #[test]
    fn time_and_resource_decide() {
        assert!(holds("request.time < timestamp('2026-11-26T12:00:01Z')"));
        assert!(!holds("request.time < timestamp('2026-11-26T12:00:00Z')"));
        assert!(holds("request.time.getHours('Europe/Berlin') == 13"));
        assert!(holds(
            "resource.name.startsWith('projects/_/buckets/artifacts/objects/releases/')"
        ));
        assert!(!holds(
            "resource.name.startsWith('projects/_/buckets/artifacts/objects/private/')"
        ));
        assert!(holds(
            "resource.type == 'storage.googleapis.com/Object' && resource.service != 'x'"
        ));
    }

    #[test]
    fn googles_functions_are_there() {
        assert!(holds(
            "resource.name.extract('/objects/{object}') == 'releases/a.txt'"
        ));
        assert!(holds(
            "resource.name.extract('/buckets/{bucket}/') == 'artifacts'"
        ));
        assert!(holds("resource.name.extract('/nothing/{here}/') == ''"));
        assert!(holds(
            "api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('releases/')"
        ));
        assert!(holds(
            "api.getAttribute('storage.googleapis.com/other', 'none') == 'none'"
        ));
        let modified = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])";
        assert!(holds(&format!(
            "{modified}.hasOnly(['roles/viewer', 'roles/browser'])"
        )));
        assert!(!holds(&format!("{modified}.hasOnly(['roles/browser'])")));
        assert!(!holds("resource.matchTag('1/env', 'prod')"));
    }

    #[test]
    fn what_cannot_be_evaluated_does_not_hold() {
        for text in [
            "resource.nothing == ''",
            "request.time",
            "resource.name < 5",
            "request.auth.claims == ''",
        ] {
            let expression = Expression::condition(text).unwrap();
            assert!(expression.try_holds(&circumstances()).is_err(), "{text}");
            assert!(!expression.holds(&circumstances()), "{text}");
        }
    }

    #[test]
    fn what_is_not_the_language_does_not_parse() {
        for text in [
            "",
            "request.time <",
            "principal.name == ''",
            "resource.name.matches('.*')",
            "now() < 5",
            &"(".repeat(100_000),
            &format!("{}true{}", "(".repeat(65), ")".repeat(65)),
        ] {
            assert!(Expression::condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn logical_operators_are_counted_wherever_they_stand() {
        let count = |text| Expression::condition(text).unwrap().logical_operators();
        assert_eq!(count("true"), 0);
        assert_eq!(count("true && !(false || true)"), 3);
        assert_eq!(count("true && true && true && true"), 3);
        assert_eq!(count("'a && b' == 'c || d'"), 0);
    }
}
