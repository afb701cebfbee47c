//! Leases: several compactors share a bucket, and each piece of work is done by one of them at a time.
//!
//! A lease is a record in the bucket, `leases/GROUP/START`: the blocks of one group in two weeks, from START on in
//! milliseconds since the Unix epoch. It is written only as it was read, so that the store decides who has it. A holder renews
//! it; one that does not is taken over when its time is up. Times are the holder's, and only decide when somebody else tries:
//! nothing depends on clocks that agree.
//!
//! A block becomes visible in two steps. First its meta.json is written into the lease, which works only for the holder: a
//! compactor that lost the lease, however late it notices, publishes nothing. Then meta.json is put in its place. Whoever
//! takes the lease over in between does the second step before anything else.
//!
//! Work on blocks of several fortnights needs several leases. It is published by the first one alone; each of the others names
//! it, and whoever takes one of the others over takes the first one away before that.
//!
//! Records that nobody had for a week are removed. They are first written as being removed, which keeps everybody from taking
//! them for an hour, as a store cannot delete on condition.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tithon_bucket::{Bucket, BucketError, MarkKind, Record};
use tithon_engine::BlockMeta;
use tithon_engine::plan::LEVELS_MS;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::metrics::LeaseEvent;
use crate::{CompactError, Compactor};

/// Milliseconds since the Unix epoch, as this process sees them.
type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The leases of one compactor.
#[derive(Clone)]
pub struct Leases {
    holder: String,
    duration: Duration,
    clock: Clock,
    /// Leases of others: what was last seen of each, and when that was seen first.
    seen: Arc<Mutex<HashMap<String, (String, Instant)>>>,
    /// When unused records were last looked for.
    cleaned: Arc<Mutex<Option<Instant>>>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// The content of a lease's record.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Content {
    version: u32,
    /// Who has it; nobody where empty.
    holder: String,
    /// How often it has changed hands.
    generation: u64,
    /// No two writes have the same.
    nonce: String,
    expires_ms: i64,
    /// The lease that the holder publishes by, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<First>,
    /// Nobody has it: the record is being removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removing: bool,
    /// The meta.json of each block that is being published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    publishing: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct First {
    name: String,
    generation: u64,
}

const VERSION: u32 = 1;

/// A record that nobody has and that was not written for so long is removed.
const UNUSED_MS: i64 = 7 * 24 * 3_600_000;
/// How long nobody takes a lease whose record is being removed: no request to the store is under way for so long.
const REMOVING_FOR: Duration = Duration::from_secs(3600);
/// How often unused records are looked for.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The fortnight of a lease: the longest that blocks grow.
const SPAN_MS: i64 = LEVELS_MS[LEVELS_MS.len() - 1];

impl Leases {
    /// Leases held under a name that no other process has, for so long without renewal. `clock` tells the time in milliseconds
    /// since the Unix epoch.
    pub fn new(
        holder: String,
        duration: Duration,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Leases {
        Leases { holder, duration, clock: Arc::new(clock), seen: Arc::default(), cleaned: Arc::default() }
    }

    fn content(&self, generation: u64) -> Content {
        let ms = i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX);
        Content {
            version: VERSION,
            holder: self.holder.clone(),
            generation,
            nonce: format!("{:016x}", rand::random::<u64>()),
            expires_ms: (self.clock)().saturating_add(ms),
            first: None,
            removing: false,
            publishing: Vec::new(),
        }
    }

    /// Whether a lease of somebody may be taken over: its time is up by our clock, or it has not changed for that long since
    /// we saw it first, whatever its holder's clock says.
    fn is_over(&self, name: &str, content: &Content) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let duration = if content.removing { self.duration.max(REMOVING_FOR) } else { self.duration };
        match seen.get(name) {
            Some((nonce, since)) if *nonce == content.nonce => {
                now.duration_since(*since) > duration || (self.clock)() > content.expires_ms
            }
            _ => {
                seen.insert(name.to_owned(), (content.nonce.clone(), now));
                (self.clock)() > content.expires_ms
            }
        }
    }
}

/// The names of the leases that work on these blocks of a group needs, ascending.
pub(crate) fn names<'b>(group: &str, blocks: impl IntoIterator<Item = &'b BlockMeta>) -> Vec<String> {
    let spans = blocks.into_iter().flat_map(|block| {
        let first = block.min_time.div_euclid(SPAN_MS);
        // A block whose times are absurd has leases of its ends.
        let last = block.max_time.saturating_sub(1).max(block.min_time).div_euclid(SPAN_MS);
        (first..=last.min(first.saturating_add(SPANS_MAX))).chain([last])
    });
    let mut spans: Vec<i64> = spans.collect();
    spans.sort_unstable();
    spans.dedup();
    spans.into_iter().map(|span| format!("{group}/{}", span.saturating_mul(SPAN_MS))).collect()
}

/// No block is longer than so many fortnights.
const SPANS_MAX: i64 = 1000;

/// One lease that is held.
struct Part {
    name: String,
    record: Record,
    content: Content,
}

/// Leases for one piece of work, held until [`Lease::release`], or until their time is up.
pub(crate) struct Lease {
    held: Arc<Held>,
    renewal: JoinHandle<()>,
}

struct Held {
    bucket: Bucket,
    leases: Leases,
    /// Ascending by name; `None` once one is lost.
    parts: tokio::sync::Mutex<Option<Vec<Part>>>,
    /// Whether blocks were decided on that may not be in their places yet.
    is_decided: AtomicBool,
}

impl Held {
    fn new(bucket: &Bucket, leases: &Leases, parts: Vec<Part>) -> Held {
        let (bucket, leases, parts) = (bucket.clone(), leases.clone(), Some(parts).into());
        Held { bucket, leases, parts, is_decided: AtomicBool::new(false) }
    }
}

impl Compactor {
    /// Takes these leases, all or none; `None` where somebody else has one.
    pub(crate) async fn take_leases(
        &self,
        leases: &Leases,
        names: &[String],
    ) -> Result<Option<Lease>, CompactError> {
        let (bucket, mut parts) = (&self.inner.bucket, Vec::<Part>::new());
        for name in names {
            let first = parts
                .first()
                .map(|first: &Part| First { name: first.name.clone(), generation: first.content.generation });
            match self.take(leases, name, first).await {
                Ok(Some(part)) => parts.push(part),
                other => {
                    Held::new(bucket, leases, parts).give_back().await;
                    return other.map(|_| None);
                }
            }
        }
        let held = Arc::new(Held::new(bucket, leases, parts));
        let renewed = Arc::clone(&held);
        let pause = leases.duration / 3;
        let renewal = tokio::spawn(async move {
            while renewed.renew().await {
                tokio::time::sleep(pause).await;
            }
        });
        Ok(Some(Lease { held, renewal }))
    }

    async fn take(
        &self,
        leases: &Leases,
        name: &str,
        first: Option<First>,
    ) -> Result<Option<Part>, CompactError> {
        let bucket = &self.inner.bucket;
        let before = bucket.record(name).await?;
        let found = before.as_ref().map(|record| parse(name, record)).transpose()?;
        let held = found.as_ref().filter(|found| !found.holder.is_empty());
        if let Some(held) = held {
            if !leases.is_over(name, held) {
                self.inner.metrics.count_lease(LeaseEvent::Elsewhere);
                return Ok(None);
            }
            if let Some(first) = &held.first {
                self.fence(leases, first).await?;
            }
            info!(lease = name, holder = held.holder, "a lease whose time is up is taken over");
            self.inner.metrics.count_lease(LeaseEvent::TakenOver);
        }
        let generation = found.as_ref().map_or(0, |found| found.generation) + 1;
        let publishing = found.map(|found| found.publishing).unwrap_or_default();
        let content = Content { first, publishing, ..leases.content(generation) };
        let Some(record) = swap(bucket, name, before.as_ref(), &content).await? else {
            self.inner.metrics.count_lease(LeaseEvent::Elsewhere);
            return Ok(None);
        };
        self.inner.metrics.count_lease(LeaseEvent::Taken);
        let mut part = Part { name: name.to_owned(), record, content };
        if part.content.publishing.is_empty() {
            return Ok(Some(part));
        }
        self.publish_for(&part.content).await?;
        let content = Content { first: part.content.first.take(), ..leases.content(generation) };
        let swapped = swap(bucket, name, Some(&part.record), &content).await?;
        Ok(swapped.map(|record| Part { record, content, ..part }))
    }

    /// Takes the first lease of somebody's work away, after which that work publishes nothing any more.
    async fn fence(&self, leases: &Leases, first: &First) -> Result<(), CompactError> {
        loop {
            let Some(before) = self.inner.bucket.record(&first.name).await? else { return Ok(()) };
            let found = parse(&first.name, &before)?;
            if found.holder.is_empty() || found.generation != first.generation {
                return Ok(());
            }
            let generation = found.generation + 1;
            let content = Content { publishing: found.publishing, ..leases.content(generation) };
            let Some(record) = swap(&self.inner.bucket, &first.name, Some(&before), &content).await? else {
                continue;
            };
            self.publish_for(&content).await?;
            let free = Content { holder: String::new(), ..leases.content(generation) };
            swap(&self.inner.bucket, &first.name, Some(&record), &free).await?;
            return Ok(());
        }
    }

    /// Carries out what the holder before had begun to publish.
    async fn publish_for(&self, content: &Content) -> Result<(), CompactError> {
        let bucket = &self.inner.bucket;
        for text in &content.publishing {
            let meta = match BlockMeta::parse(text.as_bytes()) {
                Ok(meta) => meta,
                Err(error) => {
                    warn!(error = %error, "a lease holds a meta.json that cannot be read");
                    continue;
                }
            };
            // A block that is being deleted has its mark until the end, and its meta.json no more.
            if bucket.has_meta(meta.ulid).await?
                || bucket.mark(meta.ulid, MarkKind::Deletion).await?.is_some()
            {
                continue;
            }
            match bucket.check_objects(&meta).await {
                Ok(()) => {
                    bucket.put_meta(&meta).await?;
                    self.inner.changed.note(meta.ulid);
                    info!(block = %meta.ulid, "published a block for a compactor that is gone");
                }
                // It was published, and deleted since.
                Err(error @ BucketError::Incomplete { .. }) => {
                    warn!(block = %meta.ulid, error = %error, "a block that was to be published is not whole");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Compactor {
    /// Removes the records of leases that nobody had for long, once a day.
    pub(crate) async fn remove_unused_leases(&self) -> Result<(), CompactError> {
        let Some(leases) = &self.inner.leases else { return Ok(()) };
        {
            let mut cleaned = leases.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
            if cleaned.is_some_and(|at| at.elapsed() < REMOVAL_INTERVAL) {
                return Ok(());
            }
            *cleaned = Some(Instant::now());
        }
        let now_ms = (leases.clock)();
        for (name, written_ms) in self.inner.bucket.records().await? {
            if now_ms.saturating_sub(written_ms) > UNUSED_MS {
                self.remove_lease(leases, &name).await?;
            }
        }
        Ok(())
    }

    /// Removes a record that nobody has. It is made one first that nobody takes: a store deletes whatever is there.
    async fn remove_lease(&self, leases: &Leases, name: &str) -> Result<(), CompactError> {
        let bucket = &self.inner.bucket;
        let Some(before) = bucket.record(name).await? else { return Ok(()) };
        let found = parse(name, &before)?;
        let is_left = found.removing && leases.is_over(name, &found);
        if !found.publishing.is_empty() || (!found.holder.is_empty() && !is_left) {
            return Ok(());
        }
        let until_ms = i64::try_from(REMOVING_FOR.as_millis()).unwrap_or(i64::MAX);
        let expires_ms = (leases.clock)().saturating_add(until_ms);
        let content = Content { removing: true, expires_ms, ..leases.content(found.generation + 1) };
        if swap(bucket, name, Some(&before), &content).await?.is_some() {
            bucket.remove_record(name).await?;
            info!(lease = name, "the record of a lease that was not used for long is removed");
        }
        Ok(())
    }
}

impl Lease {
    /// Decides that these blocks are published: from now on they are, by us or by whoever comes after us. Fails where the lease
    /// is not ours any more; then nothing is.
    pub(crate) async fn commit(&self, metas: &[BlockMeta]) -> Result<(), CompactError> {
        let text = |meta: &BlockMeta| String::from_utf8_lossy(&meta.to_json()).into_owned();
        let publishing = metas.iter().map(text).collect();
        self.held.is_decided.store(true, Ordering::SeqCst);
        match self.held.write_first(publishing).await? {
            true => Ok(()),
            false => Err(CompactError::LeaseLost),
        }
    }

    /// Whether the lease is ours as far as we know, and its time not up. It can be lost with the next moment: what must not happen
    /// then is left to [`Lease::commit`].
    pub(crate) fn is_current(&self) -> bool {
        let is_held = |parts: &Option<Vec<Part>>| {
            let first = parts.as_ref().and_then(|parts| parts.first());
            first.is_some_and(|first| (self.held.leases.clock)() < first.content.expires_ms)
        };
        // Locked only while it is written, which renews it.
        self.held.parts.try_lock().map_or(true, |parts| is_held(&parts))
    }

    /// Notes that the blocks decided on are in their places.
    pub(crate) fn done(&self) {
        self.held.is_decided.store(false, Ordering::SeqCst);
    }

    /// Lets others have the leases. Those of blocks that were decided on and are not in their places are left to run out:
    /// whoever takes them next puts the blocks there.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        if !self.held.is_decided.load(Ordering::SeqCst) {
            self.held.give_back().await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Held {
    /// Renews all leases; false once one is lost.
    async fn renew(&self) -> bool {
        let mut held = self.parts.lock().await;
        let Some(parts) = held.as_mut() else { return false };
        for part in parts {
            let content = Content {
                first: part.content.first.clone(),
                publishing: part.content.publishing.clone(),
                ..self.leases.content(part.content.generation)
            };
            match swap(&self.bucket, &part.name, Some(&part.record), &content).await {
                Ok(Some(record)) => (part.record, part.content) = (record, content),
                Ok(None) => {
                    warn!(lease = part.name, "a lease was taken over by another compactor");
                    *held = None;
                    return false;
                }
                // Until its time is up the lease is ours.
                Err(error) => warn!(lease = part.name, error = %error, "a lease cannot be renewed now"),
            }
        }
        true
    }

    /// Writes what is being published into the first lease; false where that is not ours any more.
    async fn write_first(&self, publishing: Vec<String>) -> Result<bool, CompactError> {
        let mut held = self.parts.lock().await;
        let Some(first) = held.as_mut().and_then(|parts| parts.first_mut()) else { return Ok(false) };
        let content = Content { publishing, ..self.leases.content(first.content.generation) };
        match swap(&self.bucket, &first.name, Some(&first.record), &content).await? {
            Some(record) => (first.record, first.content) = (record, content),
            None => *held = None,
        }
        Ok(held.is_some())
    }

    /// Gives back what is held. What cannot be given back runs out.
    async fn give_back(&self) {
        let parts = self.parts.lock().await.take();
        for part in parts.unwrap_or_default().into_iter().rev() {
            let free = Content { holder: String::new(), ..self.leases.content(part.content.generation) };
            if let Err(error) = swap(&self.bucket, &part.name, Some(&part.record), &free).await {
                warn!(lease = part.name, error = %error, "a lease cannot be given back and runs out");
            }
        }
    }
}

async fn swap(
    bucket: &Bucket,
    name: &str,
    before: Option<&Record>,
    content: &Content,
) -> Result<Option<Record>, CompactError> {
    let bytes = serde_json::to_vec(content).expect("strings and numbers always serialise");
    Ok(bucket.swap_record(name, before, bytes.into()).await?)
}

fn parse(name: &str, record: &Record) -> Result<Content, CompactError> {
    let damaged = |what: String| CompactError::Lease { name: name.to_owned(), what };
    let content: Content =
        serde_json::from_slice(&record.bytes).map_err(|error| damaged(error.to_string()))?;
    match content.version {
        VERSION => Ok(content),
        found => Err(damaged(format!("version {found} is not supported, expected {VERSION}"))),
    }
}
