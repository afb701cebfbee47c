//! The contract of records, on which the leases of compactors stand.

use bytes::Bytes;
use tithon_bucket::Bucket;

/// Fails unless a record is written only over the one that its writer has seen.
pub async fn check_records(bucket: &Bucket) {
    one_writer(bucket).await;
    many_writers(bucket).await;
    let mut names: Vec<String> = bucket.records().await.unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["group/1", "group/2", "group/3"]);
}

async fn one_writer(bucket: &Bucket) {
    let name = "group/1";
    let swap = async |before, text: &'static str| {
        bucket.swap_record(name, before, Bytes::from_static(text.as_bytes())).await.unwrap()
    };
    assert!(bucket.record(name).await.unwrap().is_none());
    let first = swap(None, "first").await.unwrap();
    assert!(swap(None, "second").await.is_none(), "one is there");
    let read = bucket.record(name).await.unwrap().unwrap();
    assert_eq!(read.bytes, "first");
    let third = swap(Some(&read), "third").await.unwrap();
    assert!(swap(Some(&first), "fourth").await.is_none(), "the record is another one");
    assert!(swap(Some(&read), "fifth").await.is_none(), "the record is another one");
    assert!(swap(Some(&third), "sixth").await.is_some(), "a written record needs not be read");
    bucket.remove_record(name).await.unwrap();
    assert!(bucket.record(name).await.unwrap().is_none());
    assert!(swap(Some(&third), "seventh").await.is_none(), "there is none");
    swap(None, "eighth").await.unwrap();
    assert!(swap(Some(&third), "ninth").await.is_none(), "the record was made anew");
    assert_eq!(bucket.record(name).await.unwrap().unwrap().bytes, "eighth");
}

/// Of those who write at the same time one succeeds, and no successful write is lost.
async fn many_writers(bucket: &Bucket) {
    const WRITERS: u32 = 8;
    const WRITES: u32 = 3;
    let create = |i: u32| {
        let bucket = bucket.clone();
        async move { bucket.swap_record("group/2", None, Bytes::from(format!("writer {i}"))).await.unwrap() }
    };
    let made: Vec<_> = (0..WRITERS).map(|i| tokio::spawn(create(i))).collect();
    let mut won = Vec::new();
    for task in made {
        won.extend(task.await.unwrap());
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(bucket.record("group/2").await.unwrap().unwrap().bytes, won[0].bytes);

    let add = |i: u32| {
        let bucket = bucket.clone();
        async move {
            let mut left = WRITES;
            while left > 0 {
                let before = bucket.record("group/3").await.unwrap();
                let text = before.as_ref().map(|record| String::from_utf8(record.bytes.to_vec()).unwrap());
                // No two writers write the same bytes.
                let line = format!("{}{i}-{left}\n", text.unwrap_or_default());
                left -= u32::from(
                    bucket.swap_record("group/3", before.as_ref(), line.into()).await.unwrap().is_some(),
                );
            }
        }
    };
    for task in (0..WRITERS).map(|i| tokio::spawn(add(i))).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let all = bucket.record("group/3").await.unwrap().unwrap().bytes;
    let mut lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), (WRITERS * WRITES) as usize);
}
