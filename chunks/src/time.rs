//! Points and ranges in time, in milliseconds since the Unix epoch.

/// Milliseconds since the Unix epoch; negative before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest time there is.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest time there is.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A closed range of time: both ends are inside. Empty when `min > max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first millisecond inside.
    pub min: Timestamp,
    /// The last millisecond inside.
    pub max: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { min: Timestamp::MIN, max: Timestamp::MAX };

    /// The closed range `[min, max]`, in milliseconds.
    pub const fn new(min: i64, max: i64) -> TimeRange {
        TimeRange { min: Timestamp(min), max: Timestamp(max) }
    }

    /// Whether no millisecond is inside.
    pub const fn is_empty(self) -> bool {
        self.min.0 > self.max.0
    }

    /// Whether `t` is inside.
    pub const fn contains(self, t: Timestamp) -> bool {
        self.min.0 <= t.0 && t.0 <= self.max.0
    }

    /// Whether the two ranges share a millisecond; an empty range shares none.
    pub const fn overlaps(self, other: TimeRange) -> bool {
        !self.is_empty() && !other.is_empty() && self.min.0 <= other.max.0 && other.min.0 <= self.max.0
    }

    /// Whether all of `other` is inside.
    pub const fn covers(self, other: TimeRange) -> bool {
        self.min.0 <= other.min.0 && other.max.0 <= self.max.0
    }
}
