//! The broker behind a certificate: a job that believes its authority is served, nobody else is.

use jitney_broker::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use zeroize::Zeroizing;

use crate::world::{SCOPE, World};

/// An authority, in PEM, and what it gave the broker.
fn authority() -> (String, Tls) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &authority).unwrap();
    let tls = Tls {
        certificates_pem: own.pem().into_bytes(),
        key_pem: Zeroizing::new(key.serialize_pem().into_bytes()),
    };
    (authority.pem(), tls)
}

#[tokio::test]
async fn a_job_that_believes_the_authority_is_served_and_others_do_not_connect() {
    let mut world = World::start().await;
    let (pem, tls) = authority();
    world.broker.take().unwrap().kill().await;
    world.restart_with(Some(tls)).await;
    assert!(world.url.starts_with("https://127.0.0.1:"), "{}", world.url);
    let health = format!("{}/healthz", world.url);

    // The world's client knows nothing of this authority yet.
    let refused = world.http.get(&health).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    let plain = health.replace("https://", "http://");
    assert!(world.http.get(&plain).send().await.is_err());

    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    world.http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([certificate])
        .build()
        .unwrap();
    let granted = world.submit(SCOPE).await;
    assert_eq!(granted.status, 201, "{granted:?}");
    let released = format!("/v1/leases/{}/release", granted.lease());
    assert_eq!(world.call("POST", &released, None, None).await.status, 202);
}
