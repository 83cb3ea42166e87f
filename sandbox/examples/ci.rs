//! A CI issuer for other programs: prints one line of JSON with its `url` and serves until its
//! standard input ends, so that it can never outlive whoever started it.

use std::io::Write as _;

use jitney_sandbox::ci::{CiIssuer, CiOptions};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = CiIssuer::start(CiOptions::default()).await?;
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "url": issuer.url() }))?;
    let mut ignored = [0; 64];
    while tokio::io::stdin().read(&mut ignored).await? > 0 {}
    Ok(())
}
