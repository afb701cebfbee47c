//! A binary heap that orders equal items as Go's `container/heap` does: the results of upstream's merges depend on that
//! order.

/// Items with the smallest on top. Each call takes the order, because the order depends on data outside the heap.
#[derive(Debug, Default)]
pub(crate) struct Heap<T> {
    items: Vec<T>,
}

impl<T> Heap<T> {
    pub(crate) fn new() -> Heap<T> {
        Heap { items: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The smallest item.
    pub(crate) fn top(&self) -> Option<&T> {
        self.items.first()
    }

    /// Appends and sifts up while strictly less than the parent.
    pub(crate) fn push(&mut self, item: T, less: impl Fn(&T, &T) -> bool) {
        self.items.push(item);
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(child, parent);
            child = parent;
        }
    }

    /// Swaps the top with the last item, sifts the new top down, and removes the old top.
    pub(crate) fn pop(&mut self, less: impl Fn(&T, &T) -> bool) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= last {
                break;
            }
            let right = left + 1;
            let child =
                if right < last && less(&self.items[right], &self.items[left]) { right } else { left };
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, child);
            parent = child;
        }
        self.items.pop()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pops_ascend(items in prop::collection::vec(0u8..20, 0..50)) {
            let less = |a: &u8, b: &u8| a < b;
            let mut heap = Heap::new();
            for item in &items {
                heap.push(*item, less);
            }
            let popped: Vec<u8> = std::iter::from_fn(|| heap.pop(less)).collect();
            let mut sorted = items;
            sorted.sort_unstable();
            prop_assert_eq!(popped, sorted);
            prop_assert!(heap.is_empty() && heap.top().is_none());
        }
    }

    #[test]
    fn equals_come_in_gos_order() {
        // Pushed 0..5 with one key: Go pops 0, 4, 3, 2, 1.
        let mut heap = Heap::new();
        for i in 0..5 {
            heap.push(i, |_, _| false);
        }
        let popped: Vec<i32> = std::iter::from_fn(|| heap.pop(|_, _| false)).collect();
        assert_eq!(popped, [0, 4, 3, 2, 1]);
    }
}
