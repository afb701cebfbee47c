//! `tithon tools bucket`: look at what a bucket holds.

mod cardinality;

use std::error::Error;

use crate::cli::BucketToolCommand;

/// Runs one tool. Must run inside a tokio runtime.
pub async fn run(command: &BucketToolCommand) -> Result<(), Box<dyn Error>> {
    match command {
        BucketToolCommand::Cardinality(flags) => cardinality::run(flags).await,
    }
}
