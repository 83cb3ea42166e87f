//! The session policy: what it allows, and the Denies around it.
//!
//! A session policy can only narrow what the role may do, but a missing Allow is no fence: a
//! resource policy that allows `*` under some condition is not limited by what a session policy
//! leaves out. An explicit Deny is, wherever it stands. So what is wanted is said three times:
//! allowed, every other action denied, and the wanted actions denied everywhere else. These are
//! two statements, because one with both `NotAction` and `NotResource` would deny their overlap
//! only.
//!
//! The last statement denies everything after the session's own end. Whatever carries this policy
//! further than the credential lives ends there too, and so does a session that is born late
//! because the answer to its call was lost.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::time::Timestamp;

use crate::arn::{BucketArn, RoleArn};
use crate::capability::{Action, Service};
use crate::policy_document::{Document, OneOrMany, Statement, beneath, literal};

/// Calls that make something which outlives the session or does not carry its tag. Whoever may
/// do everything a role may is denied these; for narrower scopes the fence around them denies
/// every action that is not wanted.
const MINTING: &[&str] = &[
    // Another role's session carries neither the tag nor this policy.
    "sts:Assume*",
    "sts:TagSession",
    "sts:GetFederationToken",
    // A registry login lives twelve hours, whatever the session does.
    "ecr:GetAuthorizationToken",
    "codeartifact:GetAuthorizationToken",
    // Credentials of another role, for up to twelve hours.
    "s3:GetDataAccess",
    "lakeformation:GetDataAccess",
    "lakeformation:GetTemp*",
    // Credentials and passwords that no policy is asked about afterwards.
    "s3express:CreateSession",
    "redshift:GetClusterCredentials*",
    "redshift-serverless:GetCredentials",
];

/// A bearer token may live so long, in seconds: it carries the session's tags, so the Deny on the
/// lease reaches it, but only for as long as that Deny is held.
pub(crate) const BEARER_SECONDS_MAX: u32 = 900;

/// What would loosen the hold on a role: its policies, its boundary, its trust, its tags, and
/// handing it to a service.
const LOOSENING: &[&str] = &[
    "iam:Put*",
    "iam:Delete*",
    "iam:Attach*",
    "iam:Detach*",
    "iam:Update*",
    "iam:Tag*",
    "iam:Untag*",
    "iam:PassRole",
];

/// How much of what is not wanted the policy closes by explicit Denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fence {
    /// Other actions, and the wanted actions on other resources.
    Whole,
    /// Other actions only: there is no room for the list of resources a second time.
    OtherActions,
}

/// Where one action is wanted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Reach {
    /// Patterns of objects.
    objects: BTreeSet<String>,
    /// Buckets with the patterns of prefixes that may be listed; none means any.
    listings: BTreeMap<String, BTreeSet<String>>,
}

/// Everything that is wanted of the objects of some buckets.
#[derive(Debug, Default, Clone)]
pub(crate) struct Objects {
    wanted: BTreeMap<Action, Reach>,
    companions: BTreeSet<Action>,
    prefix_key: &'static str,
}

/// The part of a bucket that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Whole,
    Beneath(&'a str),
    Exactly(&'a str),
}

impl Objects {
    /// Adds actions on a part of a bucket.
    pub(crate) fn want(
        &mut self,
        service: Service,
        bucket: &BucketArn,
        part: Part<'_>,
        object_actions: &[Action],
        list_actions: &[Action],
    ) {
        self.prefix_key = service.prefix_key();
        let bucket = literal(&bucket.to_string());
        let object = match part {
            Part::Whole => format!("{bucket}/*"),
            Part::Beneath(prefix) => format!("{bucket}/{}", beneath(prefix)),
            Part::Exactly(key) => format!("{bucket}/{}", literal(key)),
        };
        for action in object_actions {
            let reach = self.wanted.entry(action.clone()).or_default();
            reach.objects.insert(object.clone());
        }
        let prefix = match part {
            Part::Whole => None,
            Part::Beneath(prefix) => Some(beneath(prefix)),
            // To list by the name of one object would show every name that begins with it.
            Part::Exactly(_) => return,
        };
        for action in list_actions {
            let listings = &mut self.wanted.entry(action.clone()).or_default().listings;
            let known = listings.contains_key(&bucket);
            let prefixes = listings.entry(bucket.clone()).or_default();
            match &prefix {
                None => prefixes.clear(),
                Some(_) if known && prefixes.is_empty() => {}
                Some(prefix) => {
                    prefixes.insert(prefix.clone());
                }
            }
        }
    }

    /// Adds actions that the service calls on the job's behalf.
    pub(crate) fn tolerate(&mut self, companions: &[Action]) {
        self.companions.extend(companions.iter().cloned());
    }

    /// Writes the policy.
    pub(crate) fn document(&self, fence: Fence) -> Document {
        let mut statements = Vec::new();
        let by_objects = self.grouped(|reach| reach.objects.clone());
        let by_listings = self.grouped(|reach| reach.listings.clone());
        for (objects, actions) in &by_objects {
            statements.push(Statement::allow(actions.clone(), all(objects)));
        }
        for (listings, actions) in &by_listings {
            for (bucket, prefixes) in listings {
                let allow = Statement::allow(actions.clone(), bucket.as_str());
                statements.push(if prefixes.is_empty() {
                    allow
                } else {
                    allow.when("StringLike", self.prefix_key, all(prefixes))
                });
            }
        }
        let named = self.wanted.keys().chain(&self.companions);
        let named: BTreeSet<&str> = named.map(Action::as_str).collect();
        statements.push(Statement::deny_all_but(all(named)));
        if fence == Fence::Whole {
            for (objects, actions) in &by_objects {
                statements.push(Statement::deny_outside(actions.clone(), all(objects)));
            }
            for (listings, actions) in &by_listings {
                let buckets = all(listings.keys());
                statements.push(Statement::deny_outside(actions.clone(), buckets));
                for (bucket, prefixes) in listings.iter().filter(|(_, some)| !some.is_empty()) {
                    // A listing without a prefix has no such key; a negated test holds then too.
                    let deny = Statement::deny(actions.clone(), bucket.as_str());
                    statements.push(deny.when("StringNotLike", self.prefix_key, all(prefixes)));
                }
            }
        }
        Document::new(statements)
    }

    /// The actions that are wanted in the same places, with those places.
    fn grouped<K: Ord + IsEmpty>(&self, place: impl Fn(&Reach) -> K) -> BTreeMap<K, OneOrMany> {
        let mut groups: BTreeMap<K, OneOrMany> = BTreeMap::new();
        for (action, reach) in &self.wanted {
            let key = place(reach);
            if !key.is_nothing() {
                let actions = groups.entry(key).or_default();
                actions.0.push(action.as_str().to_owned());
            }
        }
        groups
    }
}

/// A set of places that may be no place.
trait IsEmpty {
    fn is_nothing(&self) -> bool;
}

impl IsEmpty for BTreeSet<String> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl IsEmpty for BTreeMap<String, BTreeSet<String>> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

fn all<T: Into<String> + Clone>(texts: impl IntoIterator<Item = T>) -> OneOrMany {
    texts.into_iter().collect()
}

/// The policy for everything a role may do: it allows what the role allows, less what would
/// outlive the session or loosen the hold on it.
pub(crate) fn whole_role(role: &RoleArn, protected: &[String]) -> Document {
    let mut roles = vec![literal(&role.to_string())];
    roles.extend(protected.iter().map(|arn| match arn.strip_suffix('*') {
        Some(start) => beneath(start),
        None => literal(arn),
    }));
    Document::new(vec![
        Statement::allow("*", "*"),
        Statement::deny(all(MINTING.iter().copied()), "*"),
        // `IfExists`, so that a token whose length is not told is denied.
        Statement::deny("sts:GetServiceBearerToken", "*").when(
            "NumericGreaterThanIfExists",
            "sts:DurationSeconds",
            BEARER_SECONDS_MAX.to_string(),
        ),
        Statement::deny(all(LOOSENING.iter().copied()), all(roles)),
    ])
}

/// The policy as it is sent: with the end after which it denies everything.
pub(crate) fn sent(policy: &Document, ends_at: Timestamp) -> Result<String, serde_json::Error> {
    let mut document = policy.clone();
    let end = Statement::deny("*", "*");
    document
        .statement
        .push(end.when("DateGreaterThan", "aws:CurrentTime", instant(ends_at)));
    document.compact()
}

/// As IAM reads a date: whole seconds, in UTC.
fn instant(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    text.replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn actions(names: &[&str]) -> Vec<Action> {
        let read = |name: &&str| Action::try_from((*name).to_owned()).unwrap();
        names.iter().map(read).collect()
    }

    fn bucket(name: &str) -> BucketArn {
        format!("arn:aws:s3:::{name}").parse().unwrap()
    }

    #[test]
    fn a_write_beneath_a_prefix_is_said_three_times() {
        let mut objects = Objects::default();
        let write = actions(&["s3:PutObject", "s3:AbortMultipartUpload"]);
        let part = Part::Beneath("releases/");
        objects.want(Service::S3, &bucket("artifacts-prod"), part, &write, &[]);
        objects.tolerate(&actions(&["kms:GenerateDataKey"]));
        let end = Timestamp::from_seconds(1_795_392_900);
        assert_eq!(
            sent(&objects.document(Fence::Whole), end).unwrap(),
            concat!(
                r#"{"Version":"2012-10-17","Statement":["#,
                r#"{"Effect":"Allow","Action":["s3:AbortMultipartUpload","s3:PutObject"],"#,
                r#""Resource":"arn:aws:s3:::artifacts-prod/releases/*"},"#,
                r#"{"Effect":"Deny","NotAction":["kms:GenerateDataKey","s3:AbortMultipartUpload","#,
                r#""s3:PutObject"],"Resource":"*"},"#,
                r#"{"Effect":"Deny","Action":["s3:AbortMultipartUpload","s3:PutObject"],"#,
                r#""NotResource":"arn:aws:s3:::artifacts-prod/releases/*"},"#,
                r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":"#,
                r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-11-23T00:15:00Z"}}}]}"#,
            )
        );
    }

    #[test]
    fn a_listing_is_narrowed_by_its_prefix_and_fenced_on_both_sides() {
        let mut objects = Objects::default();
        let (read, list) = (actions(&["s3:GetObject"]), actions(&["s3:ListBucket"]));
        for prefix in ["a/", "b/"] {
            let part = Part::Beneath(prefix);
            objects.want(Service::S3, &bucket("artifacts"), part, &read, &list);
        }
        let text = objects.document(Fence::Whole).compact().unwrap();
        for expected in [
            r#""Condition":{"StringLike":{"s3:prefix":["a/*","b/*"]}}"#,
            r#""Condition":{"StringNotLike":{"s3:prefix":["a/*","b/*"]}}"#,
            r#""Action":"s3:ListBucket","NotResource":"arn:aws:s3:::artifacts""#,
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn one_object_gives_no_right_to_list() {
        let mut objects = Objects::default();
        let (read, list) = (actions(&["s3:GetObject"]), actions(&["s3:ListBucket"]));
        let part = Part::Exactly("a/b");
        objects.want(Service::S3, &bucket("artifacts"), part, &read, &list);
        let text = objects.document(Fence::Whole).compact().unwrap();
        assert!(!text.contains("ListBucket"), "{text}");
        assert!(text.contains(r#""Resource":"arn:aws:s3:::artifacts/a/b""#));
    }

    #[test]
    fn two_capabilities_keep_their_own_places() {
        let mut objects = Objects::default();
        let (read, write) = (actions(&["s3:GetObject"]), actions(&["s3:PutObject"]));
        let bucket = bucket("artifacts");
        objects.want(Service::S3, &bucket, Part::Beneath("in/"), &read, &[]);
        objects.want(Service::S3, &bucket, Part::Beneath("out/"), &write, &[]);
        let text = objects.document(Fence::Whole).compact().unwrap();
        for expected in [
            r#""Action":"s3:GetObject","NotResource":"arn:aws:s3:::artifacts/in/*""#,
            r#""Action":"s3:PutObject","NotResource":"arn:aws:s3:::artifacts/out/*""#,
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_whole_bucket_needs_no_prefix_whatever_else_was_asked() {
        for order in [[None, Some("a/")], [Some("a/"), None]] {
            let mut objects = Objects::default();
            let list = actions(&["s3:ListBucket"]);
            for prefix in order {
                let part = prefix.map_or(Part::Whole, Part::Beneath);
                objects.want(Service::S3, &bucket("artifacts"), part, &[], &list);
            }
            let text = objects.document(Fence::Whole).compact().unwrap();
            assert!(!text.contains("s3:prefix"), "{text}");
        }
    }

    #[test]
    fn a_whole_role_is_denied_what_outlives_it_and_what_loosens_it() {
        let role: RoleArn = "arn:aws:iam::111122223333:role/infra".parse().unwrap();
        let others = ["arn:aws:iam::111122223333:role/jitney/*".to_owned()];
        let document = whole_role(&role, &others);
        let denied = |action: &str, resource: &str| {
            document.statement.iter().any(|statement| {
                statement.effect == crate::policy_document::Effect::Deny
                    && statement.action.0.iter().any(|known| known == action)
                    && statement.resource.0.iter().any(|known| known == resource)
            })
        };
        for action in [
            "sts:Assume*",
            "ecr:GetAuthorizationToken",
            "s3:GetDataAccess",
        ] {
            assert!(denied(action, "*"), "{action}");
        }
        for resource in [role.to_string(), others[0].clone()] {
            assert!(denied("iam:Delete*", &resource), "{resource}");
            assert!(denied("iam:PassRole", &resource), "{resource}");
        }
        let end = Timestamp::from_seconds(1_795_392_900);
        let length = sent(&document, end).unwrap().len();
        assert!(length < 1_200, "{length}");
    }
}
