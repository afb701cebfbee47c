//! `tithon tools storeapi-check`: checks which rules of the StoreAPI a server keeps.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use tithon_conformance::{Options, check};

use crate::cli::{Output, StoreapiCheckFlags};
use crate::output::stdout;

/// Sends the requests and prints the report. Fails when the server cannot be examined; exits with 1 when a rule is
/// broken.
pub async fn run(flags: &StoreapiCheckFlags) -> Result<ExitCode, Box<dyn Error>> {
    let options = Options {
        address: flags.address.clone(),
        tls: flags.tls.load()?,
        timeout: flags.timeout,
        metrics: flags.metrics.clone(),
    };
    let report = check(&options).await?;
    let text = match flags.output {
        Output::Table => report.table(),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    stdout().write_all(text.as_bytes())?;
    Ok(if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
