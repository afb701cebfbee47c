//! `bench sidecar`: raw StoreAPI calls to a sidecar beside a Prometheus, and uploads of its blocks.

use tithon_synthetic::{Data, Profile};

use super::servers::{ServerCase, Setup, measure, pace};
use super::upload::uploads;
use super::{HOUR_MS, START_MS};
use crate::calls::Request;
use crate::cli::SidecarFlags;
use crate::error::BenchError;
use crate::session::Session;
use crate::store_client::{Question, matches};
use crate::subject::{Subject, SubjectArg};

/// Measures all cases.
pub(crate) fn sidecar(session: &mut Session, flags: &SidecarFlags) -> Result<(), BenchError> {
    let named = SubjectArg { name: "prometheus".to_owned(), program: flags.prometheus.clone() };
    let prometheus = Subject::all(std::slice::from_ref(&named))?.remove(0);
    calls(session, flags, &prometheus)?;
    uploads(session, flags, &prometheus)
}

/// An hour of 100,000 series: 120 samples each.
fn calls(session: &mut Session, flags: &SidecarFlags, prometheus: &Subject) -> Result<(), BenchError> {
    let data = Data {
        profile: Profile::K8s,
        series: session.scaled(100_000),
        interval_ms: 30_000,
        start_ms: START_MS,
        range_ms: HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 1,
        seed: session.seed,
    };
    let pace = pace(&flags.call)?;
    let series = |name: &str, what: &str, skip_chunks: bool| {
        let (min_time, max_time) = (data.start_ms, data.start_ms + data.range_ms);
        let matchers = |n: u32| vec![matches("namespace", &format!("team-.*|none-{n}"))];
        let question = move |n| Question::Series { matchers: matchers(n), min_time, max_time, skip_chunks };
        ServerCase {
            name: format!("sidecar/{name}"),
            what: what.to_owned(),
            request: Box::new(move |n| Request::Store(question(n))),
            pace,
        }
    };
    let cases = [
        series("series", "100,000 series of 120 samples", false),
        series("no-chunks", "the same without chunks", true),
    ];
    if !cases.iter().any(|case| session.wants(&case.name)) {
        return Ok(());
    }
    let bucket = session.data("sidecar", std::slice::from_ref(&data))?;
    measure(session, &Setup::Sidecar { bucket: &bucket, prometheus }, &cases, flags.call.repeat)
}
