//! The command line: subcommands and flags, named as Thanos names them.

mod block;
mod bucket;
mod examples;
mod query;
mod rule;
mod sidecar;
mod standalone;
mod store;

use clap::{Args, Parser, Subcommand};

pub use self::block::*;
pub use self::bucket::*;
pub use self::query::*;
pub use self::rule::*;
pub use self::sidecar::*;
pub use self::standalone::*;
pub use self::store::*;
use crate::compact::CompactorFlags;
use crate::flags::{Duration, GrpcClientTlsFlags, LogFlags, TracingFlags, parse_duration};

/// Long-term storage for Prometheus: a drop-in for Thanos, one process at a time.
///
/// New here? `tithon standalone --demo` fills a bucket with two days of data and serves it on
/// http://127.0.0.1:10902.
#[derive(Parser, Debug)]
#[command(name = "tithon", version = crate::version::LONG.as_str(), propagate_version = true, max_term_width = 110,
          after_help = examples::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub tracing: TracingFlags,
    #[command(subcommand)]
    pub command: Command,
}

/// The processes and tools.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Store and query in one process on one data directory: the quickest way to see blocks answered.
    #[command(after_help = examples::STANDALONE)]
    Standalone(Box<StandaloneFlags>),
    /// Store gateway: serves the blocks of a bucket over the StoreAPI (gRPC).
    #[command(after_help = examples::STORE)]
    Store(Box<StoreFlags>),
    /// Querier: PromQL over any number of StoreAPI servers, ours or Thanos's, over HTTP.
    #[command(after_help = examples::QUERY)]
    Query(Box<QueryFlags>),
    /// Sidecar of a Prometheus: serves its data over the StoreAPI, uploads its blocks to a bucket, reloads its
    /// configuration.
    #[command(after_help = examples::SIDECAR)]
    Sidecar(Box<SidecarFlags>),
    /// Ruler: evaluates recording and alerting rules over queriers, writes results to other servers and sends alerts to
    /// Alertmanagers.
    #[command(after_help = examples::RULE)]
    Rule(Box<RuleFlags>),
    /// Compactor: merges, downsamples, expires and deletes the blocks of a bucket. One for each bucket or shard.
    #[command(after_help = examples::COMPACT)]
    Compact(Box<CompactorFlags>),
    /// Tools: blocks offline, and measurements side by side.
    #[command(after_help = examples::TOOLS)]
    Tools(Box<ToolsFlags>),
}

impl Command {
    /// The subcommand's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Standalone(_) => "standalone",
            Command::Store(_) => "store",
            Command::Query(_) => "query",
            Command::Sidecar(_) => "sidecar",
            Command::Rule(_) => "rule",
            Command::Compact(_) => "compact",
            Command::Tools(_) => "tools",
        }
    }

    /// Whether the demo was asked for.
    pub fn is_demo(&self) -> bool {
        matches!(self, Command::Standalone(flags) if flags.demo)
    }
}

/// `tithon tools`.
#[derive(Args, Debug)]
pub struct ToolsFlags {
    #[command(subcommand)]
    pub command: ToolsCommand,
}

/// The tools.
#[derive(Subcommand, Debug)]
pub enum ToolsCommand {
    /// Work on local block directories: inspect, dump, compact, downsample, verify, compare.
    Block(BlockFlags),
    /// Inspect and maintain a bucket.
    Bucket(BucketToolFlags),
    /// Send about 400 requests to a StoreAPI server and print which rules of the protocol its answers keep.
    ///
    /// Works with any server: Tithon's, Thanos's, or another provider of metrics. The exit status is 1 when a rule is
    /// broken.
    StoreapiCheck(StoreapiCheckFlags),
    /// Check rule files: YAML, names, expressions, templates. The exit status is 1 when a file has a mistake.
    RulesCheck(RulesCheckFlags),
    /// Print how each flag of Thanos is supported, as Markdown: docs/flags.md.
    Flags,
    /// Print the completions of a shell, to be sourced or put where the shell looks for them.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Measure whole processes side by side: this program, an older one, Thanos, Prometheus; and generate blocks for
    /// that.
    Bench(tithon_bench::BenchFlags),
}

/// `tithon tools storeapi-check`.
#[derive(Args, Debug)]
pub struct StoreapiCheckFlags {
    /// Address of the server, host:port.
    #[arg(long = "address", value_name = "HOST:PORT")]
    pub address: String,
    #[command(flatten)]
    pub tls: GrpcClientTlsFlags,
    /// Longest time of a call.
    #[arg(long = "timeout", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Metrics to use in requests; may be given several times. By default some are chosen from the server's data.
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// Format of the report.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::flags::expand_negations;

    fn parse(line: &str) -> Cli {
        let args = expand_negations(&Cli::command(), line.split(' ').map(str::to_string));
        Cli::try_parse_from(args).unwrap()
    }

    #[test]
    fn command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn booleans_take_no_forms() {
        let on = |line: &str| match parse(line).command {
            Command::Query(flags) => flags.answers.partial_response,
            other => panic!("{other:?}"),
        };
        assert!(on("tithon query"));
        assert!(!on("tithon query --no-query.partial-response"));
        assert!(!on("tithon query --query.partial-response=false"));
        assert!(on("tithon query --query.partial-response --endpoint=127.0.0.1:10901"));
    }

    #[test]
    fn lists_of_labels_split_at_commas() {
        match parse("tithon query --query.replica-label=a,b, --query.replica-label=c --query.replica-label=a")
            .command
        {
            Command::Query(flags) => {
                let options = crate::query::answer_options(&flags.answers);
                assert_eq!(options.replica_labels, ["a", "b", "c"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn standalone_listens_on_the_loopback_interface_only() {
        match parse("tithon standalone").command {
            Command::Standalone(flags) => {
                assert_eq!(flags.server.http.http_address.to_string(), "127.0.0.1:10902");
                assert_eq!(flags.server.grpc_address.to_string(), "127.0.0.1:10901");
            }
            other => panic!("{other:?}"),
        }
        match parse("tithon store").command {
            Command::Store(flags) => assert_eq!(flags.server.http.http_address.to_string(), "0.0.0.0:10902"),
            other => panic!("{other:?}"),
        }
    }
}
