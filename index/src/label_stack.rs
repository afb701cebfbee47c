//! Makes one label set after the other where each begins with labels of the one before.

use crate::Labels;
use crate::labels::push_pair;

/// The labels of a set that is being made, in ascending order of their names. The next set keeps as many of them as it shares.
#[derive(Debug, Default)]
pub struct LabelStack {
    packed: Vec<u8>,
    /// Where each label ends in `packed`.
    ends: Vec<usize>,
}

impl LabelStack {
    /// Puts a label on top. Its name must be greater than those below, and its value not empty.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        push_pair(&mut self.packed, name, value);
        self.ends.push(self.packed.len());
    }

    /// Takes labels off until no more than `n` are left.
    pub fn truncate(&mut self, n: usize) {
        self.ends.truncate(n);
        self.packed.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// The set of all labels.
    pub fn labels(&self) -> Labels {
        Labels::from_packed(&self.packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_set_keeps_what_it_shares() {
        let mut stack = LabelStack::default();
        stack.push(b"a", b"1");
        stack.push(b"b", &[b'x'; 300]);
        assert_eq!(stack.labels(), Labels::from_pairs([("a", "1"), ("b", &"x".repeat(300))]));
        stack.truncate(1);
        stack.push(b"c", b"2");
        assert_eq!(stack.labels(), Labels::from_pairs([("a", "1"), ("c", "2")]));
        stack.truncate(5);
        stack.truncate(0);
        assert_eq!(stack.labels(), Labels::default());
    }
}
