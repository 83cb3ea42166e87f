//! The endpoint on loopback that gives a command its credentials, as each cloud's SDKs ask for them.
//!
//! Every process and every user of the machine can connect, and so can a web page in a browser, so
//! the address proves nothing: a caller must know the lease's secret, must have meant this very
//! address (`Host`, against DNS rebinding), and must not come through a proxy. Answers come from
//! memory; only the lease's keepers talk to the broker.

mod asked;
mod protocol;
mod refusal;

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub(crate) use asked::Asked;
pub(crate) use protocol::Protocol;
pub(crate) use refusal::Refusal;

use super::held::{Held, Serving, Standing};
use crate::key::random_name;
use refusal::json_response;

/// An asker waits this long for a renewal that is under way. SDKs give up after 2 seconds.
const REFRESH_PATIENCE: Duration = Duration::from_millis(1500);
/// With less than this left, a fresh credential is wanted while the old one is still served.
const FRESH_ENOUGH: Duration = Duration::from_secs(300);
/// The largest form that an SDK sends. A secret and some names of standards are far smaller.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Headers that a proxy adds. None stands between a command and its own machine.
const FROM_A_PROXY: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-for"),
    header::FORWARDED,
    header::VIA,
];

/// A lease at its path, behind its secret.
pub(crate) struct Door {
    path: String,
    secret: Zeroizing<String>,
    lease: Arc<Held>,
    protocol: Protocol,
}

impl Door {
    /// A door with a fresh secret.
    pub(crate) fn new(
        path: String,
        protocol: Protocol,
        lease: Arc<Held>,
    ) -> Result<Self, crate::key::NoKey> {
        let secret = Zeroizing::new(random_name()?);
        Ok(Self {
            path,
            secret,
            lease,
            protocol,
        })
    }

    /// What a caller must show, where its protocol shows it.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }
}

/// The running endpoint. It is gone when this value is dropped.
pub(crate) struct Loopback {
    server: JoinHandle<()>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A socket that listens on loopback, with the port the system chose.
pub(crate) async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

struct Doors {
    host: String,
    doors: Vec<Door>,
}

/// Serves these doors.
pub(crate) fn serve(listener: TcpListener, address: SocketAddr, doors: Vec<Door>) -> Loopback {
    let doors = Arc::new(Doors {
        host: address.to_string(),
        doors,
    });
    let router = Router::new().fallback(answer).with_state(doors);
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the loopback endpoint stopped");
        }
    });
    Loopback { server }
}

async fn answer(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    match answered(&doors, request).await {
        Ok(body) => json_response(StatusCode::OK, body),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answered(doors: &Doors, request: Request) -> Result<String, Refusal> {
    meant_for_us(doors, &request)?;
    let (door, asked) = admit(doors, request).await?;
    let serving = serving(&door.lease).await?;
    door.protocol.answer(&asked, &door.lease, &serving)
}

/// What is served now. With little left a fresh one is asked for; with nothing left it is waited
/// for, but not longer than the caller would wait.
async fn serving(lease: &Held) -> Result<Arc<Serving>, Refusal> {
    let mut standing = lease.watch();
    let now = standing.borrow_and_update().clone();
    let serving = in_force(now)?;
    let left = lease.until(serving.usable_until());
    if left < FRESH_ENOUGH {
        lease.want_fresh();
    }
    if !left.is_zero() {
        return Ok(serving);
    }
    match tokio::time::timeout(REFRESH_PATIENCE, standing.changed()).await {
        Ok(Ok(())) => in_force(lease.standing()),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "RefreshPending",
            "the lease is being renewed; ask again",
        )),
    }
}

fn in_force(standing: Standing) -> Result<Arc<Serving>, Refusal> {
    match standing {
        Standing::Served(serving) => Ok(serving),
        Standing::Over(why) => {
            let why = format!("the lease is over: {why}");
            Err(Refusal::new(StatusCode::FORBIDDEN, "LeaseEnded", why))
        }
    }
}

/// Whether it came straight from a process of this machine. Looked at before the secret, so that a
/// web page learns nothing, not even that its guess was wrong.
fn meant_for_us(doors: &Doors, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = asked::single(headers, &header::HOST);
    if host != Some(doors.host.as_bytes()) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "WrongHost",
            "this endpoint answers to its own address only",
        ));
    }
    let proxied = FROM_A_PROXY.iter().any(|name| headers.contains_key(name));
    if proxied || headers.contains_key(header::ORIGIN) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "NotDirect",
            "this endpoint answers to processes of this machine only, without a proxy or a \
             browser between: set NO_PROXY=127.0.0.1",
        ));
    }
    Ok(())
}

/// Who may have an answer: whoever shows the door's secret, in the way of its protocol.
async fn admit(doors: &Doors, request: Request) -> Result<(&Door, Asked), Refusal> {
    let refused = || {
        let told = "the token is not this lease's";
        Refusal::new(StatusCode::UNAUTHORIZED, "WrongToken", told)
    };
    let (parts, body) = request.into_parts();
    let door = doors
        .doors
        .iter()
        .find(|door| door.path == parts.uri.path());
    let door = door.ok_or_else(refused)?;
    let posted = parts.method == Method::POST && door.protocol.method() == Method::POST;
    let form = if posted {
        to_bytes(body, FORM_BYTES_MAX)
            .await
            .map_err(|_| refused())?
    } else {
        Bytes::new()
    };
    let asked = Asked::new(parts.headers, parts.uri.query().unwrap_or_default(), &form);
    let shown = door.protocol.shown(&asked).unwrap_or_default();
    if verify_slices_are_equal(shown, door.secret.as_bytes()).is_err() {
        return Err(refused());
    }
    if parts.method != door.protocol.method() {
        let told = format!("this endpoint is asked with {}", door.protocol.method());
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
        return Err(Refusal::new(status, code, told));
    }
    Ok((door, asked))
}
