//! A data directory that is appended to, and the loop that looks after it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tithon_chunks::{SampleBatch, TimeRange, decode_floats};
use tithon_engine::{BlockId, SelectRequest};
use tithon_head::{
    Compression, Db, DbOptions, HeadError, HeadOptions, Maintained, NewSample, Refused, WalOptions,
};
use tithon_index::{Labels, Matcher};
use tithon_runtime::{Cpu, Metrics, Priority, Shutdown, now_ms};
use tracing::{error, info, warn};

use crate::TsdbError;
use crate::metrics::{Scraped, TsdbMetrics};
use crate::readers::Readers;

/// From one look for what is to be cut or deleted to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// Series that are looked at at once.
const BATCH_SERIES: usize = 256;

/// How a data directory is kept.
#[derive(Clone, Debug)]
pub struct TsdbOptions {
    /// The directory.
    pub dir: PathBuf,
    /// The range of a block.
    pub block_duration: Duration,
    /// A block goes when it ends so much before the newest one; zero is never.
    pub retention: Duration,
    /// Pack the records of the log.
    pub wal_compression: bool,
    /// Keep other processes away.
    pub has_lock: bool,
}

/// A data directory. Clones share it.
#[derive(Clone)]
pub struct Tsdb {
    db: Arc<Db>,
    cpu: Cpu,
    metrics: TsdbMetrics,
    readers: Readers,
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Tsdb {
    /// Opens a directory, or begins one; reads its log.
    pub async fn open(options: TsdbOptions, cpu: Cpu, registry: &Metrics) -> Result<Tsdb, TsdbError> {
        let metrics = TsdbMetrics::new(registry);
        let compression = if options.wal_compression { Compression::Snappy } else { Compression::None };
        let db_options = DbOptions {
            head: HeadOptions {
                range_ms: millis(options.block_duration).max(1),
                wal: WalOptions { compression, ..WalOptions::default() },
            },
            retention_ms: millis(options.retention),
            has_lock: options.has_lock,
        };
        let begun = Instant::now();
        let (dir, shown) = (options.dir.clone(), options.dir.display().to_string());
        let (db, opened) = cpu.run_beside(move || Db::open(&dir, db_options)).await??;
        metrics.replay_seconds.set(begun.elapsed().as_secs_f64());
        for error in &opened.faulty {
            error!(%error, "a local block is left out");
        }
        let replayed = &opened.replayed;
        if let Some(damage) = &replayed.repaired {
            metrics.corruptions.inc();
            warn!(%damage, "the write-ahead log was damaged, it is cut there");
        }
        if replayed.unknown_series > 0 || replayed.unknown_schemas > 0 {
            let (series, schemas) = (replayed.unknown_series, replayed.unknown_schemas);
            warn!(series, schemas, "samples of series and schemas that are not known are left out");
        }
        let (series, samples) = (replayed.series, replayed.samples);
        info!(dir = shown, blocks = db.blocks().len(), series, samples, "local storage is open");
        let db = Arc::new(db);
        registry.register(|r| r.register_collector(Box::new(Scraped(Arc::clone(&db)))));
        Ok(Tsdb { db, cpu, metrics, readers: Readers::default() })
    }

    /// Head and blocks.
    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    pub(crate) fn metrics(&self) -> &TsdbMetrics {
        &self.metrics
    }

    /// Appends samples and gives those that are refused. The others are safe from a crash of this process when this comes back;
    /// when it fails none of them counts.
    pub fn append<'a>(
        &self,
        samples: impl IntoIterator<Item = NewSample<'a>>,
    ) -> Result<Vec<Refused>, HeadError> {
        self.db.head().append(samples)
    }

    /// The last float of each series in a range.
    pub async fn last_floats(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
    ) -> Result<Vec<(Labels, i64, f64)>, TsdbError> {
        let db = Arc::clone(&self.db);
        let work = move || {
            let mut select = db.select(SelectRequest::new(matchers, range));
            let mut found = Vec::new();
            while let Some(batch) = select.next_batch(BATCH_SERIES)? {
                for series in batch.series {
                    let mut floats = SampleBatch::default();
                    for chunk in series.chunks.iter().filter(|chunk| chunk.encoding.is_float()) {
                        decode_floats(chunk.encoding, &chunk.data, range, &mut floats)?;
                    }
                    let last = floats.timestamps.last().zip(floats.values.last());
                    found.extend(last.map(|(t, value)| (series.labels, *t, *value)));
                }
            }
            Ok::<_, TsdbError>(found)
        };
        self.cpu.run(Priority::Query, work).await?
    }

    /// Cuts blocks and deletes old ones until the end.
    pub async fn keep(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => self.maintain().await,
                () = shutdown.wait() => return,
            }
        }
    }

    /// Makes all that was appended durable, for an end in good order.
    pub fn sync(&self) -> Result<(), HeadError> {
        self.db.head().sync()
    }

    async fn maintain(&self) {
        let stalled = self.readers.break_off_stalled();
        if stalled > 0 {
            warn!(stalled, "calls are broken off whose readers take nothing");
        }
        let db = Arc::clone(&self.db);
        let done = self.cpu.run(Priority::Background, move || db.maintain(new_id)).await;
        match done.map_err(TsdbError::from).and_then(|done| Ok(done?)) {
            Ok(done) => self.count(&done),
            Err(error) => {
                self.metrics.compactions_failed.inc();
                error!(%error, "local blocks cannot be looked after, trying again");
            }
        }
    }

    fn count(&self, done: &Maintained) {
        for meta in &done.cut {
            self.metrics.compactions.inc();
            let (min_time, max_time, series) = (meta.min_time, meta.max_time, meta.stats.num_series);
            info!(block = %meta.ulid, min_time, max_time, series, "block is cut from the head");
        }
        for block in &done.deleted {
            self.metrics.deleted.inc();
            info!(%block, "local block is deleted, it is older than the retention");
        }
        self.metrics.head_truncations.inc_by(done.head_truncations as u64);
        self.metrics.checkpoints.inc_by(done.checkpoints as u64);
    }
}

/// A new name of a block.
fn new_id() -> BlockId {
    BlockId::from_parts(now_ms().unsigned_abs(), rand::random())
}
