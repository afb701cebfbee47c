//! Help as Thanos's command line gives it, and what is said of Thanos's flags that a subcommand does not have.

use std::fmt::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::flags::components_with;

/// The help of the program and of each of its subcommands, with every flag.
pub fn long(mut command: Command) -> std::io::Result<String> {
    command.build();
    let mut text = String::new();
    of(&mut command, &mut text);
    Ok(text)
}

fn of(command: &mut Command, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}\n", command.render_long_help());
    command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").for_each(|sub| of(sub, text));
}

/// The manual page of the program, in roff.
pub fn man(command: Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    String::from_utf8(page).map_err(std::io::Error::other)
}

/// The completions of a shell.
pub fn completions(mut command: Command, shell: clap_complete::Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tithon", &mut script);
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// What is so where a mistake is a flag that Thanos has elsewhere.
pub fn of_thanos(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let flag = text(ContextKind::InvalidArg)?.strip_prefix("--")?.split('=').next()?;
            let name =
                flag.strip_prefix("no-").filter(|name| !components_with(name).is_empty()).unwrap_or(flag);
            let components = components_with(name);
            if components.is_empty() {
                return None;
            }
            let list =
                components.iter().map(|name| format!("`thanos {name}`")).collect::<Vec<_>>().join(", ");
            Some(format!(
                "--{name} is a flag of {list}, not of this subcommand; see --help for those that are"
            ))
        }
        _ => None,
    }
}
