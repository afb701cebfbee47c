//! Series of the demo: targets of five jobs, with daily rhythms, some of which are down now and then.

mod catalogue;
mod process;

pub use self::catalogue::demo_series;
pub use self::process::DEMO_INTERVAL_MS;
pub(crate) use self::process::Shape;
pub(crate) use self::process::make;
