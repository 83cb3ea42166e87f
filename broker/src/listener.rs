//! The door: where the broker listens, and what a connection may take. Plain HTTP is for loopback
//! alone, because calls carry tokens and answers carry credentials.

use core::time::Duration;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use url::{Host, Url};
use zeroize::Zeroizing;

/// How long a client may take for a handshake, and for the head of its first call.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next call, that call's head included. Jobs beat every
/// 15 s and should not have to connect anew each time. One that sends its head slowly holds no
/// more than one that says nothing, so that both have the same time.
const NEXT_HEAD_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of a call's head. The longest token and the longest proof fit.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a call.
const HEADERS_MAX: usize = 64;
/// The most connections at a time.
const CONNECTIONS_MAX: usize = 8192;

/// A certificate chain and its key, both PEM.
pub struct Tls {
    /// The chain, the broker's own certificate first.
    pub certificates_pem: Vec<u8>,
    /// The private key.
    pub key_pem: Zeroizing<Vec<u8>>,
}

/// Why the broker does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotStart {
    /// The address is taken or may not be used.
    #[error("cannot listen on `{address}`: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The operators' socket cannot be made.
    #[error("cannot listen on the socket `{}`: {cause}; `admin.socket` says where it is", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Anybody on the way could read tokens and credentials.
    #[error(
        "`{0}` is not loopback, and plain HTTP is served on loopback only: \
         set up `tls`, or listen on `127.0.0.1`"
    )]
    PlainHttp(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error("the TLS certificate or its key cannot be used: {0}")]
    BadTls(io::Error),
    /// The address that clients are told does not fit.
    #[error("the public URL `{url}` cannot be used: {wrong}")]
    PublicUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
}

impl CannotStart {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } | Self::Socket { .. } => "cannot_listen",
            Self::PlainHttp(_) => "plain_http",
            Self::BadTls(_) => "bad_tls",
            Self::PublicUrl { .. } => "bad_public_url",
        }
    }
}

/// A bound socket, not yet served.
pub(crate) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<RustlsConfig>,
    connections_max: usize,
}

impl Door {
    /// Binds the address.
    pub(crate) async fn open(asked: SocketAddr, tls: Option<Tls>) -> Result<Self, CannotStart> {
        if tls.is_none() && !asked.ip().is_loopback() {
            return Err(CannotStart::PlainHttp(asked));
        }
        let tls = match tls {
            Some(tls) => Some(configured(tls).await.map_err(CannotStart::BadTls)?),
            None => None,
        };
        let listen = |cause| CannotStart::Listen {
            address: asked,
            cause,
        };
        let listener = TcpListener::bind(asked).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            tls,
            connections_max: CONNECTIONS_MAX,
        })
    }

    /// Whether only this machine can come in.
    pub(crate) fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// The address by which clients know the broker: the configured one, or the socket's own.
    pub(crate) fn public_url(&self, configured: Option<Url>) -> Result<Url, CannotStart> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let own = format!("{scheme}://{}", self.address);
        let wrong = |url: &str, wrong| CannotStart::PublicUrl {
            url: url.to_owned(),
            wrong,
        };
        let url = match configured {
            Some(url) => url,
            None => Url::parse(&own).map_err(|_| wrong(&own, "it is not a URL"))?,
        };
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(wrong(
                url.as_str(),
                "expected scheme, host and path, nothing else",
            ));
        }
        match (url.scheme(), is_loopback(&url)) {
            ("https", _) | ("http", true) => Ok(url),
            _ => Err(wrong(
                url.as_str(),
                "expected `https`; plain HTTP is for loopback only",
            )),
        }
    }

    /// Serves until the handle says otherwise.
    pub(crate) async fn serve(self, router: Router, handle: Handle<SocketAddr>) -> io::Result<()> {
        let counted = Counted {
            handle: handle.clone(),
            most: self.connections_max,
        };
        let mut server = axum_server::from_tcp(self.listener)?
            .acceptor(counted.clone())
            .handle(handle)
            .first_request_timeout(HEAD_WITHIN)
            .accept_error_handler(|address, error| {
                tracing::debug!(?address, %error, "a connection was not accepted");
            })
            // One protocol, one set of limits: streams of HTTP/2 would be a second way in.
            .http1_only();
        server
            .http_builder()
            .http1()
            .header_read_timeout(NEXT_HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let service = router.into_make_service();
        match self.tls {
            Some(config) => {
                let acceptor = RustlsAcceptor::new(config)
                    .handshake_timeout(HEAD_WITHIN)
                    .acceptor(counted);
                server.acceptor(acceptor).serve(service).await
            }
            None => server.serve(service).await,
        }
    }
}

/// A bound socket where metrics are shown and nothing else: they are no secret, and whoever scrapes
/// them rarely has a certificate.
pub(crate) struct MetricsDoor(tokio::net::TcpListener);

impl MetricsDoor {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, CannotStart> {
        let bound = tokio::net::TcpListener::bind(address).await;
        bound
            .map(Self)
            .map_err(|cause| CannotStart::Listen { address, cause })
    }

    pub(crate) async fn serve(self, metrics: Router) {
        if let Err(error) = axum::serve(self.0, metrics).await {
            tracing::error!(%error, "metrics are no longer shown");
        }
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

async fn configured(tls: Tls) -> io::Result<RustlsConfig> {
    let config = RustlsConfig::from_pem(tls.certificates_pem, tls.key_pem.to_vec()).await?;
    let mut server = (*config.get_inner()).clone();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(server)))
}

/// Turns connections away when there are too many: each holds a file descriptor, and without any
/// left the broker could reach neither its ledger nor a cloud to revoke.
#[derive(Clone)]
struct Counted {
    handle: Handle<SocketAddr>,
    most: usize,
}

impl<I, S> Accept<I, S> for Counted {
    type Stream = I;
    type Service = S;
    type Future = core::future::Ready<io::Result<(I, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        core::future::ready(if self.handle.connection_count() > self.most {
            Err(io::Error::other("there are too many connections"))
        } else {
            Ok((stream, service))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn door() -> Door {
        Door::open("127.0.0.1:0".parse().unwrap(), None)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn plain_http_is_for_loopback() {
        for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
            let refused = Door::open(address.parse().unwrap(), None).await.err();
            assert_eq!(refused.unwrap().code(), "plain_http", "{address}");
        }
    }

    #[tokio::test]
    async fn the_public_url_is_https_or_loopback() {
        let door = door().await;
        let judge = |url: &str| door.public_url(Some(Url::parse(url).unwrap())).is_ok();
        for good in [
            "https://jitney.example",
            "https://example.test/jitney/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:1",
        ] {
            assert!(judge(good), "{good}");
        }
        for bad in [
            "http://jitney.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "ftp://127.0.0.1",
            "https://user@jitney.example",
            "https://jitney.example/?a=b",
            "https://jitney.example/#x",
        ] {
            assert!(!judge(bad), "{bad}");
        }
        assert_eq!(door.public_url(None).unwrap().scheme(), "http");
    }

    #[tokio::test]
    async fn an_address_in_use_is_said() {
        let first = door().await;
        let second = Door::open(first.address, None).await.err().unwrap();
        assert_eq!(second.code(), "cannot_listen");
        assert!(second.to_string().contains(&first.address.to_string()));
    }

    /// Whether a call on this connection is answered. One that was turned away is closed.
    async fn is_served(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 12];
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        asked.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/1.1 200"
    }

    #[tokio::test]
    async fn a_connection_too_many_is_turned_away_until_another_one_ends() {
        let mut door = door().await;
        door.connections_max = 2;
        let (address, handle) = (door.address, Handle::new());
        let router = Router::new().route("/", axum::routing::get(|| async { "well" }));
        let serving = tokio::spawn(door.serve(router, handle.clone()));
        let connect = || async { TcpStream::connect(address).await.unwrap() };
        let (mut one, mut other) = (connect().await, connect().await);
        assert!(is_served(&mut one).await && is_served(&mut other).await);
        assert!(!is_served(&mut connect().await).await);
        // Those inside go on.
        assert!(handle.connection_count() <= 2 && !serving.is_finished());
        drop(other);
        for _ in 0..200 {
            if is_served(&mut connect().await).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!("a place that was given back is not used");
    }

    #[tokio::test]
    async fn a_connection_too_many_is_turned_away_before_its_handshake() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let tls = Tls {
            certificates_pem: own.self_signed(&key).unwrap().pem().into_bytes(),
            key_pem: Zeroizing::new(key.serialize_pem().into_bytes()),
        };
        let mut door = Door::open("127.0.0.1:0".parse().unwrap(), Some(tls))
            .await
            .unwrap();
        door.connections_max = 2;
        let (address, handle) = (door.address, Handle::new());
        let serving = tokio::spawn(door.serve(Router::new(), handle.clone()));
        let connect = || async { TcpStream::connect(address).await.unwrap() };
        let inside = (connect().await, connect().await);
        while handle.connection_count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut one_too_many = connect().await;
        let mut byte = [0];
        let closed = one_too_many.read(&mut byte);
        // One inside has twice as long for its handshake.
        let closed = tokio::time::timeout(HEAD_WITHIN / 2, closed).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
        assert!(handle.connection_count() == 2 && !serving.is_finished());
        drop(inside);
    }

    #[tokio::test]
    async fn a_certificate_that_is_none_is_refused() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let tls = Tls {
            certificates_pem: b"nothing".to_vec(),
            key_pem: Zeroizing::new(b"nothing".to_vec()),
        };
        let refused = Door::open("127.0.0.1:0".parse().unwrap(), Some(tls)).await;
        assert_eq!(refused.err().unwrap().code(), "bad_tls");
    }
}
