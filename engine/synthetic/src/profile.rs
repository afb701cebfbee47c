//! Kinds of data: their series, and how the values are generated.

mod cardinality;
mod k8s;

use tithon_index::Labels;

use crate::data::{Data, Profile};
use crate::random::join;
use crate::series::{Native, Noise, Series, Source, Walk};

impl Profile {
    /// All series that exist at some time of the data, ascending by labels.
    pub(crate) fn series(self, data: &Data) -> Vec<Series> {
        match self {
            Profile::K8s => k8s::series(data),
            Profile::Native => numbered(data, native_labels, |_| Source::Native(Native)),
            Profile::Cardinality => numbered(data, cardinality::labels, |_| cardinality::SOURCE),
            Profile::OneSeries => numbered(data, gauge_labels, |_| Source::Walk(Walk::gauge(900, 50_000.0))),
            Profile::Noise => numbered(data, noise_labels, |_| Source::Noise(Noise)),
        }
    }
}

/// One series per number; all of them exist all the time.
fn numbered(data: &Data, labels: fn(usize) -> Labels, source: fn(usize) -> Source) -> Vec<Series> {
    let one = |i: usize| {
        let labels = labels(i);
        let seed = join(data.seed, labels.hash64());
        // A hundred series belong to one target.
        let target = join(data.seed, (i / 100) as u64);
        Series { labels, source: source(i), seed, target, begin: i64::MIN, end: i64::MAX, replicated: true }
    };
    sorted((0..data.series).map(one).collect())
}

fn sorted(mut list: Vec<Series>) -> Vec<Series> {
    use rayon::slice::ParallelSliceMut;
    list.par_sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    list
}

fn native_labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "rpc_duration_seconds".to_owned()),
        ("instance", format!("10.1.{}.{}:8080", i / 250, i % 250)),
        ("job", format!("rpc-{}", i % 7)),
        ("method", ["Get", "List", "Put", "Delete"][i % 4].to_owned()),
    ])
}

fn gauge_labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "temperature_millikelvin".to_owned()), ("sensor", format!("{i:07}"))])
}

fn noise_labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "noise".to_owned()), ("source", format!("{i:07}"))])
}
