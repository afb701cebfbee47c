//! Help in the forms of Thanos's command line, and hints about Thanos's flags that a subcommand lacks.

use std::fmt::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::flags::components_with;

/// The help of the program and of all subcommands, with all flags.
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

/// The program's manual page, in roff.
pub fn man(command: Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    String::from_utf8(page).map_err(std::io::Error::other)
}

/// The completions for a shell.
pub fn completions(mut command: Command, shell: clap_complete::Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tithon", &mut script);
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// A hint if an unknown argument is a flag of another component of Thanos.
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
