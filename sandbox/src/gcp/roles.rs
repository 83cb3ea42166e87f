//! Predefined roles and the permissions they hold: a small part of Google's, under their real names.
//!
//! What is left out of a role is a permission of a service that the sandbox does not have.

const OBJECT_READ: &[&str] = &["storage.objects.get", "storage.objects.list"];
const OBJECT_USE: &[&str] = &[
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.update",
];
const TOKEN_CREATOR: &[&str] = &[
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.list",
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
    "iam.serviceAccounts.implicitDelegation",
    "iam.serviceAccounts.signBlob",
    "iam.serviceAccounts.signJwt",
];
const PROJECT_READ: &[&str] = &[
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
];
const ACCOUNT_READ: &[&str] = &["iam.serviceAccounts.get", "iam.serviceAccounts.list"];

/// Roles that take no conditions, and that a bucket does not know under these names.
const BASIC: &[&str] = &["roles/owner", "roles/editor", "roles/viewer"];

/// Every predefined role, with what it holds in pieces.
const PREDEFINED: &[(&str, &[&[&str]])] = &[
    (
        "roles/owner",
        &[
            PROJECT_READ,
            ACCOUNT_READ,
            PAM_ALL,
            &[
                "resourcemanager.projects.setIamPolicy",
                "iam.serviceAccounts.create",
                "iam.serviceAccounts.update",
                "iam.serviceAccounts.enable",
                "iam.serviceAccounts.disable",
                "iam.serviceAccounts.delete",
                "iam.serviceAccounts.getIamPolicy",
                "iam.serviceAccounts.setIamPolicy",
                "iam.serviceAccounts.actAs",
                "storage.buckets.create",
                "storage.buckets.list",
            ],
        ],
    ),
    (
        "roles/editor",
        &[
            ACCOUNT_READ,
            &[
                "resourcemanager.projects.get",
                "iam.serviceAccounts.create",
                "iam.serviceAccounts.update",
                "iam.serviceAccounts.enable",
                "iam.serviceAccounts.disable",
                "iam.serviceAccounts.delete",
                "iam.serviceAccounts.actAs",
                "storage.buckets.create",
                "storage.buckets.list",
            ],
        ],
    ),
    (
        "roles/viewer",
        &[
            ACCOUNT_READ,
            &["resourcemanager.projects.get", "storage.buckets.list"],
        ],
    ),
    ("roles/browser", &[PROJECT_READ]),
    (
        "roles/resourcemanager.projectIamAdmin",
        &[PROJECT_READ, &["resourcemanager.projects.setIamPolicy"]],
    ),
    (
        "roles/iam.securityAdmin",
        &[
            PROJECT_READ,
            ACCOUNT_READ,
            &[
                "resourcemanager.projects.setIamPolicy",
                "iam.serviceAccounts.getIamPolicy",
                "iam.serviceAccounts.setIamPolicy",
                "storage.buckets.getIamPolicy",
                "storage.buckets.setIamPolicy",
            ],
        ],
    ),
    (
        "roles/iam.securityReviewer",
        &[
            PROJECT_READ,
            ACCOUNT_READ,
            &[
                "iam.serviceAccounts.getIamPolicy",
                "storage.buckets.getIamPolicy",
            ],
        ],
    ),
    (
        "roles/iam.serviceAccountAdmin",
        &[
            ACCOUNT_READ,
            &[
                "iam.serviceAccounts.create",
                "iam.serviceAccounts.update",
                "iam.serviceAccounts.enable",
                "iam.serviceAccounts.disable",
                "iam.serviceAccounts.delete",
                "iam.serviceAccounts.getIamPolicy",
                "iam.serviceAccounts.setIamPolicy",
                "resourcemanager.projects.get",
            ],
        ],
    ),
    (
        "roles/iam.serviceAccountViewer",
        &[ACCOUNT_READ, &["iam.serviceAccounts.getIamPolicy"]],
    ),
    ("roles/iam.serviceAccountTokenCreator", &[TOKEN_CREATOR]),
    (
        "roles/iam.serviceAccountOpenIdTokenCreator",
        &[&["iam.serviceAccounts.getOpenIdToken"]],
    ),
    (
        "roles/iam.serviceAccountUser",
        &[ACCOUNT_READ, &["iam.serviceAccounts.actAs"]],
    ),
    (
        "roles/iam.workloadIdentityUser",
        &[
            ACCOUNT_READ,
            &[
                "iam.serviceAccounts.getAccessToken",
                "iam.serviceAccounts.getOpenIdToken",
            ],
        ],
    ),
    (
        "roles/storage.admin",
        &[
            OBJECT_USE,
            &[
                "storage.buckets.create",
                "storage.buckets.get",
                "storage.buckets.list",
                "storage.buckets.delete",
                "storage.buckets.update",
                "storage.buckets.getIamPolicy",
                "storage.buckets.setIamPolicy",
            ],
        ],
    ),
    ("roles/storage.objectAdmin", &[OBJECT_USE]),
    ("roles/storage.objectUser", &[OBJECT_USE]),
    (
        "roles/storage.objectCreator",
        &[&["storage.objects.create"]],
    ),
    ("roles/storage.objectViewer", &[OBJECT_READ]),
    (
        "roles/storage.bucketViewer",
        &[&["storage.buckets.get", "storage.buckets.list"]],
    ),
    (
        "roles/storage.legacyObjectReader",
        &[&["storage.objects.get"]],
    ),
    (
        "roles/storage.legacyBucketReader",
        &[&["storage.buckets.get", "storage.objects.list"]],
    ),
    (
        "roles/storage.legacyBucketWriter",
        &[&[
            "storage.buckets.get",
            "storage.objects.list",
            "storage.objects.create",
            "storage.objects.delete",
        ]],
    ),
    (
        "roles/storage.legacyBucketOwner",
        &[&[
            "storage.buckets.get",
            "storage.buckets.update",
            "storage.buckets.getIamPolicy",
            "storage.buckets.setIamPolicy",
            "storage.objects.list",
            "storage.objects.create",
            "storage.objects.delete",
        ]],
    ),
    ("roles/privilegedaccessmanager.admin", &[PAM_ALL]),
    ("roles/privilegedaccessmanager.viewer", &[PAM_READ]),
    (
        "roles/secretmanager.secretAccessor",
        &[&["secretmanager.versions.access"]],
    ),
    ("roles/logging.viewer", &[&["logging.logEntries.list"]]),
];

const PAM_READ: &[&str] = &[
    "privilegedaccessmanager.entitlements.get",
    "privilegedaccessmanager.entitlements.list",
    "privilegedaccessmanager.grants.get",
    "privilegedaccessmanager.grants.list",
    "privilegedaccessmanager.operations.get",
    "privilegedaccessmanager.locations.checkOnboardingStatus",
];
const PAM_ALL: &[&str] = &[
    "privilegedaccessmanager.entitlements.create",
    "privilegedaccessmanager.entitlements.delete",
    "privilegedaccessmanager.entitlements.get",
    "privilegedaccessmanager.entitlements.list",
    "privilegedaccessmanager.entitlements.setIamPolicy",
    "privilegedaccessmanager.entitlements.update",
    "privilegedaccessmanager.grants.get",
    "privilegedaccessmanager.grants.list",
    "privilegedaccessmanager.grants.revoke",
    "privilegedaccessmanager.operations.get",
    "privilegedaccessmanager.locations.checkOnboardingStatus",
];

/// Whether Google knows the role by itself.
pub(crate) fn is_predefined(role: &str) -> bool {
    PREDEFINED.iter().any(|(name, _)| *name == role)
}

/// Whether the role is one of the three that are older than IAM.
pub(crate) fn is_basic(role: &str) -> bool {
    BASIC.contains(&role)
}

/// Whether a predefined role holds a permission.
pub(crate) fn holds(role: &str, permission: &str) -> bool {
    let role = PREDEFINED.iter().find(|(name, _)| *name == role);
    role.is_some_and(|(_, pieces)| pieces.iter().any(|piece| piece.contains(&permission)))
}

/// Whether a predefined role holds the permission.
pub(crate) fn is_permission(permission: &str) -> bool {
    let mut roles = PREDEFINED.iter();
    roles.any(|(_, pieces)| pieces.iter().any(|piece| piece.contains(&permission)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_what_they_say_and_no_more() {
        assert!(holds("roles/storage.objectViewer", "storage.objects.get"));
        assert!(!holds(
            "roles/storage.objectViewer",
            "storage.objects.create"
        ));
        assert!(!holds("roles/owner", "iam.serviceAccounts.getAccessToken"));
        assert!(!holds("roles/storage.objectuser", "storage.objects.get"));
        assert!(is_permission("storage.objects.get") && !is_permission("storage.objects.fly"));
        assert!(is_basic("roles/owner") && !is_basic("roles/browser"));
    }
}
