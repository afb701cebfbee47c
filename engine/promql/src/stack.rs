//! Room for recursion: expressions may nest deeper than the stack of a thread allows, as they may upstream.

/// With less left, a new piece of stack is taken.
const LEFT_BYTES_MIN: usize = 256 << 10;
/// The size of a piece.
const PIECE_BYTES: usize = 4 << 20;

/// Runs one level of a recursion. The deepest that a query can be bounds what is taken.
#[inline]
pub(crate) fn with_room<T>(level: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(LEFT_BYTES_MIN, PIECE_BYTES, level)
}
