//! Signs one assertion for other programs, as the broker does for Azure.
//!
//! ```text
//! assertion ISSUER KEY_FILE SUBJECT AUDIENCE SECONDS
//! ```

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jitney_core::time::Timestamp;
use jitney_identity::assertions::{AssertionIssuer, AssertionKey};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, key_file, subject, audience, seconds] = words.as_slice() else {
        return Err("expected ISSUER KEY_FILE SUBJECT AUDIENCE SECONDS".into());
    };
    let key = AssertionKey::from_pem(&std::fs::read(key_file)?)?;
    let issuer = AssertionIssuer::new(issuer, key, Vec::new())?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp::from_seconds(i64::try_from(since.as_secs())?);
    let lives = Duration::from_secs(seconds.parse()?);
    let assertion = issuer.assertion(subject, audience, now, lives).await?;
    writeln!(std::io::stdout(), "{}", *assertion.text)?;
    Ok(())
}
