//! Translates arguments of Thanos's command line to ours: `@FILE`, `--no-x`, flags without effect here, refused flags,
//! and components that do not exist here.

use std::path::PathBuf;

use clap::Command;

use super::expand_negations;
use super::thanos::{self, Check, Component, Flag, Here, Takes};

/// The request of a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Arguments for clap to parse.
    Run(Arguments),
    /// `--help-long`: the help of all subcommands.
    HelpLong,
    /// `--help-man`: a manual page.
    HelpMan,
}

/// Arguments in our own syntax.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The program's name and the remaining arguments.
    pub args: Vec<String>,
    /// Removed flags, with the reason why they have no effect.
    pub without_effect: Vec<(&'static str, &'static str)>,
}

/// Why arguments are refused.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// The file of `@FILE` cannot be read.
    #[error("@{path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// A component of Thanos that does not exist here.
    #[error("{0}")]
    Absent(&'static str),
    /// A flag for something that does not exist here.
    #[error("--{flag} is refused: {reason}")]
    Refused {
        /// Name of the flag without dashes.
        flag: &'static str,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A value that Thanos would refuse too.
    #[error("--{flag}={value}: expected {expected}")]
    Value {
        /// Name of the flag without dashes.
        flag: &'static str,
        /// The value.
        value: String,
        /// The allowed values.
        expected: String,
    },
    /// A flag without a value.
    #[error("--{0} needs a value")]
    NoValue(&'static str),
}

/// Translates the arguments, of which the first is the program's name.
pub fn read_arguments(
    command: &Command,
    args: impl IntoIterator<Item = String>,
) -> Result<Asked, ArgumentError> {
    let args = expand_files(args)?;
    let options = args.iter().skip(1).take_while(|arg| *arg != "--");
    for arg in options {
        match arg.as_str() {
            "--help-long" => return Ok(Asked::HelpLong),
            "--help-man" => return Ok(Asked::HelpMan),
            _ => {}
        }
    }
    let subcommand = subcommand(&args);
    if let Some(reason) = subcommand.and_then(thanos::absent_component) {
        return Err(ArgumentError::Absent(reason));
    }
    let mut read = match subcommand.and_then(thanos::component) {
        Some(component) => of_component(component, args)?,
        None => Arguments { args, without_effect: Vec::new() },
    };
    read.args = expand_negations(command, read.args);
    Ok(Asked::Run(read))
}

/// The first argument that names a component and is neither a flag nor the value of a flag.
fn subcommand(args: &[String]) -> Option<&str> {
    let known = |arg: &&String| thanos::component(arg).is_some() || thanos::absent_component(arg).is_some();
    args.iter().skip(1).take_while(|arg| *arg != "tools" && *arg != "--").find(known).map(String::as_str)
}

/// Replaces each `@FILE` by the lines of FILE, as kingpin does; lines that begin with `#` are comments.
fn expand_files(args: impl IntoIterator<Item = String>) -> Result<Vec<String>, ArgumentError> {
    let mut expanded = Vec::new();
    let mut only_positional = false;
    for (i, arg) in args.into_iter().enumerate() {
        only_positional |= arg == "--";
        let Some(path) = arg.strip_prefix('@').filter(|_| i > 0 && !only_positional) else {
            expanded.push(arg);
            continue;
        };
        let failed = |source| ArgumentError::File { path: path.into(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let lines = text.trim_end_matches('\n').lines().filter(|line| !line.starts_with('#'));
        expanded.extend(lines.map(str::to_owned));
    }
    Ok(expanded)
}

/// Removes flags that have no effect here. Fails for flags that are refused.
fn of_component(component: &Component, args: Vec<String>) -> Result<Arguments, ArgumentError> {
    let mut read = Arguments::default();
    let mut args = args.into_iter().peekable();
    let mut only_positional = false;
    while let Some(arg) = args.next() {
        only_positional |= arg == "--";
        let text = arg.strip_prefix("--").filter(|_| !only_positional).unwrap_or_default();
        let (name, inline) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some((flag, is_off)) = find(component, name) else {
            read.args.push(arg);
            continue;
        };
        let (reason, check) = match flag.here {
            Here::Same | Here::Differs(_) => {
                read.args.push(arg);
                continue;
            }
            Here::NoEffect(reason, check) => (Some(reason), check),
            Here::Refused(_) => (None, Check::Any),
        };
        let value = match (flag.takes, inline) {
            (Takes::Switch(_), None) => (!is_off).to_string(),
            (_, Some(value)) => value.to_owned(),
            (_, None) => {
                args.next_if(|next| !next.starts_with('-')).ok_or(ArgumentError::NoValue(flag.name))?
            }
        };
        match (reason, flag.here.refusal()) {
            (_, Some(reason)) if !matches!(value.as_str(), "" | "false") => {
                return Err(ArgumentError::Refused { flag: flag.name, reason });
            }
            (Some(reason), _) => {
                let check = if matches!(flag.takes, Takes::Switch(_)) {
                    Check::OneOf(&["true", "false"])
                } else {
                    check
                };
                if let Some(expected) = check.refuses(&value) {
                    return Err(ArgumentError::Value { flag: flag.name, value, expected });
                }
                read.without_effect.push((flag.name, reason));
            }
            (None, _) => {}
        }
    }
    Ok(read)
}

/// The flag with this name, and whether it was given as `no-NAME`.
fn find(component: &Component, name: &str) -> Option<(&'static Flag, bool)> {
    let is_switch = |flag: &&Flag| matches!(flag.takes, Takes::Switch(_));
    let negated = || component.flag(name.strip_prefix("no-")?).filter(is_switch);
    component.flag(name).map(|flag| (flag, false)).or_else(|| negated().map(|flag| (flag, true)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn read(text: &str) -> Result<Asked, ArgumentError> {
        read_arguments(&Cli::command(), args(text))
    }

    fn kept(text: &str) -> Vec<String> {
        match read(text).unwrap() {
            Asked::Run(arguments) => arguments.args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_flags_of_the_subcommand_go() {
        for (given, left) in [
            (
                "tithon store --chunk-pool-size=1GB --no-enable-auto-gomemlimit --matcher-cache-size 9 --http-address=:1",
                "tithon store --http-address=:1",
            ),
            (
                "tithon --log.level=warn compact --enable-auto-gomemlimit -w",
                "tithon --log.level=warn compact -w",
            ),
            ("tithon compact --enable-auto-gomemlimit positional", "tithon compact positional"),
            ("tithon query --web.prefix-header x -w", "tithon query -w"),
            ("tithon query -- --web.prefix-header x", "tithon query -- --web.prefix-header x"),
            ("tithon query --no-query.disable-fallback --x", "tithon query --x"),
            ("tithon query --no-tracing.config --x", "tithon query --no-tracing.config --x"),
            ("tithon query --chunk-pool-size=1GB", "tithon query --chunk-pool-size=1GB"),
            ("tithon query --no-query.enable-x-functions", "tithon query"),
            ("tithon compact --no-wait", "tithon compact --wait=false"),
            (
                "tithon tools bucket ls --no-x store --chunk-pool-size",
                "tithon tools bucket ls --no-x store --chunk-pool-size",
            ),
        ] {
            assert_eq!(kept(given), args(left), "{given}");
        }
    }

    #[test]
    fn wrong_values_of_flags_without_effect_are_told() {
        for (given, expected) in [
            ("tithon query --grpc.proxy-strategy=zstd", "--grpc.proxy-strategy=zstd: expected eager or lazy"),
            (
                "tithon store --auto-gomemlimit.ratio 2",
                "--auto-gomemlimit.ratio=2: expected a number above 0, at most 1",
            ),
            (
                "tithon store --chunk-pool-size=many",
                "--chunk-pool-size=many: expected a number of bytes, such as 250MB",
            ),
            ("tithon store --matcher-cache-size --x", "--matcher-cache-size needs a value"),
            (
                "tithon receive --tsdb.path=/x",
                "the receiver is not here yet: run `thanos receive`, and name it to `tithon query` with --endpoint",
            ),
            ("tithon query @/nowhere/flags", "@/nowhere/flags: No such file or directory (os error 2)"),
        ] {
            assert_eq!(read(given).unwrap_err().to_string(), expected, "{given}");
        }
        assert_eq!(read("tithon query --help-long").unwrap(), Asked::HelpLong);
        assert_eq!(read("tithon --help-man").unwrap(), Asked::HelpMan);
    }

    #[test]
    fn arguments_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "store\n# a comment\n--data-dir=/with space\n").unwrap();
        let path = format!("@{}", file.path().display());
        let read = read_arguments(&Cli::command(), ["tithon".to_owned(), path]).unwrap();
        let expected = ["tithon", "store", "--data-dir=/with space"].map(str::to_owned).to_vec();
        assert_eq!(read, Asked::Run(Arguments { args: expected, without_effect: Vec::new() }));
    }
}
