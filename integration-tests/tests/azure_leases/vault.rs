//! The issuer's key in Azure Key Vault: what the vault does not do is told for what it is, and what
//! it signs is used once.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use jitney_azure::{AUDIENCE, CannotSign, KeyFault, KeyVault, Mode, SignAssertion as _, VaultKey};
use jitney_core::adapter::Elevate as _;
use jitney_core::fault::FaultKind;
use jitney_core::time::Clock as _;
use jitney_identity::assertions::IssuerKey;
use jitney_integration_tests::adapter_laws::Stage as _;
use jitney_sandbox::FaultKind as Mishap;
use jitney_sandbox::azure::builtin;
use jitney_sandbox::azure::estate::KeyVault as Vault;
use jitney_sandbox::azure::estate::{App, Estate, KeyVersion};
use serde_json::{Value, json};

use crate::estate::{self, TENANT, client, object};
use crate::issuer::{InVault, Issuer};
use crate::stage::AzureStage;
use crate::steps::{calls, intent, pass};

/// Who reads and uses the key.
const READER: u128 = 103;
const PLATFORMS_SUBJECT: &str = "jitney:slot:platform";
pub const VERSION: &str = "0123456789abcdef0123456789abcdef";
pub const OLD: &str = "00000000000000000000000000000000";

/// A stage whose issuer's key lies in its vault, and a platform that vouches for the broker there.
pub struct Kept {
    pub stage: AzureStage,
    issuer: Arc<Issuer>,
    platform: Arc<Issuer>,
    key: InVault,
    token_file: PathBuf,
}

impl Kept {
    pub async fn new() -> Self {
        Self::with(KeyVersion::new(VERSION)).await
    }

    async fn with(version: KeyVersion) -> Self {
        let (platform, key) = (Issuer::start().await, InVault::default());
        let issuer = Issuer::with(IssuerKey::Kept(Box::new(key.clone()))).await;
        let trusted = platform.url().to_owned();
        let change = |estate| with_vault(estate, &trusted, version);
        let stage = AzureStage::trusting(issuer.clone(), Mode::Rbac, change).await;
        let kept = Self {
            token_file: stage.folder.path().join("token"),
            stage,
            issuer,
            platform,
            key,
        };
        kept.renew_token(PLATFORMS_SUBJECT).await;
        kept.key.0.set(kept.vault_key(VERSION)).unwrap();
        kept
    }

    /// The platform writes another token.
    async fn renew_token(&self, subject: &str) {
        let lives = Duration::from_secs(300);
        let token = self.platform.sign(subject, AUDIENCE, lives).await.unwrap();
        std::fs::write(&self.token_file, format!("{}\n", *token.text)).unwrap();
    }

    /// The vault as a configuration has it.
    pub fn written(&self) -> Value {
        json!({
            "tenant": TENANT, "authority_url": self.stage.sandbox.url(),
            "certificate_authorities_file": self.stage.authorities,
            "credentials": {
                "from": "workload-identity", "client_id": client(READER),
                "token_file": self.token_file,
            },
            "key": self.id(VERSION), "previous_keys": [self.id(OLD)],
        })
    }

    fn vault(&self) -> KeyVault {
        serde_json::from_value(self.written()).unwrap()
    }

    pub fn id(&self, version: &str) -> String {
        format!("{}/keys/jitney/{version}", self.stage.sandbox.url())
    }

    fn vault_key(&self, version: &str) -> VaultKey {
        let vault = self.vault();
        let mut keys = vault.key.iter().chain(&vault.previous_keys);
        let id = keys.find(|id| id.to_string().ends_with(version)).unwrap();
        vault.key(id).unwrap()
    }

    fn mishap(&self, action: &str, fault: Mishap, times: u32) {
        self.stage
            .sandbox
            .faults()
            .inject("vault", action, fault, times);
    }

    async fn sign(&self) -> Result<String, CannotSign> {
        let lives = Duration::from_secs(300);
        let signed = self
            .issuer
            .sign("jitney:slot:blobs-1", AUDIENCE, lives)
            .await?;
        Ok(signed.id)
    }
}

fn with_vault(mut estate: Estate, platform: &str, version: KeyVersion) -> Estate {
    let vault = Vault::new("acme")
        .key("jitney", KeyVersion::new(OLD))
        .key("jitney", version);
    let group = &mut estate.subscriptions[0].groups[0];
    *group = group.clone().vault(vault);
    let scope = format!(
        "{}/providers/Microsoft.KeyVault/vaults/acme",
        estate::group()
    );
    let reader = App::new(client(READER), object(READER), "key reader");
    estate
        .app(reader.trusts(platform, PLATFORMS_SUBJECT))
        .assignment(&scope, builtin::KEY_VAULT_CRYPTO_USER, object(READER), None)
}

#[tokio::test]
async fn a_lease_is_carried_by_what_the_vault_signed_and_each_signature_is_used_once() {
    let kept = Kept::new().await;
    let adapter = kept.stage.own_adapter();
    let taken = kept
        .stage
        .scribe
        .take(&adapter, &[kept.stage.wanted()])
        .await
        .unwrap();
    let taken = kept.stage.scribe.renew(&adapter, taken).await.unwrap();
    pass(&kept.stage, 100).await;
    assert!(kept.stage.works(&taken.credential).await.unwrap());
    // Of the broker, and of its slot twice; the vault's own reader is vouched for by the platform.
    let tokens = kept.stage.sandbox.tokens();
    let by_us = tokens
        .iter()
        .filter(|token| token.client_id != client(READER));
    let ids: Vec<_> = by_us
        .filter_map(|token| token.assertion_id.clone())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert_eq!(calls(&kept.stage, "Sign"), ids.len());
    // What is read of a version once holds for good.
    assert_eq!(calls(&kept.stage, "GetKey"), 1);
}

#[tokio::test]
async fn a_vault_that_is_busy_is_tried_again_and_one_that_says_no_is_not() {
    let kept = Kept::new().await;
    kept.sign().await.unwrap();
    // Once is nothing.
    kept.mishap("Sign", Mishap::ServerError { status: 503 }, 1);
    kept.sign().await.unwrap();
    kept.mishap("Sign", Mishap::Throttle, 9);
    let busy = kept.sign().await.unwrap_err();
    let CannotSign::ForNow { after, why } = &busy else {
        panic!("{busy:?}");
    };
    assert!(why.contains("429"), "{why}");
    assert_eq!(*after, Some(Duration::from_secs(2)));
    kept.stage.sandbox.faults().clear();
    kept.stage
        .sandbox
        .set_key("jitney", VERSION, false)
        .unwrap();
    let refused = kept.sign().await.unwrap_err();
    assert!(matches!(refused, CannotSign::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("disabled key"), "{refused}");
    kept.stage.sandbox.set_key("jitney", VERSION, true).unwrap();
    kept.sign().await.unwrap();
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_not_waited_for() {
    let kept = Kept::new().await;
    kept.sign().await.unwrap();
    kept.mishap("Sign", Mishap::Delay { millis: 60_000 }, 9);
    let began = std::time::Instant::now();
    let lost = kept.sign().await.unwrap_err();
    assert!(matches!(lost, CannotSign::ForNow { .. }), "{lost:?}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_renewal_waits_for_the_vault_and_an_elevation_without_it_is_taken_back() {
    let kept = Kept::new().await;
    let adapter = kept.stage.own_adapter();
    let taken = kept
        .stage
        .scribe
        .take(&adapter, &[kept.stage.wanted()])
        .await
        .unwrap();
    kept.mishap("Sign", Mishap::Throttle, 9);
    let fault = adapter.renew(&taken.lease).await.unwrap_err();
    assert_eq!(fault.code, "azure_own_issuer_away");
    assert!(
        matches!(fault.kind, FaultKind::Retryable { .. }),
        "{fault:?}"
    );
    kept.stage.sandbox.faults().clear();
    kept.stage
        .sandbox
        .set_key("jitney", VERSION, false)
        .unwrap();
    let fault = adapter.renew(&taken.lease).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Permanent, "azure_own_issuer")
    );
    assert!(!fault.told.contains("vault"), "{}", fault.told);
    // With the role given, nobody knows what was handed out.
    let intent = intent(&kept.stage, &adapter).await;
    let fault = adapter.elevate(&intent).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Ambiguous);
}

#[tokio::test]
async fn whoever_asks_for_the_documents_does_not_empty_the_vaults_quota() {
    let kept = Kept::new().await;
    kept.mishap(
        "GetKey",
        Mishap::Refuse {
            status: 403,
            code: "Forbidden".to_owned(),
        },
        9,
    );
    for _ in 0..20 {
        assert!(kept.issuer.key_set().await.is_err());
    }
    assert_eq!(calls(&kept.stage, "GetKey"), 1);
}

#[tokio::test]
async fn a_token_file_is_read_anew_for_each_login() {
    let kept = Kept::new().await;
    std::fs::write(&kept.token_file, "not a token").unwrap();
    let key = kept.vault_key(VERSION);
    let refused = key.sign(&[7; 32]).await.unwrap_err();
    assert!(matches!(refused, KeyFault::ForNow { .. }), "{refused:?}");
    for stale in ["", "\n", "not a token"] {
        std::fs::write(&kept.token_file, stale).unwrap();
        assert!(key.sign(&[7; 32]).await.is_err());
    }
    std::fs::remove_file(&kept.token_file).unwrap();
    assert!(key.sign(&[7; 32]).await.is_err());
    // As the platform does it, and long before anybody would forget what was read.
    kept.renew_token(PLATFORMS_SUBJECT).await;
    key.sign(&[7; 32]).await.unwrap();
    // And one that names somebody else is of no use.
    kept.renew_token("jitney:slot:another").await;
    let other = kept.vault_key(VERSION).sign(&[7; 32]).await.unwrap_err();
    assert!(other.to_string().contains("AADSTS700213"), "{other}");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_found_before_it_is_needed() {
    let examined = async |version: KeyVersion| {
        let kept = Kept::with(version).await;
        let now = kept.stage.clock.now();
        kept.vault_key(VERSION).examine(true, now).await
    };
    assert!(
        examined(KeyVersion::new(VERSION))
            .await
            .unwrap()
            .contains("signs")
    );
    let now = jiff::Timestamp::now().as_second();
    let day = 86_400;
    for (change, told) in [
        (json!({ "enabled": false }), "is disabled"),
        (json!({ "expires": now + 10 * day }), "ends in"),
        (json!({ "expires": now - 60 }), "has ended"),
        (json!({ "not_before": now + 3 * day }), "not valid for"),
        (json!({ "operations": ["verify"] }), "and not `sign`"),
    ] {
        let mut version = json!({ "version": VERSION });
        for (name, value) in change.as_object().unwrap() {
            version[name] = value.clone();
        }
        let version = serde_json::from_value(version).unwrap();
        let wrong = examined(version).await.unwrap_err().join("\n");
        assert!(wrong.contains(told), "{told}: {wrong}");
    }
    let kept = Kept::new().await;
    kept.mishap(
        "Sign",
        Mishap::Refuse {
            status: 403,
            code: "Forbidden".to_owned(),
        },
        1,
    );
    let (now, key) = (kept.stage.clock.now(), kept.vault_key(VERSION));
    assert!(key.examine(true, now).await.is_err());
    assert!(
        kept.vault_key(OLD)
            .examine(false, now)
            .await
            .unwrap()
            .contains("is there")
    );
    let mut written = kept.written();
    written["key"] = json!(kept.id("ffffffffffffffffffffffffffffffff"));
    let vault: KeyVault = serde_json::from_value(written).unwrap();
    let key = vault.key(vault.key.as_ref().unwrap()).unwrap();
    let wrong = key.examine(true, now).await.unwrap_err().join("");
    assert!(wrong.contains("KeyNotFound"), "{wrong}");
}
