//! One rule, taken apart: what its head is about, which ids it pins, and the conditions it is
//! made of. Slicing, review and explanation all read this and never the text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use cedar_policy::pst::{self, BinaryOp, Clause, Expr, Literal, Var};
use cedar_policy::{Effect, Expression, Policy};

/// The attribute that says where a token comes from.
pub(crate) const ISSUER: &str = "principal.issuer";
/// The attribute that says whose repository it is.
pub(crate) const OWNER_ID: &str = "principal.repository.owner_id";
/// The attribute that says which repository it is.
pub(crate) const REPOSITORY_ID: &str = "principal.repository.id";
/// The attribute that says what the repository is called.
pub(crate) const REPOSITORY_PATH: &str = "principal.repository.path";

/// The attribute that says which file the event started.
pub(crate) const WORKFLOW_REF: &str = "principal.workflow.top_ref";

/// Which actions a rule's head names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actions {
    /// None in particular, so all.
    All,
    /// These capabilities; groups stand for their members.
    Named(BTreeSet<String>),
}

impl Actions {
    pub(crate) fn has(&self, action: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(action),
        }
    }

    /// Their names, as far as they are named.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::All => None,
            Self::Named(names) => Some(names),
        }
        .into_iter()
        .flatten()
    }
}

/// One condition that must hold: a conjunct of a `when`, or an `unless`.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The expression, as written.
    pub(crate) expr: Arc<Expr>,
    /// Whether it must be true or, from an `unless`, false.
    pub(crate) wanted: bool,
    // Compiling costs more than most rules ever need: only a denial asks.
    compiled: OnceLock<Option<Expression>>,
}

impl Condition {
    fn new(expr: Arc<Expr>, wanted: bool) -> Self {
        Self {
            expr,
            wanted,
            compiled: OnceLock::new(),
        }
    }

    /// The condition in a form that can be evaluated by itself.
    pub(crate) fn compiled(&self) -> Option<&Expression> {
        self.compiled
            .get_or_init(|| self.expr.to_string().parse().ok())
            .as_ref()
    }
}

/// Which texts each attribute may have for a rule to apply.
pub(crate) type Pins = BTreeMap<String, BTreeSet<String>>;

/// A rule of a policy file.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its `@id`.
    pub(crate) id: String,
    /// The file it stands in.
    pub(crate) file: String,
    /// Whether it allows or refuses.
    pub(crate) effect: Effect,
    /// Its `@reason`.
    pub(crate) reason: String,
    /// Its `@advice`.
    pub(crate) advice: Option<String>,
    /// The actions of its head.
    pub(crate) actions: Actions,
    /// The resource of its head, by name.
    pub(crate) resource: Option<String>,
    /// What must hold, in the order in which Cedar asks.
    pub(crate) conditions: Vec<Condition>,
    /// The attributes that only certain texts satisfy.
    pub(crate) pins: Pins,
    /// Those pins that are asked before anything that could fail.
    pub(crate) leading: Pins,
    /// The rule itself.
    pub(crate) policy: Policy,
}

impl Rule {
    /// Takes a static policy apart. `members` says which capabilities a group of actions has.
    ///
    /// # Errors
    /// When Cedar cannot give the policy's syntax tree.
    pub(crate) fn read(
        file: &str,
        policy: Policy,
        members: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Self, pst::PstConstructionError> {
        let tree = policy.to_pst()?;
        let body = tree.body();
        let conditions = conditions_of(body.clauses());
        let text = |name: &str| policy.annotation(name).map(str::to_owned);
        Ok(Self {
            id: text("id").unwrap_or_default(),
            file: file.to_owned(),
            effect: policy.effect(),
            reason: text("reason").unwrap_or_default(),
            advice: text("advice"),
            actions: actions_of(&body.action, members),
            resource: match &body.resource {
                pst::ResourceConstraint::Eq(pst::EntityOrSlot::Entity(uid)) => {
                    Some(uid.eid.to_string())
                }
                _ => None,
            },
            pins: all_pins(&conditions),
            leading: leading_pins(&conditions),
            conditions,
            policy,
        })
    }

    /// Whether a pinned attribute may have this text; an attribute that is not pinned may have any.
    pub(crate) fn admits(&self, attribute: &str, text: &str) -> bool {
        self.pins
            .get(attribute)
            .is_none_or(|texts| texts.contains(text))
    }

    /// A text with the rule that it is about.
    pub(crate) fn signed(&self, text: &str) -> String {
        format!("{text} ({}, `{}`)", self.file, self.id)
    }
}

fn actions_of(
    head: &pst::ActionConstraint,
    members: &BTreeMap<String, BTreeSet<String>>,
) -> Actions {
    let named = |uid: &pst::EntityUID| match members.get(uid.eid.as_str()) {
        Some(actions) => actions.clone(),
        None => BTreeSet::from([uid.eid.to_string()]),
    };
    match head {
        pst::ActionConstraint::Any => Actions::All,
        pst::ActionConstraint::Eq(uid) => Actions::Named(named(uid)),
        pst::ActionConstraint::In(uids) => Actions::Named(uids.iter().flat_map(named).collect()),
    }
}

fn conditions_of(clauses: &[Clause]) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for clause in clauses {
        match clause {
            Clause::When(expr) => conjuncts(expr, &mut conditions),
            Clause::Unless(expr) => conditions.push(Condition::new(Arc::clone(expr), false)),
        }
    }
    conditions
}

fn conjuncts(expr: &Arc<Expr>, into: &mut Vec<Condition>) {
    match expr.as_ref() {
        Expr::BinaryOp {
            op: BinaryOp::And,
            left,
            right,
        } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        _ => into.push(Condition::new(Arc::clone(expr), true)),
    }
}

fn all_pins(conditions: &[Condition]) -> Pins {
    let mut pins = Pins::new();
    for (attribute, texts) in conditions.iter().filter_map(pin) {
        pins.entry(attribute).or_insert(texts);
    }
    pins
}

/// The pins before the first condition of another kind. Comparing an attribute that every job has
/// with a text cannot fail, so a rule whose leading pin does not match neither applies nor errs:
/// leaving it out of a slice changes nothing. Behind a condition that can fail it would.
fn leading_pins(conditions: &[Condition]) -> Pins {
    let mut pins = Pins::new();
    for (attribute, texts) in conditions.iter().map_while(pin) {
        pins.entry(attribute).or_insert(texts);
    }
    pins
}

/// `principal.repository.id == "2002"`, either way round, or `["1", "2"].contains(...)`.
pub(crate) fn pin(condition: &Condition) -> Option<(String, BTreeSet<String>)> {
    let Expr::BinaryOp { op, left, right } = condition.expr.as_ref() else {
        return None;
    };
    if !condition.wanted {
        return None;
    }
    match op {
        BinaryOp::Eq => match (attribute(left), text(right)) {
            (Some(name), Some(text)) => Some((name, BTreeSet::from([text]))),
            _ => Some((attribute(right)?, BTreeSet::from([text(left)?]))),
        },
        BinaryOp::Contains => match left.as_ref() {
            Expr::Set(items) => {
                let texts: Option<BTreeSet<String>> = items.iter().map(|item| text(item)).collect();
                Some((attribute(right)?, texts?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The dotted name of an attribute: `principal.git_ref.full`.
pub(crate) fn attribute(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Var(Var::Principal) => Some("principal".to_owned()),
        Expr::Var(Var::Resource) => Some("resource".to_owned()),
        Expr::Var(Var::Context) => Some("context".to_owned()),
        Expr::GetAttr { expr, attr } => Some(format!("{}.{attr}", attribute(expr)?)),
        _ => None,
    }
}

/// Whether an expression asks if something is told at all.
pub(crate) fn is_has(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::HasAttr { .. }
            | Expr::BinaryOp {
                op: BinaryOp::HasTag,
                ..
            }
    )
}

/// The text of a literal: a string's, or the name of one of an enumeration's entities.
pub(crate) fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text.to_string()),
        Expr::Literal(Literal::EntityUID(uid)) => Some(uid.eid.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(head: &str, clauses: &str) -> Rule {
        let text = format!("@id(\"r\") permit (principal, {head}) {clauses};");
        let policy = Policy::parse(None, text).unwrap();
        let members = BTreeMap::from([(
            "object-storage".to_owned(),
            BTreeSet::from(["object-storage:read".to_owned()]),
        )]);
        Rule::read("f", policy, &members).unwrap()
    }

    fn names(pins: &Pins) -> Vec<&str> {
        pins.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_head_names_its_actions_and_its_resource() {
        let read = rule(
            "action in [Action::\"object-storage\", Action::\"infra:apply\"], resource == Resource::\"a\"",
            "",
        );
        assert!(read.actions.has("object-storage:read"));
        assert!(read.actions.has("infra:apply"));
        assert!(!read.actions.has("object-storage:write"));
        assert_eq!(read.resource.as_deref(), Some("a"));
        assert_eq!(rule("action, resource", "").actions, Actions::All);
    }

    #[test]
    fn only_what_must_hold_is_a_pin() {
        let read = rule(
            "action, resource",
            "when { principal.a == \"1\" && \"2\" == principal.b && [\"3\", \"4\"].contains(principal.c) } \
             when { principal.d == \"5\" || true } unless { principal.e == \"6\" } \
             when { !(principal.f == \"7\") && principal.g != \"8\" && principal.h like \"*\" }",
        );
        assert_eq!(
            names(&read.pins),
            ["principal.a", "principal.b", "principal.c"]
        );
        assert!(read.admits("principal.c", "4") && !read.admits("principal.c", "5"));
        assert!(read.admits("principal.z", "anything"));
    }

    #[test]
    fn a_pin_behind_something_that_can_fail_does_not_lead() {
        let read = rule(
            "action, resource",
            "when { principal.a == \"1\" && context.n + 1 > 0 && principal.b == \"2\" }",
        );
        assert_eq!(names(&read.leading), ["principal.a"]);
        assert_eq!(names(&read.pins), ["principal.a", "principal.b"]);
    }
}
