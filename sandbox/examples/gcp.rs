//! Runs the Google Cloud sandbox for other programs: `cargo run --release -p jitney-sandbox --example gcp [ESTATE]`.
//!
//! Prints one line of JSON with the address, and answers until it is ended. Without an estate file it starts with
//! one empty project.

use std::io::Write;
use std::path::Path;

use jitney_sandbox::gcp::estate::{Estate, Project};
use jitney_sandbox::{GcpOptions, GcpSandbox};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let estate = match std::env::args().nth(1) {
        Some(path) => Estate::read(Path::new(&path))?,
        None => Estate::new().project(Project::new("acme-prod", 111_122_223_333)),
    };
    let sandbox = GcpSandbox::start(GcpOptions::new(estate)).await?;
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::json!({ "url": sandbox.url() })
    )?;
    std::future::pending::<()>().await;
    Ok(())
}
