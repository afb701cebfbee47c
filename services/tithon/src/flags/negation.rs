//! Supports `--no-flag` for every boolean flag, as Thanos's command line does.

use clap::{ArgAction, Command};

/// Rewrites `--no-NAME` to `--NAME=false` where NAME is a boolean flag of the command or of a subcommand.
pub fn expand_negations(command: &Command, args: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut booleans = Vec::new();
    collect(command, &mut booleans);
    let mut only_positional = false;
    args.into_iter()
        .map(|arg| {
            only_positional |= arg == "--";
            match arg.strip_prefix("--no-") {
                Some(name) if !only_positional && booleans.iter().any(|b| b == name) => {
                    format!("--{name}=false")
                }
                _ => arg,
            }
        })
        .collect()
}

/// Boolean flags are recognised by their optional value after `=`.
fn collect(command: &Command, names: &mut Vec<String>) {
    for arg in command.get_arguments() {
        let optional = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
        if matches!(arg.get_action(), ArgAction::Set) && optional && arg.is_require_equals_set() {
            names.extend(arg.get_long().map(str::to_string));
        }
    }
    command.get_subcommands().for_each(|sub| collect(sub, names));
}
