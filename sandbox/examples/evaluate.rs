//! The policy evaluator for other programs: a line of `{"request", "layers"}` in, a line of
//! `{"verdict", "layer"}` out, or `{"error"}` for what is no case.

use std::io::{BufRead as _, Write as _};

use jitney_sandbox::aws::evaluate::{Decision, Layers, Request, decide};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: Request,
    layers: Layers,
}

fn answer(line: &str) -> Result<Decision, serde_json::Error> {
    let case: Case = serde_json::from_str(line)?;
    Ok(decide(&case.request, &case.layers))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        match answer(&line?) {
            Ok(decision) => writeln!(output, "{}", json!(decision))?,
            Err(error) => writeln!(output, "{}", json!({ "error": error.to_string() }))?,
        }
        output.flush()?;
    }
    Ok(())
}
