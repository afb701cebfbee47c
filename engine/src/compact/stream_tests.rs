//! Compactions of blocks that are fetched by ranges, into outputs in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::tests::blocks_in;
use super::*;
use crate::{BlockSink, SelectRequest};

/// Finished files by name, with a limit on the bytes of one file.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    room: Option<usize>,
}

struct MemoryFile {
    to: Memory,
    name: String,
    bytes: Vec<u8>,
}

impl BlockFiles for Memory {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>> {
        Ok(Box::new(MemoryFile { to: self.clone(), name: name.to_owned(), bytes: Vec::new() }))
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.to.room.is_some_and(|room| self.bytes.len() + bytes.len() > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for MemoryFile {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.to.files.lock().unwrap().insert(self.name, self.bytes);
        Ok(())
    }
}

/// The block as an input that copies the fetched ranges.
fn fetched(block: &Block) -> InputBlock<'_> {
    let (header, tombstones) = (block.header().clone(), block.tombstones().clone());
    InputBlock::new(block.meta().clone(), header, tombstones, |ranges| {
        let read = block.read(ranges)?;
        Ok(read.iter().map(|bytes| bytes::Bytes::copy_from_slice(bytes)).collect())
    })
}

fn stream(
    blocks: &[Block],
    outputs: &[Memory],
    options: CompactOptions,
) -> Result<Vec<BlockMeta>, BlockError> {
    let sources = blocks.iter().map(fetched).collect();
    let output = |(i, files): (usize, &Memory)| Output {
        id: BlockId::from_parts(5, i as u128),
        files: Box::new(files.clone()),
    };
    let outputs = outputs.iter().enumerate().map(output).collect();
    let thanos = blocks[0].meta().thanos.clone().unwrap_or_default();
    Ok(compact_into(sources, outputs, Some(thanos), options)?.into_iter().flatten().collect())
}

#[test]
fn a_stream_is_what_a_directory_is() {
    for (case, overlap) in
        [("horizontal", Algorithm::Chain), ("penalty", Algorithm::Penalty), ("tombstones", Algorithm::Chain)]
    {
        let blocks = blocks_in(&format!("testdata/compaction/{case}/in"));
        let options = CompactOptions { overlap, ..CompactOptions::default() };
        let memory = Memory::default();
        let metas = stream(&blocks, std::slice::from_ref(&memory), options).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let thanos = blocks[0].meta().thanos.clone().unwrap_or_default();
        let meta = compact(&blocks, parent.path(), &[metas[0].ulid], Some(thanos), options)
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(metas, [meta], "{case}");
        let files = memory.files.lock().unwrap();
        let dir = parent.path().join(metas[0].ulid.to_string());
        assert_eq!(files.len(), 1 + std::fs::read_dir(dir.join("chunks")).unwrap().count(), "{case}");
        for (name, bytes) in files.iter() {
            assert!(*bytes == std::fs::read(dir.join(name)).unwrap(), "{case}: {name}");
        }
    }
}

#[test]
fn shards_share_the_series() {
    let blocks = blocks_in("testdata/compaction/horizontal/in");
    let memories: Vec<Memory> = (0..3).map(|_| Memory::default()).collect();
    let metas = stream(&blocks, &memories, CompactOptions::default()).unwrap();
    assert_eq!(metas.len(), 3);
    let parent = tempfile::tempdir().unwrap();
    let whole =
        compact(&blocks, parent.path(), &[BlockId::from_parts(6, 6)], None, CompactOptions::default());
    let whole = whole.unwrap().remove(0).unwrap();
    assert_eq!(metas.iter().map(|m| m.stats.num_samples).sum::<u64>(), whole.stats.num_samples);
    let mut found = 0;
    for (i, (memory, meta)) in memories.iter().zip(&metas).enumerate() {
        let dir = parent.path().join(meta.ulid.to_string());
        std::fs::create_dir_all(dir.join("chunks")).unwrap();
        for (name, bytes) in memory.files.lock().unwrap().iter() {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        std::fs::write(dir.join("meta.json"), meta.to_json()).unwrap();
        let block = Block::open(dir).unwrap();
        assert!(crate::verify::verify(&block).is_sound());
        for batch in block.select(SelectRequest::new(vec![], TimeRange::ALL)) {
            for series in batch.unwrap().series {
                assert_eq!(series.labels.hash64() % 3, i as u64);
                found += 1;
            }
        }
        assert_eq!(meta.compaction.sources, [meta.ulid]);
        assert!(blocks.iter().all(|b| meta.compaction.parents.contains(&b.meta().desc())));
    }
    assert_eq!(found, whole.stats.num_series);
}

#[test]
fn a_full_disk_and_a_failed_fetch_are_told() {
    let blocks = blocks_in("testdata/compaction/horizontal/in");
    let memory = Memory { room: Some(2000), ..Memory::default() };
    let error = stream(&blocks, &[memory], CompactOptions::default()).unwrap_err();
    assert_eq!(error.kind(), tithon_chunks::ErrorKind::LimitExceeded);
    let mut sources: Vec<InputBlock<'_>> = blocks.iter().map(fetched).collect();
    let (id, meta) = (blocks[1].id(), blocks[1].meta().clone());
    let (header, tombstones) = (blocks[1].header().clone(), blocks[1].tombstones().clone());
    sources[1] = InputBlock::new(meta, header, tombstones, move |_| {
        let (kind, source) = (tithon_chunks::ErrorKind::Unavailable, "throttled".into());
        Err(BlockError::Fetch { block: id, kind, source })
    });
    let output = Output { id, files: Box::new(Memory::default()) };
    let error = compact_into(sources, vec![output], None, CompactOptions::default()).unwrap_err();
    assert_eq!(error.kind(), tithon_chunks::ErrorKind::Unavailable);
    assert_eq!(error.to_string(), format!("block {id}: throttled"));
}

#[test]
fn a_shard_is_cut_by_the_rest_of_the_hash() {
    let blocks = blocks_in("testdata/compaction/horizontal/in");
    let count = |before: u32, n: usize| -> Vec<u64> {
        let memories: Vec<Memory> = (0..n).map(|_| Memory::default()).collect();
        let options = CompactOptions { shards_before: before, ..CompactOptions::default() };
        stream(&blocks, &memories, options).unwrap().iter().map(|meta| meta.stats.num_series).collect()
    };
    let six = count(0, 6);
    // The whole blocks here are in place of one shard of two: both remainders of the first cut are in each half of the
    // second.
    let three = count(2, 3);
    assert_eq!(three, [six[0] + six[1], six[2] + six[3], six[4] + six[5]]);
}
