//! What an operator has in the project, and what a careless one has in it too.

use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};

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
