//! `tithon tools bench`: measures whole processes of Tithon, Thanos and Prometheus side by side on generated data.
//!
//! Subjects are accessed only over their sockets, as by any user.

mod answer;
mod calls;
mod cases;
mod child;
mod cli;
mod error;
mod folder;
mod generate;
mod http_client;
mod proc;
mod progress;
mod report;
mod run;
mod s3;
mod server;
mod session;
mod store_client;
mod subject;
mod turns;
mod wire;

pub use crate::cli::BenchFlags;
pub use crate::error::BenchError;

use crate::cli::{BenchCommand, MeasureFlags};
use crate::session::Session;

/// Runs the tool. Returns `false` when answers differ and that is not allowed.
///
/// Must run on the program's main thread: the kernel kills the subjects when the thread that started them ends.
pub fn run(flags: &BenchFlags) -> Result<bool, BenchError> {
    match &flags.command {
        BenchCommand::Gen(flags) => generate::run(flags).map(|()| true),
        BenchCommand::Exec { parent, program, args } => Err(BenchError::System {
            what: "becoming a subject",
            source: child::exec(*parent, program, args),
        }),
        BenchCommand::Store(flags) => {
            measure("store", &flags.call.measure, |session| cases::store(session, flags))
        }
        BenchCommand::Query(flags) => {
            measure("query", &flags.call.measure, |session| cases::query(session, flags))
        }
        BenchCommand::Sidecar(flags) => {
            measure("sidecar", &flags.call.measure, |session| cases::sidecar(session, flags))
        }
        BenchCommand::Rule(flags) => measure("rule", &flags.measure, |session| cases::rule(session, flags)),
        BenchCommand::Start(flags) => measure("start", flags, cases::start),
        BenchCommand::Compact(flags) => measure("compact", flags, cases::compact),
        BenchCommand::Downsample(flags) => measure("downsample", flags, cases::downsample),
    }
}

fn measure(
    command: &'static str,
    flags: &MeasureFlags,
    cases: impl FnOnce(&mut Session) -> Result<(), BenchError>,
) -> Result<bool, BenchError> {
    let mut session = Session::start(command, flags)?;
    cases(&mut session)?;
    Ok(session.finish()? || flags.allow_differences)
}
