//! What the broker of these tests knows, and how it behaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri};
use jiff::{SignedDuration, Timestamp};
use jitney_api::{Problem, ProblemCode};
use serde_json::{Value, json};

use crate::proofs;

/// In every credential, and to be found nowhere else.
pub const CANARY: &str = "canary-6f1d";
/// Whom credentials of Azure are for.
pub const TENANT: &str = "6a1b5c52-0000-4000-8000-0000000000aa";
pub const CLIENT: &str = "6a1b5c52-0000-4000-8000-0000000000bb";
pub const SUBSCRIPTION: &str = "6a1b5c52-0000-4000-8000-0000000000cc";
/// Whom credentials of Google Cloud are for.
pub const PROJECT: &str = "acme-prod";
pub const ACCOUNT: &str = "jitney-pool-1@acme-pools.iam.gserviceaccount.com";
/// The bearer that a runner gives its job.
pub const RUNNER_BEARER: &str = "runner-bearer-93";

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call is heard and acted upon; its answer gets lost on the way.
    LoseAnswer,
    /// As before, but the broker notices, and takes back what it handed out.
    Undelivered,
    /// What stands before the broker answers instead.
    Gateway,
    /// The broker answers so.
    Say(Problem),
    /// It takes this long to act.
    Slow(Duration),
    /// The request is written down, its leases come to nothing, and the broker says so.
    CloudBusy,
}

#[derive(Debug, Default)]
pub struct Lease {
    pub request: String,
    pub state: &'static str,
    pub why: Option<&'static str>,
    pub beats: u32,
    pub beats_with_token: u32,
    pub renewals: u32,
    pub renewals_with_token: u32,
    pub granted_at: Timestamp,
    pub ends_at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Request {
    pub key: String,
    pub idempotency_key: String,
    pub body: Value,
    pub leases: Vec<String>,
}

/// Everything the broker knows, and how it is to behave.
#[derive(Debug)]
pub struct World {
    pub requests: BTreeMap<String, Request>,
    pub leases: BTreeMap<String, Lease>,
    pub tokens_minted: u32,
    pub tokens_used: BTreeMap<String, String>,
    pub proofs_seen: BTreeSet<String>,
    /// The calls in their order: method and path with `{id}`.
    pub calls: Vec<String>,
    /// What goes wrong with the next calls of a kind, first to last.
    pub faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// Nothing gets through, until it does again.
    pub away: bool,
    pub targets: Vec<&'static str>,
    /// What kind of credential its targets have, and those that have another one.
    pub kind: &'static str,
    pub kinds: BTreeMap<&'static str, &'static str>,
    /// Whether leases of Azure are about the data of storage accounts alone.
    pub only_storage: bool,
    pub ttl: SignedDuration,
    pub credential_ttl: SignedDuration,
    pub next_within_seconds: u32,
    pub at_absolute_end: bool,
    /// How long after its grant a lease ends whose job proves no life; absent: like any other.
    pub unproved: Option<SignedDuration>,
    /// What clouds say of a credential, first to last, and what they say after that.
    pub probes: VecDeque<&'static str>,
    pub probes_end_with: &'static str,
    pub in_force_within_seconds: u32,
    /// How far this broker's clock is ahead of the machine's.
    pub clock_ahead: SignedDuration,
}

impl Default for World {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            leases: BTreeMap::new(),
            tokens_minted: 0,
            tokens_used: BTreeMap::new(),
            proofs_seen: BTreeSet::new(),
            calls: Vec::new(),
            faults: BTreeMap::new(),
            away: false,
            targets: vec!["prod"],
            kind: "aws-session",
            kinds: BTreeMap::new(),
            only_storage: false,
            ttl: SignedDuration::from_mins(15),
            credential_ttl: SignedDuration::from_mins(15),
            next_within_seconds: 45,
            at_absolute_end: false,
            unproved: None,
            probes: VecDeque::new(),
            probes_end_with: "accepted",
            in_force_within_seconds: 120,
            clock_ahead: SignedDuration::ZERO,
        }
    }
}

impl World {
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.clock_ahead
    }

    pub fn only_lease(&self) -> &Lease {
        assert_eq!(self.leases.len(), 1, "{:?}", self.leases);
        self.leases.values().next().unwrap()
    }

    pub fn end(&mut self, why: &'static str) {
        for lease in self.leases.values_mut() {
            lease.state = "ended";
            lease.why = Some(why);
        }
    }

    /// The calls to the broker; those to the token service are not among them.
    pub fn broker_calls(&self) -> usize {
        self.calls.len() - self.count("GET /github/token")
    }

    pub fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|made| *made == call).count()
    }

    pub fn lease_view(&self, id: &str) -> Value {
        let lease = &self.leases[id];
        json!({
            "id": id, "request": lease.request, "target": target_of(id), "cloud": "aws",
            "state": lease.state, "scopes": ["object-storage:write@artifacts/"],
            "handle": format!("jitney-{id}"), "granted_at": lease.granted_at.to_string(),
            "ends_at": lease.ends_at.to_string(),
            "absolute_end": (self.now() + SignedDuration::from_hours(1)).to_string(),
            "recall": { "kind": "severs", "within_seconds": 10 },
            "why": lease.why, "plan_summary": [], "not_known_to_clients": true,
        })
    }

    pub fn credential_view(&self, id: &str) -> Value {
        let mint = self.leases[id].renewals;
        let expires_at = self.now() + self.credential_ttl;
        let kind = self.kinds.get(target_of(id)).unwrap_or(&self.kind);
        let (mut fields, settings) = minted(kind, mint);
        if self.only_storage {
            fields["access_token"] = fields["storage_access_token"].clone();
        }
        json!({
            "lease": id, "kind": kind, "expires_at": expires_at.to_string(),
            "fields": fields, "settings": settings,
        })
    }

    pub fn request_view(&self, id: &str, first: bool) -> Value {
        let request = &self.requests[id];
        let leases: Vec<_> = request
            .leases
            .iter()
            .map(|id| self.lease_view(id))
            .collect();
        let mut view = json!({
            "id": id, "state": "granted", "scopes": request.body["scopes"],
            "ttl_seconds": self.ttl.as_secs(), "leases": leases,
            "decision": { "verdict": "allow", "rules": ["allow-deploy"], "reasons": [] },
        });
        if first {
            let minted = request.leases.iter().map(|id| self.credential_view(id));
            view["credentials"] = minted.collect();
        }
        view
    }

    pub fn grant(&mut self, key: String, idempotency_key: String, body: Value) -> String {
        let id = format!("req_{}", self.requests.len());
        let mut leases = Vec::new();
        for target in self.targets.clone() {
            let lease_id = format!("lease_{}_{target}", self.requests.len());
            let lease = Lease {
                request: id.clone(),
                state: "active",
                granted_at: self.now(),
                ends_at: self.now() + self.ttl,
                ..Lease::default()
            };
            self.leases.insert(lease_id.clone(), lease);
            leases.push(lease_id);
        }
        let request = Request {
            key,
            idempotency_key,
            body,
            leases,
        };
        self.requests.insert(id.clone(), request);
        id
    }
}

/// What clouds give: secret fields, and settings.
fn minted(kind: &str, mint: u32) -> (Value, Value) {
    let token = format!("{CANARY}-token-{mint}");
    let slot = json!({ "tenant_id": TENANT, "client_id": CLIENT, "subscription_id": SUBSCRIPTION });
    match kind {
        "azure-token" => {
            let storage = format!("{CANARY}-storage-{mint}");
            let fields = json!({ "access_token": token, "storage_access_token": storage });
            (fields, slot)
        }
        "azure-assertion" => {
            let mut settings = slot;
            settings["authority_host"] = json!("https://login.microsoftonline.com");
            let assertion = format!("{CANARY}-assertion-{mint}");
            (json!({ "assertion": assertion }), settings)
        }
        "gcp-token" => {
            let settings = json!({ "project_id": PROJECT, "service_account": ACCOUNT });
            (json!({ "access_token": token }), settings)
        }
        _ => (
            json!({
                "access_key_id": format!("ASIA{mint}"),
                "secret_access_key": format!("{CANARY}-secret-{mint}"),
                "session_token": token,
            }),
            json!({ "region": "eu-west-1", "account_id": "123456789012" }),
        ),
    }
}

fn target_of(lease: &str) -> &str {
    lease.rsplit('_').next().unwrap()
}

pub fn no(code: ProblemCode) -> Box<Problem> {
    Box::new(Problem::new(code, ""))
}

pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("authorization")?.to_str().unwrap();
    Some(value.strip_prefix("Bearer ").unwrap().to_owned())
}

impl World {
    /// The thumbprint of the key that proves this call.
    pub fn prove(
        &mut self,
        origin: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<String, Box<Problem>> {
        let proof = headers.get("dpop").ok_or(no(ProblemCode::MissingProof))?;
        let url = format!("{origin}{}", uri.path());
        let proof = proofs::read(proof.to_str().unwrap(), bearer(headers).as_deref())
            .map_err(|_| no(ProblemCode::BadProof))?;
        if proof.method != method.as_str() || proof.url != url {
            return Err(no(ProblemCode::ProofMismatch));
        }
        let age = self.now().as_second() - proof.issued_at;
        if age > 60 {
            return Err(no(ProblemCode::ProofTooOld));
        }
        if age < -60 {
            return Err(no(ProblemCode::ProofNotYetValid));
        }
        if !self.proofs_seen.insert(proof.id) {
            return Err(no(ProblemCode::ProofReplayed));
        }
        Ok(proof.thumbprint)
    }

    /// Whether the call shows a token that proves life. Another kind must not come this way.
    pub fn proves_life(&self, headers: &HeaderMap) -> Result<bool, Box<Problem>> {
        match bearer(headers) {
            None => Ok(false),
            Some(token) if token.starts_with("beat-token-") => Ok(true),
            Some(_) => Err(no(ProblemCode::BadAudience)),
        }
    }

    pub fn own_lease(&mut self, id: &str, key: &str) -> Result<&mut Lease, Box<Problem>> {
        let mine =
            |request: &Request| request.key == key && request.leases.contains(&id.to_owned());
        if !self.requests.values().any(mine) {
            return Err(no(ProblemCode::NotFound));
        }
        Ok(self.leases.get_mut(id).unwrap())
    }
}
