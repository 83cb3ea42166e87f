//! TLS on loopback, with an authority of its own that is made at the start and trusted by nobody else.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tower::Service;

use crate::connection::{CuttableStream, Wire};

/// The names under which a sandbox is reached.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What a server shows, and what its clients must trust.
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority_pem: String,
    config: RustlsConfig,
}

impl Certificates {
    /// A new authority, and a certificate of it for the loopback names.
    pub(crate) fn make() -> Result<Certificates, CertificateError> {
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "sandbox authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(LOOPBACK_NAMES.map(str::to_owned))?;
        leaf.distinguished_name
            .push(DnType::CommonName, "localhost");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &authority)?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        // Not HTTP/2: cutting one connection would lose the answers of all calls on it.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Certificates {
            authority_pem: authority.pem(),
            config: RustlsConfig::from_config(Arc::new(config)),
        })
    }

    /// Accepts connections that can be cut from inside a handler.
    pub(crate) fn acceptor(&self) -> RustlsAcceptor<CuttableAcceptor> {
        RustlsAcceptor::new(self.config.clone()).acceptor(CuttableAcceptor)
    }
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key or a certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The server does not take them.
    #[error("cannot serve with the certificate: {0}")]
    Serve(#[from] rustls::Error),
}

/// Puts a switch into each connection, and the [`Wire`] that turns it into each of its requests.
#[derive(Clone, Copy)]
pub(crate) struct CuttableAcceptor;

impl<S> Accept<TcpStream, S> for CuttableAcceptor {
    type Stream = CuttableStream;
    type Service = WithWire<S>;
    type Future = std::future::Ready<io::Result<(CuttableStream, WithWire<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(CuttableStream::accepted(stream).map(|(stream, wire)| {
            let service = WithWire { service, wire };
            (stream, service)
        }))
    }
}

/// A service whose requests carry the connection's [`Wire`] among their extensions.
#[derive(Clone)]
pub(crate) struct WithWire<S> {
    service: S,
    wire: Wire,
}

impl<S, B> Service<http::Request<B>> for WithWire<S>
where
    S: Service<http::Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.wire.clone());
        Box::pin(self.service.call(request))
    }
}
