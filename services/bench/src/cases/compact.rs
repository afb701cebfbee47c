//! `bench compact`: one iteration of a compactor over a bucket, with reading, merging, uploading and marking.

use std::path::Path;

use tithon_synthetic::{Data, Profile};

use super::one_shot::{OneShot, measure};
use super::{HOUR_MS, START_MS};
use crate::error::BenchError;
use crate::folder;
use crate::session::Session;
use crate::subject::Subject;

const REPLICA: &str = "--deduplication.replica-label=replica";
const VERTICAL: &str = "--compact.enable-vertical-compaction";

/// Measures all cases.
pub(crate) fn compact(session: &mut Session) -> Result<(), BenchError> {
    let in_a_row = Data {
        profile: Profile::K8s,
        series: session.scaled(200_000),
        interval_ms: 15_000,
        start_ms: START_MS,
        range_ms: 8 * HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 1,
        seed: session.seed,
    };
    // The newest block of a stream is never merged, so a small one follows the four blocks to merge.
    let youngest =
        Data { series: 100, start_ms: START_MS + 8 * HOUR_MS, range_ms: 2 * HOUR_MS, ..in_a_row.clone() };
    let replicas =
        Data { series: session.scaled(20_000), block_ms: 8 * HOUR_MS, replicas: 2, ..in_a_row.clone() };
    let row = ("compact-row", vec![in_a_row, youngest]);
    let pair = ("compact-replicas", vec![replicas]);
    for (name, what, (data_name, data), own) in [
        ("compact/horizontal", "four blocks of two hours become one", &row, &[][..]),
        (
            "compact/vertical-penalty",
            "two replicas become one, one sample of the two",
            &pair,
            &["--deduplication.func=penalty", REPLICA, VERTICAL][..],
        ),
        (
            "compact/vertical-one-to-one",
            "two replicas become one, all samples kept",
            &pair,
            &[REPLICA, VERTICAL][..],
        ),
    ] {
        if !session.wants(name) {
            continue;
        }
        let bucket = session.data(data_name, data)?;
        let samples = folder::fill(&bucket, data)?.written.samples;
        let flags: Vec<&str> = ["--downsampling.disable"].iter().chain(own).copied().collect();
        let args =
            |subject: &Subject, config: &Path, data: &Path, port| subject.compact(config, data, port, &flags);
        measure(
            session,
            &OneShot { name, what, bucket: &bucket, args: &args, lacks: "a compactor of buckets", samples },
        )?;
    }
    Ok(())
}
