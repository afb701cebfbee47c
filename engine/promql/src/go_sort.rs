//! Sorting as Go's `sort.Sort` does it: a pattern-defeating quicksort. It is not stable, and the order in which it leaves
//! equal elements shows in results: ties of `sort` and `topk`, 0 and -0 in quantiles.
//!
//! Upstream: Go's `sort/zsortinterface.go`. Every comparison and swap is made in the same order.

/// Ranges of up to so many elements are sorted by insertion.
const INSERTION_MAX: usize = 12;
/// In ranges of fewer elements, neither a better pivot is searched nor is it checked whether they are nearly sorted.
const CLOSER_LOOK_MIN: usize = 50;

/// Sorts `items`; `less` need not be a consistent order.
pub(crate) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let n = items.len();
    let limit = (usize::BITS - n.leading_zeros()) as usize;
    Sort { items, less }.quick(0, n, limit);
}

/// The order of a range, as far as choosing a pivot revealed it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

struct Sort<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sort<'_, T, F> {
    fn less(&self, i: usize, j: usize) -> bool {
        (self.less)(&self.items[i], &self.items[j])
    }

    fn swap(&mut self, i: usize, j: usize) {
        self.items.swap(i, j);
    }

    /// Sorts `a..b`; falls back to heap sort after `limit` bad pivots.
    fn quick(&mut self, mut a: usize, mut b: usize, mut limit: usize) {
        let (mut was_balanced, mut was_partitioned) = (true, true);
        loop {
            let n = b - a;
            if n <= INSERTION_MAX {
                return self.insertion(a, b);
            }
            if limit == 0 {
                return self.heap(a, b);
            }
            if !was_balanced {
                self.break_patterns(a, b);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(a, b);
            if hint == Hint::Decreasing {
                self.items[a..b].reverse();
                pivot = (b - 1) - (pivot - a);
                hint = Hint::Increasing;
            }
            let may_be_sorted = was_balanced && was_partitioned && hint == Hint::Increasing;
            if may_be_sorted && self.partial_insertion(a, b) {
                return;
            }
            if a > 0 && !self.less(a - 1, pivot) {
                a = self.partition_equal(a, b, pivot);
                continue;
            }
            let (mid, already_partitioned) = self.partition(a, b, pivot);
            was_partitioned = already_partitioned;
            let (left, right) = (mid - a, b - mid);
            was_balanced = left.min(right) >= n / 8;
            if left < right {
                self.quick(a, mid, limit);
                a = mid + 1;
            } else {
                self.quick(mid + 1, b, limit);
                b = mid;
            }
        }
    }

    fn insertion(&mut self, a: usize, b: usize) {
        for i in a + 1..b {
            let mut j = i;
            while j > a && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    /// Sorts a range in which few neighbours are out of order; returns `false` when it gives up.
    fn partial_insertion(&mut self, a: usize, b: usize) -> bool {
        const STEPS_MAX: usize = 5;
        let mut i = a + 1;
        for _ in 0..STEPS_MAX {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < CLOSER_LOOK_MIN {
                return false;
            }
            self.swap(i, i - 1);
            if i - a >= 2 {
                // Upstream moves down to the start of all items, not of the range.
                for j in (1..i).rev() {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
            if b - i >= 2 {
                for j in i + 1..b {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
        }
        false
    }

    /// Moves the pivot to its final index, with smaller elements before it; returns the index, and whether the range was
    /// partitioned already.
    fn partition(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        let mut moved = false;
        loop {
            while i <= j && self.less(i, a) {
                i += 1;
            }
            while i <= j && !self.less(j, a) {
                j -= 1;
            }
            if i > j {
                self.swap(j, a);
                return (j, !moved);
            }
            self.swap(i, j);
            moved = true;
            i += 1;
            j -= 1;
        }
    }

    /// Moves the elements equal to the pivot to the front; returns the index of the first greater one.
    fn partition_equal(&mut self, a: usize, b: usize, pivot: usize) -> usize {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        loop {
            while i <= j && !self.less(a, i) {
                i += 1;
            }
            while i <= j && self.less(a, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Swaps three elements with pseudo-random ones, so that patterns do not unbalance the next partition again.
    fn break_patterns(&mut self, a: usize, b: usize) {
        let n = b - a;
        if n < 8 {
            return;
        }
        let mut random = n as u64;
        let mask = (1 << (usize::BITS - n.leading_zeros())) - 1;
        let middle = a + n / 4 * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = random as usize & mask;
            self.swap(at, a + if other >= n { other - n } else { other });
        }
    }

    fn choose_pivot(&self, a: usize, b: usize) -> (usize, Hint) {
        const SWAPS_MAX: usize = 4 * 3;
        let n = b - a;
        let (mut i, mut j, mut k) = (a + n / 4, a + n / 4 * 2, a + n / 4 * 3);
        let mut swaps = 0;
        if n >= 8 {
            if n >= CLOSER_LOOK_MIN {
                for at in [&mut i, &mut j, &mut k] {
                    *at = self.median(*at - 1, *at, *at + 1, &mut swaps);
                }
            }
            j = self.median(i, j, k, &mut swaps);
        }
        let hint = match swaps {
            0 => Hint::Increasing,
            SWAPS_MAX => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (j, hint)
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut usize) -> usize {
        let mut ordered = |a: usize, b: usize| {
            let swap = self.less(b, a);
            *swaps += usize::from(swap);
            if swap { (b, a) } else { (a, b) }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }

    fn heap(&mut self, a: usize, b: usize) {
        let n = b - a;
        for root in (0..=(n - 1) / 2).rev() {
            self.sift_down(root, n, a);
        }
        for end in (0..n).rev() {
            self.swap(a, a + end);
            self.sift_down(0, end, a);
        }
    }

    fn sift_down(&mut self, mut root: usize, end: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }
}

#[cfg(test)]
mod tests {
    /// Sizes, and for each pattern of keys the result of Go 1.26: the hash of the original places of the sorted
    /// elements.
    #[rustfmt::skip]
    const SORTED_BY_GO: [(usize, [u64; 8]); 7] = [
        (5, [0x955786c796ddbd59, 0x0d6ef6c0276ce529, 0x3378e3d0c52edfaf, 0x71594b24fb552c85, 0x676427d0e29340db, 0x3378e3d0c52edfaf, 0x3378e3d0c52edfaf, 0x1622abc02c5d9ae7]),
        (13, [0xea5f88138fb958e1, 0xcc4f1954e297dea1, 0xb96137ea2d10008f, 0x3d5c5a78177a3ed9, 0x505d57419aa7370b, 0xb96137ea2d10008f, 0x9d9efe50e64e8b23, 0x728d67d7e52adb89]),
        (40, [0xa2f1f70b8b28ee27, 0x510324f4e46b6997, 0xc9ccf0fe5fbdeb1d, 0x72adb8dee9734d8f, 0x88b2184b6f9b846d, 0x59fd975d2533de89, 0x64f7dd53e46e48ed, 0x150f9567c81f3935]),
        (60, [0x471d064b44b11bb1, 0xfe481ad5bb8213f5, 0x2a8c7ed8430bcee9, 0x0be2143ece70012d, 0xebe5716290b3cec3, 0x84ff9e2100443501, 0x066b3aa4bc3ee063, 0x0004f2a1d7b66e89]),
        (200, [0x41a7142a136afa59, 0xbd1576e04d3f32ef, 0x43cfa8023695d3bd, 0x9327cd6e6b3562d3, 0x1d37e69ac3c4f19d, 0x792ff3c4d9974b01, 0x79c06f1054ea9f87, 0x462cb6d19f3e6cf9]),
        (1000, [0x7d5ad26855d3d877, 0xe4393583fa3ff339, 0x988cc5afd8cb65dd, 0xe215947c472f2c91, 0x4354304d249c9831, 0xaf5e0a69da3d1ef9, 0xff92b34f764798f7, 0x60f3db2ea4e41a3f]),
        (5000, [0x573c1c80e4edb2b7, 0xe1bfd4f06e40a3c3, 0x7405579c4bb800fd, 0x54b873387de1b995, 0x6a1010ef6068ca51, 0xfba10c7972283717, 0xacd92cba97fc86d7, 0x0db0cc3250c096a3]),
    ];

    fn key(pattern: usize, i: usize, n: usize, state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (*state >> 33) as usize;
        match pattern {
            0 => random,
            1 => random % 7,
            2 => i / 3,
            3 => (n - i) / 3,
            4 if i < n / 2 => i,
            4 => n - i,
            5 if random.is_multiple_of(20) => random % n,
            5 => i,
            6 => i % 5,
            _ => (i * 7919) % (n / 2 + 1),
        }
    }

    #[test]
    fn equal_elements_lie_as_go_leaves_them() {
        for (n, hashes) in SORTED_BY_GO {
            for (pattern, expected) in hashes.into_iter().enumerate() {
                let mut state = n as u64;
                let mut items: Vec<(usize, usize)> =
                    (0..n).map(|i| (key(pattern, i, n, &mut state), i)).collect();
                super::sort(&mut items, |a, b| a.0 < b.0);
                assert!(items.is_sorted_by_key(|item| item.0), "{n} elements, pattern {pattern}");
                let hash = items.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, (_, from)| {
                    (hash ^ *from as u64).wrapping_mul(0x0000_0100_0000_01b3)
                });
                assert_eq!(hash, expected, "{n} elements, pattern {pattern}");
            }
        }
    }

    #[test]
    fn a_comparison_that_contradicts_itself_does_no_harm() {
        for n in [20, 100, 3000] {
            let mut items: Vec<f64> =
                (0..n).map(|i| if i % 3 == 0 { f64::NAN } else { f64::from(i % 11) }).collect();
            super::sort(&mut items, |a, b| a.is_nan() || a < b);
            assert_eq!(items.iter().filter(|v| v.is_nan()).count(), (n as usize).div_ceil(3));
        }
    }
}
