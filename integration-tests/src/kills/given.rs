//! What the clouds gave, as their own books have it: each cloud's words said in one way.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jitney_sandbox::SessionInfo;
use jitney_sandbox::azure::{GrantInfo, Origin as GrantOrigin};
use jitney_sandbox::gcp::{Origin, Verdict};
use uuid::Uuid;

use super::estate::aws::arn_of_bucket;
use super::estate::{azure, google};
use super::lanes::{Vendor, Way, carried_by, lanes_of};
use super::{Cloud, role_of};

/// The session tag that carries a lease's handle on AWS.
const LEASE_TAG: &str = "jitney:lease";
/// What stands before a handle in the title of a condition on Google Cloud, and before and behind
/// it in a description on Azure.
const TITLE: &str = "jitney:acme-jitney:";
const DESCRIPTION: (&str, &str) = ("jitney acme-jitney ", " gives ");

/// What a job can do something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A session or a token.
    Credential,
    /// A role assignment or a binding, by which credentials work.
    Right,
}

/// What tells which lease it was given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bears {
    /// The lease's own name.
    Handle(String),
    /// The identity that it was given to, as the ledger calls that lane.
    Slot(String),
    /// Nothing of ours.
    Nothing,
}

/// One thing that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// By whom.
    pub vendor: Vendor,
    /// What kind of thing.
    pub what: What,
    /// What the cloud knows it by.
    pub id: String,
    /// Whose.
    pub bears: Bears,
    /// Since when; not every cloud remembers it of a right.
    pub since: Option<Timestamp>,
    /// Until when at the latest; of a right that stands nobody knows.
    pub until: Option<Timestamp>,
    /// Whether the cloud lets it through now; of a right, whether it gives anything now, or will.
    pub works: bool,
}

/// Everything that was ever given, as far as the clouds remember, also what nobody was told of.
pub(super) async fn given(cloud: &Cloud) -> Vec<Given> {
    let mut given = on_aws(cloud).await;
    given.extend(on_google(cloud));
    given.extend(on_azure(cloud));
    given
}

/// What every lease of these lanes allows.
const ACTION: &str = "s3:PutObject";

async fn on_aws(cloud: &Cloud) -> Vec<Given> {
    let mut given = Vec::new();
    for session in cloud.sessions().await {
        let works = match probed(&session) {
            Some(object) => {
                let session = &session.access_key_id;
                cloud.would_allow(session, ACTION, &object).await
            }
            None => false,
        };
        let handle = session.tags.get(LEASE_TAG).cloned();
        given.push(Given {
            vendor: Vendor::Aws,
            what: What::Credential,
            id: session.access_key_id,
            bears: handle.map_or(Bears::Nothing, Bears::Handle),
            since: Some(session.issued),
            until: Some(session.expires),
            works,
        });
    }
    given
}

/// Where a session is tried; nothing when it is of no lane of ours.
fn probed(session: &SessionInfo) -> Option<String> {
    let is_of = |lane: &usize| session.role_arn.ends_with(&format!("/{}", role_of(*lane)));
    let lane = lanes_of(Vendor::Aws).find(is_of)?;
    Some(format!("{}/releases/probe", arn_of_bucket(lane)))
}

/// What every lease of these lanes allows.
const PERMISSION: &str = "storage.objects.get";

fn on_google(cloud: &Cloud) -> Vec<Given> {
    let lanes: BTreeMap<String, (usize, String)> = lanes_of(Vendor::Google)
        .flat_map(|lane| google::accounts_of(lane).map(move |account| (lane, account)))
        .map(|(lane, account)| {
            let slot = google::slot_of(lane, &account);
            (format!("serviceAccount:{account}"), (lane, slot))
        })
        .collect();
    let tokens = cloud.google.tokens().into_iter().filter_map(|token| {
        let (lane, slot) = lanes.get(&token.principal)?;
        // What is narrowed was made from a token that the broker keeps to itself.
        let handed_out = match Way::of(*lane) {
            Way::Bounded => token.origin == Origin::Boundary,
            Way::Account | Way::Standing | Way::Session | Way::Rbac | Way::Pim => true,
        };
        if !handed_out {
            return None;
        }
        let (google, object) = (&cloud.google, google::object_of(*lane));
        let verdict = google.would_allow(&token.fingerprint, PERMISSION, &object);
        Some(Given {
            vendor: Vendor::Google,
            what: What::Credential,
            works: verdict == Some(Verdict::Allowed),
            bears: Bears::Slot(slot.clone()),
            since: Some(token.issued),
            until: Some(token.expires),
            id: token.fingerprint,
        })
    });
    let rights = carried_by(Way::Account)
        .flat_map(google::accounts_of)
        .flat_map(|account| cloud.google.standing(&account).bindings)
        .map(|binding| {
            let title = binding.title.unwrap_or_default();
            let handle = title.strip_prefix(TITLE).map(str::to_owned);
            Given {
                vendor: Vendor::Google,
                what: What::Right,
                id: format!("{} on {}", binding.role, binding.resource),
                bears: handle.map_or(Bears::Nothing, Bears::Handle),
                since: None,
                until: None,
                works: true,
            }
        });
    tokens.chain(rights).collect()
}

fn on_azure(cloud: &Cloud) -> Vec<Given> {
    let now = cloud.azure.clock().now();
    let mut slots: BTreeMap<Uuid, Option<String>> = BTreeMap::new();
    let mut slot_of = |principal: Uuid| {
        let known = slots.entry(principal);
        known.or_insert_with(|| azure::slot_of(principal)).clone()
    };
    let mut given = Vec::new();
    for token in cloud.azure.tokens() {
        // The others are the broker's own.
        if let Some(slot) = slot_of(token.principal) {
            let enforced = || !cloud.azure.enforced_at(token.principal, now).is_empty();
            given.push(Given {
                vendor: Vendor::Azure,
                what: What::Credential,
                works: now < token.expires && enforced(),
                id: token.id,
                bears: Bears::Slot(slot),
                since: Some(token.issued),
                until: Some(token.expires),
            });
        }
    }
    let grants = cloud.azure.grants().into_iter();
    for grant in grants.filter(|grant| grant.origin != GrantOrigin::Estate) {
        let until = grant.enforced_until.as_ref().map(|until| {
            let until = until.parse::<Timestamp>();
            until.expect("the sandbox writes times")
        });
        given.push(Given {
            vendor: Vendor::Azure,
            what: What::Right,
            bears: stamped(&grant)
                .map(Bears::Handle)
                .or_else(|| slot_of(grant.principal).map(Bears::Slot))
                .unwrap_or(Bears::Nothing),
            id: format!("{} of {}", grant.name, grant.principal),
            since: Some(grant.listed_from),
            until,
            works: until.is_none_or(|until| now < until),
        });
    }
    given
}

/// The handle that stands in a description. PIM keeps what it is told to itself.
fn stamped(grant: &GrantInfo) -> Option<String> {
    let rest = grant.description.as_deref()?.strip_prefix(DESCRIPTION.0)?;
    Some(rest.split_once(DESCRIPTION.1)?.0.to_owned())
}
