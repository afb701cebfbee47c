//! The `tithon` program: parses flags and configuration, and connects the parts.

#![allow(unreachable_pub, reason = "a program has no public items; pub says what a module offers")]

mod blocks_page;
mod bucket;
mod cli;
mod compact;
mod demo;
mod flags;
mod help;
mod logging;
mod machine;
mod output;
mod prefix;
mod process;
mod query;
mod rule;
mod rules_check;
mod sidecar;
mod standalone;
mod store;
mod storeapi_check;
mod tools_block;
mod tools_bucket;
mod version;

use std::error::Error;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use tithon_trace::Tracing;
use tracing::warn;

use crate::cli::{Cli, Command, ToolsCommand};
use crate::flags::{Asked, UsageError};

#[global_allocator]
static ALLOCATOR: tithon_profile::Allocator = tithon_profile::Allocator;

fn main() -> ExitCode {
    let command = Cli::command();
    let arguments = match flags::read_arguments(&command, std::env::args()) {
        Ok(Asked::Run(arguments)) => arguments,
        Ok(Asked::HelpLong) => return shown(help::long(command)),
        Ok(Asked::HelpMan) => return shown(help::man(command)),
        Err(error) => return usage(&error.to_string()),
    };
    let parsed = command.try_get_matches_from(&arguments.args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let tracing = match tracing(&cli) {
        Ok(tracing) => tracing,
        Err(error) => return usage(&error.to_string()),
    };
    logging::start(&cli.log, tracing.sender.as_ref(), cli.command.is_demo());
    for note in tracing.notes {
        warn!(flag = "--tracing.config", note, "tracing");
    }
    for (flag, reason) in arguments.without_effect {
        warn!(flag = format!("--{flag}"), reason, "this flag of Thanos is accepted and has no effect here");
    }
    let code = match run(&cli.command) {
        Ok(code) => code,
        Err(error) if error.is::<UsageError>() => {
            output::fail(error.as_ref(), "a flag cannot be used", ExitCode::from(USAGE_CODE))
        }
        Err(error) => output::fail(error.as_ref(), "tithon stops", ExitCode::FAILURE),
    };
    if let Some(Err(error)) = tracing.sender.map(Tracing::finish) {
        warn!(error = %error, "tracing");
    }
    code
}

/// The sender of spans, and remarks about its configuration to log.
#[derive(Default)]
struct Traced {
    sender: Option<Tracing>,
    notes: Vec<String>,
}

fn tracing(cli: &Cli) -> Result<Traced, Box<dyn Error>> {
    let Some(plan) = cli.tracing.read(cli.command.name())? else { return Ok(Traced::default()) };
    let sender = Tracing::start(&plan).map_err(|error| format!("--tracing.config: {error}"))?;
    Ok(Traced { sender, notes: plan.notes })
}

/// Exit code for an invalid command line.
const USAGE_CODE: u8 = 2;

/// Prints a text and returns the exit code.
fn shown(text: std::io::Result<String>) -> ExitCode {
    use std::io::Write;
    // The reader of a help text may stop at any line.
    match text.and_then(|text| std::io::stdout().write_all(text.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage(error: &str) -> ExitCode {
    output::complain(error);
    ExitCode::from(USAGE_CODE)
}

fn not_parsed(error: &clap::Error) -> ExitCode {
    if let Some(text) = help::of_thanos(error) {
        return usage(&text);
    }
    // Nothing can be done if the terminal is closed.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE_CODE),
    }
}

fn run(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Tools(tools) => match &tools.command {
            ToolsCommand::Block(block) => tools_block::run(&block.command)?,
            ToolsCommand::Bucket(bucket) => wait_for(tools_bucket::run(&bucket.command))?,
            ToolsCommand::StoreapiCheck(flags) => return wait_for(storeapi_check::run(flags)),
            ToolsCommand::RulesCheck(flags) => return Ok(rules_check::run(flags)),
            ToolsCommand::Flags => return Ok(shown(Ok(flags::page()))),
            ToolsCommand::Completions { shell } => {
                return Ok(shown(help::completions(Cli::command(), *shell)));
            }
            ToolsCommand::Bench(flags) => {
                return Ok(if tithon_bench::run(flags)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        },
        Command::Store(flags) => wait_for(store::run(flags))?,
        Command::Compact(flags) => wait_for(compact::run(flags))?,
        Command::Query(flags) => wait_for(query::run(flags))?,
        Command::Sidecar(flags) => wait_for(sidecar::run(flags))?,
        Command::Rule(flags) => wait_for(rule::run(flags))?,
        Command::Standalone(flags) => wait_for(standalone::run(flags))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How long the program's end waits for unfinished work, such as filling a bucket with demo data.
const LEFT_WORK: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs a command on threads for waiting; computations have a pool of their own.
///
/// Threads that end are joined: detaching a thread at the moment it ends reads its freed stack
/// (<https://sourceware.org/bugzilla/show_bug.cgi?id=19951>, seen with glibc 2.36), so that a finished tool dies of
/// SIGSEGV.
fn wait_for<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_WORK);
    done
}
