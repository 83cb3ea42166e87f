//! A broker's life: it listens, drives what is due, and stops in order, or is killed.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum_server::Handle;
use jitney_core::audit::SigningKey;
use jitney_core::usecase::Core;
use jitney_identity::Verifier;
use jitney_identity::assertions::AssertionIssuer;
use jitney_identity::dpop::{ReplayBounds, ReplayWindow};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use url::Url;

use crate::admin::{self, socket::AdminDoor};
use crate::alarms::Alarms;
use crate::crew::Crew;
use crate::driver::Driver;
use crate::hooks::{Ears, Hooks};
use crate::listener::{CannotStart, Door, MetricsDoor, Tls};
use crate::looking_back::look_back;
use crate::metrics::Metrics;
use crate::router::{metrics_router, router};
use crate::service::{CALLS_MAX, Service};
use crate::watch::watch;

/// How often the audit log is sealed while it grows.
const SEAL_EVERY: Duration = Duration::from_secs(5);
/// How long calls under way may take once the broker is about to stop.
const CALLS_END_WITHIN: Duration = Duration::from_secs(10);
/// How long use cases and drives under way may take after that. Longer than a cloud is waited
/// for; what is cut off is found in the ledger by the next process.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for a killed broker to let go of its ledger.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// What a broker is made of.
pub struct BrokerOptions {
    /// The use cases with their ports.
    pub core: Core,
    /// Who is believed.
    pub verifier: Verifier,
    /// The key that signs the audit log.
    pub audit_key: SigningKey,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The certificate; absent means plain HTTP, on loopback only.
    pub tls: Option<Tls>,
    /// The address by which clients know the broker, when it is not the one it listens on.
    pub public_url: Option<Url>,
    /// The broker as an issuer of its own, whose documents it then publishes.
    pub issuer: Option<Arc<AssertionIssuer>>,
    /// The webhooks of CI systems.
    pub hooks: Hooks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where else to show what is counted, in plain HTTP; absent means where the broker listens,
    /// and only if that is loopback.
    pub metrics_listen: Option<SocketAddr>,
    /// Where alarms are told, beside the log.
    pub alarms: Option<Alarms>,
    /// The socket for operators; absent means that they cannot come in.
    pub admin_socket: Option<PathBuf>,
    /// The shortest time between two drives of one lane.
    pub lane_pause: Duration,
}

/// Starts brokers.
pub struct Broker;

impl Broker {
    /// Binds, begins to serve and to drive what is due.
    ///
    /// # Errors
    /// When it cannot listen, or would have to serve plain HTTP to the network.
    pub async fn start(options: BrokerOptions) -> Result<RunningBroker, CannotStart> {
        let door = Door::open(options.listen, options.tls).await?;
        let metrics_door = match options.metrics_listen {
            Some(address) => Some(MetricsDoor::open(address).await?),
            None => None,
        };
        let admin_door = match options.admin_socket {
            Some(path) => Some(AdminDoor::open(path).await?),
            None => None,
        };
        let shows_metrics = metrics_door.is_none() && door.is_loopback();
        let public_url = door.public_url(options.public_url)?;
        let core = Arc::new(options.core);
        let now = core.clock.now();
        let service = Arc::new(Service {
            replay: ReplayWindow::new(now, ReplayBounds::default()),
            driver: Arc::new(Driver::new(options.lane_pause, now)),
            core,
            verifier: options.verifier,
            public_url,
            crew: Crew::default(),
            ears: Ears::new(options.hooks),
            metrics: options.metrics,
            alarms: options.alarms,
            audit_key: options.audit_key,
            room: Semaphore::new(CALLS_MAX),
            rehearsals: admin::rehearsals::Rehearsals::default(),
            closing: watch::Sender::new(false),
        });
        let handle = Handle::new();
        let own_issuer = options.issuer.as_ref();
        let api = router(Arc::clone(&service), shows_metrics, own_issuer);
        let server = tokio::spawn(serve(door, api, handle.clone()));
        // Told to stop before it waits to be told, it would not hear.
        handle.listening().await;
        service.core.pulse.ready(service.now());
        let driver = Arc::clone(&service.driver);
        let driving = driver.run(Arc::clone(&service.core), service.crew.clone());
        tracing::info!(url = %service.public_url, "the broker listens");
        Ok(RunningBroker {
            handle,
            server,
            driving: tokio::spawn(driving),
            sealing: tokio::spawn(seal_always(Arc::clone(&service))),
            warming: tokio::spawn(warm(Arc::clone(&service))),
            beside: beside(&service, metrics_door, admin_door),
            service,
        })
    }
}

/// What runs beside the API: the listeners for metrics and for operators, who watches over what is
/// overdue, and who looks back.
fn beside(
    service: &Arc<Service>,
    metrics_door: Option<MetricsDoor>,
    admin_door: Option<AdminDoor>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![tokio::spawn(watch(Arc::clone(service)))];
    // Each by itself: a cloud that is away keeps only its own targets shut.
    for target in service.core.adapters.keys() {
        tasks.push(tokio::spawn(look_back(Arc::clone(service), target.clone())));
    }
    if let Some(door) = metrics_door {
        let metrics = metrics_router(Arc::clone(service));
        tasks.push(tokio::spawn(door.serve(metrics)));
    }
    if let Some(door) = admin_door {
        let operators = admin::router(Arc::clone(service));
        tasks.push(tokio::spawn(door.serve(operators)));
    }
    tasks
}

async fn serve(door: Door, api: Router, handle: Handle<SocketAddr>) {
    if let Err(error) = door.serve(api, handle).await {
        tracing::error!(%error, "the broker no longer listens");
    }
}

async fn seal_always(service: Arc<Service>) {
    loop {
        tokio::time::sleep(SEAL_EVERY).await;
        service.seal().await;
    }
}

/// Fetches the issuers' keys, so that the first job does not wait for them.
async fn warm(service: Arc<Service>) {
    for issuer in service.verifier.warm(service.now()).await {
        if let Some(error) = issuer.last_error {
            tracing::warn!(
                issuer = issuer.name,
                error,
                "its jobs cannot be believed yet"
            );
        }
    }
}

/// A broker that serves. Dropped without [`shutdown`](Self::shutdown), it stops where it stands.
pub struct RunningBroker {
    handle: Handle<SocketAddr>,
    server: JoinHandle<()>,
    driving: JoinHandle<()>,
    sealing: JoinHandle<()>,
    warming: JoinHandle<()>,
    beside: Vec<JoinHandle<()>>,
    service: Arc<Service>,
}

impl RunningBroker {
    /// The address by which clients know it.
    #[must_use]
    pub fn url(&self) -> Url {
        self.service.public_url.clone()
    }

    /// Its use cases, for whoever watches from inside the process.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.service.core
    }

    /// Waits until it no longer serves; it goes on until then unless something breaks.
    pub async fn stopped(&mut self) {
        tokio::select! {
            _ = &mut self.server => {}
            _ = &mut self.driving => {}
        }
    }

    /// Stops in order: takes no more calls, lets those under way come to their end, and seals the
    /// audit log. What is still due is found in the ledger by the next process.
    pub async fn shutdown(self) {
        self.service.closing.send_replace(true);
        self.handle.graceful_shutdown(Some(CALLS_END_WITHIN));
        let calls_end = CALLS_END_WITHIN.saturating_mul(2);
        let server = self.server.abort_handle();
        let mut broker = self;
        if tokio::time::timeout(calls_end, &mut broker.server)
            .await
            .is_err()
        {
            server.abort();
        }
        broker.driving.abort();
        let work = broker.service.crew.finish();
        if tokio::time::timeout(WORK_ENDS_WITHIN, work).await.is_err() {
            tracing::warn!("work under way is cut off; what it began is found in the ledger");
        }
        let tasks = [
            &mut broker.driving,
            &mut broker.sealing,
            &mut broker.warming,
        ];
        for task in tasks.into_iter().chain(&mut broker.beside) {
            task.abort();
            // Until it is gone it holds the ledger, and the next broker cannot open it.
            if !task.is_finished() {
                let _gone = task.await;
            }
        }
        broker.service.seal().await;
        tracing::info!("the broker stopped");
    }

    /// Stops as the loss of the process would: nothing is finished, nothing is taken back, nothing
    /// is sealed. Returns once nothing of it holds the ledger any more.
    pub async fn kill(self) {
        // The last owner closes the ledger. Being it, we know when that is done.
        let core = Arc::clone(&self.service.core);
        drop(self);
        let gone = async {
            while Arc::strong_count(&core) > 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(LET_GO_WITHIN, gone).await.is_err() {
            tracing::warn!("something of the killed broker still holds its ledger");
        }
        let _ = tokio::task::spawn_blocking(move || drop(core)).await;
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.service.crew.kill();
        self.handle.shutdown();
        let tasks = [&self.server, &self.driving, &self.sealing, &self.warming];
        for task in tasks.into_iter().chain(&self.beside) {
            task.abort();
        }
    }
}
