//! A block without `chunks/` folder is opened, downloaded and uploaded like any other.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use object_store::memory::InMemory;
use tithon_bucket::{Bucket, BucketConfig, Catalogue, TransferOptions};
use tithon_engine::Block;
use tithon_testdata::shared;

#[tokio::test]
async fn it_is_carried_and_opened() {
    let folder = shared("testdata/field/no-chunks-folder");
    let mapped = Bucket::open(&BucketConfig::filesystem(&folder)).unwrap();
    let memory = Bucket::from_store(Arc::new(InMemory::new()), "");
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = Catalogue::new(mapped.clone(), &[]);
    catalogue.look().await.unwrap();
    assert_eq!(catalogue.blocks().len(), 2);
    for meta in catalogue.metas().cloned() {
        for bucket in [mapped.clone(), mapped.clone().by_ranges()] {
            assert_eq!(bucket.open_block(Arc::clone(&meta), None).await.unwrap().id(), meta.ulid);
        }
        let local = folder.join(meta.ulid.to_string());
        let uploaded =
            memory.upload_block(&local, (*meta).clone(), TransferOptions::default()).await.unwrap();
        memory.check_files(&uploaded).await.unwrap();
        memory.open_block(Arc::new(uploaded.clone()), None).await.unwrap();
        let to = dir.path().join(meta.ulid.to_string());
        memory.download_block(&uploaded, &to, TransferOptions::default()).await.unwrap();
        let (ours, theirs) = (Block::open(to).unwrap(), Block::open(local).unwrap());
        assert_eq!((ours.index(), ours.segments()), (theirs.index(), theirs.segments()));
    }
}
