//! Every flag of Thanos, with what becomes of it here. Data: `thanos/store.rs` and its neighbours; `docs/flags.md` is printed
//! from it.

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

/// A process of Thanos that is here, and its flags.
pub struct Component {
    /// The subcommand.
    pub name: &'static str,
    groups: &'static [&'static [Flag]],
}

/// A flag of Thanos.
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    pub takes: Takes,
    pub here: Here,
}

/// What a flag of Thanos takes.
#[derive(Clone, Copy)]
pub enum Takes {
    /// One value; this one unless given, where the empty text is none.
    Value(&'static str),
    /// A value each time that it is given.
    List,
    /// Nothing: `--x` and `--no-x`; this unless given.
    Switch(bool),
}

/// What becomes of a flag here.
pub enum Here {
    /// The same as in Thanos, its default too.
    Same,
    /// Something else, namely this.
    Differs(&'static str),
    /// Nothing, for this reason; a value must still be one that Thanos takes.
    NoEffect(&'static str, Check),
    /// It stops the start, for this reason, unless it is off.
    Refused(&'static str),
}

/// Which values a flag without effect takes.
#[derive(Clone, Copy)]
pub enum Check {
    /// Any text.
    Any,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number, not negative.
    Number,
    /// A number; in a list with commas between them.
    Numbers,
    /// A number above 0, at most 1.
    Ratio,
    /// A number of bytes, such as `2GB`.
    Size,
}

const COMPONENTS: [&Component; 5] =
    [&store::STORE, &query::QUERY, &compact::COMPACT, &sidecar::SIDECAR, &rule::RULE];

/// The component that a subcommand starts, if Thanos has it and we do.
pub fn component(name: &str) -> Option<&'static Component> {
    COMPONENTS.into_iter().find(|component| component.name == name)
}

/// Why a subcommand of Thanos is not here, if it is one of those.
pub fn absent_component(name: &str) -> Option<&'static str> {
    ABSENT.iter().find(|absent| absent.name == name).map(|absent| absent.reason)
}

/// The components of Thanos that have a flag, here or not.
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
    /// What is expected instead of the value; `None` for one that may stand.
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
    /// Why the flag is refused, if it is.
    pub const fn refusal(&self) -> Option<&'static str> {
        match self {
            Here::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}
