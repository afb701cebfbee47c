//! `tithon tools bucket`: look at what a bucket holds, and mark its blocks.

mod cardinality;
mod inspect;
mod local_time;
mod look;
mod ls;
mod mark;
mod template;

use std::error::Error;

use crate::cli::BucketToolCommand;

/// Runs one tool. Must run inside a tokio runtime.
pub async fn run(command: &BucketToolCommand) -> Result<(), Box<dyn Error>> {
    match command {
        BucketToolCommand::Ls(flags) => ls::run(flags).await,
        BucketToolCommand::Inspect(flags) => inspect::run(flags).await,
        BucketToolCommand::Mark(flags) => mark::run(flags).await,
        BucketToolCommand::Cardinality(flags) => cardinality::run(flags).await,
    }
}
