//! A cache of pieces in memory.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Pieces by key, limited by their memory.
#[derive(Debug)]
pub(super) struct Memory {
    cache: Cache<String, Bytes, Weight>,
    item_bytes_max: u64,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<String, Bytes> for Weight {
    /// Memory of an item: its piece, its key, and the map's entry.
    fn weight(&self, key: &String, bytes: &Bytes) -> u64 {
        (key.len() + bytes.len() + ITEM_BYTES) as u64
    }
}

/// Memory of an item besides its key and piece.
const ITEM_BYTES: usize = 96;
/// Assumed size of an item, for the initial capacity.
const USUAL_BYTES: u64 = 8 << 10;

impl Memory {
    /// A cache of at most `bytes` bytes; items larger than `item_bytes_max` are not cached.
    pub(super) fn new(bytes: u64, item_bytes_max: u64) -> Memory {
        let items = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Memory { cache: Cache::with_weighter(items, bytes, Weight), item_bytes_max }
    }

    pub(super) fn get(&self, key: &String) -> Option<Bytes> {
        self.cache.get(key)
    }

    pub(super) fn put(&self, key: String, bytes: Bytes) {
        if bytes.len() as u64 <= self.item_bytes_max {
            self.cache.insert(key, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_to_the_byte() {
        let memory = Memory::new(100_000, 5_000);
        for i in 0..1_000 {
            memory.put(format!("key-{i}"), Bytes::from(vec![0; 1_000]));
        }
        assert!(memory.cache.weight() <= 100_000 && memory.cache.len() > 10);
        memory.put("large".to_owned(), Bytes::from(vec![0; 5_001]));
        assert_eq!(memory.get(&"large".to_owned()), None);
    }
}
