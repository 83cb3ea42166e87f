//! The AWS account: a role and a bucket for each lane.

use jitney_sandbox::aws::estate::{Account, Bucket, Estate, Role, User};
use serde_json::{Value, json};

use crate::kills::lanes::{Vendor, bucket_of, lanes_of};
use crate::kills::{Cloud, Tempo};

pub(in crate::kills) const TARGET: &str = "acme-prod";
pub(in crate::kills) const ACCESS_KEY_ID: &str = "AKIAKILLSJITNEYUSER0";
pub(in crate::kills) const SECRET_ACCESS_KEY: &str = "only-for-the-sandbox-0000000000000000000";

const ACCOUNT: &str = "111122223333";
const USER: &str = "jitney";

/// The name of a lane's role.
#[must_use]
pub fn role_of(lane: usize) -> String {
    format!("jitney-artifacts-{lane:02}")
}

pub(in crate::kills) fn arn_of_bucket(lane: usize) -> String {
    format!("arn:aws:s3:::{}", bucket_of(lane))
}

fn arn_of_role(lane: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{}", role_of(lane))
}

/// The account.
pub(in crate::kills) fn estate() -> Estate {
    let user = format!("arn:aws:iam::{ACCOUNT}:user/{USER}");
    let give = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let deny = [
        "iam:ListRolePolicies",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
    ];
    let may = |actions: &[&str], resource: Value| {
        json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": resource } ] })
        .to_string()
    };
    let roles: Vec<String> = lanes_of(Vendor::Aws).map(arn_of_role).collect();
    let jitney = User::new(USER)
        .access_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
        .inline(
            "jitney",
            may(&[&give[..], &deny[..]].concat(), json!(roles)).as_str(),
        )
        .inline("jitney-looks", may(&["iam:ListRoles"], json!("*")).as_str());
    let trust = json!({ "Version": "2012-10-17", "Statement": [ {
        "Effect": "Allow", "Principal": { "AWS": user }, "Action": give,
        "Condition": { "StringLike": { "aws:RequestTag/jitney:lease": "?*" } } } ] })
    .to_string();
    let account = Account::new(ACCOUNT).user(jitney);
    let account = lanes_of(Vendor::Aws).fold(account, |account, lane| {
        let objects = json!(format!("{}/*", arn_of_bucket(lane)));
        let artifacts = may(&["s3:GetObject", "s3:PutObject"], objects);
        account
            .role(Role::new(&role_of(lane), trust.as_str()).inline("artifacts", artifacts.as_str()))
            .bucket(Bucket::new(&bucket_of(lane)))
    });
    Estate::new().account(account)
}

/// The target's configuration.
pub(in crate::kills) fn target(cloud: &Cloud, tempo: Tempo) -> Value {
    json!({ "cloud": "aws", "account": ACCOUNT, "region": "eu-central-1",
        "endpoint_url": cloud.url(), "settle_seconds": tempo.settle_seconds,
        "write_interval_milliseconds": tempo.pause_milliseconds,
        "elevate_deadline_seconds": tempo.elevate_deadline_seconds })
}

/// A lane's resource.
pub(in crate::kills) fn resource(lane: usize) -> Value {
    json!({ "target": TARGET, "native_id": arn_of_bucket(lane), "via": arn_of_role(lane) })
}
