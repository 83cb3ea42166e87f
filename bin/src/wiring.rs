//! Puts a broker together from its configuration. The only file that names every adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitney_aws::{AwsAdapter, AwsTarget, Identities};
use jitney_azure::{AzureAdapter, AzureTarget};
use jitney_broker::{Alarms, BrokerOptions, Hooks, MeasuredLedger, Metrics, SystemClock, Tls};
use jitney_core::adapter::Adapter;
use jitney_core::books::Books;
use jitney_core::catalogue::{Catalogue, Inventory};
use jitney_core::id::TargetName;
use jitney_core::ledger::Ledger;
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Untold};
use jitney_core::usecase::{Core, LookedBack, Slots};
use jitney_gcp::{GcpAdapter, GcpTarget};
use jitney_identity::assertions::AssertionIssuer;
use jitney_identity::hooks::{GithubHook, GitlabHook, WeakSecret};
use jitney_identity::{Issuers, Verifier};
use jitney_ledger_spool::{CannotOpen as CannotOpenSpool, Spooled};
use jitney_policies::{CannotLoad, CedarPolicies, Sources, catalogue, read_policies, read_text};
use url::Url;

use crate::configuration::{
    AlarmsSection, CloudTarget, Configuration, TlsSection, WebhookSection, WebhooksSection,
};
use crate::failure::Failure;
use crate::keys;
use crate::ledgers;
use crate::signing::OwnIssuer;

/// Everything a broker is made of. Nothing is called yet, neither cloud nor issuer.
pub async fn wire(configuration: &Configuration) -> Result<BrokerOptions, Failure> {
    wire_as(configuration, |account| {
        Identities::of(account).map_err(|error| Failure::configuration("ambient_endpoint", error))
    })
    .await
}

/// The same, with the identity in which AWS is called.
pub async fn wire_as(
    configuration: &Configuration,
    identities: impl Fn(&AwsTarget) -> Result<Identities, Failure>,
) -> Result<BrokerOptions, Failure> {
    let own_issuer = own_issuer(configuration)?;
    let mut adapters = BTreeMap::<TargetName, Arc<dyn Adapter>>::new();
    for (name, target) in &configuration.targets {
        let adapter: Arc<dyn Adapter> = match target {
            CloudTarget::Aws(account) => {
                Arc::new(aws(configuration, name, account, &identities(account)?)?)
            }
            CloudTarget::Azure(subscription) => {
                let identities = azure_identities(own_issuer.as_ref(), name, subscription)?;
                Arc::new(azure(configuration, name, subscription, identities)?)
            }
            CloudTarget::Gcp(project) => Arc::new(gcp(configuration, name, project)?),
        };
        adapters.insert(name.clone(), adapter);
    }
    let (catalogue, policies) = policies(configuration)?;
    let keys = keys::read(&configuration.keys, &configuration.installation)?;
    let metrics = Arc::<Metrics>::default();
    let ledger: Arc<dyn Ledger> = Arc::new(spooled(configuration).await?);
    let ledger: Arc<dyn Ledger> = Arc::new(MeasuredLedger::new(ledger, Arc::clone(&metrics)));
    let core = Core {
        books: Books::new(ledger, configuration.silence),
        adapters,
        policy: Arc::new(policies),
        inventory: Inventory::new(configuration.resources.clone()),
        catalogue,
        clock: Arc::new(SystemClock),
        stamp: keys.stamp,
        limits: configuration.limits.clone(),
        pulse: Pulse::default(),
        // A hand is a process: the next one must not be taken for it.
        lanes: Lanes::of(uuid::Uuid::now_v7().to_string()),
        slots: Slots::default(),
        looked_back: LookedBack::default(),
        untold: Untold::default(),
    };
    let broker = &configuration.broker;
    Ok(BrokerOptions {
        core,
        verifier: verifier(configuration)?,
        audit_key: keys.audit,
        listen: broker.listen,
        tls: broker.tls.as_ref().map(tls).transpose()?,
        public_url: broker.public_url.as_deref().map(public_url).transpose()?,
        issuer: own_issuer,
        hooks: hooks(&configuration.webhooks)?,
        metrics,
        alarms: alarms(&configuration.alarms)?,
        metrics_listen: configuration.metrics.listen,
        admin_socket: Some(configuration.admin_socket.clone()),
        lane_pause: core::time::Duration::from_millis(broker.lane_pause_milliseconds.into()),
    })
}

fn aws(
    configuration: &Configuration,
    name: &TargetName,
    account: &AwsTarget,
    identities: &Identities,
) -> Result<AwsAdapter, Failure> {
    let installation = configuration.installation.clone();
    let clock = Arc::new(SystemClock);
    AwsAdapter::new(
        name.clone(),
        account.clone(),
        installation,
        identities,
        clock,
    )
    .map_err(|error| Failure::internal(&error))
}

fn azure(
    configuration: &Configuration,
    name: &TargetName,
    subscription: &AzureTarget,
    identities: jitney_azure::Identities,
) -> Result<AzureAdapter, Failure> {
    let (installation, clock) = (configuration.installation.clone(), Arc::new(SystemClock));
    AzureAdapter::new(
        name.clone(),
        subscription.clone(),
        installation,
        identities,
        clock,
    )
    .map_err(|error| Failure::internal(&error))
}

/// With whose credentials Azure is called, and who speaks for the slots there.
pub fn azure_identities(
    own_issuer: Option<&Arc<AssertionIssuer>>,
    name: &TargetName,
    subscription: &AzureTarget,
) -> Result<jitney_azure::Identities, Failure> {
    let issuer = own_issuer.cloned().ok_or_else(|| {
        let told = format!("target `{name}` is on Azure and needs `[issuer]`");
        Failure::configuration("no_own_issuer", told)
    })?;
    let identities = jitney_azure::Identities::of(subscription, Arc::new(OwnIssuer(issuer)));
    identities.map_err(|error| {
        let told = format!("target `{name}`: {error}");
        Failure::configuration("azure_unconnected", told)
    })
}

/// The adapter of a Google Cloud project, which also knows what is to be looked at there.
pub fn gcp(
    configuration: &Configuration,
    name: &TargetName,
    project: &GcpTarget,
) -> Result<GcpAdapter, Failure> {
    let identities = jitney_gcp::Identities::of(project).map_err(|error| {
        let told = format!("`targets.{name}.credentials`: {error}");
        Failure::configuration("no_identity", told)
    })?;
    let installation = configuration.installation.clone();
    let resources = configuration.resources.values();
    let here = resources.filter(|resource| resource.target == *name);
    let (project, clock) = (project.clone(), Arc::new(SystemClock));
    GcpAdapter::new(name.clone(), project, installation, identities, clock, here)
        .map_err(|error| Failure::unreachable("no_https", error))
}

fn policies(configuration: &Configuration) -> Result<(Catalogue, CedarPolicies), Failure> {
    let failed = |error: CannotLoad| {
        let told = format!("the policies do not load:\n{error}");
        Failure::configuration("policies_do_not_load", told)
    };
    let section = &configuration.policies;
    let additions = section.catalogue_file.as_deref().map(read_text);
    let additions = additions.transpose().map_err(failed)?;
    let catalogue = catalogue(additions.as_ref()).map_err(failed)?;
    let clouds = configuration.targets.iter();
    let clouds = clouds.filter_map(|(name, target)| Some((name.clone(), target.cloud_name()?)));
    let policies = CedarPolicies::load(&Sources {
        files: read_policies(&section.directory).map_err(failed)?,
        catalogue: catalogue.clone(),
        issuers: issuers(configuration),
        clouds: clouds.collect(),
    })
    .map_err(failed)?;
    Ok((catalogue, policies))
}

fn issuers(configuration: &Configuration) -> BTreeSet<String> {
    let issuers = configuration.issuers.iter();
    issuers.map(|issuer| issuer.url.clone()).collect()
}

fn verifier(configuration: &Configuration) -> Result<Verifier, Failure> {
    let issuers = Issuers::new(configuration.issuers.clone()).map_err(|error| {
        let told = format!("{}: {error}", configuration.file.display());
        Failure::configuration("bad_issuer", told)
    })?;
    Verifier::new(issuers).map_err(|error| Failure::unreachable("no_https", error))
}

/// The ledger, with the spool before it: whoever opens one has both.
async fn spooled(configuration: &Configuration) -> Result<Spooled, Failure> {
    let inner = ledgers::open(&configuration.ledger).await?;
    let (spool, installation) = (&configuration.spool, configuration.installation.as_str());
    let clock = Arc::new(SystemClock);
    Spooled::open(inner, clock, &spool.path, installation, spool.bytes).map_err(|error| {
        let told = format!("{error} (`spool.path`)");
        match error {
            CannotOpenSpool::NotASpool(_) | CannotOpenSpool::Foreign { .. } => {
                Failure::configuration("spool_unusable", told)
            }
            CannotOpenSpool::InUse(_) | CannotOpenSpool::Failed { .. } => {
                Failure::unreachable("spool_unusable", told)
            }
        }
    })
}

fn tls(section: &TlsSection) -> Result<Tls, Failure> {
    let file = &section.certificate_file;
    let certificates_pem = std::fs::read(file).map_err(|error| {
        let told = format!(
            "the certificate `{}` cannot be read: {error}",
            file.display()
        );
        Failure::configuration("certificate_unreadable", told)
    })?;
    Ok(Tls {
        certificates_pem,
        key_pem: keys::secret_file(&section.key_file)?,
    })
}

/// The broker as an issuer, if it is one.
pub fn own_issuer(configuration: &Configuration) -> Result<Option<Arc<AssertionIssuer>>, Failure> {
    let issuer = configuration.issuer.as_ref().map(keys::issuer);
    Ok(issuer.transpose()?.map(Arc::new))
}

/// Says whether the policies load.
pub fn check_policies(configuration: &Configuration) -> Result<(), Failure> {
    policies(configuration).map(drop)
}

/// The catalogue, with the operator's additions.
pub fn catalogue_of(configuration: &Configuration) -> Result<Catalogue, Failure> {
    policies(configuration).map(|(catalogue, _)| catalogue)
}

/// Says whether the issuers hold together. None is called.
pub fn check_issuers(configuration: &Configuration) -> Result<(), Failure> {
    verifier(configuration).map(drop)
}

fn alarms(section: &AlarmsSection) -> Result<Option<Alarms>, Failure> {
    let (Some(url), Some(file)) = (&section.webhook_url, &section.secret_file) else {
        return Ok(None);
    };
    let alarms = Alarms::new(url, &keys::secret_file(file)?);
    alarms.map(Some).map_err(|error| {
        let told = format!("`alarms`: {error}");
        Failure::configuration("bad_alarms", told)
    })
}

fn hooks(section: &WebhooksSection) -> Result<Hooks, Failure> {
    let (github, gitlab) = (section.github.as_ref(), section.gitlab.as_ref());
    Ok(Hooks {
        github: github
            .map(|hook| webhook(hook, GithubHook::new))
            .transpose()?,
        gitlab: gitlab
            .map(|hook| webhook(hook, GitlabHook::new))
            .transpose()?,
    })
}

fn webhook<T>(
    section: &WebhookSection,
    new: impl FnOnce(&str, &[u8]) -> Result<T, WeakSecret>,
) -> Result<T, Failure> {
    let secret = keys::secret_file(&section.secret_file)?;
    new(&section.issuer, &secret).map_err(|error| {
        let told = format!("`{}`: {error}", section.secret_file.display());
        Failure::configuration("weak_secret", told)
    })
}

fn public_url(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        let told = format!("`broker.public_url` is not a URL: {error}");
        Failure::configuration("bad_public_url", told)
    })
}
