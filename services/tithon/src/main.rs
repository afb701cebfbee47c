//! The `tithon` program: flags, configuration and wiring; the only `main`.

#![allow(unreachable_pub, reason = "a program has no public items; pub says what a module offers")]

mod bucket;
mod cli;
mod compact;
mod demo;
mod flags;
mod logging;
mod memory;
mod process;
mod query;
mod sidecar;
mod standalone;
mod store;
mod storeapi_check;
mod tools_block;
mod tools_bucket;

use std::error::Error;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use tracing::{error, warn};

use crate::cli::{Cli, Command, ToolsCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (args, without_effect) = flags::drop_without_effect(std::env::args().collect());
    let command = Cli::command();
    let args = flags::expand_negations(&command, args);
    let cli = match command.try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done where the terminal is gone.
            let _ = error.print();
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    logging::start(&cli.log);
    for flag in without_effect {
        warn!(flag, "this flag of Thanos is accepted and has no effect here");
    }
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            error!(error, "tithon stops");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Tools(tools) => match &tools.command {
            ToolsCommand::Block(block) => tools_block::run(&block.command)?,
            ToolsCommand::Bucket(bucket) => runtime()?.block_on(tools_bucket::run(&bucket.command))?,
            ToolsCommand::StoreapiCheck(flags) => return runtime()?.block_on(storeapi_check::run(flags)),
            ToolsCommand::Bench(flags) => {
                return Ok(if tithon_bench::run(flags)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        },
        Command::Store(flags) => runtime()?.block_on(store::run(flags))?,
        Command::Compact(flags) => runtime()?.block_on(compact::run(flags))?,
        Command::Query(flags) => runtime()?.block_on(query::run(flags))?,
        Command::Sidecar(flags) => runtime()?.block_on(sidecar::run(flags))?,
        Command::Standalone(flags) => runtime()?.block_on(standalone::run(flags))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Threads for waiting; computing has a pool of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
