//! The series of a selection are read and worked on in batches, each spread over the threads of the pool.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use tithon_chunks::{Samples, TimeRange};
use tithon_index::Labels;

use super::decode::{decode, decoded_bytes};
use super::reach::Reach;
use crate::annotations::Notes;
use crate::budget::Charge;
use crate::context::Context;
use crate::error::QueryError;
use crate::series::{SelectInput, Series};

/// The most series in a batch: enough to keep the threads busy, few enough to bound memory.
const SERIES_PER_BATCH: usize = 512;
/// The fewest series in a batch, however many steps there are.
const SERIES_PER_BATCH_MIN: usize = 16;
/// How many values (series times steps) the results of a batch may have.
const VALUES_PER_BATCH: usize = 1 << 19;
/// The number of values for the first batch, and for all batches after a series with histograms: a histogram takes as
/// much memory as tens of floats.
const VALUES_PER_BATCH_OF_HISTOGRAMS: usize = 1 << 16;

/// About how many bytes the series of a batch that come decoded may take.
const BATCH_BYTES_MAX: u64 = 64 << 20;
/// Samples of one series are counted while they are worked on only if they take more bytes than this.
const DECODED_BYTES_FREE: u64 = 1 << 20;

/// How many series of so many steps a batch may hold.
fn batch_size(n_steps: usize, may_be_large: bool) -> usize {
    let n = if may_be_large { VALUES_PER_BATCH } else { VALUES_PER_BATCH_OF_HISTOGRAMS };
    (n / n_steps.max(1)).clamp(SERIES_PER_BATCH_MIN, SERIES_PER_BATCH)
}

/// Whether more series are wanted.
pub(crate) type Flow = Result<ControlFlow<()>, QueryError>;

/// The series and samples that a selector reads.
pub(crate) struct Selection {
    /// The series, ascending by labels; `None` when there is nothing to read.
    pub(crate) input: Option<SelectInput>,
    /// The range of the samples asked for; series may have more.
    pub(crate) range: TimeRange,
    /// Whether only count, sum and reset hint of histograms are wanted.
    pub(crate) stats_only: bool,
}

/// The result of the work on one series: its labels, the result, the annotations.
type Worked<T> = Result<(Labels, T, Notes), QueryError>;

/// Runs `work` on each series of a selection and hands the results to `sink` in the order of the input.
///
/// `work` gets the labels and the decoded samples in the range of the selection; floats that no window of `reach` holds
/// may be missing. It runs on the threads of the pool, if there is one, while `sink` takes the results of the series
/// before. Annotations are merged in input order. A sink that returns `Break` gets no more results.
pub(crate) fn for_each_series<T: Send>(
    ctx: &Context<'_>,
    selection: Selection,
    reach: &Reach,
    work: impl Fn(&Labels, &mut Samples, &mut Notes) -> Result<T, QueryError> + Sync,
    mut sink: impl FnMut(Labels, T) -> Flow + Send,
) -> Result<(), QueryError> {
    let Selection { input: Some(input), range, stats_only } = selection else { return Ok(()) };
    let has_histograms = AtomicBool::new(false);
    let one = |scratch: &mut Samples, series: Series| -> Worked<T> {
        ctx.check_cancelled()?;
        let mut notes = Notes::default();
        let decoded = decoded_bytes(&series.data, range);
        let mut held = ctx.empty_charge();
        if decoded > DECODED_BYTES_FREE {
            held.grow(decoded)?;
        }
        decode(series.data, range, reach, stats_only, scratch)?;
        if !scratch.histograms.timestamps.is_empty() {
            has_histograms.store(true, Ordering::Relaxed);
        }
        let result = work(&series.labels, scratch, &mut notes)?;
        Ok((series.labels, result, notes))
    };
    let mut hand_over = |worked: Vec<Worked<T>>| -> Flow {
        for worked in worked {
            let (labels, result, notes) = worked?;
            if !notes.is_empty() {
                ctx.notes().merge(notes);
            }
            if sink(labels, result)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let mut batches =
        Batches { ctx, input, n_steps: reach.n_steps(), is_first: true, has_histograms: &has_histograms };
    let Some(pool) = ctx.run.pool else {
        let mut scratch = Samples::default();
        loop {
            let (batch, _charge) = batches.next()?;
            if batch.is_empty() {
                return Ok(());
            }
            if hand_over(batch.into_iter().map(|series| one(&mut scratch, series)).collect())?.is_break() {
                return Ok(());
            }
        }
    };
    let mut done = Vec::new();
    loop {
        let (batch, _charge) = match batches.next() {
            Ok((batch, charge)) if !batch.is_empty() => (batch, charge),
            end => return hand_over(done).and(end.map(drop)),
        };
        let work_on_batch = || batch.into_par_iter().map_init(Samples::default, one).collect();
        let hand_over_last = || hand_over(std::mem::take(&mut done));
        let (worked, flow) = pool.install(|| rayon::join(work_on_batch, hand_over_last));
        if flow?.is_break() {
            return Ok(());
        }
        done = worked;
    }
}

/// Reads the input batch by batch.
struct Batches<'a> {
    ctx: &'a Context<'a>,
    input: SelectInput,
    n_steps: usize,
    is_first: bool,
    has_histograms: &'a AtomicBool,
}

impl Batches<'_> {
    /// The next batch, empty at the end, and the charge for those of its series that come decoded.
    fn next(&mut self) -> Result<(Vec<Series>, Charge), QueryError> {
        let may_be_large =
            !std::mem::take(&mut self.is_first) && !self.has_histograms.load(Ordering::Relaxed);
        let wanted = batch_size(self.n_steps, may_be_large);
        let mut charge = self.ctx.empty_charge();
        let mut batch = Vec::new();
        while batch.len() < wanted && charge.bytes() < BATCH_BYTES_MAX {
            let Some(series) = self.input.next() else { break };
            let series: Series = series.map_err(QueryError::of_source)?;
            self.ctx.check_cancelled()?;
            match series.data.decoded_bytes() {
                0 => {}
                bytes => charge.grow(bytes)?,
            }
            batch.push(series);
        }
        self.ctx.check_cancelled()?;
        Ok((batch, charge))
    }
}
