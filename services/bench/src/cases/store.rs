//! `bench store`: raw StoreAPI calls.

use std::path::Path;
use std::time::Duration;

use tithon_proto::thanos::LabelMatcher;
use tithon_synthetic::{Data, Profile};

use super::servers::{ServerCase, Setup, measure, pace};
use super::{DAY_MS, START_MS};
use crate::calls::Request;
use crate::cli::StoreFlags;
use crate::error::BenchError;
use crate::s3::S3;
use crate::session::Session;
use crate::store_client::{Question, equal, matches, not_equal};

const MINUTE_MS: i64 = 60_000;
const JOB_KINDS: [&str; 5] = ["web", "worker", "cache", "api", "queue"];
/// A metric of which each pod has one series.
const GAUGE: &str = "process_resident_memory_bytes";
/// Number of instances in the `17-of-1M` case.
const INSTANCES: u32 = 17;
/// Number of pods in the `selective` case; each has 100 series.
const PODS: u32 = 5;

/// The three sets of data, at distant times.
struct Layout {
    cluster: Data,
    values: Data,
    long: Data,
}

/// Measures all cases.
pub(crate) fn store(session: &mut Session, flags: &StoreFlags) -> Result<(), BenchError> {
    let layout = Layout::new(session);
    let pace = pace(&flags.call)?;
    let bucket =
        session.data("store", &[layout.cluster.clone(), layout.values.clone(), layout.long.clone()])?;
    let cases: Vec<ServerCase> = layout
        .cases()
        .into_iter()
        .map(|(name, what, question)| ServerCase {
            name: format!("store/{name}"),
            what: what.to_owned(),
            request: Box::new(move |n| Request::Store(question(n))),
            pace,
        })
        .collect();
    let s3 = match &flags.versitygw {
        Some(program) => Some(serve(session, program, &bucket, flags.delay.unwrap_or_default())?),
        None => None,
    };
    let config = match &s3 {
        Some(s3) => s3.config.clone(),
        None => session.scratch.bucket_config("bucket", &bucket)?,
    };
    measure(session, &Setup::Store { config: &config }, &cases, flags.call.repeat)
}

/// An S3 server whose bucket is the folder `bucket`.
fn serve(session: &Session, program: &Path, bucket: &Path, delay: Duration) -> Result<S3, BenchError> {
    let (root, name) = (bucket.parent().unwrap_or(bucket), bucket.file_name().unwrap_or_default());
    let started = S3::start(program, session.scratch.path(), root, &name.to_string_lossy(), delay);
    started.map_err(|failure| BenchError::Flags(format!("--versitygw: {failure}")))
}

type Ask = Box<dyn Fn(u32) -> Question>;

impl Layout {
    fn new(session: &Session) -> Layout {
        let cluster = Data {
            profile: Profile::K8s,
            series: session.scaled(1_000_000),
            interval_ms: 15_000,
            start_ms: START_MS,
            range_ms: 30 * MINUTE_MS,
            block_ms: 120 * MINUTE_MS,
            replicas: 1,
            seed: session.seed,
        };
        let values = Data {
            profile: Profile::Cardinality,
            series: session.scaled(400_000),
            interval_ms: 5 * MINUTE_MS,
            start_ms: START_MS - DAY_MS,
            ..cluster.clone()
        };
        let samples = session.scaled(10_000_000) as i64;
        let long = Data {
            profile: Profile::OneSeries,
            series: 1,
            interval_ms: 1_000,
            start_ms: START_MS - 10 * DAY_MS - samples * 1_000,
            range_ms: samples * 1_000,
            block_ms: samples * 1_000,
            ..cluster.clone()
        };
        Layout { cluster, values, long }
    }

    /// Name, description and question of each case.
    fn cases(&self) -> Vec<(&'static str, &'static str, Ask)> {
        let pods = (self.cluster.series as u32).div_ceil(100).max(1);
        let all = |n: u32| vec![matches("namespace", &format!("team-.*|none-{n}"))];
        let tenth = |n: u32| vec![matches("job", &tenth_of_jobs(n))];
        let heavy = |n: u32| vec![matches("__name__", &format!("a.*|b.*|none-{n}")), not_equal("pod", "")];
        let selective = move |n: u32| vec![matches("pod", &some_pods(n, pods))];
        let one = move |n: u32| vec![equal("__name__", GAUGE), equal("instance", &instance(n * 7919 % pods))];
        let some = move |n: u32| vec![equal("__name__", GAUGE), matches("instance", &instances(n, pods))];
        let none = |n: u32| vec![equal("__name__", &format!("none_{n}"))];
        let matched = |n: u32| vec![matches("region", &format!("eu-.*|none-{n}"))];
        // The last digits of an ID are the series' number.
        let regex = |n: u32| vec![matches("id", &format!(".*{:02}", n % 100))];
        vec![
            ("1M-series-1-chunk", "all series of a block, one chunk each", series(&self.cluster, all, false)),
            ("100k-series-120-samples", "a tenth of them", series(&self.cluster, tenth, false)),
            ("100k-no-chunks", "the same without chunks", series(&self.cluster, tenth, true)),
            ("heavy-regex", "{__name__=~\"a.*|b.*\",pod!=\"\"}", series(&self.cluster, heavy, false)),
            ("selective", "500 series by regex out of all", series(&self.cluster, selective, false)),
            ("1-of-1M", "one series by name and instance", series(&self.cluster, one, false)),
            ("17-of-1M", "a metric of 17 distant instances", series(&self.cluster, some, false)),
            ("0-of-1M", "a metric that no block has", series(&self.cluster, none, false)),
            ("one-series-10M-samples", "one long series", one_series(&self.long)),
            ("values-400k", "all values of a label", values(&self.values, |_| Vec::new())),
            ("values-400k-matched", "the same with a matcher", values(&self.values, matched)),
            (
                "regex-400k-values",
                "series by a regex over 400,000 values",
                series(&self.values, regex, false),
            ),
        ]
    }
}

/// A pattern for six of the sixty jobs.
fn tenth_of_jobs(n: u32) -> String {
    let job = |i: u32| format!("{}-{:02}", JOB_KINDS[i as usize % 5], i % 60);
    (0..6).map(|i| job((n + i * 10) % 60)).collect::<Vec<_>>().join("|")
}

/// A pattern for five consecutive pods, by their numbers.
fn some_pods(n: u32, pods: u32) -> String {
    let slot = |i: u32| format!("{:05}", (n * PODS * 7 + i) % pods);
    format!(".*-({})-.*", (0..PODS).map(slot).collect::<Vec<_>>().join("|"))
}

/// The instance of a pod, by the pod's number.
fn instance(slot: u32) -> String {
    format!("10.{}.{}.{}:8080", slot / 62_500, slot / 250 % 250, slot % 250)
}

/// A pattern for instances that lie far apart.
fn instances(n: u32, pods: u32) -> String {
    let escaped = |i: u32| instance((n * 7919 + i * 577) % pods).replace('.', "\\.");
    (0..INSTANCES).map(escaped).collect::<Vec<_>>().join("|")
}

fn series(data: &Data, matchers: impl Fn(u32) -> Vec<LabelMatcher> + 'static, skip_chunks: bool) -> Ask {
    let (min_time, max_time) = (data.start_ms, data.start_ms + data.range_ms);
    Box::new(move |n| Question::Series { matchers: matchers(n), min_time, max_time, skip_chunks })
}

/// A request for the whole series; each call's range begins a little earlier.
fn one_series(data: &Data) -> Ask {
    let (start, max_time) = (data.start_ms, data.start_ms + data.range_ms);
    Box::new(move |n| {
        let matchers = vec![equal("sensor", "0000000")];
        Question::Series { matchers, min_time: start - i64::from(n), max_time, skip_chunks: false }
    })
}

fn values(data: &Data, matchers: impl Fn(u32) -> Vec<LabelMatcher> + 'static) -> Ask {
    let (start, max_time) = (data.start_ms, data.start_ms + data.range_ms);
    Box::new(move |n| {
        let min_time = start - i64::from(n);
        Question::Values { label: "id".to_owned(), matchers: matchers(n), min_time, max_time }
    })
}
