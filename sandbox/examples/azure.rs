//! Runs the Azure sandbox for other programs: `cargo run --release -p jitney-sandbox --example azure [ESTATE]`.
//!
//! Prints one line of JSON with the address, the tenant and the certificate to trust, and answers until it is ended.
//! Without an estate file it starts with an empty tenant.

use std::io::Write;
use std::path::Path;

use jitney_sandbox::azure::estate::Estate;
use jitney_sandbox::azure::{AzureOptions, AzureSandbox};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let estate = match std::env::args().nth(1) {
        Some(path) => Estate::read(Path::new(&path))?,
        None => Estate::default(),
    };
    let sandbox = AzureSandbox::start(AzureOptions::new(estate)).await?;
    let line = serde_json::json!({
        "url": sandbox.url(),
        "tenant_id": sandbox.tenant_id(),
        "authority_pem": sandbox.authority_pem(),
    });
    writeln!(std::io::stdout(), "{line}")?;
    std::future::pending::<()>().await;
    Ok(())
}
