//! Runs the AWS sandbox for other programs: `cargo run --release -p jitney-sandbox --example aws [ESTATE]`.
//!
//! Prints one line of JSON with the address, the region and the keys of every account, and answers until it is
//! ended. Without an estate file it starts with one empty account.

use std::io::Write;
use std::path::Path;

use jitney_sandbox::aws::estate::{Account, Estate};
use jitney_sandbox::{AwsOptions, AwsSandbox};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let estate = match std::env::args().nth(1) {
        Some(path) => Estate::read(Path::new(&path))?,
        None => Estate::new().account(Account::new("111122223333")),
    };
    let sandbox = AwsSandbox::start(AwsOptions::new(estate)).await?;
    let line = serde_json::json!({
        "url": sandbox.url(),
        "region": sandbox.region(),
        "accounts": sandbox.accounts(),
    });
    writeln!(std::io::stdout(), "{line}")?;
    std::future::pending::<()>().await;
    Ok(())
}
