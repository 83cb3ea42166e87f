//! Who calls, and whom a policy names.

use serde_json::{Value, json};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// A service account, by its unique id: an account of the same name made later is another one.
    Account { unique_id: String, email: String },
    /// A person.
    User { email: String },
    /// Somebody a workload identity provider vouched for.
    Federated(Federated),
}

/// What a provider's token was mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Federated {
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL`.
    pub(crate) pool: String,
    pub(crate) subject: String,
    pub(crate) groups: Vec<String>,
    /// Custom attributes.
    pub(crate) attributes: Vec<(String, String)>,
}

impl Principal {
    /// As a policy would name it.
    pub(crate) fn member(&self) -> String {
        match self {
            Principal::Account { email, .. } => format!("serviceAccount:{email}"),
            Principal::User { email } => format!("user:{email}"),
            Principal::Federated(who) => {
                format!(
                    "principal://iam.googleapis.com/{}/subject/{}",
                    who.pool, who.subject
                )
            }
        }
    }

    /// Whether a member of a policy means this principal.
    pub(crate) fn is_meant_by(&self, member: &str) -> bool {
        match member {
            "allUsers" | "allAuthenticatedUsers" => true,
            _ => match self {
                Principal::Account { .. } => member == self.member(),
                // Addresses of people do not care about case, and neither does IAM.
                Principal::User { .. } => member.eq_ignore_ascii_case(&self.member()),
                Principal::Federated(who) => who.is_meant_by(member, &self.member()),
            },
        }
    }
}

impl Federated {
    fn is_meant_by(&self, member: &str, own: &str) -> bool {
        if member == own {
            return true;
        }
        let set = format!("principalSet://iam.googleapis.com/{}/", self.pool);
        let Some(which) = member.strip_prefix(&set) else {
            return false;
        };
        if let Some(group) = which.strip_prefix("group/") {
            return self.groups.iter().any(|own| own == group);
        }
        if let Some((name, value)) = which
            .strip_prefix("attribute.")
            .and_then(|attribute| attribute.split_once('/'))
        {
            let mut attributes = self.attributes.iter();
            return attributes.any(|(own, holds)| own == name && holds == value);
        }
        which == "*"
    }
}

/// Whether a text may stand among the members of a binding.
pub(crate) fn is_member(member: &str) -> bool {
    let is_address = |text: &str| {
        text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && domain.contains('.') && !text.contains(char::is_whitespace)
        })
    };
    let Some((kind, name)) = member.split_once(':') else {
        return matches!(member, "allUsers" | "allAuthenticatedUsers");
    };
    match kind {
        "user" | "serviceAccount" | "group" => is_address(name),
        "domain" => name.contains('.'),
        "projectOwner" | "projectEditor" | "projectViewer" => !name.is_empty(),
        "principal" => is_pool_path(name, &["/subject/"]),
        "principalSet" => is_pool_path(name, &["/group/", "/attribute.", "/*"]),
        "deleted" => name.contains("?uid="),
        _ => false,
    }
}

fn is_pool_path(name: &str, ways: &[&str]) -> bool {
    name.starts_with("//iam.googleapis.com/projects/")
        && name.contains("/locations/global/workloadIdentityPools/")
        && ways.iter().any(|way| name.contains(way))
}

/// What an error about a service account says about it.
pub(crate) fn account_metadata(email: &str) -> Value {
    json!({ "email": email })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    const POOL: &str = "projects/123/locations/global/workloadIdentityPools/ci";

    fn job() -> Principal {
        Principal::Federated(Federated {
            pool: POOL.to_owned(),
            subject: "repo:acme/shop".to_owned(),
            groups: vec!["deployers".to_owned()],
            attributes: vec![("repository".to_owned(), "acme/shop".to_owned())],
        })
    }

    #[test]
    fn a_federated_principal_is_meant_by_subject_group_attribute_and_pool() {
        for (member, meant) in [
            ("subject/repo:acme/shop", true),
            ("subject/repo:acme/shop2", false),
        ] {
            let member = format!("principal://iam.googleapis.com/{POOL}/{member}");
            assert_eq!(job().is_meant_by(&member), meant, "{member}");
        }
        for (member, meant) in [
            ("group/deployers", true),
            ("group/deploy", false),
            ("attribute.repository/acme/shop", true),
            ("attribute.repository/acme/other", false),
            ("attribute.actor/acme/shop", false),
            ("*", true),
        ] {
            let member = format!("principalSet://iam.googleapis.com/{POOL}/{member}");
            assert_eq!(job().is_meant_by(&member), meant, "{member}");
        }
        let other_pool = format!("principalSet://iam.googleapis.com/{POOL}2/*");
        assert!(!job().is_meant_by(&other_pool));
        assert!(job().is_meant_by("allUsers"));
    }

    #[test]
    fn an_account_is_meant_by_its_own_address_only() {
        let account = Principal::Account {
            unique_id: "1".to_owned(),
            email: "slot-1@p.iam.gserviceaccount.com".to_owned(),
        };
        assert!(account.is_meant_by("serviceAccount:slot-1@p.iam.gserviceaccount.com"));
        assert!(!account.is_meant_by("serviceAccount:slot-11@p.iam.gserviceaccount.com"));
        assert!(!account.is_meant_by("user:slot-1@p.iam.gserviceaccount.com"));
        assert!(
            !account.is_meant_by("deleted:serviceAccount:slot-1@p.iam.gserviceaccount.com?uid=1")
        );
    }

    #[test]
    fn members_have_a_kind_and_a_shape() {
        for good in [
            "allUsers",
            "user:ann@example.com",
            "serviceAccount:s@p.iam.gserviceaccount.com",
            "domain:example.com",
            "projectViewer:acme",
            "deleted:serviceAccount:s@p.iam.gserviceaccount.com?uid=1",
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*",
        ] {
            assert!(is_member(good), "{good}");
        }
        for wrong in [
            "",
            "ann@example.com",
            "user:ann",
            "robot:s@p.com",
            "user:a b@c.d",
            "principal://x/subject/y",
        ] {
            assert!(!is_member(wrong), "{wrong}");
        }
    }
}
