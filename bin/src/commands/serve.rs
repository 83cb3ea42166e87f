//! `jitney serve`: runs the broker until it is told to stop.

use jitney_broker::{Broker, BrokerOptions, CannotStart, RunningBroker};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::ConfigurationFile;
use crate::configuration;
use crate::failure::{Failure, UNREACHABLE};
use crate::wiring;

/// Runs the command.
pub async fn serve(file: ConfigurationFile) -> Result<u8, Failure> {
    let configuration = configuration::read(&file.config, std::env::vars())?;
    let stop = Stop::listen()?;
    let broker = start(wiring::wire(&configuration).await?).await?;
    until_stopped(broker, stop).await
}

/// Starts a broker.
pub async fn start(options: BrokerOptions) -> Result<RunningBroker, Failure> {
    Broker::start(options).await.map_err(|error| match &error {
        CannotStart::Listen { .. } => Failure::new(UNREACHABLE, error.code(), &error),
        _ => Failure::configuration(error.code(), &error),
    })
}

/// Serves until a signal comes or the broker breaks, then stops in order.
pub async fn until_stopped(mut broker: RunningBroker, mut stop: Stop) -> Result<u8, Failure> {
    let broken = tokio::select! {
        () = stop.told() => false,
        () = broker.stopped() => true,
    };
    tokio::select! {
        () = broker.shutdown() => {}
        // Told twice, it does not wait: what is under way is found in the ledger.
        () = stop.told() => {}
    }
    if broken {
        return Err(Failure::internal("the broker broke off; its log says why"));
    }
    Ok(0)
}

/// The signals that ask the process to stop.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::internal(format!("signals cannot be heard: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for one.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
