//! Configurations as people write them: mistaken, hostile, incomplete.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use super::{CloudTarget, Configuration, LedgerSection, read};
use crate::failure::Failure;

const EXAMPLE: &str = include_str!("../../../examples/jitney.toml");

fn judge_with(text: &str, variables: &[(&str, &str)]) -> Result<Configuration, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jitney.toml");
    fs::write(&file, text).unwrap();
    let variables = variables.iter();
    let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(&file, variables)
}

fn judge(text: &str) -> Result<Configuration, Failure> {
    judge_with(text, &[])
}

/// The example with one line changed.
fn change(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no `{from}`");
    EXAMPLE.replacen(from, to, 1)
}

#[test]
fn the_example_is_a_configuration() {
    let configuration = judge(EXAMPLE).unwrap();
    assert_eq!(configuration.installation.as_str(), "acme-jitney");
    assert_eq!(configuration.broker.lane_pause_milliseconds, 1_000);
    assert_eq!(configuration.targets.len(), 1);
    let folder = configuration.file.parent().unwrap();
    let LedgerSection::Sqlite(ledger) = &configuration.ledger else {
        panic!("{:?}", configuration.ledger)
    };
    assert_eq!(ledger.path, folder.join("jitney.db"));
    assert_eq!(configuration.spool.path, folder.join("jitney.db-spool"));
    assert_eq!(configuration.spool.bytes, 16 * 1024 * 1024);
    assert_eq!(configuration.policies.directory, folder.join("policies"));
}

#[test]
fn the_example_for_azure_is_a_configuration() {
    let text = include_str!("../../../examples/azure.toml");
    let configuration = judge(text).unwrap();
    let clouds: Vec<_> = configuration
        .targets
        .values()
        .map(CloudTarget::cloud)
        .collect();
    assert_eq!(clouds, ["azure"]);
    // Slots are known by tokens of the broker's own.
    let alone = text.replacen("[issuer]", "[unused]", 1);
    assert!(judge(&alone).unwrap_err().to_string().contains("unused"));
    let (before, rest) = text.split_once("[issuer]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let missing = judge(&format!("{before}{after}")).unwrap_err().to_string();
    assert!(missing.contains("`issuer` is missing"), "{missing}");
    for (from, to, told) in [
        (
            "mode = \"pim\"",
            "mode = \"pimm\"",
            "`targets.acme-azure.mode`",
        ),
        ("carries = \"blobs\"", "carries = \"all\"", "carries"),
        (
            "tenant = ",
            "tenent = ",
            "did you mean `targets.acme-azure.tenant`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let told_is = judge(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(told_is.contains(told), "{told_is}");
    }
}

#[test]
fn a_target_is_read_by_the_rules_of_its_cloud() {
    let project = |line: &str| {
        judge(&format!(
            "{EXAMPLE}
            [targets.acme-gcp]
            cloud = \"gcp\"
            project = \"acme-web\"
            {line}
            [targets.acme-gcp.pools.deploy]
            accounts = [\"jitney-001@acme-pool.iam.gserviceaccount.com\"]
            "
        ))
    };
    let read = project("credentials = { from = \"file\", path = \"federation.json\" }").unwrap();
    let clouds = read.targets.values().map(CloudTarget::cloud);
    assert_eq!(clouds.collect::<Vec<_>>(), ["gcp", "aws"]);
    for (line, told) in [
        ("settle = 1", "targets.acme-gcp.settle"),
        ("region = \"eu-central-1\"", "targets.acme-gcp.region"),
        ("settle_seconds = 901", "expected 0 to 900"),
    ] {
        let failure = project(line).unwrap_err().to_string();
        assert!(failure.contains(told), "{failure}");
    }
}

#[test]
fn every_mistake_is_told_with_its_file_its_key_and_what_was_meant() {
    for (from, to, told) in [
        (
            "listen = ",
            "listn = ",
            "`broker.listn`: did you mean `broker.listen`",
        ),
        ("[ledger]", "[leger]", "`leger`: did you mean `ledger`"),
        ("path = ", "pfad = ", "`ledger.pfad`: expected one of"),
        (
            "region = ",
            "regoin = ",
            "`targets.acme-prod.regoin`: did you mean",
        ),
        ("audience = ", "audiance = ", "mean `issuers[0].audience`"),
        ("tier = ", "teir = ", "mean `resources.artifacts-prod.tier`"),
        (
            "limit_seconds = 45",
            "limit_second = 45",
            "`silence.limit_seconds`",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = 8080",
            "`broker.listen`",
        ),
        (
            "listen = \"127.0.0.1:8080\"",
            "listen = \"everywhere\"",
            "`broker.listen`",
        ),
        (
            "limit_seconds = 45",
            "limit_seconds = \"45\"",
            "`silence.limit_seconds`",
        ),
        (
            "limit_seconds = 45",
            "limit_seconds = 1",
            "is 1: expected 5 to 900",
        ),
        (
            "limit_seconds = 45",
            "limit_seconds = -45",
            "`silence.limit_seconds`",
        ),
        (
            "ttl_seconds_max = 3600",
            "ttl_seconds_max = 30",
            "`limits.ttl_seconds_max`",
        ),
        (
            "ttl_seconds_max = 3600",
            "ttl_seconds_max = 99999",
            "expected 60 to 28800",
        ),
        (
            "installation = \"acme-jitney\"",
            "installation = \"Acme!\"",
            "`installation`",
        ),
        (
            "installation = \"acme-jitney\"",
            "",
            "missing field `installation`",
        ),
        (
            "cloud = \"aws\"",
            "cloud = \"asw\"",
            "is `asw`: expected `aws`",
        ),
        (
            "cloud = \"aws\"",
            "",
            "`targets.acme-prod.cloud` is missing",
        ),
        (
            "account = \"111122223333\"",
            "account = \"12\"",
            "the twelve digits",
        ),
        (
            "target = \"acme-prod\"",
            "target = \"acme-test\"",
            "there is no section",
        ),
        (
            "provider = \"github-actions\"",
            "provider = \"gitlab\"",
            "issuers",
        ),
        (
            "tier = \"standard\"",
            "tier = \"huge\"",
            "resources.artifacts-prod.tier",
        ),
        ("[keys]", "[keys", "TOML"),
    ] {
        let failure = judge(&change(from, to)).err();
        let failure = failure.unwrap_or_else(|| panic!("`{to}` was taken"));
        assert_eq!(failure.exit, 78);
        assert!(failure.told.contains("jitney.toml"), "{failure}");
        assert!(failure.told.contains(told), "{failure}\n  expected: {told}");
    }
}

#[test]
fn no_issuer_is_no_configuration() {
    let start = EXAMPLE.find("[[issuers]]").unwrap();
    let end = EXAMPLE.find("[targets.acme-prod]").unwrap();
    let without = format!(
        "issuers = []\n{}{}",
        EXAMPLE.get(..start).unwrap(),
        EXAMPLE.get(end..).unwrap()
    );
    assert!(
        judge(&without)
            .unwrap_err()
            .told
            .contains("`issuers` is empty")
    );
}

#[test]
fn variables_change_keys_and_are_judged_like_them() {
    let listen = [("JITNEY__BROKER__LISTEN", "127.0.0.1:9999")];
    let configuration = judge_with(EXAMPLE, &listen).unwrap();
    assert_eq!(configuration.broker.listen.port(), 9_999);
    let number = [("JITNEY__SILENCE__LIMIT_SECONDS", "60")];
    let configuration = judge_with(EXAMPLE, &number).unwrap();
    assert_eq!(configuration.silence.as_secs(), 60);
    for (name, value, told) in [
        ("JITNEY__BROKER__LISTN", "x", "`broker.listn`"),
        (
            "JITNEY__SILENCE__LIMIT_SECONDS",
            "soon",
            "`silence.limit_seconds`",
        ),
        ("JITNEY__BROKR", "x", "`brokr`"),
    ] {
        let failure = judge_with(EXAMPLE, &[(name, value)]).unwrap_err();
        assert!(failure.told.contains(told), "{failure}");
    }
    // Those of other programs, and those of `jitney run`, are none of ours.
    let others = [("JITNEY_BROKER", "http://127.0.0.1:1"), ("PATH", "/bin")];
    assert!(judge_with(EXAMPLE, &others).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&folder.path().join("none.toml"), []).unwrap_err();
    assert_eq!(
        (missing.exit, missing.code),
        (78, "configuration_unreadable")
    );
    assert!(missing.told.contains("none.toml") && missing.told.contains("--config"));
    assert_eq!(read(folder.path(), []).unwrap_err().exit, 78);
    let large = folder.path().join("large.toml");
    fs::write(&large, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(read(&large, []).unwrap_err().told.contains("at most"));
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"\xff\xfe\x00").unwrap();
    assert_eq!(read(&binary, []).unwrap_err().exit, 78);
}

#[test]
fn a_spool_lies_where_it_is_put_and_has_a_size() {
    let put = |section: &str| judge(&format!("{EXAMPLE}\n[spool]\n{section}\n"));
    let configuration = put("path = \"spool/jitney\"\nsize_mib = 1").unwrap();
    let folder = configuration.file.parent().unwrap();
    assert_eq!(configuration.spool.path, folder.join("spool/jitney"));
    assert_eq!(configuration.spool.bytes, 1024 * 1024);
    for size in ["0", "1025"] {
        let failure = put(&format!("size_mib = {size}")).unwrap_err();
        let words = format!("`spool.size_mib` is {size}: expected 1 to 1024");
        assert!(failure.told.contains(&words), "{}", failure.told);
    }
}

#[test]
fn a_webhook_tells_of_the_jobs_of_a_known_issuer() {
    let hook = |issuer: &str| {
        format!("{EXAMPLE}\n[webhooks.github]\nsecret_file = \"hook\"\nissuer = \"{issuer}\"\n")
    };
    let configuration = judge(&hook("https://token.actions.githubusercontent.com")).unwrap();
    let folder = configuration.file.parent().unwrap();
    let github = configuration.webhooks.github.unwrap();
    assert_eq!(github.secret_file, folder.join("hook"));
    assert!(configuration.webhooks.gitlab.is_none());
    assert_eq!(configuration.admin_socket, folder.join("jitney.sock"));
    let unknown = judge(&hook("https://github.com")).unwrap_err();
    assert!(
        unknown.told.contains("`webhooks.github.issuer`"),
        "{}",
        unknown.told
    );
}

/// Its events could name no job that has a lease: better no section than one that does nothing.
#[test]
fn a_webhook_needs_an_issuer_of_its_own_forge() {
    let lab = "[[issuers]]\nname = \"gitlab\"\nurl = \"https://gitlab.com\"\n\
               provider = \"gitlab-ci\"\naudience = \"https://jitney.acme.example\"\n";
    let hub = "https://token.actions.githubusercontent.com";
    let judge = |issuers: &str, forge: &str, issuer: &str| {
        let hook = format!("[webhooks.{forge}]\nsecret_file = \"hook\"\nissuer = \"{issuer}\"\n");
        judge(&format!("{EXAMPLE}\n{issuers}{hook}"))
    };
    let heard = judge(lab, "gitlab", "https://gitlab.com").unwrap();
    let folder = heard.file.parent().unwrap();
    assert_eq!(
        heard.webhooks.gitlab.unwrap().secret_file,
        folder.join("hook")
    );
    for (issuers, forge, issuer, provider) in [
        ("", "gitlab", hub, "gitlab-ci"),
        ("", "gitlab", "https://gitlab.com", "gitlab-ci"),
        (lab, "gitlab", hub, "gitlab-ci"),
        (lab, "github", "https://gitlab.com", "github-actions"),
    ] {
        let refused = judge(issuers, forge, issuer).unwrap_err();
        let key = format!("`webhooks.{forge}.issuer`");
        for part in [key.as_str(), provider, "whose jobs it tells about"] {
            assert!(refused.told.contains(part), "{}", refused.told);
        }
    }
}

#[test]
fn the_broker_is_an_issuer_of_its_own_and_takes_no_token_of_its_own() {
    let own = |url: &str| {
        let files = "key_file = \"issuer.pem\"\nnext_key_file = \"next.pem\"\n\
                     previous_key_files = [\"a.pem\", \"/keys/b.pem\"]\n";
        judge(&format!("{EXAMPLE}\n[issuer]\nurl = \"{url}\"\n{files}"))
    };
    assert!(judge(EXAMPLE).unwrap().issuer.is_none());
    let configuration = own("https://jitney.acme.example").unwrap();
    let folder = configuration.file.parent().unwrap();
    let issuer = configuration.issuer.unwrap();
    let files: Vec<_> = issuer.key_files().cloned().collect();
    let below = ["issuer.pem", "next.pem", "a.pem", "/keys/b.pem"];
    assert_eq!(files, below.map(|name| folder.join(name)));
    let told = own("https://token.actions.githubusercontent.com").unwrap_err();
    assert!(told.told.contains("`issuer.url`"), "{told}");
}

#[test]
fn exactly_one_key_of_the_issuer_signs() {
    let id = |name: &str| {
        let version = "0123456789abcdef0123456789abcdef";
        format!("\"https://acme.vault.azure.net/keys/{name}/{version}\"")
    };
    let own = |files: &str, keys: &str| {
        let vault = "[issuer.key_vault]\ntenant = \"11111111-0000-4000-8000-000000000001\"\n\
                     credentials = { from = \"managed-identity\" }\n";
        let url = "url = \"https://jitney.acme.example\"\n";
        judge(&format!("{EXAMPLE}\n[issuer]\n{url}{files}\n{vault}{keys}"))
    };
    let file = "key_file = \"issuer.pem\"";
    let next = format!("next_key = {}", id("a"));
    let signs = format!("key = {}\nprevious_keys = [{}]", id("a"), id("b"));
    // Into the vault, as one does it: its key is published before it signs.
    assert!(own(file, &next).is_ok());
    assert!(own("previous_key_files = [\"issuer.pem\"]", &signs).is_ok());
    for (files, keys) in [("", &next), (file, &signs)] {
        let told = own(files, keys).unwrap_err();
        assert!(told.told.contains("`issuer.key_file`"), "{told}");
    }
    let told = own("", "key = \"https://evil.example/keys/a/b\"").unwrap_err();
    assert!(told.told.contains("`issuer.key_vault"), "{told}");
}

#[test]
fn several_brokers_have_a_server() {
    let ledger = "[ledger.postgres]
url = \"postgres://jitney@db.example.com/jitney\"
password_file = \"secrets/password\"";
    let server = |ledger: &str| judge(&change("[ledger]\npath = \"jitney.db\"", ledger));
    let configuration = server(ledger).unwrap();
    let LedgerSection::Postgres(options) = &configuration.ledger else {
        panic!("{:?}", configuration.ledger)
    };
    let folder = configuration.file.parent().unwrap();
    let password = folder.join("secrets/password");
    assert_eq!(options.password_file.as_ref(), Some(&password));
    assert_eq!(options.schema, "jitney");
    assert_eq!(configuration.spool.path, folder.join("jitney-spool"));
    assert_eq!(configuration.admin_socket, folder.join("jitney.sock"));

    let both = format!("[ledger]\npath = \"jitney.db\"\n{ledger}");
    let mistakes = [
        (
            both.as_str(),
            "`ledger.path` stands beside `[ledger.postgres]`",
        ),
        (
            &ledger.replace("password_file", "pasword_file"),
            "mean `ledger.postgres.password_file`",
        ),
        (
            &ledger.replace("jitney@", "jitney:hunter2@"),
            "it holds a password",
        ),
        (
            &ledger.replace("postgres://", "mysql://"),
            "`ledger.postgres.url`",
        ),
    ];
    for (ledger, expected) in mistakes {
        let told = server(ledger).unwrap_err().told;
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
