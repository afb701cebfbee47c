//! `tithon tools bucket`: look at what a bucket holds, and change it.

mod analyze;
mod cardinality;
mod delete_series;
mod diff;
mod export;
mod import;
mod inspect;
mod jobs;
mod local_time;
mod look;
mod ls;
mod mark;
mod repair;
mod replicate;
mod retention;
mod rewrite;
mod rewrite_config;
mod stat;
mod template;
mod upload_blocks;
mod verify;
mod web;

use std::error::Error;

use crate::cli::BucketToolCommand;

/// Runs one tool. Must run inside a tokio runtime.
pub async fn run(command: &BucketToolCommand) -> Result<(), Box<dyn Error>> {
    match command {
        BucketToolCommand::Ls(flags) => ls::run(flags).await,
        BucketToolCommand::Inspect(flags) => inspect::run(flags).await,
        BucketToolCommand::Web(flags) => web::run(flags).await,
        BucketToolCommand::Mark(flags) => mark::run(flags).await,
        BucketToolCommand::Stat(flags) => stat::run(flags).await,
        BucketToolCommand::Analyze(flags) => analyze::run(flags).await,
        BucketToolCommand::Diff(flags) => diff::run(flags).await,
        BucketToolCommand::Verify(flags) => verify::run(flags).await,
        BucketToolCommand::Replicate(flags) => replicate::run(flags).await,
        BucketToolCommand::UploadBlocks(flags) => upload_blocks::run(flags).await,
        BucketToolCommand::Rewrite(flags) => rewrite::run(flags).await,
        BucketToolCommand::Downsample(flags) => jobs::downsample(flags).await,
        BucketToolCommand::Cleanup(flags) => jobs::clean_up(flags).await,
        BucketToolCommand::Retention(flags) => retention::run(flags).await,
        BucketToolCommand::DeleteSeries(flags) => delete_series::run(flags).await,
        BucketToolCommand::Export(flags) => export::run(flags).await,
        BucketToolCommand::Import(flags) => import::run(flags).await,
        BucketToolCommand::Cardinality(flags) => cardinality::run(flags).await,
    }
}
