//! `tithon tools block`: work on local block directories.

mod compact;
mod diff;
mod downsample;
mod dump;
mod inputs;
mod look;
mod progress;
mod verify;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use rayon::ThreadPool;
use serde::Serialize;
use tithon_engine::BlockError;

pub use self::compact::{new_id, resolution};
pub use self::diff::StreamDiff;
use crate::cli::{BlockCommand, JobFlags};
use crate::output::stdout;

/// Why a tool ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Standard output is closed or full.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// The threads cannot be started.
    #[error("{threads} threads cannot be started: {reason}")]
    Threads {
        /// Number of threads.
        threads: usize,
        /// Error of the system.
        reason: String,
    },
    /// A path is neither a block nor a folder of blocks.
    #[error(
        "{path}: found no block: expected a block directory (with meta.json inside) or a folder of block directories"
    )]
    NoBlock {
        /// The path.
        path: PathBuf,
    },
    /// A folder cannot be read.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// A block was given twice.
    #[error("block {id} is given twice, as {first} and {second}: a block can be merged only once")]
    Twice {
        /// The block's id.
        id: String,
        /// Its first path.
        first: PathBuf,
        /// Its second path.
        second: PathBuf,
    },
    /// The blocks belong to different streams.
    #[error(
        "{first} is of stream {found_first}, {second} of {found_second}: only blocks with equal resolution and external labels can be merged{advice}"
    )]
    Streams {
        /// One block.
        first: String,
        /// Its resolution and labels.
        found_first: String,
        /// Another block.
        second: String,
        /// Its resolution and labels.
        found_second: String,
        /// A hint at what may help.
        advice: &'static str,
    },
    /// Flags contradict each other.
    #[error("{0}")]
    Flags(&'static str),
    /// A block has a resolution that cannot be downsampled to the target.
    #[error("block {id} has resolution {found}; {wanted}")]
    Resolution {
        /// The block's id.
        id: String,
        /// Its resolution.
        found: &'static str,
        /// The resolutions that the target can be made from.
        wanted: &'static str,
    },
    /// Some blocks are damaged.
    #[error("{bad} of {all} blocks are not sound")]
    Unsound {
        /// Number of damaged blocks.
        bad: usize,
        /// Number of all blocks.
        all: usize,
    },
    /// The two sets of blocks differ.
    #[error("the two sets of blocks differ: {0} differences are listed")]
    Differ(usize),
}

/// Runs the tool.
pub fn run(command: &BlockCommand) -> Result<(), ToolError> {
    let mut out = BufWriter::with_capacity(1 << 16, stdout());
    let done = match command {
        BlockCommand::Inspect { dir, output } => look::print_inspection(dir, *output, &mut out),
        BlockCommand::Dump { dir, digest: true, .. } => look::dump_digests(dir, &mut out),
        BlockCommand::Dump { dir, digest: false, aggregates } => dump::run(dir, aggregates, &mut out),
        BlockCommand::Compact(flags) => compact::run(flags, &mut out),
        BlockCommand::Downsample(flags) => downsample::run(flags, &mut out),
        BlockCommand::Verify { blocks, job } => verify::run(blocks, job, &mut out),
        BlockCommand::Diff(flags) => diff::run(flags, &mut out),
    };
    out.flush()?;
    done
}

/// The thread pool of a job.
fn pool(job: &JobFlags) -> Result<ThreadPool, ToolError> {
    let threads = job.threads.map_or(0, usize::from);
    let built =
        rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("block-{i}")).build();
    built.map_err(|error| ToolError::Threads { threads, reason: error.to_string() })
}

fn print_json(value: &impl Serialize, out: &mut impl Write) -> Result<(), ToolError> {
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(value).map_err(io::Error::from)?)?)
}
