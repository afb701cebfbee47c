//! The source blocks of merges and downsampling: mapped where they lie, read by ranges, or copied to local disk, their
//! indexes checked while they are read. Thanos `pkg/block/index.go`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tithon_bucket::BucketBlock;
use tithon_engine::compact::InputBlock;
use tithon_engine::plan::NoCompactReason;
use tithon_engine::verify::{self, index_health};
use tithon_engine::{Block, BlockError, BlockId, BlockMeta};
use tithon_index::IndexHealth;
use tithon_runtime::{Priority, RuntimeError};
use tokio::runtime::Handle;

use crate::{CompactError, Compactor};

/// Why a block cannot be worked on.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// It is damaged; trying again will not help.
    Damaged { block: BlockId, reason: NoCompactReason, error: Box<CompactError> },
    /// It has chunks that begin at the end of its time range, as Prometheus once wrote them (tsdb issue 347); they can be
    /// cut off.
    OutsideChunks(BlockId),
    /// It is no longer in the bucket.
    Gone(BlockId),
    /// The blocks cannot be merged together, and none of them is known to be at fault.
    Plan(Box<CompactError>),
    /// Another attempt may succeed.
    Transient(Box<CompactError>),
}

impl From<CompactError> for Obstacle {
    /// Classifies an error by what it says itself; a caller that knows the sources may look closer.
    fn from(error: CompactError) -> Obstacle {
        match error.block() {
            _ if error.is_transient() => Obstacle::transient(error),
            Some(block) => Obstacle::corrupt(block, error),
            None => Obstacle::plan(error),
        }
    }
}

impl Obstacle {
    pub(crate) fn plan(error: CompactError) -> Obstacle {
        Obstacle::Plan(Box::new(error))
    }

    pub(crate) fn transient(error: CompactError) -> Obstacle {
        Obstacle::Transient(Box::new(error))
    }

    /// What is said of it; `block` is the one that was worked on.
    pub(crate) fn into_error(self, block: BlockId) -> CompactError {
        let what = match self {
            Obstacle::Damaged { error, .. } | Obstacle::Plan(error) | Obstacle::Transient(error) => {
                return *error;
            }
            Obstacle::OutsideChunks(_) => "chunks begin at its end",
            Obstacle::Gone(_) => "it is no longer in the bucket",
        };
        CompactError::NotRepairable { block, what }
    }

    fn corrupt(block: BlockId, error: CompactError) -> Obstacle {
        Obstacle::Damaged { block, reason: NoCompactReason::Corrupt, error: Box::new(error) }
    }
}

impl Compactor {
    /// A block ready to be read: in its place where the bucket is local or merges stream, else copied below `scratch` first. Its
    /// index is to be checked while it is read ([`Compactor::input`]).
    pub(crate) async fn open_source(
        &self,
        meta: &BlockMeta,
        scratch: &Path,
    ) -> Result<Arc<BucketBlock>, Obstacle> {
        match self.bring_near(meta, scratch).await {
            Ok(block) => Ok(block),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => Err(self.unless_gone(meta.ulid, error).await),
        }
    }

    /// A source as the engine reads it; work on it fails at the end of an index that [`Compactor::judge`] does not take.
    pub(crate) fn input<'b>(&self, block: &'b BucketBlock, runtime: &Handle) -> InputBlock<'b> {
        let (compactor, meta) = (self.clone(), Arc::clone(block.meta()));
        block.input(runtime).checked(move |health| compactor.judge(&meta, health).is_ok())
    }

    /// Looks through the index of a source again, after work on it failed: what is wrong with it may be why.
    async fn check_source(&self, meta: &BlockMeta, scratch: &Path) -> Result<(), Obstacle> {
        let block = self.open_source(meta, scratch).await?;
        let runtime = Handle::current();
        let check = move || index_health(block.input(&runtime), |_| ());
        match self.run_on(meta.ulid, check).await.and_then(|health| Ok(health?)) {
            Ok(health) => self.judge(meta, &health),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => Err(self.unless_gone(meta.ulid, error).await),
        }
    }

    /// Finds the block that work on these failed on.
    pub(crate) async fn blame(&self, error: CompactError, metas: &[BlockMeta], scratch: &Path) -> Obstacle {
        if error.is_transient() {
            return Obstacle::transient(error);
        }
        let at_fault = error.block().and_then(|block| metas.iter().find(|meta| meta.ulid == block));
        if let (CompactError::Block(BlockError::Unhealthy { health, .. }), Some(meta)) = (&error, at_fault)
            && let Err(obstacle) = self.judge(meta, health)
        {
            return obstacle;
        }
        for meta in metas {
            if let Err(obstacle) = self.check_source(meta, scratch).await {
                return obstacle;
            }
        }
        match at_fault {
            Some(meta) => self.unless_gone(meta.ulid, error).await,
            None => self.find_damage(metas, scratch, error).await,
        }
    }

    /// Opens a block where it can be read.
    pub(crate) async fn bring_near(
        &self,
        meta: &BlockMeta,
        scratch: &Path,
    ) -> Result<Arc<BucketBlock>, CompactError> {
        let bucket = &self.inner.bucket;
        if self.inner.options.streaming || bucket.is_mapped() {
            return Ok(Arc::new(bucket.open_block(Arc::new(meta.clone()), None).await?));
        }
        tokio::fs::create_dir_all(scratch).await.map_err(CompactError::scratch(scratch))?;
        let dir = self.fetch(meta, scratch).await?;
        let open = move || Block::open(&dir).map(BucketBlock::from);
        Ok(Arc::new(self.run_on(meta.ulid, open).await??))
    }

    /// Whether a block may be worked on, by the counts of its index.
    pub(crate) fn judge(&self, meta: &BlockMeta, health: &IndexHealth) -> Result<(), Obstacle> {
        let (id, min, max) = (meta.ulid, meta.min_time, meta.max_time);
        let damaged = |reason, what: String| {
            let error = CompactError::Unhealthy { block: id, what };
            Err(Obstacle::Damaged { block: id, reason, error: Box::new(error) })
        };
        if health.is_critical() {
            let (outside, wholly) = (health.outside_chunks, health.complete_outside_chunks);
            let what = format!("{outside} chunks reach out of [{min}, {max}], {wholly} lie wholly outside");
            return damaged(NoCompactReason::Corrupt, what);
        }
        if health.out_of_order_chunks > 0 {
            let (chunks, series) = (health.out_of_order_chunks, health.out_of_order_series);
            let what = format!("{chunks} chunks of {series} series begin before the one before them ends");
            return damaged(NoCompactReason::OutOfOrderChunk, what);
        }
        if health.issue_347_outside_chunks > 0 {
            return Err(Obstacle::OutsideChunks(id));
        }
        if health.out_of_order_labels > 0 && !self.inner.options.accept_malformed_index {
            let what = format!("label names of {} series do not ascend", health.out_of_order_labels);
            return damaged(NoCompactReason::Corrupt, what);
        }
        Ok(())
    }

    /// The folder of a block: its place in a local bucket, or a copy below `scratch`.
    async fn fetch(&self, meta: &BlockMeta, scratch: &Path) -> Result<PathBuf, CompactError> {
        let bucket = &self.inner.bucket;
        if let Some(dir) = bucket.block_dir(meta.ulid) {
            return Ok(dir);
        }
        let dir = scratch.join(meta.ulid.to_string());
        bucket.download_block(meta, &dir, self.inner.options.transfer).await?;
        Ok(dir)
    }

    /// Runs background work that reads or writes blocks of the bucket: in the pool where they are on local disk, else on
    /// threads that may wait for the network.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        match self.inner.bucket.is_mapped() {
            true => self.inner.cpu.run(Priority::Background, work).await,
            false => self.inner.cpu.run_waiting(work).await,
        }
    }

    /// [`Compactor::compute`] for work on one block. Work that panics is tried once more; after a second panic the block is at
    /// fault.
    pub(crate) async fn run_on<T: Send + 'static>(
        &self,
        block: BlockId,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, CompactError> {
        let (work, mut last_panic) = (Arc::new(work), String::new());
        for _ in 0..2 {
            let attempt = Arc::clone(&work);
            match self.compute(move || attempt()).await {
                Err(RuntimeError::Panic(what)) => {
                    tracing::warn!(block = %block, what, "work on a block panicked");
                    last_panic = what;
                }
                result => return Ok(result?),
            }
        }
        Err(CompactError::Panic { block, what: last_panic })
    }

    /// Asks the bucket whether a block that seems damaged has been deleted meanwhile.
    pub(crate) async fn unless_gone(&self, block: BlockId, error: CompactError) -> Obstacle {
        match self.inner.bucket.has_meta(block).await {
            Ok(true) => Obstacle::corrupt(block, error),
            Ok(false) => Obstacle::Gone(block),
            Err(error) => Obstacle::transient(error.into()),
        }
    }

    /// After a merge failed on something that its inputs did not show: reads each of them to the last sample and names the
    /// first that is unsound.
    async fn find_damage(&self, metas: &[BlockMeta], scratch: &Path, error: CompactError) -> Obstacle {
        for meta in metas {
            let dir = match self.fetch(meta, scratch).await {
                Ok(dir) => dir,
                Err(error) => return error.into(),
            };
            let id = meta.ulid;
            let read = self.run_on(id, move || Block::open(&dir).map(|block| verify::verify(&block))).await;
            match read.and_then(|health| Ok(health?)) {
                Err(error) => return error.into(),
                Ok(health) if !health.is_sound() => {
                    let error = CompactError::Unhealthy {
                        block: id,
                        what: match health.damage.first() {
                            Some(first) => format!("{error}; {health}, first: {first}"),
                            None => format!("{error}; {health}"),
                        },
                    };
                    return Obstacle::corrupt(id, error);
                }
                Ok(_) => {}
            }
        }
        Obstacle::plan(error)
    }

    /// Whether a block that was made may become visible. Label names that do not ascend are all that
    /// `accept_malformed_index` lets pass, as in a source.
    pub(crate) fn judge_made(&self, id: BlockId, health: &IndexHealth) -> Result<(), Obstacle> {
        let mut counted = *health;
        if self.inner.options.accept_malformed_index {
            counted.out_of_order_labels = 0;
        }
        if !counted.is_faulty() && counted.duplicated_chunks == 0 {
            return Ok(());
        }
        let what = format!("the block that was made is not sound: {health:?}");
        Err(Obstacle::plan(CompactError::Unhealthy { block: id, what }))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use tithon_bucket::Bucket;
    use tithon_runtime::{Cpu, Metrics, Shutdown};

    use super::*;
    use crate::CompactorOptions;

    fn health(change: impl FnOnce(&mut IndexHealth)) -> IndexHealth {
        let mut health = IndexHealth { series: 1, chunks: 1, ..IndexHealth::default() };
        change(&mut health);
        health
    }

    fn compactor() -> Compactor {
        let bucket = Bucket::from_store(Arc::new(InMemory::new()), "");
        let (cpu, metrics) = (Cpu::new(1).unwrap(), Metrics::new("0"));
        Compactor::new(bucket, CompactorOptions::default(), cpu, &metrics, Shutdown::default(), true)
    }

    /// A panic that comes again is a fault of the block that was worked on: the block is named and left out.
    #[tokio::test]
    async fn a_second_panic_is_a_fault_of_the_block() {
        let (compactor, block) = (compactor(), BlockId::from_parts(1, 1));
        let attempts = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let panics = |times: u32| {
            let attempts = Arc::clone(&attempts);
            move || {
                let attempt = attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert!(attempt >= times, "attempt {attempt}");
                attempt
            }
        };
        assert_eq!(compactor.run_on(block, panics(1)).await.unwrap(), 1);
        attempts.store(0, std::sync::atomic::Ordering::SeqCst);
        let error = compactor.run_on(block, panics(9)).await.unwrap_err();
        assert!(error.to_string().contains("panicked twice: attempt 1"), "{error}");
        let obstacle = Obstacle::from(error);
        assert!(matches!(obstacle, Obstacle::Damaged { block: found, .. } if found == block), "{obstacle:?}");
    }

    /// With `--debug.accept-malformed-index` only the order of labels may be wrong, in a source and in what is made.
    #[tokio::test]
    async fn accepting_a_malformed_index_hides_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let options = CompactorOptions {
            data_dir: dir.path().to_owned(),
            accept_malformed_index: true,
            ..CompactorOptions::default()
        };
        let bucket = Bucket::from_store(Arc::new(InMemory::new()), "");
        let (cpu, metrics) = (Cpu::new(1).unwrap(), Metrics::new("0"));
        let compactor = Compactor::new(bucket, options, cpu, &metrics, Shutdown::default(), true);
        let from = tithon_testdata::shared("testdata/field/encoding-0/01HWRY2K800000000000000034");
        let meta = BlockMeta::parse(&std::fs::read(from.join("meta.json")).unwrap()).unwrap();
        let judged = |health: IndexHealth| {
            (compactor.judge(&meta, &health).is_ok(), compactor.judge_made(meta.ulid, &health).is_ok())
        };
        assert_eq!(judged(health(|h| h.out_of_order_labels = 1)), (true, true));
        assert_eq!(judged(health(|h| h.out_of_order_chunks = 1)), (false, false));
        assert_eq!(judged(health(|h| h.outside_chunks = 1)), (false, false));
        assert_eq!(judged(health(|h| h.issue_347_outside_chunks = 1)), (false, false));
        assert_eq!(judged(health(|h| h.duplicated_chunks = 1)), (true, false));
    }
}
