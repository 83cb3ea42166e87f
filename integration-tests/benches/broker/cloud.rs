//! The cloud by itself: the call that grants, made beside the broker with the same SDK, so that
//! its share of a job's wait is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{BehaviorVersion, Config, Region};
use aws_sdk_sts::types::Tag;

use crate::estate::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, role_arn};

/// Seldom enough to be no load.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// As long as the policy of a lease.
const SESSION_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],"Resource":"arn:aws:s3:::store-0/releases/*"},{"Effect":"Deny","NotAction":["s3:PutObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],"Resource":"*"},{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::store-0/releases/*"}]}"#;

pub struct Cloud(Client);

impl Cloud {
    pub fn at(url: &str) -> Self {
        let key = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(key);
        Self(Client::from_conf(config.build()))
    }

    /// Asks again and again until `over`; gives what each call took.
    pub async fn watch(self, over: Arc<AtomicBool>) -> Vec<Duration> {
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            self.assume().await;
            times.push(asked.elapsed());
            tokio::time::sleep(ASK_EVERY).await;
        }
        times
    }

    async fn assume(&self) {
        let tag = Tag::builder().key("jitney:lease").value("bench").build();
        let call = self.0.assume_role().role_arn(role_arn(0));
        let call = call.role_session_name("bench").duration_seconds(900);
        let call = call.policy(SESSION_POLICY).tags(tag.unwrap());
        call.send()
            .await
            .expect("the sandbox lets the bench assume a role");
    }
}
