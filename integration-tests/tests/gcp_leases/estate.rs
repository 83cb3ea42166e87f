//! What an operator has in the project, and what a careless one has in it too.

use jitney_sandbox::gcp::estate::{Binding, Bucket, Entitlement, Estate, Project, ServiceAccount};

pub const PROJECT: &str = "acme-prod";
pub const BROKER: &str = "jitney-broker@acme-prod.iam.gserviceaccount.com";
/// Who gives, where somebody else takes back. Each may do its half, and look.
pub const GRANTER: &str = "jitney-granter@acme-prod.iam.gserviceaccount.com";
pub const REVOKER: &str = "jitney-revoker@acme-prod.iam.gserviceaccount.com";
/// The bucket that leases are for.
pub const BUCKET: &str = "artifacts-prod";
/// A bucket that leases beside those are for.
pub const BESIDE: &str = "reports-prod";
/// How many accounts carry one lease at a time.
pub const SLOTS: usize = 5;

pub fn slot(number: usize) -> String {
    email(&format!("jitney-{number:03}"))
}

pub fn email(name: &str) -> String {
    format!("{name}@{PROJECT}.iam.gserviceaccount.com")
}

pub fn member(email: &str) -> String {
    format!("serviceAccount:{email}")
}

pub fn bucket_id(bucket: &str) -> String {
    format!("//storage.googleapis.com/projects/_/buckets/{bucket}")
}

/// An account that is given to by Privileged Access Manager. Those after [`SLOTS`] may ask for
/// entitlements that carry no lease as they are.
pub fn entitled(number: usize) -> String {
    email(&format!("jitney-{:03}", 100 + number))
}

/// The accounts that ask for something out of the ordinary.
pub const ASKS_FOR_THE_ODD: usize = SLOTS + 1;
pub const DEPLOYS: usize = SLOTS + 2;

pub fn entitlement(id: &str) -> String {
    format!("projects/{PROJECT}/locations/global/entitlements/{id}")
}

/// What narrows a role on the project to what lies beneath `releases/` in a bucket.
pub fn releases(bucket: &str) -> String {
    format!(
        "(resource.type == \"storage.googleapis.com/Object\" && \
         resource.name.startsWith(\"projects/_/buckets/{bucket}/objects/releases/\") || \
         resource.type == \"storage.googleapis.com/Bucket\" && \
         resource.name == \"projects/_/buckets/{bucket}\" && \
         api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \
         \"\").startsWith(\"releases/\"))"
    )
}

/// What Privileged Access Manager gives, to whom, and by whose leave.
fn managed(project: Project) -> Project {
    let viewer = ["roles/storage.objectViewer".to_owned()].to_vec();
    let asks = |numbers: core::ops::RangeInclusive<usize>| {
        let members = numbers.map(|number| member(&entitled(number)));
        members.collect::<Vec<String>>()
    };
    let readers = |id: &str, bucket: &str| Entitlement {
        id: id.to_owned(),
        requesters: asks(1..=SLOTS),
        approvers: Vec::new(),
        roles: viewer.clone(),
        condition: Some(releases(bucket)),
        max_duration_seconds: 86_400,
    };
    let odd = |id: &str| Entitlement {
        requesters: asks(ASKS_FOR_THE_ODD..=ASKS_FOR_THE_ODD),
        ..readers(id, BUCKET)
    };
    let deployers = |id: &str, role: &str| Entitlement {
        requesters: asks(DEPLOYS..=DEPLOYS),
        roles: vec![role.to_owned()],
        condition: None,
        ..readers(id, BUCKET)
    };
    let own = format!("projects/{PROJECT}/roles/deployer");
    let entitlements = [
        readers("release-readers", BUCKET),
        readers("report-readers", BESIDE),
        Entitlement {
            approvers: vec!["user:ann@example.com".to_owned()],
            ..odd("asks-first")
        },
        Entitlement {
            max_duration_seconds: 1_800,
            ..odd("too-short")
        },
        Entitlement {
            condition: None,
            ..odd("too-wide")
        },
        deployers("deployers", &own),
        deployers("log-readers", "roles/logging.viewer"),
    ];
    entitlements.into_iter().fold(project, Project::entitlement)
}

/// The estate: accounts that carry leases in each way there is, and a broker with what the
/// adapter's README says that it needs.
pub fn estate() -> Estate {
    let broker = member(BROKER);
    let minted = |account: ServiceAccount| {
        let creator = "roles/iam.serviceAccountTokenCreator";
        let minter = format!("projects/{PROJECT}/roles/minter");
        account
            .binding(Binding::new(creator, &[broker.as_str()]))
            .binding(Binding::new(&minter, &[member(GRANTER).as_str()]))
    };
    let bucket = |name: &str| {
        Bucket::new(name)
            .object("releases/seed", "seed")
            .object("other/seed", "seed")
            .binding(Binding::new("roles/storage.admin", &[broker.as_str()]))
            .binding(Binding::new(
                "roles/storage.objectViewer",
                &["user:ann@example.com"],
            ))
            .binding(
                Binding::new("roles/storage.objectAdmin", &["user:ann@example.com"])
                    .when("office hours", "request.time.getHours('UTC') >= 0"),
            )
    };
    let mut project = Project::new(PROJECT, 111_122_223_333)
        .custom_role("deployer", &["resourcemanager.projects.get"])
        .custom_role("jitneyObjectDeleter", &["storage.objects.delete"])
        .account(ServiceAccount::new("jitney-broker"))
        .account(minted(ServiceAccount::new("jitney-fast").disabled()))
        .account(minted(ServiceAccount::new("jitney-shared")))
        .account(minted(ServiceAccount::new("jitney-bounded")))
        .binding(Binding::new(
            "roles/iam.serviceAccountAdmin",
            &[broker.as_str()],
        ))
        .binding(Binding::new(
            "roles/resourcemanager.projectIamAdmin",
            &[broker.as_str()],
        ));
    project = two_hands(project);
    for number in 1..=SLOTS {
        let name = format!("jitney-{number:03}");
        project = project.account(minted(ServiceAccount::new(&name).disabled()));
    }
    for number in 1..=DEPLOYS {
        let name = format!("jitney-{:03}", 100 + number);
        project = project.account(minted(ServiceAccount::new(&name).disabled()));
    }
    project = managed(project).binding(Binding::new(
        "roles/privilegedaccessmanager.admin",
        &[broker.as_str()],
    ));
    let fast = member(&email("jitney-fast"));
    let bounded = member(&email("jitney-bounded"));
    let viewer = "roles/storage.objectViewer";
    let project = project
        .bucket(
            bucket(BUCKET)
                .binding(Binding::new(viewer, &[fast.as_str()]))
                .binding(Binding::new(
                    "roles/storage.objectAdmin",
                    &[bounded.as_str()],
                )),
        )
        .bucket(bucket(BESIDE));
    Estate::new().user("ann@example.com").project(project)
}

/// What the adapter's README says that each half needs, where two identities share the work.
fn two_hands(project: Project) -> Project {
    let policies = [
        "resourcemanager.projects.getIamPolicy",
        "resourcemanager.projects.setIamPolicy",
        "storage.buckets.getIamPolicy",
        "storage.buckets.setIamPolicy",
    ];
    let accounts = |verb| ["get", "update", verb].map(|it| format!("iam.serviceAccounts.{it}"));
    let role = |project: Project, name: &str, verb, who| {
        let accounts = accounts(verb);
        let permissions = accounts.iter().map(String::as_str).chain(policies);
        let permissions: Vec<&str> = permissions.collect();
        let name_of_role = format!("projects/{PROJECT}/roles/{name}");
        project
            .account(ServiceAccount::new(&format!("jitney-{name}")))
            .custom_role(name, &permissions)
            .binding(Binding::new(&name_of_role, &[member(who).as_str()]))
    };
    let project = project.custom_role("minter", &["iam.serviceAccounts.getAccessToken"]);
    let project = role(project, "granter", "enable", GRANTER);
    role(project, "revoker", "disable", REVOKER)
}
