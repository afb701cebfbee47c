//! Points in time of evaluations.

use std::time::Duration;

use tithon_storeapi::Moment;

/// A point in time: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub i64);

impl At {
    /// The system's time.
    pub fn now() -> At {
        At(nanos(tithon_runtime::since_1970()))
    }

    /// Milliseconds since 1970, rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds, as `ALERTS_FOR_STATE` has them.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The point in time `span` later.
    pub fn after(self, span: Duration) -> At {
        At(self.0.saturating_add(nanos(span)))
    }

    /// The point in time `span` earlier.
    pub fn before(self, span: Duration) -> At {
        At(self.0.saturating_sub(nanos(span)))
    }

    /// How long after `earlier`, nanoseconds; negative when it is before.
    pub fn nanos_since(self, earlier: At) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The type that APIs use.
    pub fn moment(self) -> Moment {
        let nanos = u32::try_from(self.0.rem_euclid(1_000_000_000)).unwrap_or(0);
        Moment { seconds: self.seconds(), nanos }
    }
}

/// A duration as it is reckoned with, nanoseconds.
pub(crate) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}
