//! A cache of the postings that matchers selected in a block and, when they are few, of the selected series with their
//! labels and chunk references: dashboards repeat the same matchers. The least recently used items are evicted when the
//! memory is used up, and items of a block when the block is no longer served. Thanos calls them expanded postings,
//! `pkg/store/cache/inmemory.go`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tithon_bucket::BucketBlock;
use tithon_engine::{BlockId, KeptSeries};
use tithon_index::{MatchOp, Matcher, Postings};
use tithon_runtime::Metrics;

use crate::blocks::Blocks;

/// Memory of an item besides its key and value: the entries of the maps.
const ITEM_BYTES: usize = 200;

/// The cache of selected postings and series.
pub(crate) struct PostingsCache {
    bytes_max: usize,
    state: Mutex<State>,
    /// Hashes of recently requested keys; a key's hash determines its slot.
    asked: Box<[AtomicU64]>,
    hasher: RandomState,
    metrics: CacheMetrics,
}

/// Number of slots for hashes of recent keys; a newer key overwrites an older one in its slot.
const ASKED: usize = 1 << 14;

#[derive(Default)]
struct State {
    items: HashMap<Key, Item>,
    /// Keys by the time of their last use, counted in uses of the cache.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
    /// Number and bytes of the cached postings and series.
    postings: (usize, usize),
    series: (usize, usize),
    /// The served blocks as of the last call of `keep_served`.
    blocks: Weak<Blocks>,
}

/// A block and its matchers, sorted, each part preceded by the length of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    block: BlockId,
    matchers: Arc<[u8]>,
}

struct Item {
    /// The open block that the item belongs to; a block that is opened again may have other files.
    block: Weak<BucketBlock>,
    value: Value,
    used: u64,
}

/// A cached value.
#[derive(Clone)]
enum Value {
    /// Encoded by [`Postings::to_deltas`].
    Postings(Arc<[u8]>),
    Series(Arc<KeptSeries>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Value::Postings(deltas) => deltas.len(),
            Value::Series(series) => series.bytes(),
        }
    }

    /// The label set of the value's kind.
    fn item(&self) -> &'static ByItem {
        match self {
            Value::Postings(_) => &POSTINGS,
            Value::Series(_) => &SERIES,
        }
    }
}

impl Key {
    pub(crate) fn new(block: BlockId, matchers: &[Matcher]) -> Key {
        let mut sorted: Vec<&Matcher> = matchers.iter().collect();
        sorted.sort_by_key(|matcher| (matcher.op().as_str(), matcher.name(), matcher.value()));
        let mut text = Vec::new();
        for matcher in sorted {
            for part in [matcher.op().as_str().as_bytes(), matcher.name(), matcher.value()] {
                text.extend_from_slice(&(part.len() as u64).to_le_bytes());
                text.extend_from_slice(part);
            }
        }
        Key { block, matchers: text.into() }
    }

    /// The key of the selected series, which are sent without the labels `without`.
    pub(crate) fn of_series(block: BlockId, matchers: &[Matcher], without: &[String]) -> Key {
        let mut text = Key::new(block, matchers).matchers.to_vec();
        // The length of an operator is never this large, so these keys differ from those of postings.
        text.extend_from_slice(&u64::MAX.to_le_bytes());
        for name in without {
            text.extend_from_slice(&(name.len() as u64).to_le_bytes());
            text.extend_from_slice(name.as_bytes());
        }
        Key { block, matchers: text.into() }
    }

    fn bytes(&self, value_bytes: usize) -> usize {
        ITEM_BYTES + self.matchers.len() + value_bytes
    }
}

impl PostingsCache {
    /// A cache of at most `bytes_max` bytes; 0 keeps nothing.
    pub(crate) fn new(bytes_max: usize, metrics: &Metrics) -> PostingsCache {
        let cache = PostingsCache {
            bytes_max,
            state: Mutex::default(),
            asked: (0..ASKED).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            metrics: CacheMetrics::default(),
        };
        cache.metrics.register(metrics);
        // Create the counters at zero, so that rates see the first increment.
        for family in [&cache.metrics.added, &cache.metrics.evicted, &cache.metrics.overflowed] {
            drop(family.get_or_create(&POSTINGS));
            drop(family.get_or_create(&SERIES));
        }
        cache.metrics.max_bytes.set(bytes_max as i64);
        cache.metrics.item_bytes_max.set(cache.item_bytes_max() as i64);
        cache
    }

    fn item_bytes_max(&self) -> usize {
        self.bytes_max / 2
    }

    /// Whether to cache what these matchers select. A single list of a mapped block is read as fast as the cache.
    pub(crate) fn is_for(&self, block: &BucketBlock, matchers: &[Matcher]) -> bool {
        let is_one_list = matches!(matchers, [only] if only.op() == MatchOp::Equal);
        self.bytes_max > 0 && !(is_one_list && block.mapped().is_some())
    }

    /// Whether the selected series themselves are cached when they are few.
    pub(crate) fn keeps_series(&self) -> bool {
        self.bytes_max > 0
    }

    /// Records that a key is requested, and returns whether it was requested recently. Only such keys are cached: many
    /// generated queries have selectors that never come again, which would evict the useful ones.
    pub(crate) fn was_asked(&self, key: &Key) -> bool {
        // The lowest bit is set, so that no hash equals an empty slot.
        let hash = self.hasher.hash_one(key) | 1;
        self.asked[hash as usize >> 1 & (ASKED - 1)].swap(hash, Ordering::Relaxed) == hash
    }

    /// The cached postings of the matchers.
    pub(crate) fn get(&self, key: &Key, block: &Arc<BucketBlock>, tenant: &str) -> Option<Postings> {
        match self.value(&POSTINGS, key, block, tenant)? {
            Value::Postings(deltas) => Postings::from_deltas(&deltas).ok(),
            Value::Series(_) => None,
        }
    }

    /// The cached series of the matchers.
    pub(crate) fn get_series(
        &self,
        key: &Key,
        block: &Arc<BucketBlock>,
        tenant: &str,
    ) -> Option<Arc<KeptSeries>> {
        match self.value(&SERIES, key, block, tenant)? {
            Value::Series(series) => Some(series),
            Value::Postings(_) => None,
        }
    }

    fn value(&self, item: &ByItem, key: &Key, block: &Arc<BucketBlock>, tenant: &str) -> Option<Value> {
        let labels = [("item_type", item[0].1.to_owned()), ("tenant", tenant.to_owned())];
        self.metrics.requests.get_or_create(&labels).inc();
        let value = self.state().touch(key, block)?;
        self.metrics.hits.get_or_create(&labels).inc();
        Some(value)
    }

    /// Caches the postings of the matchers.
    pub(crate) fn put(&self, key: Key, block: &Arc<BucketBlock>, postings: &Postings) {
        // A reference takes at least a byte.
        if key.bytes(postings.len()) > self.item_bytes_max() {
            self.metrics.overflowed.get_or_create(&POSTINGS).inc();
            return;
        }
        self.put_value(key, block, Value::Postings(postings.to_deltas().into()));
    }

    /// Caches the series of the matchers.
    pub(crate) fn put_series(&self, key: Key, block: &Arc<BucketBlock>, series: Arc<KeptSeries>) {
        self.put_value(key, block, Value::Series(series));
    }

    fn put_value(&self, key: Key, block: &Arc<BucketBlock>, value: Value) {
        let (bytes, item) = (key.bytes(value.bytes()), value.item());
        if bytes > self.item_bytes_max() {
            self.metrics.overflowed.get_or_create(item).inc();
            return;
        }
        let mut state = self.state();
        state.remove(&key);
        while state.bytes + bytes > self.bytes_max
            && let Some(gone) = state.remove_oldest()
        {
            self.metrics.evicted.get_or_create(gone.item()).inc();
        }
        state.insert(key, Item { block: Arc::downgrade(block), value, used: 0 });
        self.metrics.added.get_or_create(item).inc();
        self.count(&state);
    }

    /// Drops the items of blocks that are no longer served or open.
    pub(crate) fn keep_served(&self, blocks: &Arc<Blocks>) {
        let mut state = self.state();
        if state.blocks.as_ptr() == Arc::as_ptr(blocks) {
            return;
        }
        state.blocks = Arc::downgrade(blocks);
        let is_served = |key: &Key, item: &Item| {
            let open = blocks.served.get(&key.block).and_then(|served| served.if_open());
            open.is_some_and(|open| item.block.as_ptr() == Arc::as_ptr(&open))
        };
        let gone = state.items.iter().filter(|(key, item)| !is_served(key, item));
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| drop(state.remove(key)));
        self.count(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &State) {
        for (item, (n, bytes)) in [(&POSTINGS, state.postings), (&SERIES, state.series)] {
            self.metrics.items.get_or_create(item).set(n as i64);
            self.metrics.items_bytes.get_or_create(item).set(bytes as i64);
            self.metrics.total_bytes.get_or_create(item).set(bytes as i64);
        }
    }
}

impl State {
    fn touch(&mut self, key: &Key, block: &Arc<BucketBlock>) -> Option<Value> {
        self.uses += 1;
        let item = self.items.get_mut(key).filter(|item| item.block.as_ptr() == Arc::as_ptr(block))?;
        let before = std::mem::replace(&mut item.used, self.uses);
        let value = item.value.clone();
        if let Some(key) = self.by_use.remove(&before) {
            self.by_use.insert(self.uses, key);
        }
        Some(value)
    }

    fn counts(&mut self, value: &Value) -> &mut (usize, usize) {
        match value {
            Value::Postings(_) => &mut self.postings,
            Value::Series(_) => &mut self.series,
        }
    }

    fn insert(&mut self, key: Key, mut item: Item) {
        self.uses += 1;
        item.used = self.uses;
        let bytes = key.bytes(item.value.bytes());
        self.bytes += bytes;
        let (n, all) = self.counts(&item.value);
        (*n, *all) = (*n + 1, *all + bytes);
        self.by_use.insert(self.uses, key.clone());
        self.items.insert(key, item);
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let item = self.items.remove(key)?;
        self.by_use.remove(&item.used);
        let bytes = key.bytes(item.value.bytes());
        self.bytes -= bytes;
        let (n, all) = self.counts(&item.value);
        (*n, *all) = (*n - 1, *all - bytes);
        Some(item.value)
    }

    /// Removes the least recently used item, if there is one.
    fn remove_oldest(&mut self) -> Option<Value> {
        let oldest = self.by_use.first_key_value().map(|(_, key)| key.clone())?;
        self.remove(&oldest)
    }
}

type ByItem = [(&'static str, &'static str); 1];
type ByItemAndTenant = [(&'static str, String); 2];

/// Thanos's `item_type` of postings, and ours of series.
const POSTINGS: ByItem = [("item_type", "ExpandedPostings")];
const SERIES: ByItem = [("item_type", "Series")];

/// Metrics of the cache, with Thanos's names.
#[derive(Debug, Default)]
struct CacheMetrics {
    requests: Family<ByItemAndTenant, Counter>,
    hits: Family<ByItemAndTenant, Counter>,
    added: Family<ByItem, Counter>,
    evicted: Family<ByItem, Counter>,
    overflowed: Family<ByItem, Counter>,
    items: Family<ByItem, Gauge>,
    items_bytes: Family<ByItem, Gauge>,
    total_bytes: Family<ByItem, Gauge>,
    max_bytes: Gauge,
    item_bytes_max: Gauge,
}

impl CacheMetrics {
    fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let name = |name: &str| format!("thanos_store_index_cache_{name}");
            registry.register(name("requests"), "Questions to the cache", self.requests.clone());
            registry.register(name("hits"), "Questions that the cache answered", self.hits.clone());
            registry.register(name("items_added"), "Items that were put into the cache", self.added.clone());
            let help = "Items that went because others needed the memory";
            registry.register(name("items_evicted"), help, self.evicted.clone());
            let help = "Items that were not kept because they are too long";
            registry.register(name("items_overflowed"), help, self.overflowed.clone());
            registry.register(name("items"), "Items in the cache", self.items.clone());
            let help = "Bytes of the items in the cache";
            registry.register(name("items_size_bytes"), help, self.items_bytes.clone());
            let help = "Bytes of the items in the cache, with what is kept of each beside it";
            registry.register(name("total_size_bytes"), help, self.total_bytes.clone());
            let help = "Bytes that the cache may take";
            registry.register(name("max_size_bytes"), help, self.max_bytes.clone());
            let help = "Bytes that one item may take";
            registry.register(name("max_item_size_bytes"), help, self.item_bytes_max.clone());
        });
    }
}

#[cfg(test)]
mod tests {
    use tithon_index::SeriesRef;

    use super::*;

    fn matcher(op: MatchOp, value: &str) -> Matcher {
        Matcher::new(op, "job", value).unwrap()
    }

    fn key(value: &str) -> Key {
        Key::new(
            BlockId::from_parts(1, 1),
            &[matcher(MatchOp::Equal, value), matcher(MatchOp::NotEqual, "b")],
        )
    }

    fn item(n: u32) -> Item {
        let postings: Postings = (0..n).map(SeriesRef).collect();
        Item { block: Weak::new(), value: Value::Postings(postings.to_deltas().into()), used: 0 }
    }

    #[test]
    fn keys_are_the_same_in_any_order_and_differ_otherwise() {
        let (a, b) = (matcher(MatchOp::Equal, "a"), matcher(MatchOp::NotEqual, "b"));
        let block = BlockId::from_parts(1, 1);
        let of = |matchers: &[&Matcher]| {
            Key::new(block, &matchers.iter().map(|m| (*m).clone()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[&a, &b]), of(&[&b, &a]));
        assert_ne!(of(&[&a]), of(&[&b]));
        assert_ne!(of(&[&matcher(MatchOp::Equal, "b")]), of(&[&b]));
        assert_ne!(of(&[&a]), Key::new(BlockId::from_parts(1, 2), std::slice::from_ref(&a)));
        let series = |without: &[&str]| {
            let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
            Key::of_series(block, std::slice::from_ref(&a), &without)
        };
        assert_ne!(series(&[]), of(&[&a]));
        assert_ne!(series(&[]), series(&["replica"]));
        assert_ne!(series(&["ab", "c"]), series(&["a", "bc"]));
    }

    #[test]
    fn what_was_used_longest_ago_goes_and_bytes_are_counted() {
        let mut state = State::default();
        for value in ["1", "2", "3"] {
            state.insert(key(value), item(100));
        }
        let counted = |state: &State| {
            state.items.iter().map(|(key, item)| key.bytes(item.value.bytes())).sum::<usize>()
        };
        assert_eq!(state.bytes, counted(&state));
        // As if used by a request; `touch` needs the open block, which these items lack.
        let used = state.items[&key("1")].used;
        state.uses += 1;
        let now = state.uses;
        if let Some(item) = state.items.get_mut(&key("1")) {
            item.used = now;
        }
        let same = state.by_use.remove(&used).unwrap();
        state.by_use.insert(now, same);
        assert!(state.remove_oldest().is_some());
        assert!(state.items.contains_key(&key("1")) && !state.items.contains_key(&key("2")));
        assert_eq!(state.bytes, counted(&state));
        let left: Vec<bool> = (0..3).map(|_| state.remove_oldest().is_some()).collect();
        assert_eq!((left, state.postings), (vec![true, true, false], (0, 0)));
        assert_eq!((state.bytes, state.items.len(), state.by_use.len()), (0, 0, 0));
    }
}
