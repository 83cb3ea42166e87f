//! The port of a sandbox: on loopback and nowhere else.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::connection::{CuttableListener, Wire};

/// Why a sandbox cannot listen.
#[derive(Debug, Error)]
pub enum CannotListen {
    /// The address is reachable from outside.
    #[error("the sandbox listens on loopback only, and `{0}` is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port cannot be taken.
    #[error("cannot listen on `{address}`: {source}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl CannotListen {
    /// Refuses an address that is reachable from outside.
    pub(crate) fn beyond_loopback(address: SocketAddr) -> Result<(), CannotListen> {
        if address.ip().is_loopback() {
            Ok(())
        } else {
            Err(CannotListen::NotLoopback(address))
        }
    }

    /// What an error at this address comes to.
    pub(crate) fn at(address: SocketAddr) -> impl Fn(io::Error) -> CannotListen {
        move |source| CannotListen::Failed { address, source }
    }
}

/// A port on which calls are answered over plain HTTP. Dropping it ends that.
pub(crate) struct Port {
    address: SocketAddr,
    _open: oneshot::Sender<()>,
}

impl Port {
    /// Begins to answer. Handlers find the [`Wire`] of a call in its connection.
    pub(crate) async fn open(listen: SocketAddr, router: Router) -> Result<Port, CannotListen> {
        CannotListen::beyond_loopback(listen)?;
        let failed = CannotListen::at(listen);
        let listener = CuttableListener::bind(listen).await.map_err(&failed)?;
        let address = axum::serve::Listener::local_addr(&listener).map_err(&failed)?;
        let (open, closed) = oneshot::channel::<()>();
        let service = router.into_make_service_with_connect_info::<Wire>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
            // Ends when the sender is dropped.
            let _ = closed.await;
        });
        tokio::spawn(async move { serving.await });
        Ok(Port {
            address,
            _open: open,
        })
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}
