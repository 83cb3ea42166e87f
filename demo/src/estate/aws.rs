//! The AWS account of the story: one over-provisioned role, as pipelines have them, and a broker
//! that may assume it, but only under a lease's tag.

use jitney_sandbox::aws::estate::{Account, Bucket, Estate, Role, User};
use serde_json::json;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-central-1";
pub const ROLE: &str = "arn:aws:iam::111122223333:role/deploy";
pub const BUCKET: &str = "artifacts-prod";
pub const OTHER_BUCKET: &str = "customer-data";
const BROKER: &str = "jitney-broker";

/// The account. The broker's keys are made up for each run.
pub fn estate(access_key_id: &str, secret_access_key: &str) -> Estate {
    let account = Account::new(ACCOUNT)
        .user(
            User::new(BROKER)
                .access_key(access_key_id, secret_access_key)
                .inline("broker", broker_may()),
        )
        .role(Role::new("deploy", only_the_broker_with_a_lease()).inline("deploy", far_too_much()))
        .bucket(Bucket::new(BUCKET).object("releases/shop-0.9.tar", "the last release"))
        .bucket(Bucket::new(OTHER_BUCKET).object("people.csv", "not for pipelines"));
    Estate::new().region(REGION).account(account)
}

/// Who may assume the role: the broker alone, and only for a named lease.
fn only_the_broker_with_a_lease() -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:user/{BROKER}")},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {"StringLike": {"aws:RequestTag/jitney:lease": "?*"}},
    }]})
}

/// What the role may do by itself. A pipeline that had it would have all of this, all the time.
fn far_too_much() -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["s3:*", "iam:List*"], "Resource": "*",
    }]})
}

/// What the broker may do: assume the role, and keep the role's deny list.
fn broker_may() -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": [
            "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity",
            "iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies",
            "iam:PutRolePolicy", "iam:DeleteRolePolicy",
        ],
        "Resource": ROLE,
    }, {
        "Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*",
    }]})
}
