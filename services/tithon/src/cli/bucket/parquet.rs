//! Flags of the tools that turn blocks into Parquet files and back: `export`, `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tithon_engine::BlockId;
use tithon_parquet::Rows;

use super::{Matchers, parse_label};
use crate::cli::Output;
use crate::flags::{BucketFlags, ScopeFlags, parse_matchers};

/// `tithon tools bucket export`.
#[derive(Args, Debug)]
pub struct ExportFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Only this block; may be given several times.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// Only blocks whose external labels match, such as 'cluster="eu", replica!="b"'.
    #[arg(long = "matcher", value_name = "MATCHERS", value_parser = parse_matchers, default_value = "", hide_default_value = true)]
    pub matchers: Matchers,
    /// Only series whose labels match, such as '__name__="up", job=~"a.*"'; external labels do not count.
    #[arg(long = "match", value_name = "MATCHERS", value_parser = parse_matchers, default_value = "", hide_default_value = true)]
    pub series: Matchers,
    /// What a row of a file is.
    #[arg(long = "rows", value_name = "ROWS", default_value = "samples")]
    pub rows: RowsOfFile,
    /// The folder of the files, one for each block: ULID.parquet.
    #[arg(long = "to", value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
    /// Only say which blocks would be exported.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// A table for people or JSON for programs.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// What a row of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowsOfFile {
    /// A sample with its labels; of a downsampled block, the aggregates of a window. For queries.
    Samples,
    /// A chunk with its labels and its bytes as they are. For copies that must be the same to the byte.
    Chunks,
}

impl From<RowsOfFile> for Rows {
    fn from(rows: RowsOfFile) -> Rows {
        match rows {
            RowsOfFile::Samples => Rows::Samples,
            RowsOfFile::Chunks => Rows::Chunks,
        }
    }
}

/// `tithon tools bucket import`.
#[derive(Args, Debug)]
pub struct ImportFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// The Parquet files, each of which becomes a block.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// External label of the blocks, such as 'cluster="eu"', in place of the file's of this name; may be given several times.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// Folder for the block before it is uploaded, which is made in tithon-import below it (emptied at the start). Unless given, the
    /// system's folder for temporary files.
    #[arg(long = "tmp.dir", value_name = "DIR")]
    pub tmp_dir: Option<PathBuf>,
    /// Make the blocks and check them, but do not upload them.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// A table for people or JSON for programs.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}
