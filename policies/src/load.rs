//! From files to a policy that can be asked. Everything that is wrong is reported in one go, with
//! its place; nothing is served before all of it is right.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use jitney_core::catalogue::Catalogue;
use jitney_core::decision::PolicyDigest;
use jitney_core::id::{CloudName, TargetName};

use crate::digest::digest_of;
use crate::nearest::Neighbours;
use crate::problem::{CannotLoad, Finder, Place, Problem};
use crate::review::{review_annotations, review_rule};
use crate::rule::Rule;
use crate::schema::{SCHEMA, SCHEMA_NAME, groups, schema_for};
use crate::shape::review_shape;
use crate::slices::Slices;
use crate::sources::{FILES_MAX, SourceFile};

/// The most rules of one broker, over all files.
pub const RULES_MAX: usize = 20_000;

const GUARDRAILS_NAME: &str = "guardrails.cedar";
const GUARDRAILS: &str = include_str!("../guardrails.cedar");

/// What a policy is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The operator's rules.
    pub files: Vec<SourceFile>,
    /// The catalogue in force: rules may name its capabilities and no others.
    pub catalogue: Catalogue,
    /// The issuers whose tokens are trusted. When there are several, each `permit` must say whose
    /// ids it means.
    pub issuers: BTreeSet<String>,
    /// The cloud of each target.
    pub clouds: BTreeMap<TargetName, CloudName>,
}

/// The policy of a broker: guardrails and the operator's rules, read, checked and dealt out.
#[derive(Debug)]
pub struct CedarPolicies {
    pub(crate) schema: Schema,
    pub(crate) clouds: BTreeMap<TargetName, CloudName>,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) slices: Slices,
    pub(crate) neighbours: Neighbours,
    pub(crate) digest: PolicyDigest,
}

impl CedarPolicies {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// With every problem that was found, when there is one.
    pub fn load(sources: &Sources) -> Result<Self, CannotLoad> {
        let schema = schema_for(&sources.catalogue)?;
        let reader = Reader {
            validator: Validator::new(schema.clone()),
            members: groups(&sources.catalogue),
            issuers: &sources.issuers,
        };
        let guardrails = SourceFile {
            name: GUARDRAILS_NAME.to_owned(),
            text: GUARDRAILS.to_owned(),
        };
        let mut files: Vec<&SourceFile> = sources.files.iter().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut problems = file_problems(&files);
        let mut rules = BTreeMap::new();
        for file in core::iter::once(&guardrails).chain(files.iter().copied()) {
            match reader.read(file) {
                Ok(found) => collect(found, &mut rules, &mut problems),
                Err(found) => problems.extend(found),
            }
        }
        if rules.len() > RULES_MAX {
            let message = format!(
                "there are {} rules, at most {RULES_MAX} are taken",
                rules.len()
            );
            problems.push(Problem::new(GUARDRAILS_NAME, None, "too_many", message));
        }
        if !problems.is_empty() {
            return Err(CannotLoad { problems });
        }
        let slices = Slices::of(rules.values()).map_err(|error| {
            let message = error.to_string();
            CannotLoad::one(Problem::new(GUARDRAILS_NAME, None, "bad_policy", message))
        })?;
        Ok(Self {
            schema,
            clouds: sources.clouds.clone(),
            neighbours: Neighbours::of(rules.values()),
            rules,
            slices,
            digest: digest(&sources.catalogue, &files)?,
        })
    }
}

fn digest(catalogue: &Catalogue, files: &[&SourceFile]) -> Result<PolicyDigest, CannotLoad> {
    let catalogue = serde_json::to_string(catalogue).map_err(|error| {
        let name = crate::catalogue::BUILT_IN_NAME;
        CannotLoad::one(Problem::new(name, None, "bad_catalogue", error.to_string()))
    })?;
    let ours = [
        (SCHEMA_NAME, SCHEMA),
        ("catalogue", catalogue.as_str()),
        (GUARDRAILS_NAME, GUARDRAILS),
    ];
    let theirs = files
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_str()));
    Ok(digest_of(ours.into_iter().chain(theirs)))
}

fn file_problems(files: &[&SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::from([GUARDRAILS_NAME]);
    for file in files {
        if !names.insert(&file.name) {
            let message = "there are two files of this name";
            problems.push(
                Problem::new(&file.name, None, "duplicate_file", message)
                    .advise("give each file a name of its own: decisions name it"),
            );
        }
    }
    if files.len() > FILES_MAX {
        let message = format!(
            "there are {} files, at most {FILES_MAX} are read",
            files.len()
        );
        problems.push(Problem::new(GUARDRAILS_NAME, None, "too_many", message));
    }
    problems
}

fn collect(
    found: Vec<(Place, Rule)>,
    rules: &mut BTreeMap<String, Rule>,
    problems: &mut Vec<Problem>,
) {
    for (place, rule) in found {
        match rules.get(&rule.id) {
            Some(first) => {
                let message = format!("the id `{}` is taken by a rule of {}", rule.id, first.file);
                problems.push(
                    Problem::new(&rule.file, Some(place), "duplicate_id", message)
                        .advise("give each rule an id of its own: decisions name it"),
                );
            }
            None => {
                rules.insert(rule.id.clone(), rule);
            }
        }
    }
}

/// Reads files against one schema.
struct Reader<'a> {
    validator: Validator,
    members: BTreeMap<String, BTreeSet<String>>,
    issuers: &'a BTreeSet<String>,
}

impl Reader<'_> {
    fn read(&self, file: &SourceFile) -> Result<Vec<(Place, Rule)>, Vec<Problem>> {
        if let Some(problem) = review_shape(&file.name, &file.text) {
            return Err(vec![problem]);
        }
        let parsed: PolicySet = file.text.parse().map_err(|errors| syntax(file, &errors))?;
        let mut problems = Vec::new();
        if let Some(template) = parsed.templates().next() {
            let place = file.text.find(&template.to_cedar());
            let place = place.map(|offset| Place::at(&file.text, offset));
            problems.push(
                Problem::new(&file.name, place, "template", "the rule has an open slot")
                    .advise("write the value where `?principal` or `?resource` stands"),
            );
        }
        let mut set = PolicySet::new();
        let mut placed = Vec::new();
        for (place, policy) in in_order(file, &parsed) {
            let found = review_annotations(&file.name, Some(place), &policy);
            if !found.is_empty() {
                problems.extend(found);
                continue;
            }
            let id = policy.annotation("id").unwrap_or_default();
            let named = policy.new_id(PolicyId::new(id));
            match set.add(named.clone()) {
                Ok(()) => placed.push((place, named)),
                Err(_) => problems.push(
                    Problem::new(
                        &file.name,
                        Some(place),
                        "duplicate_id",
                        format!("the id `{id}` is taken by another rule of this file"),
                    )
                    .advise("give each rule an id of its own: decisions name it"),
                ),
            }
        }
        problems.extend(self.validate(file, &set));
        let mut rules = Vec::new();
        for (place, policy) in placed {
            match Rule::read(&file.name, policy, &self.members) {
                Ok(rule) => {
                    problems.extend(review_rule(Some(place), &rule, self.issuers));
                    rules.push((place, rule));
                }
                Err(error) => problems.push(Problem::new(
                    &file.name,
                    Some(place),
                    "bad_policy",
                    error.to_string(),
                )),
            }
        }
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }

    /// Strict validation. A warning counts as an error: each says that the rule does not mean what
    /// it seems to (look-alike letters, hidden direction marks, conditions that never hold).
    fn validate(&self, file: &SourceFile, set: &PolicySet) -> Vec<Problem> {
        let result = self.validator.validate(set, ValidationMode::Strict);
        let problem = |found| Problem::from_cedar(&file.name, &file.text, "bad_policy", found);
        let errors = result.validation_errors().map(|error| problem(error));
        let warnings = result.validation_warnings().map(|warning| problem(warning));
        errors.chain(warnings).collect()
    }
}

fn syntax(file: &SourceFile, errors: &cedar_policy::ParseErrors) -> Vec<Problem> {
    errors
        .iter()
        .map(|error| Problem::from_cedar(&file.name, &file.text, "bad_syntax", error))
        .collect()
}

/// The policies of a file in the order in which they stand, each with the place where it begins.
/// Cedar numbers them as it reads.
fn in_order(file: &SourceFile, parsed: &PolicySet) -> Vec<(Place, Policy)> {
    let number = |policy: &Policy| {
        let digits = policy.id().to_string();
        digits
            .trim_start_matches("policy")
            .parse()
            .unwrap_or(usize::MAX)
    };
    let mut policies: Vec<Policy> = parsed.policies().cloned().collect();
    policies.sort_by_key(number);
    let mut finder = Finder::new(&file.text);
    policies
        .into_iter()
        .map(|policy| {
            let text = policy.to_cedar().unwrap_or_default();
            (finder.find(&text), policy)
        })
        .collect()
}
