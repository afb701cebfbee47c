//! A table of all flags of Thanos, and how each is supported here. The data is in `thanos/store.rs` and the files
//! beside it; `docs/flags.md` is printed from it.

mod absent;
mod common;
mod compact;
mod docs;
mod query;
mod rule;
mod sidecar;
mod store;

#[cfg(test)]
mod tests;

use self::absent::{ABSENT, TOOLS};
pub use self::docs::page;

/// A component of Thanos that exists here, with its flags.
pub struct Component {
    /// The subcommand.
    pub name: &'static str,
    groups: &'static [&'static [Flag]],
}

/// A flag of Thanos.
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    pub takes: Takes,
    pub here: Here,
}

/// The values of a flag of Thanos.
#[derive(Clone, Copy)]
pub enum Takes {
    /// One value, with this default; the empty text means no value.
    Value(&'static str),
    /// A value each time the flag is given.
    List,
    /// No value: `--x` and `--no-x`, with this default.
    Switch(bool),
}

/// How a flag is supported here.
pub enum Here {
    /// As in Thanos, with the same default.
    Same,
    /// Differently, as this text says.
    Differs(&'static str),
    /// Accepted without effect, for this reason; values are checked as in Thanos.
    NoEffect(&'static str, Check),
    /// Refused for this reason, unless it is off.
    Refused(&'static str),
}

/// The values that a flag without effect accepts.
#[derive(Clone, Copy)]
pub enum Check {
    /// Any text.
    Any,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number that is not negative.
    Number,
    /// A number, or several separated by commas.
    Numbers,
    /// A number above 0 and at most 1.
    Ratio,
    /// A number of bytes, such as `2GB`.
    Size,
}

const COMPONENTS: [&Component; 5] =
    [&store::STORE, &query::QUERY, &compact::COMPACT, &sidecar::SIDECAR, &rule::RULE];

/// The component that a subcommand starts; `None` if it does not exist here or in Thanos.
pub fn component(name: &str) -> Option<&'static Component> {
    COMPONENTS.into_iter().find(|component| component.name == name)
}

/// Why a subcommand of Thanos does not exist here; `None` if it is not a subcommand of Thanos.
pub fn absent_component(name: &str) -> Option<&'static str> {
    ABSENT.iter().find(|absent| absent.name == name).map(|absent| absent.reason)
}

/// The components of Thanos that have a flag, whether they exist here or not.
pub fn components_with(flag: &str) -> Vec<&'static str> {
    let here = COMPONENTS.into_iter().filter(|component| component.flag(flag).is_some());
    let absent = ABSENT.iter().filter(|absent| absent.flags.contains(&flag)).map(|absent| absent.name);
    let tools = TOOLS.contains(&flag).then_some("tools");
    here.map(|component| component.name).chain(absent).chain(tools).collect()
}

impl Component {
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.groups.iter().copied().flatten()
    }

    pub fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.flags().find(|flag| flag.name == name)
    }
}

impl Check {
    /// Describes the expected values if `value` is refused; `None` if it is accepted.
    pub fn refuses(self, value: &str) -> Option<String> {
        let number = |text: &str| text.trim().parse::<f64>().is_ok_and(f64::is_finite);
        let (is_right, expected) = match self {
            Check::Any => return None,
            Check::OneOf(words) => (words.contains(&value), words.join(" or ")),
            Check::Number => (value.parse::<u64>().is_ok(), "a whole number".to_owned()),
            Check::Numbers => (value.split(',').all(number), "a number".to_owned()),
            Check::Ratio => {
                let ratio = value.parse::<f64>().is_ok_and(|ratio| ratio > 0.0 && ratio <= 1.0);
                (ratio, "a number above 0, at most 1".to_owned())
            }
            Check::Size => (super::parse_size(value).is_ok(), "a number of bytes, such as 250MB".to_owned()),
        };
        (!is_right).then_some(expected)
    }
}

const fn value(name: &'static str, default: &'static str, here: Here) -> Flag {
    Flag { name, takes: Takes::Value(default), here }
}

const fn list(name: &'static str, here: Here) -> Flag {
    Flag { name, takes: Takes::List, here }
}

const fn switch(name: &'static str, default: bool, here: Here) -> Flag {
    Flag { name, takes: Takes::Switch(default), here }
}

impl Here {
    /// Why the flag is refused; `None` if it is not.
    pub const fn refusal(&self) -> Option<&'static str> {
        match self {
            Here::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}
