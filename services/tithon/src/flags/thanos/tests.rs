//! Compares the table with our command line, with the page and, if available, with Thanos itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use clap::{ArgAction, CommandFactory};

use super::*;
use crate::cli::Cli;
use crate::flags::arguments::ArgumentError;
use crate::flags::{Asked, read_arguments};

/// Our argument with the name or alias `flag`.
fn ours(component: &str, flag: &str) -> Option<clap::Arg> {
    let mut command = Cli::command();
    command.build();
    let subcommand = command.find_subcommand(component).unwrap();
    let takes = |arg: &&clap::Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(flag) || aliases.contains(&flag)
    };
    subcommand.get_arguments().find(takes).cloned()
}

#[test]
fn each_flag_is_taken_as_the_table_says() {
    for component in COMPONENTS {
        for flag in component.flags() {
            let place = format!("{} --{}", component.name, flag.name);
            let arg = ours(component.name, flag.name);
            match flag.here {
                Here::Same | Here::Differs(_) => {
                    check_arg(flag, &arg.unwrap_or_else(|| panic!("{place}")), &place)
                }
                Here::NoEffect(reason, check) => {
                    assert!(arg.is_none() && !reason.is_empty(), "{place}");
                    check_without_effect(component.name, flag, check, &place);
                }
                Here::Refused(reason) => {
                    assert!(arg.is_none(), "{place}");
                    let given = format!(
                        "--{}{}",
                        flag.name,
                        if matches!(flag.takes, Takes::Switch(_)) { "" } else { "=x" }
                    );
                    let error = read(component.name, &given).unwrap_err().to_string();
                    assert_eq!(error, format!("--{} is refused: {reason}", flag.name));
                }
            }
        }
    }
}

fn read(component: &str, flag: &str) -> Result<Asked, ArgumentError> {
    read_arguments(&Cli::command(), ["tithon", component, flag].map(str::to_owned))
}

/// Our flag must accept the values of Thanos's flag, and have the same default.
fn check_arg(flag: &Flag, arg: &clap::Arg, place: &str) {
    let defaults: Vec<&str> = arg.get_default_values().iter().filter_map(|value| value.to_str()).collect();
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    match flag.takes {
        // Thanos's default of an empty feature means no feature.
        Takes::List => assert!(is_list, "{place}"),
        Takes::Switch(on) => {
            assert!(arg.is_require_equals_set() && arg.get_num_args().unwrap().min_values() == 0, "{place}");
            assert_eq!(defaults, [on.to_string()], "{place}");
        }
        Takes::Value(default) => {
            assert!(!is_list, "{place}");
            assert_eq!(defaults.first().copied().unwrap_or_default(), default, "{place}");
        }
    }
}

fn check_without_effect(component: &str, flag: &Flag, check: Check, place: &str) {
    let default = match flag.takes {
        Takes::Switch(_) => {
            for given in [format!("--{}", flag.name), format!("--no-{}", flag.name)] {
                assert!(
                    matches!(read(component, &given), Ok(Asked::Run(read)) if read.without_effect.len() == 1),
                    "{place}"
                );
            }
            return;
        }
        Takes::Value(default) => default,
        Takes::List => "1",
    };
    match read(component, &format!("--{}={default}", flag.name)).unwrap() {
        Asked::Run(read) => {
            assert_eq!(read.args, ["tithon", component], "{place}");
            assert_eq!(read.without_effect.len(), 1, "{place}");
        }
        other => panic!("{place}: {other:?}"),
    }
    if !matches!(check, Check::Any) {
        let error = read(component, &format!("--{}=nonsense", flag.name)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("--{}=nonsense: expected ", flag.name)), "{place}: {error}");
    }
}

#[test]
fn no_flag_stands_twice() {
    for component in COMPONENTS {
        let mut names: Vec<_> = component.flags().map(|flag| flag.name).collect();
        names.sort_unstable();
        let n = names.len();
        names.dedup();
        assert_eq!(names.len(), n, "{}", component.name);
    }
}

#[test]
fn the_page_is_printed_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flags.md");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == docs::page(), "docs/flags.md is stale: write it with `tithon tools flags`");
}

/// The long flags in a help text of Thanos, with the defaults that it shows.
fn shown(help: &str) -> BTreeMap<String, String> {
    let mut flags = BTreeMap::new();
    for line in help.lines() {
        let text = line.trim_start();
        if line.len() - text.len() > 6 {
            continue;
        }
        let text = text.strip_prefix("-h, ").or(text.strip_prefix("-w, ")).unwrap_or(text);
        let Some(text) = text.strip_prefix("--") else { continue };
        let text = text.strip_prefix("[no-]").unwrap_or(text);
        let name = text.split(['=', ' ']).next().unwrap_or_default();
        let default = text[name.len()..].strip_prefix('=').unwrap_or_default();
        let default =
            default.split("  ").next().unwrap_or_default().trim_end_matches(" ...").trim_matches('"');
        flags.insert(name.to_owned(), default.to_owned());
    }
    flags
}

#[test]
fn defaults_are_read_out_of_a_help() {
    let help = "Flags:\n  -h, --[no-]help                Show help.\n      --http-address=\"0.0.0.0:10902\"  \n                                 Listen --here=x\n      --query.timeout=2m         Maximum\n      --endpoint=<endpoint> ...  (Deprecated)\n  -w, --[no-]wait                Do not exit\n";
    let flags = shown(help);
    let flags: Vec<(&str, &str)> =
        flags.iter().map(|(name, default)| (name.as_str(), default.as_str())).collect();
    let expected = [
        ("endpoint", "<endpoint>"),
        ("help", ""),
        ("http-address", "0.0.0.0:10902"),
        ("query.timeout", "2m"),
        ("wait", ""),
    ];
    assert_eq!(flags, expected);
}

/// With the path of a Thanos in `TITHON_THANOS`: its help shows no flag that the table lacks, and the defaults agree.
#[test]
fn thanos_has_no_flag_that_the_table_lacks() {
    let Some(program) = std::env::var_os("TITHON_THANOS") else { return };
    const HELP: [&str; 4] = ["help", "help-long", "help-man", "version"];
    let components = COMPONENTS.into_iter().map(|component| component.name);
    for name in components.chain(ABSENT.iter().map(|absent| absent.name)) {
        let output = Command::new(&program).args([name, "--help"]).output().unwrap();
        let help = [output.stdout, output.stderr].concat();
        let flags = shown(&String::from_utf8(help).unwrap());
        assert!(flags.len() > 20, "{name}: {flags:?}");
        for (flag, default) in flags.iter().filter(|(flag, _)| !HELP.contains(&flag.as_str())) {
            assert!(components_with(flag).contains(&name), "thanos {name} --{flag} is not in the table");
            let known = component(name).and_then(|component| component.flag(flag)).map(|flag| flag.takes);
            if let Some(Takes::Value(known)) = known
                && !default.starts_with('<')
                && *default != flag.to_uppercase()
            {
                assert_eq!(default, known, "thanos {name} --{flag}");
            }
        }
    }
}
