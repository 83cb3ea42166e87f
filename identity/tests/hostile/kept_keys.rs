//! Keys that lie with a keeper: what it says is believed only as far as it can be checked.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitney_identity::assertions::{
    AssertionIssuer, AssertionKey, BadAssertionIssuer, BadAssertionKey, CannotSign, IssuerKey,
    KeptKey, KeyAway, PublicKey,
};
use serde_json::Value;

use crate::mint::after;

const URL: &str = "https://jitney.acme.example";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SLOT: &str = "jitney:slot:pool-1";

/// A keeper of one key that signs what it is asked to, unless it is told otherwise.
#[derive(Debug)]
struct Keeper {
    name: &'static str,
    pair: KeyPair,
    public: PublicKey,
    signs: Signs,
    asked: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy)]
enum Signs {
    What,
    SomethingElse,
    Nothing(Option<u64>),
    Garbage,
}

impl Keeper {
    fn new(name: &'static str, signs: Signs) -> Self {
        let pem = AssertionKey::generate_pem().unwrap();
        let shown = AssertionKey::from_pem(pem.as_bytes()).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        Self {
            name,
            pair: KeyPair::from_pkcs8(&der).unwrap(),
            public: shown.public().clone(),
            signs,
            asked: Arc::default(),
        }
    }

    fn signed(&self, digest: &[u8]) -> Vec<u8> {
        let digest = Digest::import_less_safe(digest, &SHA256).unwrap();
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self
            .pair
            .sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature);
        signed.unwrap();
        signature
    }
}

#[async_trait]
impl KeptKey for Keeper {
    fn name(&self) -> &str {
        self.name
    }

    async fn public(&self) -> Result<PublicKey, KeyAway> {
        match self.signs {
            Signs::Nothing(None) => Err(KeyAway::Refused("disabled".to_owned())),
            _ => Ok(self.public.clone()),
        }
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, KeyAway> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.signs {
            Signs::What => Ok(self.signed(digest)),
            Signs::SomethingElse => Ok(self.signed(&[7; 32])),
            Signs::Garbage => Ok(vec![1, 2, 3]),
            Signs::Nothing(seconds) => Err(KeyAway::ForNow {
                after: seconds.map(Duration::from_secs),
                why: "busy".to_owned(),
            }),
        }
    }
}

fn kept(keeper: Keeper) -> IssuerKey {
    IssuerKey::Kept(Box::new(keeper))
}

fn issuer(keeper: Keeper) -> AssertionIssuer {
    AssertionIssuer::new(URL, kept(keeper), Vec::new()).unwrap()
}

async fn signed(issuer: &AssertionIssuer) -> Result<String, CannotSign> {
    let lives = Duration::from_secs(300);
    let assertion = issuer.assertion(SLOT, AUDIENCE, after(0), lives).await?;
    Ok(assertion.text.to_string())
}

#[tokio::test]
async fn every_assertion_is_signed_anew_and_by_what_is_published() {
    let keeper = Keeper::new("k", Signs::What);
    let (asked, kid) = (Arc::clone(&keeper.asked), keeper.public.kid().to_owned());
    let issuer = issuer(keeper);
    assert!(issuer.key_set().await.unwrap().contains(&kid));
    let (first, second) = (
        signed(&issuer).await.unwrap(),
        signed(&issuer).await.unwrap(),
    );
    assert_ne!(first, second);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let header = jsonwebtoken::decode_header(&first).unwrap();
    assert_eq!(header.kid, Some(kid));
}

#[tokio::test]
async fn what_is_not_the_keys_signature_is_shown_to_nobody() {
    for signs in [Signs::SomethingElse, Signs::Garbage] {
        let refused = signed(&issuer(Keeper::new("k", signs))).await.unwrap_err();
        assert_eq!(refused, CannotSign::NotItsSignature("k".to_owned()));
    }
    // The same of a key that is not the one it shows.
    let mut keeper = Keeper::new("k", Signs::What);
    keeper.public = Keeper::new("other", Signs::What).public;
    let refused = signed(&issuer(keeper)).await.unwrap_err();
    assert_eq!(refused, CannotSign::NotItsSignature("k".to_owned()));
}

#[tokio::test]
async fn what_its_keeper_says_is_passed_on() {
    let busy = signed(&issuer(Keeper::new("k", Signs::Nothing(Some(7))))).await;
    let after = Some(Duration::from_secs(7));
    assert_eq!(
        busy,
        Err(CannotSign::Away(KeyAway::ForNow {
            after,
            why: "busy".to_owned()
        }))
    );
    let refused = signed(&issuer(Keeper::new("k", Signs::Nothing(None)))).await;
    let disabled = KeyAway::Refused("disabled".to_owned());
    assert_eq!(refused, Err(CannotSign::Away(disabled)));
}

#[tokio::test]
async fn a_rotation_into_a_keepers_hands_leaves_out_nobody_or_publishes_nothing() {
    let pem = AssertionKey::generate_pem().unwrap();
    let file = || AssertionKey::from_pem(pem.as_bytes()).unwrap();
    let next = Keeper::new("next", Signs::What);
    let kids = [file().kid().to_owned(), next.public.kid().to_owned()];
    let before = AssertionIssuer::new(URL, file(), vec![kept(next)]).unwrap();
    let published = before.key_set().await.unwrap();
    assert!(kids.iter().all(|kid| published.contains(kid)));
    let away = kept(Keeper::new("away", Signs::Nothing(None)));
    let half = AssertionIssuer::new(URL, file(), vec![away]).unwrap();
    assert!(half.key_set().await.is_err());
    // What lies here signs all the same.
    assert!(signed(&half).await.is_ok());
}

#[tokio::test]
async fn one_key_under_two_names_is_published_once() {
    let keeper = Keeper::new("k", Signs::What);
    let mut again = Keeper::new("again", Signs::What);
    again.public = keeper.public.clone();
    let issuer = AssertionIssuer::new(URL, kept(keeper), vec![kept(again)]).unwrap();
    let keys: Value = serde_json::from_str(&issuer.key_set().await.unwrap()).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    let same = vec![kept(Keeper::new("k", Signs::What))];
    let same = AssertionIssuer::new(URL, kept(Keeper::new("k", Signs::What)), same);
    assert_eq!(
        same.unwrap_err(),
        BadAssertionIssuer::SameKey("k".to_owned())
    );
}

#[test]
fn a_keeper_cannot_bring_in_a_weak_key() {
    let exponent = [1, 0, 1];
    let of = |modulus: &[u8]| PublicKey::of(modulus, &exponent).err();
    let mut modulus = [0xff; 256];
    assert_eq!(of(&modulus), None);
    assert_eq!(of(&[&[0], &modulus[..]].concat()), None);
    modulus[0] = 0x7f;
    assert_eq!(of(&modulus), Some(BadAssertionKey::Bits(2_047)));
    assert_eq!(of(&[0xff; 128]), Some(BadAssertionKey::Bits(1_024)));
    assert_eq!(of(&[0xff; 1_025]), Some(BadAssertionKey::Bits(8_200)));
    assert_eq!(of(&[]), Some(BadAssertionKey::Bits(0)));
}
