//! A listing of a bucket: its blocks, and which of the relevant files each has. Thanos `pkg/block/fetcher.go`, the
//! recursive lister.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tithon_engine::BlockId;
use xxhash_rust::xxh3::xxh3_64;

use crate::deletions;
use crate::retry::Operation;
use crate::{Bucket, BucketError, Faulty, MarkKind};

/// Identifies a state of a file or folder: a hash of what the listing says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// The stamp of these bytes.
    pub(crate) fn of(facts: &[u8]) -> Stamp {
        Stamp(xxh3_64(facts))
    }

    /// The stamp of an object: its tag, size and time of change.
    fn of_object(object: &ObjectMeta) -> Stamp {
        let (tag, changed) = (object.e_tag.as_deref().unwrap_or_default(), object.last_modified);
        Stamp::of(format!("{tag} {} {:?}", object.size, changed.timestamp_nanos_opt()).as_bytes())
    }
}

/// The files of a block, as a listing found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// For a block in a directory, the stamp of its folder: an equal stamp means equal file names. `None` when the
    /// folder changed so recently that a further change might not show.
    pub(crate) folder: Option<Stamp>,
    /// Stamp of meta.json; `None` for a partial block.
    pub(crate) meta: Option<Stamp>,
    /// Stamps of the marks, in the order of [`MarkKind::ALL`].
    pub(crate) marks: [Option<Stamp>; MarkKind::ALL.len()],
    /// The files that are read by ranges; `None` in a directory, whose listing does not include them.
    pub(crate) objects: Option<Arc<BlockObjects>>,
}

/// The files of a block that are read by ranges, as a listing found them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockObjects {
    /// Size of the index in bytes; 0 when there is none.
    pub(crate) index: u64,
    /// Sizes of the segments `000001`, `000002` and so on; `None` when segments have other names.
    pub(crate) segments: Option<Box<[u64]>>,
    /// Whether there is a tombstones file.
    pub(crate) has_tombstones: bool,
}

impl BlockObjects {
    /// Bytes of index and segments; `None` when the listing lacks some of them.
    pub fn bytes(&self) -> Option<u64> {
        let segments = self.segments.as_ref().filter(|_| self.index > 0)?;
        Some(self.index + segments.iter().sum::<u64>())
    }
}

/// The blocks of a bucket that a listing found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) blocks: BTreeMap<BlockId, Listed>,
    /// Blocks that could not be listed.
    pub(crate) failed: Vec<Faulty>,
    /// Requests to delete series; not where only some blocks are listed.
    pub(crate) deletions: BTreeSet<BlockId>,
}

impl Bucket {
    /// Lists the bucket. In object storage that takes one request per thousand objects; in a directory, each folder's
    /// times are read, and the names in folders that changed since `before`.
    pub(crate) async fn listing(
        &self,
        before: Arc<BTreeMap<BlockId, Listed>>,
    ) -> Result<Listing, BucketError> {
        let listing = match &self.directory {
            Some(directory) => {
                let look = || directory.look_at_blocks(Arc::clone(&before));
                self.retrying(Operation::Iter, look).await
            }
            None => self.retrying(Operation::Iter, || self.list_objects()).await,
        };
        listing.map_err(BucketError::object(&Path::default()))
    }

    /// Lists these blocks only. In object storage that takes one request for each block, `at_once` at a time. Missing
    /// blocks are left out.
    pub(crate) async fn listing_of(
        &self,
        blocks: &BTreeSet<BlockId>,
        before: BTreeMap<BlockId, Listed>,
        at_once: usize,
    ) -> Result<Listing, BucketError> {
        if let Some(directory) = &self.directory {
            let before = Arc::new(before);
            let look = || directory.look_at_some(blocks.clone(), Arc::clone(&before));
            let listing = self.retrying(Operation::Iter, look).await;
            return listing.map_err(BucketError::object(&Path::default()));
        }
        let list = |block: BlockId| async move { (block, self.objects(block).await) };
        let mut lists = stream::iter(blocks.iter().copied()).map(list).buffer_unordered(at_once);
        let mut listing = Listing::default();
        while let Some((block, objects)) = lists.next().await {
            match objects {
                Ok(objects) => {
                    let mut found = Found::default();
                    for object in &objects {
                        if let Some((_, file)) = object.location.as_ref().split_once('/') {
                            found.add(file, object);
                        }
                    }
                    if !objects.is_empty() {
                        listing.blocks.insert(block, found.finish());
                    }
                }
                Err(error) => listing.failed.push(Faulty { block, error }),
            }
        }
        drop(lists);
        Ok(listing)
    }

    async fn list_objects(&self) -> object_store::Result<Listing> {
        let mut objects = self.store().list(None);
        let mut found: BTreeMap<BlockId, Found> = BTreeMap::new();
        let mut deletions = BTreeSet::new();
        while let Some(object) = objects.try_next().await? {
            let Some((block, file)) = object.location.as_ref().split_once('/') else { continue };
            if block == deletions::FOLDER {
                deletions.extend(deletions::id_of(file));
            } else if let Ok(block) = block.parse::<BlockId>() {
                found.entry(block).or_default().add(file, &object);
            }
        }
        let blocks = found.into_iter().map(|(block, found)| (block, found.finish())).collect();
        Ok(Listing { blocks, failed: Vec::new(), deletions })
    }
}

/// The objects of a block that a listing has found so far.
#[derive(Default)]
struct Found {
    listed: Listed,
    objects: BlockObjects,
    segments: BTreeMap<u64, u64>,
    has_other_names: bool,
}

impl Found {
    fn add(&mut self, file: &str, object: &ObjectMeta) {
        match file {
            "meta.json" => self.listed.meta = Some(Stamp::of_object(object)),
            "index" => self.objects.index = object.size,
            "tombstones" => self.objects.has_tombstones = true,
            _ => {
                if let Some(kind) = MarkKind::ALL.iter().position(|kind| kind.file() == file) {
                    self.listed.marks[kind] = Some(Stamp::of_object(object));
                } else if let Some(name) = file.strip_prefix("chunks/") {
                    self.add_segment(name, object.size);
                }
            }
        }
    }

    fn add_segment(&mut self, name: &str, size: u64) {
        match name.parse::<u64>() {
            Ok(number) if name == segment_name(number) => drop(self.segments.insert(number, size)),
            Ok(_) => self.has_other_names = true,
            Err(_) => {}
        }
    }

    fn finish(mut self) -> Listed {
        let is_row = (1..).zip(self.segments.keys()).all(|(expected, number)| *number == expected);
        self.objects.segments =
            (is_row && !self.has_other_names).then(|| self.segments.into_values().collect());
        Listed { objects: Some(Arc::new(self.objects)), ..self.listed }
    }
}

/// The name of a segment; numbers begin at 1.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:06}")
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    async fn listed(files: &[&str]) -> Listed {
        let (store, id) = (Arc::new(InMemory::new()), "01HWS4YAG00000000000000035");
        for file in files {
            let bytes = PutPayload::from(file.as_bytes().to_vec());
            store.put(&Path::from(format!("deep/{id}/{file}")), bytes).await.unwrap();
        }
        let bucket = Bucket::from_store(store, "deep");
        bucket.listing(Arc::default()).await.unwrap().blocks.remove(&id.parse().unwrap()).unwrap_or_default()
    }

    #[tokio::test]
    async fn segments_are_listed_when_their_names_are_the_usual_ones() {
        let whole = listed(&["index", "meta.json", "chunks/000001", "chunks/000002", "chunks/x"]).await;
        let expected = BlockObjects { index: 5, segments: Some([13, 13].into()), has_tombstones: false };
        assert_eq!(*whole.objects.unwrap(), expected);
        assert!(whole.meta.is_some() && whole.marks == [None; 3]);
        for odd in [&["chunks/000002"], &["chunks/1"]] {
            assert_eq!(listed(odd).await.objects.unwrap().segments, None, "{odd:?}");
        }
        let marked = listed(&["no-compact-mark.json", "tombstones"]).await;
        assert!(marked.marks[1].is_some() && marked.meta.is_none());
        assert_eq!(
            *marked.objects.unwrap(),
            BlockObjects { segments: Some([].into()), has_tombstones: true, index: 0 }
        );
        assert_eq!(listed(&[]).await, Listed::default());
    }
}
