//! Plans: a lease in AWS's terms. Pure; it refuses what it cannot express, and never widens.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Reach;
use jitney_core::catalogue::{Column, Derived, Resource, Wanted};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::handle::{HANDLE_LENGTH, Handle};
use jitney_core::id::{CloudName, InstallationName, TargetName};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::principal::Job;
use jitney_core::scope::Path;
use jitney_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::{BucketArn, RoleArn};
use crate::capability::Terms as Meaning;
use crate::config::AwsTarget;
use crate::deny_list::{EMPTY_CHARACTERS, ENTRY_CHARACTERS, LEASE_TAG};
use crate::limits::{
    DERIVED_SECONDS_MAX, ROLE_INLINE_CHARACTERS, SESSION_SECONDS_MIN, TAG_VALUE_LENGTH_MAX,
};
use crate::policy_document::Document;
use crate::session_policy::{BEARER_SECONDS_MAX, Fence, Objects, Part, sent, whole_role};

/// The part of a lane's name before the role's.
pub(crate) const LANE_PREFIX: &str = "role/";

/// Session tags beside the lease's own. All begin with `jitney:`, so that no rule an estate has
/// made for its own tags can match them.
const INSTALLATION_TAG: &str = "jitney:installation";
const REPOSITORY_TAG: &str = "jitney:repository";
const RUN_TAG: &str = "jitney:run";

/// The cloud's own terms of a plan, as they are stored with the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) role: RoleArn,
    pub(crate) session_name: String,
    pub(crate) duration_seconds: u32,
    pub(crate) policy: Document,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Plans for one target.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    pub(crate) cloud: CloudName,
    pub(crate) target: TargetName,
    pub(crate) installation: InstallationName,
    pub(crate) config: AwsTarget,
}

impl Planner {
    /// Translates an order.
    pub(crate) fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.check_target(order)?;
        let duration_seconds = self.duration(order)?;
        let meanings = self.meanings(order.wanted)?;
        let role = self.role(order.wanted, &meanings)?;
        let (policy, fence) = self.policy(order.wanted, &meanings, &role)?;
        let derived_seconds = derived_seconds(order.wanted, &meanings, &self.cloud);
        let terms = Terms {
            session_name: session_name(order.handle),
            tags: self.tags(order.handle, order.job),
            duration_seconds,
            policy,
            role,
        };
        Ok(Plan {
            lane: self.lane(terms.role.name()),
            lane_capacity: self.lane_capacity(),
            summary: summary(&terms)?,
            answers_within_seconds: 0,
            lands_within_seconds: self.config.lands_within_seconds(),
            lives_seconds: duration_seconds,
            derived_seconds,
            guarantees: self.guarantees(order.wanted, fence, derived_seconds, duration_seconds),
            terms: serde_json::to_value(&terms).map_err(|error| unwritable(&error))?,
        })
    }

    /// The lane of a role.
    pub(crate) fn lane(&self, role: &str) -> LaneId {
        LaneId {
            target: self.target.clone(),
            name: format!("{LANE_PREFIX}{role}"),
        }
    }

    /// The lanes of the roles by which these resources are reached.
    pub(crate) fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let named = resources
            .iter()
            .flat_map(|resource| resource.via.iter().chain([&resource.native_id]));
        let roles = named.filter_map(|arn| arn.parse::<RoleArn>().ok());
        let here = roles.filter(|role| role.account() == self.config.account);
        here.map(|role| self.lane(role.name())).collect()
    }

    /// How far anything issued in this account can reach: the longest session, and the longest
    /// that AWS lets anything derived from one live.
    pub(crate) fn reach(&self) -> Reach {
        let lives = self.config.max_session_seconds.max(DERIVED_SECONDS_MAX);
        Reach {
            issues_within: Duration::from_secs(self.config.lands_within_seconds().into()),
            lives: Duration::from_secs(lives.into()),
            settles: self.config.settle(),
            watermarks: true,
            grants_stay: false,
        }
    }

    fn check_target(&self, order: &Order<'_>) -> Result<(), CannotPlan> {
        let elsewhere = order
            .wanted
            .iter()
            .map(|wanted| &wanted.resource.target)
            .chain([order.target])
            .find(|target| **target != self.target);
        match (elsewhere, order.wanted.is_empty()) {
            (None, false) => Ok(()),
            (None, true) => Err(cannot("nothing_wanted", "no scope is asked for")),
            (Some(target), _) => {
                let ours = &self.target;
                let told = format!("target `{target}` is not the one planned for, `{ours}`");
                Err(cannot("wrong_target", told))
            }
        }
    }

    /// A session lives at least 900 s, so a shorter lease gets a session that outlives it and is
    /// cut. A longer one than the configured most is refused, never cut short in silence.
    fn duration(&self, order: &Order<'_>) -> Result<u32, CannotPlan> {
        let part = u64::from(order.ttl.subsec_nanos() > 0);
        let ttl = order.ttl.as_secs().saturating_add(part);
        let most = self.config.max_session_seconds;
        match u32::try_from(ttl) {
            Ok(ttl) if ttl <= most => Ok(ttl.max(SESSION_SECONDS_MIN)),
            _ => {
                let told = format!(
                    "{ttl} seconds were asked for: on target `{}` a lease lives at most {most}",
                    self.target
                );
                Err(cannot("ttl_too_long", told))
            }
        }
    }

    fn meanings(&self, wanted: &[Wanted]) -> Result<Vec<Meaning>, CannotPlan> {
        wanted
            .iter()
            .map(|wanted| {
                let capability = &wanted.scope.capability;
                let column = column(wanted, &self.cloud).ok_or_else(|| {
                    let told = format!("`{capability}` has no meaning on {} yet", self.cloud);
                    cannot("not_on_this_cloud", told)
                })?;
                Meaning::read(&column.terms).map_err(|why| CannotPlan {
                    code: "catalogue_unusable",
                    told: format!(
                        "`{capability}` is not usable on {}: the broker's catalogue has a mistake",
                        self.cloud
                    ),
                    logged: format!("the catalogue's terms of `{capability}`: {why}"),
                })
            })
            .collect()
    }

    /// The one role that carries everything that is wanted.
    fn role(&self, wanted: &[Wanted], meanings: &[Meaning]) -> Result<RoleArn, CannotPlan> {
        let mut roles = BTreeMap::new();
        for (wanted, meaning) in wanted.iter().zip(meanings) {
            let role = self.role_of(wanted, meaning)?;
            roles.entry(role).or_insert_with(|| wanted.scope.clone());
        }
        let mut found = roles.into_iter();
        match (found.next(), found.next()) {
            (Some((role, _)), None) => Ok(role),
            (Some((one, first)), Some((other, second))) => Err(CannotPlan {
                code: "needs_two_roles",
                told: format!(
                    "`{first}` and `{second}` are carried by different roles, and one session has \
                     one role: ask for them in two requests"
                ),
                logged: format!("`{first}` is carried by {one}, `{second}` by {other}"),
            }),
            (None, _) => Err(cannot("nothing_wanted", "no scope is asked for")),
        }
    }

    fn role_of(&self, wanted: &Wanted, meaning: &Meaning) -> Result<RoleArn, CannotPlan> {
        let (name, resource) = (&wanted.scope.resource, &wanted.resource);
        let unusable = |logged: String| CannotPlan {
            code: "resource_unusable",
            told: format!("`{name}` cannot be granted: its entry in the inventory has a mistake"),
            logged: format!("the inventory's entry `{name}`: {logged}"),
        };
        let written = match meaning {
            Meaning::Role {} => &resource.native_id,
            Meaning::Objects { .. } => resource.via.as_ref().ok_or_else(|| {
                unusable("it has no `via`: name the role that carries grants on it".to_owned())
            })?,
        };
        let role: RoleArn = written.parse().map_err(|bad| unusable(format!("{bad}")))?;
        let via = resource.via.as_ref().filter(|via| *via != written);
        if let Some(via) = via {
            return Err(unusable(format!("`via` is {via}, but it is a role itself")));
        }
        let config = &self.config;
        if role.account() != config.account || role.partition() != config.partition {
            return Err(unusable(format!(
                "{role} is not in account {} of partition {}, which target `{}` is",
                config.account, config.partition, self.target
            )));
        }
        Ok(role)
    }

    /// The widest fence that there is room for. Without any fence nothing is planned.
    fn policy(
        &self,
        wanted: &[Wanted],
        meanings: &[Meaning],
        role: &RoleArn,
    ) -> Result<(Document, Fence), CannotPlan> {
        if meanings.contains(&(Meaning::Role {})) {
            if let Some(scope) = wanted.iter().zip(meanings).find_map(with_path) {
                let told = format!("`{scope}` names a path, but a role is granted as a whole");
                return Err(cannot("path_not_allowed", told));
            }
            let document = whole_role(role, &self.config.protected_roles);
            let (fits, length) = self.fits(&document)?;
            return if fits {
                Ok((document, Fence::Whole))
            } else {
                Err(self.too_large(length))
            };
        }
        let objects = self.objects(wanted, meanings)?;
        let mut shortest = 0;
        for fence in [Fence::Whole, Fence::OtherActions] {
            let document = objects.document(fence);
            let (fits, length) = self.fits(&document)?;
            if fits {
                return Ok((document, fence));
            }
            shortest = length;
        }
        Err(self.too_large(shortest))
    }

    fn fits(&self, document: &Document) -> Result<(bool, usize), CannotPlan> {
        // Every instant of the next millennia is written with as many characters.
        let text = sent(document, Timestamp::default()).map_err(|error| unwritable(&error))?;
        let room = usize::try_from(self.config.session_policy_characters).unwrap_or(usize::MAX);
        Ok((text.len() <= room, text.len()))
    }

    fn too_large(&self, length: usize) -> CannotPlan {
        let most = self.config.session_policy_characters;
        let told = format!(
            "what is asked for needs a session policy of {length} characters, and AWS takes \
             {most}: ask for fewer scopes, or for shorter paths"
        );
        cannot("plan_too_large", told)
    }

    fn objects(&self, wanted: &[Wanted], meanings: &[Meaning]) -> Result<Objects, CannotPlan> {
        let mut objects = Objects::default();
        for (wanted, meaning) in wanted.iter().zip(meanings) {
            let Meaning::Objects {
                service,
                object_actions,
                list_actions,
                companion_actions,
            } = meaning
            else {
                continue;
            };
            let bucket = self.bucket(wanted)?;
            let part = match &wanted.scope.path {
                Path::Whole => Part::Whole,
                Path::Prefix(prefix) => Part::Beneath(prefix),
                Path::Exact(_) if object_actions.is_empty() => {
                    let scope = &wanted.scope;
                    let told = format!(
                        "`{scope}` names one object, and only a prefix can be listed: end the path \
                         in `/`"
                    );
                    return Err(cannot("path_not_allowed", told));
                }
                Path::Exact(key) => Part::Exactly(key),
            };
            objects.want(*service, &bucket, part, object_actions, list_actions);
            objects.tolerate(companion_actions);
        }
        Ok(objects)
    }

    fn bucket(&self, wanted: &Wanted) -> Result<BucketArn, CannotPlan> {
        let name = &wanted.scope.resource;
        let unusable = |logged: String| CannotPlan {
            code: "resource_unusable",
            told: format!("`{name}` cannot be granted: its entry in the inventory has a mistake"),
            logged: format!("the inventory's entry `{name}`: {logged}"),
        };
        let bucket: BucketArn = wanted
            .resource
            .native_id
            .parse()
            .map_err(|bad| unusable(format!("{bad}")))?;
        if bucket.partition() == self.config.partition {
            Ok(bucket)
        } else {
            let partition = &self.config.partition;
            Err(unusable(format!(
                "{bucket} is not in partition `{partition}`"
            )))
        }
    }

    fn tags(&self, handle: &Handle, job: &Job) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::from([
            (LEASE_TAG.to_owned(), handle.to_string()),
            (INSTALLATION_TAG.to_owned(), self.installation.to_string()),
        ]);
        if self.config.job_tags {
            let run = format!("{}/{}", job.run_id, job.run_attempt);
            tags.insert(REPOSITORY_TAG.to_owned(), tag_value(&job.repository.id));
            tags.insert(RUN_TAG.to_owned(), tag_value(&run));
        }
        tags
    }

    /// How many entries a role's deny list has room for. A successor writes the whole list under
    /// a new name before the old one goes, so a list gets half of what the role has.
    fn lane_capacity(&self) -> u32 {
        let half = (ROLE_INLINE_CHARACTERS - self.config.operator_inline_characters) / 2;
        half.saturating_sub(EMPTY_CHARACTERS) / ENTRY_CHARACTERS
    }

    fn guarantees(
        &self,
        wanted: &[Wanted],
        fence: Fence,
        derived_seconds: u32,
        duration_seconds: u32,
    ) -> Guarantees {
        let severs = self.config.severs_within_seconds();
        let mut because = vec![format!(
            "AWS cannot end a session; a Deny on its lease tag does, and is in force {severs} s \
             after the lease's end, or at the session's own end while IAM cannot be written"
        )];
        let mut recall = Recall::Severs {
            within_seconds: severs,
        };
        if fence == Fence::OtherActions {
            because.push(
                "there is no room to deny the wanted actions on other resources: a resource policy \
                 there that allows everybody under some condition would let them through"
                    .to_owned(),
            );
        }
        for derived in lasting(wanted, &self.cloud) {
            because.push(format!(
                "a {} lives up to {} s and is not stopped by the Deny",
                derived.what, derived.life_seconds
            ));
        }
        if derived_seconds > 0 {
            recall = recall.weaker(Recall::Lapses {
                within_seconds: severs.saturating_add(derived_seconds),
            });
        }
        if wanted.iter().any(|wanted| wanted.meaning.persists) {
            because.push(
                "what is made with it, such as users, keys, functions and policies, stays after \
                 the lease; the time told is that of its own credentials"
                    .to_owned(),
            );
            recall = recall.weaker(Recall::Lapses {
                within_seconds: duration_seconds.saturating_add(derived_seconds),
            });
        }
        Guarantees {
            ttl_seconds_min: severs,
            ttl_seconds_max: self.config.max_session_seconds,
            recall,
            ends_by_itself: true,
            because,
        }
    }
}

fn with_path((wanted, meaning): (&Wanted, &Meaning)) -> Option<String> {
    let is_narrowed_role = *meaning == Meaning::Role {} && wanted.scope.path != Path::Whole;
    is_narrowed_role.then(|| wanted.scope.to_string())
}

fn column<'a>(wanted: &'a Wanted, cloud: &CloudName) -> Option<&'a Column> {
    wanted.meaning.clouds.get(cloud)
}

/// What can be made with it and is not stopped when the grant ends, each once.
fn lasting<'a>(wanted: &'a [Wanted], cloud: &CloudName) -> Vec<&'a Derived> {
    let derives: BTreeMap<_, _> = wanted
        .iter()
        .filter_map(|wanted| column(wanted, cloud))
        .flat_map(|column| &column.derives)
        .filter(|derived| !derived.ends_with_grant)
        .map(|derived| ((&derived.what, derived.life_seconds), derived))
        .collect();
    derives.into_values().collect()
}

/// How long something derived may still work after the credential's own end. Whoever may do all
/// that a role may can also make a bearer token shortly before.
fn derived_seconds(wanted: &[Wanted], meanings: &[Meaning], cloud: &CloudName) -> u32 {
    let bearer = meanings
        .contains(&(Meaning::Role {}))
        .then_some(BEARER_SECONDS_MAX);
    lasting(wanted, cloud)
        .iter()
        .map(|derived| derived.life_seconds)
        .chain(bearer)
        .max()
        .unwrap_or(0)
}

/// The session's name, which is also its source identity.
fn session_name(handle: &Handle) -> String {
    const { assert!("jitney-".len() + HANDLE_LENGTH <= 64) };
    format!("jitney-{handle}")
}

/// A text within the alphabet and the length of tag values. What does not belong is replaced:
/// these tags are for people and for nothing that decides.
fn tag_value(text: &str) -> String {
    text.chars()
        .take(TAG_VALUE_LENGTH_MAX)
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c) => c,
            _ => '_',
        })
        .collect()
}

fn summary(terms: &Terms) -> Result<Vec<String>, CannotPlan> {
    let policy = terms.policy.compact().map_err(|error| unwritable(&error))?;
    Ok(vec![
        format!(
            "a session of {} for {} s, named `{}`",
            terms.role, terms.duration_seconds, terms.session_name
        ),
        format!("narrowed to {policy}, and to nothing after its end"),
    ])
}

fn cannot(code: &'static str, told: impl Into<String>) -> CannotPlan {
    let told = told.into();
    CannotPlan {
        code,
        logged: told.clone(),
        told,
    }
}

fn unwritable(error: &serde_json::Error) -> CannotPlan {
    CannotPlan {
        code: "plan_unwritable",
        told: "the plan cannot be written down".to_owned(),
        logged: format!("the plan cannot be written as JSON: {error}"),
    }
}

#[cfg(test)]
mod tests;
