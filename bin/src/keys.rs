//! The installation's own keys: files that are readable by their owner only. They lie outside the
//! ledger, so that a copy of the ledger is no copy of the keys.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitney_azure::VaultKey;
use jitney_core::audit::{SEED_LENGTH, SigningKey};
use jitney_core::handle::StampKey;
use jitney_core::id::InstallationName;
use jitney_identity::assertions::{AssertionIssuer, AssertionKey, IssuerKey};
use zeroize::Zeroizing;

use crate::configuration::{Configuration, IssuerSection, KeysSection};
use crate::failure::Failure;
use crate::signing::InVault;

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// The largest file that can be a key or a certificate, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The keys of an installation.
pub struct Keys {
    /// Stamps what is made in clouds.
    pub stamp: StampKey,
    /// Signs the audit log.
    pub audit: SigningKey,
}

/// Reads both keys.
pub fn read(section: &KeysSection, installation: &InstallationName) -> Result<Keys, Failure> {
    let secret = seed(&section.stamp_secret_file)?;
    let stamp = StampKey::new(installation.clone(), secret.as_slice())
        .ok_or_else(|| not_a_key(&section.stamp_secret_file))?;
    Ok(Keys {
        stamp,
        audit: audit_key(section, installation)?,
    })
}

/// Reads the key that signs the audit log.
pub fn audit_key(
    section: &KeysSection,
    installation: &InstallationName,
) -> Result<SigningKey, Failure> {
    let seed = seed(&section.audit_key_file)?;
    SigningKey::from_seed(&audit_key_name(installation), &seed)
        .map_err(|error| Failure::configuration(error.code(), error))
}

/// The name under which an installation signs its audit log, which is the log's origin too.
fn audit_key_name(installation: &InstallationName) -> String {
    format!("jitney/{installation}/audit")
}

/// Makes the keys that are not there yet. Gives the files that were made.
pub fn make_missing(configuration: &Configuration) -> Result<Vec<PathBuf>, Failure> {
    let mut made = make_missing_seeds(&configuration.keys)?;
    if let Some(issuer) = &configuration.issuer {
        // Not those of before: a key that is missing there was lost, and another one is no help. Nor
        // those in a vault: whoever may make keys there may also replace them.
        for file in issuer.key_file.iter().chain(&issuer.next_key_file) {
            let pem = || AssertionKey::generate_pem().map_err(Failure::internal);
            if make(file, pem)? {
                made.push(file.clone());
            }
        }
    }
    Ok(made)
}

fn make_missing_seeds(section: &KeysSection) -> Result<Vec<PathBuf>, Failure> {
    let mut made = Vec::new();
    for file in [&section.stamp_secret_file, &section.audit_key_file] {
        let line = || {
            let seed = SigningKey::fresh_seed().map_err(Failure::internal)?;
            Ok(Zeroizing::new(format!("{}\n", STANDARD.encode(*seed))))
        };
        if make(file, line)? {
            made.push(file.clone());
        }
    }
    Ok(made)
}

/// Makes a key's file. One that is there is only seen, never replaced: another stamp would make our
/// own grants foreign to us, and another issuer's key nobody would know.
fn make(
    file: &Path,
    key: impl FnOnce() -> Result<Zeroizing<String>, Failure>,
) -> Result<bool, Failure> {
    if file.exists() {
        return Ok(false);
    }
    // Before the file: one that stays empty would be taken for a key that is there.
    let key = key()?;
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let mut out = match opened {
        Ok(out) => out,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(cannot(file, "made", &error)),
    };
    out.write_all(key.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(|error| cannot(file, "written", &error))?;
    Ok(true)
}

/// The broker as an issuer, with its keys. Makes no call to a vault.
pub fn issuer(section: &IssuerSection) -> Result<AssertionIssuer, Failure> {
    let read = |file: &PathBuf| {
        let key = AssertionKey::from_pem(&secret_file(file)?).map_err(|error| {
            let told = format!("the key file `{}` cannot be used: {error}", file.display());
            Failure::configuration("key_file_bad", told)
        })?;
        Ok(IssuerKey::from(key))
    };
    let mut keys = section
        .key_file
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let in_vault = vault_keys(section)?.into_iter();
    // The one that signs is first, wherever it lies.
    keys.extend(in_vault.map(|key| IssuerKey::Kept(Box::new(InVault(key)))));
    let others = section.key_files().skip(section.key_file.iter().count());
    for file in others {
        keys.push(read(file)?);
    }
    let mut keys = keys.into_iter();
    let Some(signing) = keys.next() else {
        return Err(Failure::configuration(
            "no_own_issuer",
            "`issuer` has no key",
        ));
    };
    AssertionIssuer::new(&section.url, signing, keys.collect()).map_err(|error| {
        let told = format!("`issuer`: {error}");
        Failure::configuration("bad_own_issuer", told)
    })
}

/// The issuer's keys in a vault, the one that signs first if it is there.
pub fn vault_keys(section: &IssuerSection) -> Result<Vec<VaultKey>, Failure> {
    let Some(vault) = &section.key_vault else {
        return Ok(Vec::new());
    };
    let others = vault.next_key.iter().chain(&vault.previous_keys);
    let keys = vault.key.iter().chain(others).map(|id| vault.key(id));
    keys.collect::<Result<_, _>>().map_err(|error| {
        let told = format!("`issuer.key_vault`: {error}");
        Failure::configuration("key_vault_unconnected", told)
    })
}

fn seed(file: &Path) -> Result<Zeroizing<[u8; SEED_LENGTH]>, Failure> {
    let bytes = secret_file(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| not_a_key(file))?;
    let mut seed = Zeroizing::new([0; SEED_LENGTH]);
    let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| not_a_key(file))?);
    if decoded.len() != SEED_LENGTH {
        return Err(not_a_key(file));
    }
    seed.copy_from_slice(&decoded);
    Ok(seed)
}

/// Reads a file that nobody but its owner may read.
pub fn secret_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let about = fs::metadata(file).map_err(|error| cannot(file, "read", &error))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(not_a_key(file));
    }
    if about.mode() & OTHERS != 0 {
        return Err(Failure::configuration(
            "key_file_open",
            format!(
                "the key file `{}` can be read by others (mode {:03o}): run `chmod 600` on it, \
                 and make a new key if it may have been read",
                file.display(),
                about.mode() & 0o777
            ),
        ));
    }
    let bytes = fs::read(file).map_err(|error| cannot(file, "read", &error))?;
    Ok(Zeroizing::new(bytes))
}

fn cannot(file: &Path, what: &str, error: &std::io::Error) -> Failure {
    let hint = if error.kind() == std::io::ErrorKind::NotFound {
        "; `jitney keys init` makes the keys that are missing"
    } else {
        ""
    };
    Failure::configuration(
        "key_file_unreadable",
        format!(
            "the key file `{}` cannot be {what}: {error}{hint}",
            file.display()
        ),
    )
}

fn not_a_key(file: &Path) -> Failure {
    Failure::configuration(
        "key_file_bad",
        format!(
            "the key file `{}` does not hold a key: expected {SEED_LENGTH} bytes in base64, as \
             `jitney keys init` writes them",
            file.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn section(&self) -> KeysSection {
            KeysSection {
                stamp_secret_file: self.0.path().join("stamp.key"),
                audit_key_file: self.0.path().join("audit.key"),
            }
        }

        fn code(&self) -> &'static str {
            let read = read(&self.section(), &"acme".parse().unwrap());
            read.err().map_or("ok", |failure| failure.code)
        }
    }

    #[test]
    fn keys_are_made_once_and_for_their_owner_only() {
        let folder = Folder::new();
        let section = folder.section();
        assert_eq!(folder.code(), "key_file_unreadable");
        assert_eq!(make_missing_seeds(&section).unwrap().len(), 2);
        assert_eq!(folder.code(), "ok");
        let before = fs::read(&section.stamp_secret_file).unwrap();
        assert_ne!(before, fs::read(&section.audit_key_file).unwrap());
        assert!(make_missing_seeds(&section).unwrap().is_empty());
        assert_eq!(before, fs::read(&section.stamp_secret_file).unwrap());
        let mode = fs::metadata(&section.audit_key_file).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = Folder::new();
        let section = folder.section();
        make_missing_seeds(&section).unwrap();
        for mode in [0o640, 0o604, 0o602, 0o644] {
            let open = fs::Permissions::from_mode(mode);
            fs::set_permissions(&section.stamp_secret_file, open).unwrap();
            assert_eq!(folder.code(), "key_file_open", "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let folder = Folder::new();
        let section = folder.section();
        make_missing_seeds(&section).unwrap();
        for bad in [
            &b""[..],
            b"hunter2",
            b"AAAA",
            b"\xff\xfe",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            fs::write(&section.audit_key_file, bad).unwrap();
            let failure = read(&section, &"acme".parse().unwrap()).err().unwrap();
            assert_eq!(failure.code, "key_file_bad");
            assert!(!failure.told.contains("hunter2"));
        }
        fs::remove_file(&section.audit_key_file).unwrap();
        fs::create_dir(&section.audit_key_file).unwrap();
        assert_eq!(folder.code(), "key_file_bad");
    }

    /// A folder with the keys of an issuer that has all three kinds.
    fn issuer_in(folder: &Folder) -> IssuerSection {
        let file = |name: &str| folder.0.path().join(name);
        let section = IssuerSection {
            url: "https://jitney.acme.example".to_owned(),
            key_file: Some(file("issuer.pem")),
            next_key_file: Some(file("next.pem")),
            previous_key_files: vec![file("previous.pem")],
            key_vault: None,
        };
        for file in section.key_files() {
            let pem = || Ok(AssertionKey::generate_pem().unwrap());
            assert!(make(file, pem).unwrap());
            assert!(!make(file, pem).unwrap(), "it was replaced");
        }
        section
    }

    #[tokio::test]
    async fn an_issuers_keys_are_all_published_and_the_current_one_signs() {
        let folder = Folder::new();
        let mut section = issuer_in(&folder);
        let published = issuer(&section).unwrap();
        let published = published.key_set().await.unwrap();
        for file in section.key_files() {
            let key = AssertionKey::from_pem(&fs::read(file).unwrap()).unwrap();
            assert!(published.contains(key.kid()), "{}", file.display());
        }
        section.previous_key_files = section.key_file.clone().into_iter().collect();
        assert_eq!(issuer(&section).unwrap_err().code, "bad_own_issuer");
        section.previous_key_files = Vec::new();
        section.url = "http://jitney.acme.example".to_owned();
        assert_eq!(issuer(&section).unwrap_err().code, "bad_own_issuer");
    }

    #[test]
    fn each_of_an_issuers_keys_is_for_its_owner_only_and_a_key() {
        let folder = Folder::new();
        let section = issuer_in(&folder);
        for file in section.key_files() {
            let pem = fs::read(file).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(issuer(&section).unwrap_err().code, "key_file_open");
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(file, "hunter2").unwrap();
            let failure = issuer(&section).unwrap_err();
            assert_eq!(failure.code, "key_file_bad");
            assert!(!failure.told.contains("hunter2"));
            fs::remove_file(file).unwrap();
            let failure = issuer(&section).unwrap_err();
            assert_eq!(failure.code, "key_file_unreadable");
            fs::write(file, &pem).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(issuer(&section).is_ok());
    }
}
