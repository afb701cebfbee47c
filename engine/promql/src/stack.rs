//! Stack for recursion: expressions may nest deeper than the stack of a thread allows, as they may upstream.

/// If less stack than this is left, a new piece is allocated. While a level of the recursion waits for other threads,
/// parts of their work may run on top of it, so some must be left.
const LEFT_BYTES_MIN: usize = 1 << 20;
/// The size of a piece.
const PIECE_BYTES: usize = 8 << 20;

/// Runs one level of a recursion, on a new piece of stack if necessary. The limits on the nesting of queries bound how
/// much is allocated.
#[inline]
pub(crate) fn with_room<T>(level: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(LEFT_BYTES_MIN, PIECE_BYTES, level)
}
