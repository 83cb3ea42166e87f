//! The endpoint on loopback that gives a command its credential, as cloud SDKs ask for it.
//!
//! Every process and every user of the machine can connect, and so can a web page in a browser, so
//! the address proves nothing: a caller must know the lease's secret, must have meant this very
//! address (`Host`, against DNS rebinding), and must not come through a proxy. Answers come from
//! memory; only the lease's keepers talk to the broker.

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::held::{Held, Serving, Standing};
use crate::key::random_name;

/// An asker waits this long for a renewal that is under way. SDKs give up after 2 seconds.
const REFRESH_PATIENCE: Duration = Duration::from_millis(1500);
/// With less than this left, a fresh credential is wanted while the old one is still served.
const FRESH_ENOUGH: Duration = Duration::from_secs(300);

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
    /// Writes the credential in the SDK's own format.
    write: fn(&Serving) -> Option<String>,
}

impl Door {
    /// A door with a fresh secret.
    pub(crate) fn new(
        path: String,
        lease: Arc<Held>,
        write: fn(&Serving) -> Option<String>,
    ) -> Result<Self, crate::key::NoKey> {
        let secret = Zeroizing::new(random_name()?);
        Ok(Self {
            path,
            secret,
            lease,
            write,
        })
    }

    /// What a caller must show in `Authorization`.
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

/// Why there is no credential in an answer, in the SDKs' own form.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message });
        json_response(self.status, body.to_string())
    }
}

async fn answer(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let door = match admit(&doors, &request) {
        Ok(door) => door,
        Err(refusal) => return refusal.into_response(),
    };
    match serving(&door.lease).await {
        Ok(serving) => match (door.write)(&serving) {
            Some(body) => json_response(StatusCode::OK, body),
            None => lacks_a_part().into_response(),
        },
        Err(refusal) => refusal.into_response(),
    }
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

fn lacks_a_part() -> Refusal {
    Refusal::new(
        StatusCode::BAD_GATEWAY,
        "BadCredential",
        "the broker handed out a credential that lacks a part",
    )
}

/// Who may have an answer. The address is checked before the secret, so that a web page learns
/// nothing, not even that its guess was wrong.
fn admit<'a>(doors: &'a Doors, request: &Request) -> Result<&'a Door, Refusal> {
    let headers = request.headers();
    let host = single(headers, &header::HOST);
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
    let path = request.uri().path();
    let door = doors.doors.iter().find(|door| door.path == path);
    let shown = single(headers, &header::AUTHORIZATION).unwrap_or_default();
    let knows = |door: &&Door| verify_slices_are_equal(shown, door.secret.as_bytes()).is_ok();
    let Some(door) = door.filter(knows) else {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "WrongToken",
            "the token is not this lease's",
        ));
    };
    if request.method() != Method::GET {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "this endpoint is read with GET",
        ));
    }
    Ok(door)
}

/// A header that is there exactly once. Two of them are two readings of one request.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn json_response(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
