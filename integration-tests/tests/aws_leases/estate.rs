//! What an operator has in the account, and what a careless one has in it too: a role that may do
//! everything, and buckets whose policies let everybody of the account in.

use jitney_sandbox::aws::estate::{Account, Bucket, Estate, Role, User};
use serde_json::{Value, json};

pub const REGION: &str = "eu-central-1";
pub const ROLE: &str = "deploy";
pub const OTHER_ROLE: &str = "other";
pub const WORK: &str = "work";

/// The names in one account.
#[derive(Debug, Clone)]
pub struct Names {
    pub account: String,
    /// The bucket that leases are for.
    pub bucket: String,
    /// A bucket that no lease is for, and that lets everybody in.
    pub open: String,
}

impl Names {
    pub fn in_account(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            bucket: format!("artifacts-{account}"),
            open: format!("open-{account}"),
        }
    }

    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:aws:iam::{}:role/{role}", self.account)
    }

    /// Only the granter may assume the role, and only with a lease's tag.
    pub fn trust(&self, principal: &str) -> Value {
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "AWS": principal },
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": { "StringLike": { "aws:RequestTag/jitney:lease": "?*" } }
            }]
        })
    }

    pub fn open_trust(&self) -> Value {
        let root = format!("arn:aws:iam::{}:root", self.account);
        json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Principal": { "AWS": root },
                            "Action": "sts:AssumeRole" }]
        })
    }

    /// Everybody in the account, by a condition: what a session policy leaves out does not limit
    /// this.
    pub fn generous(&self, bucket: &str) -> Value {
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
                "Condition": { "StringEquals": { "aws:PrincipalAccount": self.account } }
            }]
        })
    }
}

/// The role may do everything: only the session policy narrows.
pub fn everything() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }]
    })
}

/// The estate in our own sandbox, with two identities that can do half each, and with more roles
/// like the one that leases are on, all named `role-` and more.
pub fn with_roles(names: &Names, more: &[String]) -> Estate {
    let role = [names.role_arn(ROLE), names.role_arn("role-*")];
    let granter = format!("arn:aws:iam::{}:user/granter", names.account);
    let allow = |actions: Value| {
        json!({ "Version": "2012-10-17",
                "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": role }] })
    };
    let giving = allow(json!([
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity"
    ]));
    let taking = allow(json!([
        "iam:ListRolePolicies",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy"
    ]));
    let looking = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*" }] });
    let account = Account::new(&names.account);
    let account = more.iter().fold(account, |account, role| {
        account.role(Role::new(role, names.trust(&granter)).inline(WORK, everything()))
    });
    Estate::new().region(REGION).account(
        account
            .user(User::new("granter").inline("give", giving))
            .user(
                User::new("revoker")
                    .inline("take", taking)
                    .inline("look", looking),
            )
            .role(Role::new(ROLE, names.trust(&granter)).inline(WORK, everything()))
            .role(Role::new(OTHER_ROLE, names.open_trust()).inline(WORK, everything()))
            .bucket(Bucket::new(&names.bucket).policy(names.generous(&names.bucket)))
            .bucket(Bucket::new(&names.open).policy(names.generous(&names.open))),
    )
}
