//! Sets of queriers.

/// A set of indexes of queriers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EngineSet(Vec<u64>);

impl EngineSet {
    /// The queriers from 0 to `n` that fulfil a condition.
    pub(super) fn of(n: usize, mut is_in: impl FnMut(usize) -> bool) -> EngineSet {
        let mut words = vec![0; n.div_ceil(64)];
        (0..n).filter(|i| is_in(*i)).for_each(|i| words[i / 64] |= 1 << (i % 64));
        EngineSet(words)
    }

    /// The queriers that are in this set, in the other one, or in both.
    pub(super) fn or(mut self, other: &EngineSet) -> EngineSet {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
        self
    }

    /// The queriers that are in both sets.
    pub(super) fn and(mut self, other: &EngineSet) -> EngineSet {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, mask)| *word &= mask);
        self
    }

    /// The queriers of the set, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let bits = |word: u64| (0..64).filter(move |bit| word >> bit & 1 == 1);
        self.0.iter().enumerate().flat_map(move |(w, word)| bits(*word).map(move |bit| w * 64 + bit))
    }

    /// Whether a querier is in the set.
    pub(super) fn has(&self, engine: usize) -> bool {
        self.0.get(engine / 64).is_some_and(|word| word >> (engine % 64) & 1 == 1)
    }

    /// The only querier of the set, if it has one querier.
    pub(super) fn only(&self) -> Option<usize> {
        let mut all = self.iter();
        all.next().filter(|_| all.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_many_queriers() {
        let set = |members: &[usize]| EngineSet::of(200, |i| members.contains(&i));
        let (one, other) = (set(&[1, 64, 130]), set(&[64, 199]));
        assert_eq!(one.clone().or(&other), set(&[1, 64, 130, 199]));
        assert_eq!(one.clone().and(&other), set(&[64]));
        assert_eq!(one.iter().collect::<Vec<_>>(), [1, 64, 130]);
        assert_eq!((set(&[130]).only(), one.only(), set(&[]).only()), (Some(130), None, None));
        assert!(one.has(64) && !one.has(65) && !one.has(1_000));
        assert_eq!(EngineSet::default().or(&one), one);
        assert_eq!(EngineSet::default().and(&one).only(), None);
    }
}
