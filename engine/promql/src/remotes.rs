//! The queriers that can evaluate parts of a query, and what each of them holds. Upstream: `api.RemoteEngine` of
//! promql-engine, and Thanos `pkg/query/remote_engine.go`.

use std::collections::{BTreeSet, HashMap};

use tithon_chunks::TimeRange;
use tithon_index::Labels;

/// All that a plan can be distributed over.
///
/// The sources of all queriers are told apart by the values of their partition labels: series of two sources with
/// different values are never the same, and those of sources with equal values are the same data, perhaps for other times.
#[derive(Clone, Debug, PartialEq)]
pub struct Remotes {
    engines: Vec<RemoteEngine>,
    local: Vec<LocalSource>,
    partition_labels: BTreeSet<Box<[u8]>>,
    partitions: Vec<Partition>,
}

/// A querier that evaluates parts of queries over its own data.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteEngine {
    /// Its address, for people.
    pub name: String,
    /// What it holds. A source is listed once for each range of time.
    pub sources: Vec<RemoteSource>,
}

/// A range of data of one external label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSource {
    /// The external labels without replica labels; at least one.
    pub labels: Labels,
    /// The time of the first sample, milliseconds.
    pub min_time: i64,
    /// A time after the last sample, milliseconds.
    pub max_time: i64,
}

/// Data that is read here, since its store evaluates no queries.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalSource {
    /// The sets of external labels; without any it may hold all series.
    pub label_sets: Vec<Labels>,
    /// The times of its samples.
    pub range: TimeRange,
}

/// How queriers' data are told apart.
#[derive(Clone, Debug, Default)]
pub struct Partitioning {
    /// The labels that tell them apart; all external labels if there are none.
    pub labels: Vec<String>,
    /// Whether a querier is trusted from the earliest of its minimum times of a partition on, not only from the latest.
    pub overlapping: bool,
}

/// The sources with the same values of the partition labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    pub(crate) holders: Vec<Holder>,
}

/// What one querier holds of a partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holder {
    /// Index of the querier.
    pub(crate) engine: usize,
    /// The time of its first sample.
    pub(crate) from: i64,
    /// The time from which on it has what all its sources of the partition have.
    pub(crate) safe: i64,
    /// A time after its last sample.
    pub(crate) to: i64,
    /// The external label sets.
    pub(crate) label_sets: BTreeSet<Labels>,
}

impl Remotes {
    /// Queriers with their data, and the data that is read here.
    pub fn new(engines: Vec<RemoteEngine>, local: Vec<LocalSource>, partitioning: &Partitioning) -> Remotes {
        let is_partition = |name: &[u8]| {
            partitioning.labels.is_empty() || partitioning.labels.iter().any(|l| l.as_bytes() == name)
        };
        let mut partition_labels = BTreeSet::new();
        let mut partitions: Vec<Partition> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for (engine, source) in
            engines.iter().enumerate().flat_map(|(i, e)| e.sources.iter().map(move |s| (i, s)))
        {
            let own: Vec<_> = source.labels.iter().filter(|(name, _)| is_partition(name)).collect();
            partition_labels.extend(own.iter().map(|(name, _)| Box::from(*name)));
            let place = *places.entry(Labels::from_sorted(own)).or_insert_with(|| {
                partitions.push(Partition { holders: Vec::new() });
                partitions.len() - 1
            });
            partitions[place].add(engine, source);
        }
        if partitioning.overlapping {
            partitions.iter_mut().flat_map(|p| &mut p.holders).for_each(|holder| holder.safe = holder.from);
        }
        Remotes { engines, local, partition_labels, partitions }
    }

    /// The queriers.
    pub fn engines(&self) -> &[RemoteEngine] {
        &self.engines
    }

    pub(crate) fn local(&self) -> &[LocalSource] {
        &self.local
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The labels whose values tell partitions apart.
    pub(crate) fn partition_labels(&self) -> &BTreeSet<Box<[u8]>> {
        &self.partition_labels
    }
}

impl Partition {
    fn add(&mut self, engine: usize, source: &RemoteSource) {
        let (from, to) = (source.min_time, source.max_time);
        match self.holders.last_mut().filter(|holder| holder.engine == engine) {
            Some(holder) => {
                holder.from = holder.from.min(from);
                holder.safe = holder.safe.max(from);
                holder.to = holder.to.max(to);
                holder.label_sets.insert(source.labels.clone());
            }
            None => {
                let label_sets = BTreeSet::from([source.labels.clone()]);
                self.holders.push(Holder { engine, from, safe: from, to, label_sets });
            }
        }
    }
}
