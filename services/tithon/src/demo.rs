//! Demo data: two days of realistic series in two-hour blocks that end now.

mod catalogue;
mod fill;
mod process;

pub use self::fill::fill;
