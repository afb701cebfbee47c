//! Series of the demo: targets of five jobs over days and nights, some away for a while now and then.

mod catalogue;
mod process;

pub use self::catalogue::demo_series;
pub use self::process::DEMO_INTERVAL_MS;
pub(crate) use self::process::Shape;
pub(crate) use self::process::make;
