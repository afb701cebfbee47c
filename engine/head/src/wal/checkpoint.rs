//! Checkpoints: what old segments have that is still needed, in a log of its own. Prometheus `tsdb/wlog/checkpoint.go`.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{checkpoint_path, remove, sync_dir};
use super::{Files, Wal, WalOptions, read_segment};
use crate::WalError;
use crate::record::{Record, put_float_histograms, put_histograms, put_samples, put_series, put_tombstones};

/// What a checkpoint takes over. Exemplars and metadata are left out.
pub(crate) struct Keep<'a> {
    /// Whether a series of this number is needed.
    pub(crate) series: &'a dyn Fn(u64) -> bool,
    /// The first time whose samples are needed, milliseconds.
    pub(crate) from_ms: i64,
}

/// Records are written when they have so many bytes together.
const FLUSH_BYTES: usize = 1 << 20;

/// Writes the checkpoint of all segments up to `last`, then removes these and older checkpoints. A kill at any step leaves a log
/// with all that is needed in it.
pub(crate) fn write_checkpoint(
    dir: &Path,
    last: u64,
    keep: &Keep<'_>,
    options: WalOptions,
) -> Result<(), WalError> {
    let files = Files::of(dir)?;
    let path = checkpoint_path(dir, last);
    let temporary = PathBuf::from(format!("{}.tmp", path.display()));
    remove(&temporary)?;
    let mut out = Out { wal: Wal::create(&temporary, 0, options)?, records: Vec::new(), bytes: 0 };
    let before = files.checkpoints.last();
    if let Some((_, checkpoint)) = before {
        for (_, segment) in Files::of(checkpoint)?.segments_from(checkpoint, None)? {
            copy_segment(segment, keep, &mut out)?;
        }
    }
    let from = before.map(|(number, _)| number.saturating_add(1));
    for (_, segment) in files.segments_from(dir, from)?.iter().take_while(|(number, _)| *number <= last) {
        copy_segment(segment, keep, &mut out)?;
    }
    out.flush()?;
    out.wal.finish()?;
    sync_dir(&temporary)?;
    fs::rename(&temporary, &path).map_err(WalError::io(&path))?;
    sync_dir(dir)?;
    for (_, segment) in files.segments.iter().take_while(|(number, _)| *number <= last) {
        remove(segment)?;
    }
    for (_, checkpoint) in files.checkpoints.iter().filter(|(number, _)| *number < last) {
        remove(checkpoint)?;
    }
    Ok(())
}

struct Out {
    wal: Wal,
    records: Vec<Vec<u8>>,
    bytes: usize,
}

impl Out {
    fn push(&mut self, record: Vec<u8>) {
        // A record of nothing but its type has nothing in it.
        if record.len() > 1 {
            self.bytes += record.len();
            self.records.push(record);
        }
    }

    fn flush(&mut self) -> Result<(), WalError> {
        self.wal.log(self.records.iter().map(Vec::as_slice))?;
        self.records.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn copy_segment(segment: &Path, keep: &Keep<'_>, out: &mut Out) -> Result<(), WalError> {
    read_segment(segment, |record| {
        let is_new = |t: i64| t >= keep.from_ms;
        match record {
            Record::Series(mut series) => {
                series.retain(|(id, _)| (keep.series)(*id));
                out.push(put_series(series.iter().map(|(id, labels)| (*id, labels))));
            }
            Record::Samples(mut samples) => {
                samples.retain(|sample| is_new(sample.t));
                out.push(put_samples(&samples));
            }
            Record::Tombstones(mut tombstones) => {
                tombstones.retain(|one| (keep.series)(one.series) && is_new(one.max));
                out.push(put_tombstones(&tombstones));
            }
            Record::Histograms(mut samples) => {
                samples.retain(|sample| is_new(sample.t));
                put_histograms(&samples).into_iter().for_each(|record| out.push(record));
            }
            Record::FloatHistograms(mut samples) => {
                samples.retain(|sample| is_new(sample.t));
                put_float_histograms(&samples).into_iter().for_each(|record| out.push(record));
            }
            Record::Other(_) => {}
        }
        if out.bytes >= FLUSH_BYTES { out.flush() } else { Ok(()) }
    })
}
