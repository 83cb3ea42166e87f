//! A question in Cedar's terms: the job and the resource as entities, the wish as the context.
//! Every id is made by a typed constructor. Nothing of a request ever becomes policy text.

use std::collections::BTreeSet;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Value, Schema,
};
use jitney_core::catalogue::Wanted;
use jitney_core::decision::Question;
use jitney_core::guarantee::Recall;
use jitney_core::id::CloudName;
use jitney_core::principal::{Job, JobKey, Origin};
use jitney_core::scope::Path;

/// One scope of a question, ready to be asked.
pub(crate) struct Facts {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Why a question cannot be put: a text for the log.
pub(crate) type Unaskable = String;

/// Puts one scope of a question into Cedar's terms and checks it against the schema.
///
/// # Errors
/// When it does not conform, which the caller answers with a denial.
pub(crate) fn facts(
    question: &Question<'_>,
    wanted: &Wanted,
    cloud: &CloudName,
    schema: &Schema,
) -> Result<Facts, Unaskable> {
    let job = job_entity(&question.principal.job)?;
    let resource = resource_entity(wanted, cloud)?;
    let action = uid("Action", &wanted.scope.capability.to_string())?;
    let context = Context::from_pairs(context_of(question, wanted)?).map_err(told)?;
    let request = Request::new(job.uid(), action, resource.uid(), context, Some(schema));
    Ok(Facts {
        request: request.map_err(told)?,
        entities: Entities::from_entities([job, resource], Some(schema)).map_err(told)?,
    })
}

fn told(error: impl core::fmt::Display) -> Unaskable {
    error.to_string()
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Unaskable> {
    let kind: EntityTypeName = kind.parse().map_err(told)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// The job's uid: issuer and key, each with its length, so that a job of one issuer can never be
/// taken for a job of another.
fn job_uid(job: &Job) -> Result<EntityUid, Unaskable> {
    let id = JobKey::from_parts([job.issuer.as_str(), job.key.as_str()]);
    uid("Job", id.as_str())
}

fn one_of(kind: &str, word: &str) -> Result<Value, Unaskable> {
    Ok(Value::new_entity_uid(uid(kind, word)?))
}

fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

/// Attributes by name. What is absent stays absent: it is never an empty text, which a rule could
/// match.
#[derive(Default)]
struct Attributes(Vec<(String, Value)>);

impl Attributes {
    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }

    fn with_text(self, name: &str, value: &str) -> Self {
        self.with(name, text(value))
    }

    fn with_optional(self, name: &str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn record(self) -> Result<Value, Unaskable> {
        Value::new_record(self.0).map_err(told)
    }
}

fn job_entity(job: &Job) -> Result<Entity, Unaskable> {
    let repository = Attributes::default()
        .with_text("id", &job.repository.id)
        .with_text("owner_id", &job.repository.owner_id)
        .with_text("path", &job.repository.path)
        .with_optional("visibility", job.repository.visibility.as_deref().map(text));
    let git_ref = Attributes::default()
        .with_text("full", &job.git_ref.full)
        .with_text("kind", &job.git_ref.kind)
        .with_optional("protected", job.git_ref.protected.map(Value::new_bool));
    let workflow = Attributes::default()
        .with_text("top_ref", &job.workflow.top_ref)
        .with_text("top_sha", &job.workflow.top_sha)
        .with_text("job_ref", &job.workflow.job_ref)
        .with_text("job_sha", &job.workflow.job_sha);
    let actor = Attributes::default()
        .with_text("id", &job.actor.id)
        .with_text("login", &job.actor.login);
    let origin = match job.origin {
        Origin::Same => "same",
        Origin::Fork => "fork",
        Origin::CannotTell => "cannot-tell",
    };
    let attributes = Attributes::default()
        .with_text("provider", &job.provider.to_string())
        .with_text("issuer", &job.issuer)
        .with("repository", repository.record()?)
        .with("origin", one_of("Origin", origin)?)
        .with("git_ref", git_ref.record()?)
        .with_text("sha", &job.sha)
        .with("workflow", workflow.record()?)
        .with_optional("environment", job.environment.as_deref().map(text))
        .with_text("event", &job.event)
        .with("actor", actor.record()?)
        .with_text("run_id", &job.run_id)
        .with_text("run_attempt", &job.run_attempt)
        .with_optional("job_id", job.job_id.as_deref().map(text))
        .with_optional("runner", job.runner.as_deref().map(text));
    let tags = job
        .properties
        .iter()
        .map(|(name, value)| (name.clone(), text(value)));
    Entity::new_with_tags(job_uid(job)?, attributes.0, [], tags).map_err(told)
}

fn resource_entity(wanted: &Wanted, cloud: &CloudName) -> Result<Entity, Unaskable> {
    let resource = &wanted.resource;
    let name = wanted.scope.resource.as_str();
    let attributes = Attributes::default()
        .with_text("name", name)
        .with_text("native_id", &resource.native_id)
        .with_text("target", resource.target.as_str())
        .with_text("cloud", cloud.as_str())
        .with("tier", one_of("Tier", &resource.tier.to_string())?)
        .with_text("owner", &resource.owner);
    Entity::new_with_tags(uid("Resource", name)?, attributes.0, [], []).map_err(told)
}

fn context_of(question: &Question<'_>, wanted: &Wanted) -> Result<Vec<(String, Value)>, Unaskable> {
    let recall = question.guarantees.map(|guarantees| guarantees.recall);
    // Rounded up: a lease of 900.5 seconds is longer than 900.
    let part = u64::from(question.ttl.subsec_nanos() > 0);
    let ttl = question.ttl.as_secs().saturating_add(part);
    let ends_within = recall.map(|recall| match recall {
        Recall::Severs { within_seconds } | Recall::Lapses { within_seconds } => within_seconds,
    });
    let attributes = Attributes::default()
        .with(
            "ttl_seconds",
            Value::new_long(i64::try_from(ttl).unwrap_or(i64::MAX)),
        )
        .with_text("reason", question.reason)
        .with("tier", one_of("Tier", &wanted.tier().to_string())?)
        .with("path", path_record(&wanted.scope.path)?)
        .with(
            "severs",
            Value::new_bool(matches!(recall, Some(Recall::Severs { .. }))),
        )
        .with_optional(
            "ends_within_seconds",
            ends_within.map(|seconds| Value::new_long(i64::from(seconds))),
        );
    Ok(attributes.0)
}

fn path_record(path: &Path) -> Result<Value, Unaskable> {
    let (kind, whole_text) = match path {
        Path::Whole => ("whole", ""),
        Path::Prefix(text) => ("prefix", text.as_str()),
        Path::Exact(text) => ("exact", text.as_str()),
    };
    Attributes::default()
        .with("kind", one_of("PathKind", kind)?)
        .with_text("text", whole_text)
        .with(
            "within",
            Value::new_set(prefixes(whole_text).iter().map(|prefix| text(prefix))),
        )
        .record()
}

/// Every prefix that covers a path, each ending in `/`. A rule asks whether one of them is in the
/// set, so that it needs no pattern and `releases/` cannot cover `releases-evil/`.
fn prefixes(path: &str) -> BTreeSet<String> {
    let mut prefixes = BTreeSet::new();
    let mut so_far = String::new();
    for segment in path.split_inclusive('/').filter(|part| part.ends_with('/')) {
        so_far.push_str(segment);
        prefixes.insert(so_far.clone());
    }
    prefixes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_prefixes_of_a_path_are_whole_segments() {
        let of = |path: &str| prefixes(path).into_iter().collect::<Vec<_>>();
        assert_eq!(of("releases/1.2/app.tar"), ["releases/", "releases/1.2/"]);
        assert_eq!(of("releases/"), ["releases/"]);
        assert_eq!(of("releases-evil/x"), ["releases-evil/"]);
        assert!(of("releases").is_empty());
        assert!(of("").is_empty());
    }

    #[test]
    fn the_prefixes_are_those_that_core_says_cover_it() {
        let path = Path::parse("a/b-c/d").unwrap();
        for prefix in prefixes("a/b-c/d") {
            assert!(Path::parse(&prefix).unwrap().covers(&path), "{prefix}");
        }
    }

    #[test]
    fn jobs_of_two_issuers_are_two_jobs() {
        let job = |issuer: &str, key: &str| -> Job {
            let mut job = crate::world::deploy_job();
            job["issuer"] = issuer.into();
            job["key"] = key.into();
            serde_json::from_value(job).unwrap()
        };
        let uid = |issuer, key| job_uid(&job(issuer, key)).unwrap();
        assert_eq!(uid("https://a", "1"), uid("https://a", "1"));
        assert_ne!(uid("https://a", "1"), uid("https://b", "1"));
        assert_ne!(uid("https://a", "1"), uid("https://a", "2"));
        assert_ne!(uid("https://a|1", "2"), uid("https://a", "1|2"));
    }

    #[test]
    fn ids_with_quotes_stay_ids() {
        let hostile = r#"x" || principal == Job::"y"#;
        let made = uid("Job", hostile).unwrap();
        let read: EntityUid = made.to_string().parse().unwrap();
        assert_eq!(read.id().unescaped(), hostile);
    }
}
