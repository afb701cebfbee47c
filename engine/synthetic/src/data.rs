//! The data to generate: the settings of `tithon tools bench gen`.

use serde::{Deserialize, Serialize};
use tithon_engine::BlockMeta;

/// The settings that decide every byte of a set of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Kind of data.
    pub profile: Profile,
    /// Series that exist at the same time.
    pub series: usize,
    /// Interval between scrapes, milliseconds.
    pub interval_ms: i64,
    /// The first millisecond of the data.
    pub start_ms: i64,
    /// Length of the data, milliseconds.
    pub range_ms: i64,
    /// Length of a block, milliseconds.
    pub block_ms: i64,
    /// Number of servers that scrape the same targets: 1 or 2.
    pub replicas: u8,
    /// Seed of all values.
    pub seed: u64,
}

/// Counts of the written blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Number of blocks.
    pub blocks: u64,
    /// Number of series, counted in each block.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
}

impl Data {
    /// The approximate number of samples to write: a series that replaces another is not counted.
    pub fn samples(&self) -> u64 {
        let scrapes = self.range_ms / self.interval_ms.max(1);
        self.series as u64 * scrapes.max(0) as u64 * u64::from(self.replicas)
    }

    /// The approximate number of bytes on disk that the blocks will need at most.
    pub fn bytes(&self) -> u64 {
        let blocks = (self.range_ms / self.block_ms.max(1) + 1).max(1) as u64;
        let entries = self.series as u64 * blocks * u64::from(self.replicas);
        self.samples() * self.profile.bytes_per_sample() + entries * 400
    }
}

impl Written {
    /// Counts blocks.
    pub(crate) fn add(&mut self, metas: &[BlockMeta]) {
        self.blocks += metas.len() as u64;
        self.series += metas.iter().map(|meta| meta.stats.num_series).sum::<u64>();
        self.samples += metas.iter().map(|meta| meta.stats.num_samples).sum::<u64>();
    }
}

/// A kind of data. The names are those of `tithon tools bench gen --profile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A Kubernetes cluster: 100 series per pod, 60 jobs, counters, gauges and classic histograms whose values mostly
    /// repeat, and pods that end and are replaced.
    K8s,
    /// Native histograms.
    Native,
    /// Many label values: one `id` for each series.
    Cardinality,
    /// Gauges of one metric; meant for a single series with very many samples.
    OneSeries,
    /// Random bits as values, at random times.
    Noise,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 5] =
        [Profile::K8s, Profile::Native, Profile::Cardinality, Profile::OneSeries, Profile::Noise];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::K8s => "k8s",
            Profile::Native => "native",
            Profile::Cardinality => "cardinality",
            Profile::OneSeries => "one-series",
            Profile::Noise => "noise",
        }
    }

    /// The approximate number of bytes of a sample in a chunk, at most.
    pub(crate) const fn bytes_per_sample(self) -> u64 {
        match self {
            Profile::K8s | Profile::Cardinality => 2,
            Profile::OneSeries => 4,
            Profile::Native | Profile::Noise => 16,
        }
    }
}
