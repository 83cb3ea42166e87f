//! Reading: file, then environment, then every section by its own type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Map};
use jitney_azure::AzureTarget;
use jitney_core::id::TargetName;
use jitney_gcp::GcpTarget;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::complaint::{about, nearest, told};
use super::sections::{CloudTarget, Configuration, LedgerSection, Written};
use crate::failure::Failure;

/// What variables that change the configuration begin with.
const ENVIRONMENT_PREFIX: &str = "JITNEY__";
/// The largest configuration that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a configuration. `variables` is the environment: those with the prefix change keys of the
/// file, sections joined by `__`.
///
/// # Errors
/// With the file, the key, what was seen and what was expected.
pub fn read(
    file: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Configuration, Failure> {
    let text = text_of(file)?;
    let ours: Map<String, String> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
        .collect();
    let environment = Environment::with_prefix("JITNEY")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .source(Some(ours));
    let merged = Config::builder()
        .add_source(File::from_str(&text, FileFormat::Toml))
        .add_source(environment)
        .build()
        .and_then(Config::try_deserialize::<Value>)
        .map_err(|error| told(file, ".", &error.to_string()))?;
    let mut written: Written = typed(file, "", merged)?;
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let ledger = ledger(file, written.ledger.take())?.below(folder);
    checked(file, written.below(folder), ledger)
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::configuration(
            "configuration_unreadable",
            format!(
                "the configuration `{}` cannot be read: {error}; name it with `--config FILE`",
                file.display()
            ),
        )
    };
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(Failure::configuration(
            "configuration_unreadable",
            format!(
                "the configuration `{}` has {length} bytes: at most {FILE_BYTES_MAX} are read",
                file.display()
            ),
        ));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

/// Reads a value as what it should be, and says where it is not.
fn typed<T: DeserializeOwned>(file: &Path, section: &str, value: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = match (section, path.as_str()) {
            ("", path) => path.to_owned(),
            (section, ".") => section.to_owned(),
            (section, path) => format!("{section}.{path}"),
        };
        told(file, &place, &error.into_inner().to_string())
    })
}

impl Written {
    /// The same with every path taken from the configuration's own folder.
    fn below(mut self, folder: &Path) -> Self {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        self.spool.path.as_mut().map(place);
        place(&mut self.keys.stamp_secret_file);
        place(&mut self.keys.audit_key_file);
        place(&mut self.policies.directory);
        self.policies.catalogue_file.as_mut().map(place);
        if let Some(tls) = &mut self.broker.tls {
            place(&mut tls.certificate_file);
            place(&mut tls.key_file);
        }
        if let Some(issuer) = &mut self.issuer {
            issuer.below(folder);
        }
        for (_, _, webhook) in self.webhooks.named() {
            place(&mut webhook.secret_file);
        }
        self.admin.socket.as_mut().map(place);
        self.alarms.secret_file.as_mut().map(place);
        self
    }
}

fn checked(
    file: &Path,
    mut written: Written,
    ledger: LedgerSection,
) -> Result<Configuration, Failure> {
    let of_key = |(key, wrong): (&str, String)| about(file, key, &wrong);
    let limits = written.limits.checked().map_err(of_key)?;
    let silence = written.silence.checked().map_err(of_key)?;
    let beside = ledger.beside(file);
    let spool = written.spool.checked(&beside).map_err(of_key)?;
    if written.issuers.is_empty() {
        let wrong = "is empty: no job could be believed; add one `[[issuers]]`";
        return Err(about(file, "issuers", wrong));
    }
    let own = written.issuer.as_ref();
    if let Some((key, wrong)) = own.and_then(|own| own.conflict(&written.issuers)) {
        return Err(about(file, key, &wrong));
    }
    for (name, provider, webhook) in written.webhooks.named() {
        let mut issuers = written.issuers.iter();
        let known = issuers.find(|issuer| issuer.url == webhook.issuer);
        // Events of one forge never have the key of another one's job: better no section than one
        // that ends nothing.
        if known.is_none_or(|issuer| issuer.provider != provider) {
            let wrong = format!(
                "is `{}`: expected the `url` of one of the `issuers` with `provider = \
                 \"{provider}\"`, whose jobs it tells about",
                webhook.issuer
            );
            return Err(about(file, &format!("{name}.issuer"), &wrong));
        }
    }
    if written.alarms.webhook_url.is_some() != written.alarms.secret_file.is_some() {
        let wrong = "needs both `webhook_url` and `secret_file`: an alarm is signed";
        return Err(about(file, "alarms", wrong));
    }
    let mut targets = BTreeMap::new();
    for (name, value) in written.targets {
        let target = target(file, &name, value)?;
        if matches!(target, CloudTarget::Azure(_)) && written.issuer.is_none() {
            let wrong = format!(
                "is missing: target `{name}` is on Azure, whose slots are known by tokens of the \
                 broker's own; add `[issuer]`"
            );
            return Err(about(file, "issuer", &wrong));
        }
        targets.insert(name, target);
    }
    for (name, resource) in &written.resources {
        if !targets.contains_key(&resource.target) {
            let key = format!("resources.{name}.target");
            let wrong = format!(
                "is `{}`, and there is no section `[targets.{}]`",
                resource.target, resource.target
            );
            return Err(about(file, &key, &wrong));
        }
    }
    let (admin, beside) = (written.admin.socket, beside.with_extension("sock"));
    Ok(Configuration {
        file: file.to_owned(),
        installation: written.installation,
        broker: written.broker,
        ledger,
        spool,
        keys: written.keys,
        policies: written.policies,
        issuers: written.issuers,
        issuer: written.issuer,
        targets,
        resources: written.resources,
        limits,
        silence,
        webhooks: written.webhooks,
        metrics: written.metrics,
        admin_socket: admin.unwrap_or(beside),
        alarms: written.alarms,
    })
}

/// Gives the ledger's section to the ledger that it is about.
fn ledger(file: &Path, mut value: Value) -> Result<LedgerSection, Failure> {
    let postgres = value
        .as_object_mut()
        .and_then(|keys| keys.remove("postgres"));
    let Some(postgres) = postgres else {
        return Ok(LedgerSection::Sqlite(typed(file, "ledger", value)?));
    };
    let besides = value.as_object().and_then(|keys| keys.keys().next());
    if let Some(key) = besides {
        let wrong =
            "stands beside `[ledger.postgres]`: a broker has one ledger; remove one of them";
        return Err(about(file, &format!("ledger.{key}"), wrong));
    }
    let options = typed(file, "ledger.postgres", postgres)?;
    Ok(LedgerSection::Postgres(Box::new(options)))
}

impl LedgerSection {
    /// What a broker keeps on its own machine is named after this: the ledger's file, or the
    /// configuration's where the ledger is elsewhere.
    fn beside(&self, file: &Path) -> PathBuf {
        match self {
            Self::Sqlite(options) => options.path.clone(),
            Self::Postgres(_) => file.with_extension(""),
        }
    }

    /// The same with every path taken from the configuration's own folder.
    fn below(mut self, folder: &Path) -> Self {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        match &mut self {
            Self::Sqlite(options) => place(&mut options.path),
            Self::Postgres(options) => {
                options.password_file.as_mut().map(place);
                options.certificate_authorities_file.as_mut().map(place);
            }
        }
        self
    }
}

/// Gives a target's section to the adapter of its cloud.
fn target(file: &Path, name: &TargetName, mut value: Value) -> Result<CloudTarget, Failure> {
    let section = format!("targets.{name}");
    let cloud = value
        .as_object_mut()
        .and_then(|keys| keys.remove("cloud"))
        .ok_or_else(|| {
            about(
                file,
                &format!("{section}.cloud"),
                &format!("is missing: expected one of {}", clouds()),
            )
        })?;
    match cloud.as_str() {
        Some("aws") => Ok(CloudTarget::Aws(Box::new(typed(file, &section, value)?))),
        Some("azure") => {
            let target: AzureTarget = typed(file, &section, value)?;
            let folder = file.parent().unwrap_or_else(|| Path::new(""));
            Ok(CloudTarget::Azure(Box::new(target.below(folder))))
        }
        Some("gcp") => {
            let folder = file.parent().unwrap_or_else(|| Path::new(""));
            let project = typed::<GcpTarget>(file, &section, value)?.below(folder);
            Ok(CloudTarget::Gcp(Box::new(project)))
        }
        other => {
            let seen = other.map_or_else(|| cloud.to_string(), str::to_owned);
            let meant = nearest(&seen, CloudTarget::CLOUDS);
            let meant = meant.map_or_else(clouds, |meant| format!("`{meant}`"));
            let wrong = format!("is `{seen}`: expected {meant}");
            Err(about(file, &format!("{section}.cloud"), &wrong))
        }
    }
}

fn clouds() -> String {
    let clouds: Vec<String> = CloudTarget::CLOUDS
        .iter()
        .map(|it| format!("`{it}`"))
        .collect();
    clouds.join(", ")
}
