//! An example of a store: data in memory behind the StoreAPI. Any querier, Tithon's or Thanos's, can ask it:
//!
//! ```text
//! cargo run -p tithon-storeapi --example in_memory -- 127.0.0.1:10911
//! tithon query --endpoint=127.0.0.1:10911
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{FutureExt, StreamExt, future, stream};
use tithon_chunks::{EncodedChunk, Encoding, TimeRange, Timestamp, XorEncoder};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest};
use tithon_index::Labels;
use tithon_runtime::{Cpu, GrpcServer, Probes, Shutdown};
use tithon_storeapi::{
    LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiServer, StoreInfo,
};

/// Series with one chunk each.
pub(crate) struct InMemory {
    series: Vec<SelectedSeries>,
    range: TimeRange,
}

impl InMemory {
    /// Series with these labels and samples (milliseconds since 1970 and a value), at least one sample each.
    pub(crate) fn new(data: &[(Labels, &[(i64, f64)])]) -> InMemory {
        let encode = |samples: &[(i64, f64)]| {
            let mut encoder = XorEncoder::new();
            samples.iter().for_each(|(time, value)| encoder.push(*time, *value));
            let time = |sample: Option<&(i64, f64)>| Timestamp(sample.map_or(0, |(time, _)| *time));
            EncodedChunk {
                encoding: Encoding::Xor,
                min_time: time(samples.first()),
                max_time: time(samples.last()),
                data: encoder.finish().into(),
            }
        };
        let one = |(labels, samples): &(Labels, &[(i64, f64)])| SelectedSeries {
            labels: labels.clone(),
            chunks: vec![encode(samples)],
        };
        let series: Vec<_> = data.iter().map(one).collect();
        let min = series.iter().map(|one| one.chunks[0].min_time).min().unwrap_or(Timestamp::MAX);
        let max = series.iter().map(|one| one.chunks[0].max_time).max().unwrap_or(Timestamp::MIN);
        InMemory { series, range: TimeRange { min, max } }
    }
}

impl StoreApi for InMemory {
    fn name(&self) -> String {
        "in memory".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        Some(StoreInfo::new("store", self.range))
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let mut found = Vec::new();
        for one in &self.series {
            let matches =
                request.matchers.iter().all(|m| m.matches(one.labels.get(m.name()).unwrap_or_default()));
            if matches && one.chunks[0].range().overlaps(request.range) {
                let labels = one.labels.without(&request.without_labels);
                let chunks = if request.skip_chunks { Vec::new() } else { one.chunks.clone() };
                found.push(SelectedSeries { labels, chunks });
            }
        }
        found.retain(|one| request.shard.as_ref().is_none_or(|s| s.holds(&one.labels, &mut Vec::new())));
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        // Removing labels can make series equal; the merge joins them.
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let streams = found.into_iter().map(|one| vec![one]);
        let series = tithon_engine::merge(streams).take(limit).collect();
        stream::iter([Ok(SeriesPart::Series(SeriesBatch { series }))]).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let mut found = BTreeSet::new();
        for one in &self.series {
            let matches =
                request.matchers.iter().all(|m| m.matches(one.labels.get(m.name()).unwrap_or_default()));
            if !matches || !one.chunks[0].range().overlaps(request.range) {
                continue;
            }
            for (name, value) in one.labels.iter().filter(|(name, _)| !request.is_without(name)) {
                match &request.values_of {
                    None => _ = found.insert(name.to_vec()),
                    Some(label) if label == name => _ = found.insert(value.to_vec()),
                    Some(_) => {}
                }
            }
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let found = found.into_iter().take(limit).collect();
        future::ready(Ok(LabelsAnswer { found, ..LabelsAnswer::default() })).boxed()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:10911".to_owned());
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let wave: Vec<_> = (0..240).map(|i| (now - (240 - i) * 15_000, (i as f64 / 10.0).sin())).collect();
    let store = InMemory::new(&[(Labels::from_pairs([("__name__", "wave"), ("job", "example")]), &wave)]);
    let probes = Probes::default();
    probes.set_ready(true);
    let services = StoreApiServer::new(Arc::new(store), Cpu::new(0)?, probes.clone()).services();
    let server = GrpcServer::bind(&address).await?;
    let shutdown = Shutdown::on_signals()?;
    Ok(server.serve(services, tithon_proto::FILE_DESCRIPTOR_SET, probes, shutdown, Duration::ZERO).await?)
}
