//! A CI issuer for other programs: prints one line of JSON with its `url` and serves until its
//! standard input ends, so that it never outlives whoever started it.

use std::io::Write as _;

use jitney_sandbox::ci::{CiIssuer, CiOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = CiIssuer::start(CiOptions::default()).await?;
    let ready = serde_json::json!({ "url": issuer.url() });
    writeln!(std::io::stdout(), "{ready}")?;
    let until_end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(until_end).await??;
    Ok(())
}
