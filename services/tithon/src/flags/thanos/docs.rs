//! Prints `docs/flags.md`.

use std::fmt::Write;

use super::absent::{ABSENT, TOOLS};
use super::{COMPONENTS, Component, Flag, Here, Takes};

/// The page with all flags of Thanos.
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n| component | same | differs | no effect | refused |\n|---|---|---|---|---|\n");
    for component in COMPONENTS {
        let count = |is: fn(&Here) -> bool| component.flags().filter(|flag| is(&flag.here)).count();
        line(
            &mut page,
            format_args!(
                "| `{}` | {} | {} | {} | {} |",
                component.name,
                count(|here| matches!(here, Here::Same)),
                count(|here| matches!(here, Here::Differs(_))),
                count(|here| matches!(here, Here::NoEffect(..))),
                count(|here| matches!(here, Here::Refused(_))),
            ),
        );
    }
    COMPONENTS.into_iter().for_each(|component| table(&mut page, component));
    page.push_str("\n## Not here yet\n");
    for absent in ABSENT {
        line(
            &mut page,
            format_args!("\n`{}` ({} flags): {}.\n", absent.name, absent.flags.len(), absent.reason),
        );
        names(&mut page, absent.flags);
    }
    page.push_str("\n`tools`: all of `tools bucket` are here, with Thanos's flags (`tithon tools bucket --help`), and `rules-check`. Thanos's tools have these:\n\n");
    names(&mut page, TOOLS);
    page
}

const INTRODUCTION: &str = "# The flags of Thanos

What becomes of each flag of Thanos in Tithon. This page is printed from `services/tithon/src/flags/thanos`; a test tells when it is
stale (`tithon tools flags` prints it). Flags of our own are shown by `tithon SUBCOMMAND --help`.

- **same**: name, default and effect are Thanos's.
- **differs**: in what the table says.
- **no effect**: accepted, with one warning at the start; it tunes what does not exist here. Values that Thanos refuses are refused.
- **refused**: the process does not start, and says why; exit code 2.
";

fn table(page: &mut String, component: &Component) {
    line(page, format_args!("\n## `{}`\n\n| flag | default | here | |\n|---|---|---|---|", component.name));
    for flag in component.flags() {
        let (here, text) = match flag.here {
            Here::Same => ("same", ""),
            Here::Differs(how) => ("differs", how),
            Here::NoEffect(why, _) => ("no effect", why),
            Here::Refused(why) => ("refused", why),
        };
        line(page, format_args!("| {} | {} | {here} | {text} |", name(flag), default(flag)));
    }
}

fn name(flag: &Flag) -> String {
    match flag.takes {
        Takes::Switch(_) => format!("`--[no-]{}`", flag.name),
        Takes::Value(_) => format!("`--{}`", flag.name),
        Takes::List => format!("`--{}` ...", flag.name),
    }
}

fn default(flag: &Flag) -> String {
    match flag.takes {
        Takes::Value("") | Takes::List => String::new(),
        Takes::Value(default) => format!("`{default}`"),
        Takes::Switch(on) => on.to_string(),
    }
}

fn names(page: &mut String, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    line(page, format_args!("{}", names.join(", ")));
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "{text}");
}
