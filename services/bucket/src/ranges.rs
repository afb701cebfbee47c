//! Ranged reads over the network: close ranges are read with one request, requests are sent at the same time, and equal
//! requests of several readers are joined.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};
use tithon_index::{coalesce, gap_to_leave};

use crate::bucket::whole;
use crate::retry::Operation;
use crate::{Bucket, BucketError};

/// Gaps up to this size are always read: they take less time than the work of a request.
const GAP_MIN: u64 = 32 << 10;
/// Largest gap that is read to save a request: about what is transferred while a request waits, if 16 requests of 20 ms
/// are under way at 100 MB/s. Thanos reads gaps up to 512 KiB.
const GAP_MAX: u64 = 128 << 10;
/// Number of requests that one read may send at the same time; larger gaps are read only if there would be more.
const REQUESTS_AT_ONCE: usize = 16;

/// The reads that fetch these ranges.
fn reads(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    coalesce(ranges, gap_to_leave(ranges, REQUESTS_AT_ONCE, GAP_MIN..=GAP_MAX))
}

/// The number of bytes that are read between these ranges to save requests.
pub(crate) fn gap_bytes(ranges: &[Range<u64>]) -> u64 {
    gap_bytes_of(ranges, &reads(ranges))
}

fn gap_bytes_of(ranges: &[Range<u64>], reads: &[Range<u64>]) -> u64 {
    let sum = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
    // Ranges that overlap are counted more than once.
    u64::saturating_sub(sum(reads), sum(ranges))
}

impl Bucket {
    /// Reads ranges of an object, in the order given; an empty range has no bytes.
    pub(crate) async fn read_ranges(
        &self,
        path: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, BucketError> {
        let merged = reads(ranges);
        self.metrics.gap_bytes.inc_by(gap_bytes_of(ranges, &merged));
        let fetched = try_join_all(merged.iter().map(|range| self.get_range(path, range.clone()))).await?;
        // Ranges out of a request that fetched mostly other bytes are copied, so that the rest is freed.
        let mut asked_bytes = vec![0; merged.len()];
        for range in ranges {
            if let Some(bytes) = asked_bytes.get_mut(merged.partition_point(|read| read.end < range.end)) {
                *bytes += range.end - range.start;
            }
        }
        let is_sparse = |i: usize| 2 * asked_bytes[i] < merged[i].end - merged[i].start;
        let part = |range: &Range<u64>| {
            let i = merged.partition_point(|read| read.end < range.end);
            match (merged.get(i), fetched.get(i)) {
                (Some(read), Some(bytes)) if !range.is_empty() => {
                    let from = ((range.start - read.start) as usize).min(bytes.len());
                    let to = ((range.end - read.start) as usize).min(bytes.len());
                    if is_sparse(i) {
                        Bytes::copy_from_slice(&bytes[from..to])
                    } else {
                        bytes.slice(from..to)
                    }
                }
                _ => Bytes::new(),
            }
        };
        Ok(ranges.iter().map(part).collect())
    }

    /// Reads one range of an object in full. Concurrent reads of the same range share one request.
    pub(crate) async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, BucketError> {
        let (bucket, given, asked) = (self.clone(), path.clone(), range.clone());
        let request = async move { bucket.request_range(&given, &asked).await.map_err(Arc::new) };
        let answer = self.flights.join((path.clone(), range), request).await;
        answer.map_err(|source| BucketError::Object { path: path.to_string(), source })
    }

    async fn request_range(&self, path: &Path, range: &Range<u64>) -> object_store::Result<Bytes> {
        // The semaphore is never closed.
        let _turn = self.range_requests.acquire().await.ok();
        let get = || async {
            let answer = self.first_answer(path, range).await?;
            whole(answer.bytes().await?, range.end - range.start)
        };
        let bytes = self.retrying(Operation::GetRange, get).await?;
        self.metrics.fetched(Operation::GetRange, bytes.len());
        Ok(bytes)
    }

    /// The first answer to a request, which may be hedged.
    async fn first_answer(
        &self,
        path: &Path,
        range: &Range<u64>,
    ) -> object_store::Result<object_store::GetResult> {
        let request = || {
            let range = Some(GetRange::Bounded(range.clone()));
            self.store().get_opts(path, GetOptions { range, ..GetOptions::default() })
        };
        match &self.hedge {
            Some(hedge) => hedge.first(request).await,
            None => request().await,
        }
    }
}
