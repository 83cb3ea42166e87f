//! What holds the workspace together: which crate may know which, one TLS stack, licences, and
//! features in one place. Each rule has a control that shows it can fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Which of our crates a crate may depend on to do its work. Dependencies point inwards.
const MAY_KNOW: &[(&str, &str)] = &[
    ("jitney-core", ""),
    ("jitney-api", ""),
    ("jitney-sandbox", ""),
    ("jitney-aws", "core"),
    ("jitney-azure", "core"),
    ("jitney-gcp", "core"),
    ("jitney-ledger-postgres", "core"),
    ("jitney-ledger-spool", "core"),
    ("jitney-ledger-sqlite", "core"),
    ("jitney-identity", "core"),
    ("jitney-policies", "core"),
    ("jitney-client", "api"),
    ("jitney-broker", "api core identity policies"),
    (
        "jitney-demo",
        "api aws azure broker client core gcp identity ledger-sqlite policies sandbox",
    ),
    (
        "jitney",
        "api aws azure broker client core demo gcp identity ledger-postgres ledger-spool \
         ledger-sqlite policies sandbox",
    ),
    (
        "jitney-integration-tests",
        "aws core gcp ledger-postgres ledger-spool ledger-sqlite sandbox",
    ),
];

/// Crates that would bring a second TLS stack or a second source of cryptography into a binary.
const SECOND_STACKS: &[&str] = &[
    "ring",
    "openssl",
    "openssl-sys",
    "native-tls",
    "boring",
    "aws-lc-fips-sys",
    "rsa",
];

/// Licences we may ship.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options([
            "--locked".to_owned(),
            "--offline".to_owned(),
            "--filter-platform=x86_64-unknown-linux-gnu".to_owned(),
        ])
        .exec()
        .expect("cargo metadata answers")
});

fn ours() -> impl Iterator<Item = &'static Package> {
    METADATA
        .packages
        .iter()
        .filter(|package| METADATA.workspace_members.contains(&package.id))
}

fn our_dependencies(package: &Package) -> BTreeSet<String> {
    let names: BTreeSet<&str> = ours().map(|package| package.name.as_str()).collect();
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .filter(|dependency| names.contains(dependency.name.as_str()))
        .map(|dependency| dependency.name.clone())
        .collect()
}

fn may_know() -> BTreeMap<&'static str, BTreeSet<String>> {
    let set = |names: &str| {
        names
            .split_whitespace()
            .map(|name| format!("jitney-{name}"))
            .collect()
    };
    MAY_KNOW
        .iter()
        .map(|(name, names)| (*name, set(names)))
        .collect()
}

fn unlawful_edges(may_know: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for package in ours() {
        let allowed = may_know
            .get(package.name.as_str())
            .cloned()
            .unwrap_or_default();
        for name in our_dependencies(package).difference(&allowed) {
            found.push(format!("{} -> {name}", package.name));
        }
    }
    found
}

#[test]
fn dependencies_point_inwards() {
    let listed: BTreeSet<&str> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    let present: BTreeSet<&str> = ours().map(|package| package.name.as_str()).collect();
    assert_eq!(
        listed, present,
        "every crate of the workspace has a line in MAY_KNOW"
    );
    assert_eq!(unlawful_edges(&may_know()), Vec::<String>::new());
    // The control: forbid one edge that is there, and it is found.
    let mut stricter = may_know();
    stricter.insert("jitney-aws", BTreeSet::new());
    assert_eq!(unlawful_edges(&stricter), ["jitney-aws -> jitney-core"]);
}

/// A crate that is compiled into a program of ours.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shipped {
    name: String,
    version: String,
    licence: String,
}

/// Everything that is compiled into a program of ours. `cargo tree` is asked, because the graph in
/// `cargo metadata` also lists optional crates that no feature turns on.
fn shipped() -> BTreeSet<Shipped> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--edges=normal",
            "--prefix=none",
            "--locked",
            "--offline",
        ])
        .args(["--target=x86_64-unknown-linux-gnu", "--format={p}|{l}"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("cargo tree runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("cargo tree prints text");
    let lines = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let (package, licence) = line.split_once('|').expect("a package and its licence");
        let mut words = package.split_whitespace();
        Shipped {
            name: words.next().expect("a name").to_owned(),
            version: words.next().expect("a version").to_owned(),
            licence: licence.trim_end_matches(" (*)").to_owned(),
        }
    });
    lines.collect()
}

#[test]
fn there_is_one_tls_stack() {
    let shipped = shipped();
    let copies = |name: &str| shipped.iter().filter(|one| one.name == name).count();
    for second in SECOND_STACKS {
        assert_eq!(copies(second), 0, "{second} is compiled in");
    }
    for once in [
        "rustls",
        "aws-lc-rs",
        "hyper",
        "h2",
        "reqwest",
        "tokio",
        "axum",
    ] {
        assert_eq!(copies(once), 1, "copies of {once}");
    }
}

/// Whether a licence expression can be satisfied from the list: every part joined by `AND` must
/// offer one that we may ship.
fn is_allowed(expression: &str) -> bool {
    let plain = |part: &str| part.trim_matches(['(', ')', ' ']).to_owned();
    expression.replace('/', " OR ").split(" AND ").all(|part| {
        plain(part)
            .split(" OR ")
            .any(|one| LICENCES.contains(&plain(one).as_str()))
    })
}

#[test]
fn everything_shipped_has_a_licence_we_may_ship() {
    let refused: Vec<String> = shipped()
        .iter()
        .filter(|one| !is_allowed(&one.licence))
        .map(|one| format!("{} {}: {}", one.name, one.version, one.licence))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    assert!(!is_allowed("GPL-3.0-only"));
    assert!(!is_allowed("MIT AND GPL-3.0-only"));
    assert!(is_allowed("GPL-3.0-only OR MIT"));
}

#[test]
fn every_crate_takes_the_shared_lints_and_no_features_of_its_own() {
    for package in ours() {
        let manifest: toml::Table = std::fs::read_to_string(&package.manifest_path)
            .unwrap()
            .parse()
            .unwrap();
        let shared = |entry: Option<&toml::Value>| {
            let entry = entry
                .and_then(toml::Value::as_table)
                .cloned()
                .unwrap_or_default();
            entry.len() == 1 && entry.get("workspace") == Some(&toml::Value::Boolean(true))
        };
        assert!(
            shared(manifest.get("lints")),
            "{} has lints of its own",
            package.name
        );
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = manifest.get(section).and_then(toml::Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                assert!(
                    shared(Some(entry)),
                    "{}: `{name}` is more than a reference",
                    package.name
                );
            }
        }
    }
}
