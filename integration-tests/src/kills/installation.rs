//! What stands on disk: the estate of the cloud, the configuration, the policy and the keys of one
//! installation with several lanes.

use core::fmt::Write as _;
use core::hash::{Hash as _, Hasher as _};
use std::fs;
use std::hash::DefaultHasher;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::estate::{aws, azure, google};
use super::lanes::{LANES, TTL_SECONDS_MIN, Vendor, Way, bucket_of};
use super::{Chance, Cloud, jitney};
use crate::postgres::Server;

/// How brokers are called in the tokens of jobs.
const AUDIENCE: &str = "https://jitney.acme.example";
const POLICY: &str = include_str!("../../../policies/starter.cedar");
/// What the starter policy is about; here it is said of every lane's bucket.
const POLICY_BUCKET: &str = "artifacts-prod";
const POLICY_IDS: &str = "@id(\"shop-";
/// And what it demands of a scope's path.
const POLICY_PATH: &str = "    context.path.within.contains(\"releases/\") &&\n";
/// By whom Azure is believed, and what Google knows the broker by.
const AUTHORITIES: &str = "azure-ca.pem";
const TOKEN: &str = "google.token";
/// Ports that the system gives to nobody who does not ask: a broker that is down for a moment
/// finds its port free again.
const PORTS: core::ops::Range<u64> = 12_000..32_000;

/// Where the ledger is kept.
#[derive(Debug, Clone, Copy)]
pub enum LedgerKind {
    /// In a file of the installation's folder: one broker at a time.
    Sqlite,
    /// In a schema of its own on a server: as many brokers as there are.
    Postgres(&'static Server),
}

impl LedgerKind {
    /// The `[ledger]` section for an installation in `folder`.
    pub fn section(self, folder: &Path) -> Value {
        match self {
            Self::Sqlite => json!({ "path": folder.join("jitney.db") }),
            Self::Postgres(server) => {
                let options = server.fresh().expect("the server has a URL");
                let url = options.url.to_string();
                json!({ "postgres": { "url": url, "schema": options.schema } })
            }
        }
    }
}

/// The times that an installation is configured with.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// The longest silence of a job, in seconds.
    pub silence_seconds: u32,
    /// How long a Deny takes to count as in force, in seconds.
    pub settle_seconds: u32,
    /// The shortest time between two drives of a lane, and between two writes of a role.
    pub pause_milliseconds: u32,
    /// How long a cloud is waited for when it gives, and until a lease is doubted, in seconds.
    pub elevate_deadline_seconds: u32,
    /// See [`elevate_deadline_seconds`](Self::elevate_deadline_seconds).
    pub answer_within_seconds: u32,
}

impl Tempo {
    /// As short as the configuration lets them be, for many lives in little time.
    pub const HASTY: Self = Self {
        silence_seconds: 5,
        settle_seconds: 2,
        pause_milliseconds: 200,
        elevate_deadline_seconds: 3,
        answer_within_seconds: 5,
    };
    /// As an operator gets them who sets none.
    pub const USUAL: Self = Self {
        silence_seconds: 45,
        settle_seconds: 10,
        pause_milliseconds: 1_000,
        elevate_deadline_seconds: 10,
        answer_within_seconds: 20,
    };
}

/// One installation, as one of its brokers has it.
#[derive(Debug)]
pub struct Installation {
    folder: PathBuf,
    listen: SocketAddr,
    /// How the files of that broker alone begin.
    own: PathBuf,
    /// Where jobs find it, when something stands before its brokers.
    public: Option<String>,
}

impl Installation {
    /// The AWS estate that the installation lives in, as a file for the sandbox.
    pub fn estate(folder: &Path) -> PathBuf {
        let file = folder.join("estate.json");
        let estate = serde_json::to_string(&aws::estate()).expect("an estate is JSON");
        fs::write(&file, estate).expect("the folder can be written");
        file
    }

    /// Writes everything but the ledger, and makes the keys.
    pub fn lay_out(folder: &Path, kind: LedgerKind, tempo: Tempo, cloud: &Cloud) -> Self {
        let installation = Self {
            folder: folder.to_owned(),
            listen: free_port(folder),
            own: folder.join("one"),
            public: None,
        };
        let policies = folder.join("policies");
        fs::create_dir_all(&policies).expect("the folder can be written");
        fs::write(policies.join("lanes.cedar"), policy()).expect("the folder can be written");
        fs::write(folder.join(AUTHORITIES), cloud.azure.authority_pem())
            .expect("the folder can be written");
        let token = cloud.google.token_for(google::BROKER);
        fs::write(folder.join(TOKEN), token.expect("Google knows the broker"))
            .expect("the folder can be written");
        cloud.believes(&installation.url());
        let configuration = configuration(folder, kind, tempo, cloud, installation.listen);
        let text = toml::to_string(&configuration).expect("a configuration is TOML");
        fs::write(installation.configuration(), text).expect("the folder can be written");
        let made = installation.ask(&["keys", "init"]);
        assert!(made.status.success(), "{made:?}");
        installation
    }

    /// The same installation, as another broker beside the first one has it.
    #[must_use]
    pub fn beside(&self) -> Self {
        let own = self.folder.join("beside");
        Self {
            folder: self.folder.clone(),
            listen: free_port(&own),
            own,
            public: self.public.clone(),
        }
    }

    /// Lets jobs come to what stands before its brokers.
    pub fn stand_behind(&mut self, url: String) {
        self.public = Some(url);
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("jitney.toml")
    }

    /// Where this broker listens.
    #[must_use]
    pub const fn listens(&self) -> SocketAddr {
        self.listen
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// A command of the binary for this installation, with nothing of our own environment.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(jitney());
        self.dress(command.args(words));
        command
    }

    /// Gives a command the environment of the installation and nothing of ours.
    pub fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("JITNEY_CONFIG", self.configuration())
            .env("JITNEY__BROKER__LISTEN", self.listen.to_string())
            .env("JITNEY__SPOOL__PATH", self.own.with_extension("spool"))
            .env("JITNEY__ADMIN__SOCKET", self.own.with_extension("sock"))
            .env(
                "JITNEY_BROKER",
                self.public.clone().unwrap_or_else(|| self.url()),
            )
            .envs(
                self.public
                    .as_ref()
                    .map(|url| ("JITNEY__BROKER__PUBLIC_URL", url)),
            )
            .env("JITNEY_AUDIENCE", AUDIENCE)
            .env("AWS_ACCESS_KEY_ID", aws::ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", aws::SECRET_ACCESS_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(&self.folder);
    }

    /// Runs a command of the binary to its end.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> std::process::Output {
        self.command(words).output().expect("the binary starts")
    }
}

/// The starter policy, said of every lane's bucket.
fn policy() -> String {
    let mut policies = String::new();
    for lane in 0..LANES {
        let mut ours = POLICY
            .replace(POLICY_BUCKET, &bucket_of(lane))
            .replace(POLICY_IDS, &format!("{POLICY_IDS}{lane}-"));
        if Way::of(lane).path().is_empty() {
            ours = ours.replace(POLICY_PATH, "");
        }
        let _ = writeln!(policies, "{ours}");
    }
    policies
}

fn configuration(
    folder: &Path,
    kind: LedgerKind,
    tempo: Tempo,
    cloud: &Cloud,
    listen: SocketAddr,
) -> Value {
    let resources: Map<String, Value> = (0..LANES)
        .map(|lane| (bucket_of(lane), resource(lane)))
        .collect();
    json!({
        "installation": "acme-jitney",
        "broker": { "listen": listen, "lane_pause_milliseconds": tempo.pause_milliseconds },
        "ledger": kind.section(folder),
        "keys": { "stamp_secret_file": "stamp.key", "audit_key_file": "audit.key" },
        "policies": { "directory": "policies" },
        "issuers": [ { "name": "github", "url": cloud.ci_url(), "provider": "github-actions",
            "audience": AUDIENCE, "allow_private": true } ],
        "issuer": { "url": format!("http://{listen}"), "key_file": "issuer.pem" },
        "targets": targets(folder, tempo, cloud),
        "resources": resources,
        // All jobs are of one repository, and holds outlive their leases.
        "limits": { "answer_within_seconds": tempo.answer_within_seconds,
            "ttl_seconds_min": TTL_SECONDS_MIN,
            "leases_per_repository_max": 100_000, "leases_per_tenant_max": 100_000 },
        "silence": { "limit_seconds": tempo.silence_seconds },
    })
}

fn targets(folder: &Path, tempo: Tempo, cloud: &Cloud) -> Map<String, Value> {
    let google = google::target(cloud, tempo, &folder.join(TOKEN));
    let azure = azure::WAYS.map(|way| {
        let authorities = folder.join(AUTHORITIES);
        let target = azure::target(cloud, tempo, way, &authorities);
        (azure::target_name(way), target)
    });
    let mut targets = Map::from_iter(azure);
    targets.insert(aws::TARGET.to_owned(), aws::target(cloud, tempo));
    targets.insert(google::TARGET.to_owned(), google);
    targets
}

/// A lane's resource.
fn resource(lane: usize) -> Value {
    let mut resource = match Way::of(lane).vendor() {
        Vendor::Aws => aws::resource(lane),
        Vendor::Google => google::resource(lane),
        Vendor::Azure => azure::resource(lane),
    };
    if let Some(resource) = resource.as_object_mut() {
        resource.insert("tier".to_owned(), json!("standard"));
        resource.insert("owner".to_owned(), json!("platform"));
    }
    resource
}

/// A port that depends on the folder's name: worlds beside each other, each in a folder of its own,
/// do not look for the same one.
fn free_port(folder: &Path) -> SocketAddr {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let mut chance = Chance::of(hasher.finish());
    loop {
        let port = u16::try_from(chance.within(PORTS)).unwrap_or(u16::MAX);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
