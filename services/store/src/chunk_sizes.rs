//! Histogram of the sizes of sent chunks, which observes a whole batch at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use tithon_engine::SelectedSeries;

/// Upper bounds of the buckets in bytes, as in Thanos; one more bucket has no bound.
const ENDS: [u64; 7] = [32, 256, 512, 1024, 32 << 10, 256 << 10, 512 << 10];

/// The histogram of chunk sizes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChunkSizes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    buckets: [AtomicU64; ENDS.len() + 1],
}

impl ChunkSizes {
    /// Counts the chunks of these series.
    pub(crate) fn observe(&self, series: &[SelectedSeries]) {
        let (mut bytes, mut buckets) = (0, [0_u64; ENDS.len() + 1]);
        for chunk in series.iter().flat_map(|one| &one.chunks) {
            let size = chunk.data.len() as u64;
            bytes += size;
            buckets[ENDS.partition_point(|end| *end < size)] += 1;
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        for (sum, count) in self.0.buckets.iter().zip(buckets) {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl TypedMetric for ChunkSizes {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for ChunkSizes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let ends = ENDS.iter().map(|end| *end as f64).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = ends.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(
            self.0.bytes.load(Ordering::Relaxed) as f64,
            count,
            &buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tithon_chunks::{EncodedChunk, Encoding, Timestamp};
    use tithon_index::Labels;
    use tithon_runtime::Metrics;

    use super::*;

    #[test]
    fn each_chunk_falls_in_its_bucket() {
        let chunk = |size: usize| EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(0),
            max_time: Timestamp(0),
            data: Bytes::from(vec![0; size]),
        };
        let (sizes, metrics) = (ChunkSizes::default(), Metrics::new("0"));
        metrics.register(|r| r.register("sizes_bytes", "Sizes", sizes.clone()));
        let chunks = [0, 32, 33, 1024, 600_000].map(chunk).to_vec();
        sizes.observe(&[SelectedSeries { labels: Labels::from_pairs([("a", "b")]), chunks }]);
        let text = metrics.text();
        for line in [
            "sizes_bytes_sum 601089.0",
            "sizes_bytes_count 5",
            "sizes_bytes_bucket{le=\"32.0\"} 2",
            "sizes_bytes_bucket{le=\"256.0\"} 3",
            "sizes_bytes_bucket{le=\"1024.0\"} 4",
            "sizes_bytes_bucket{le=\"+Inf\"} 5",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
