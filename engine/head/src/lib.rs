//! Prometheus's head: samples go into a write-ahead log and into series in memory, and are cut into blocks.
//!
//! [`Head`] holds the newest samples. [`Db`] is a data directory: a head and the blocks that were cut from it. Knows no clock:
//! what is old is told by the samples. Formats: Prometheus `tsdb/wlog`, `tsdb/record`; behaviour: `tsdb/head_append.go`.
//!
//! **What is durable when.** [`Head::append`] comes back when its records are written to the log's file: an end of the process
//! by whatever signal loses nothing. The file is synced when a segment is complete, when the head is closed, and by
//! [`Head::sync`]; an end of the machine can lose what was written since. Blocks and checkpoints are synced before they get
//! their names, and only then is anything deleted that they replace.
//!
//! **What stays in memory.** All chunks of the head. Prometheus maps its full ones from `chunks_head`, which is neither read nor
//! written here: the log has all samples of the head, so that either program reads what the other one wrote.

mod error;
mod record;
mod wal;

mod chunk;
mod series;

mod counts;
mod options;

mod append;
mod cardinality;
mod head;
mod index;
mod replay;
mod select;

mod db;

pub use crate::append::{NewSample, NewValue, Refusal, Refused};
pub use crate::cardinality::{Cardinality, Greatest};
pub use crate::counts::HeadStats;
pub use crate::db::{Db, DbOptions, DbSelect, Maintained, Opened};
pub use crate::error::{HeadError, WalDamage, WalError};
pub use crate::head::Head;
pub use crate::options::HeadOptions;
pub use crate::record::{Record, RefSample, Tombstone};
pub use crate::replay::Replayed;
pub use crate::select::HeadSelect;
pub use crate::wal::{Compression, ReadFailure, SegmentReader, WalOptions};
