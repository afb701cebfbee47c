//! The inputs of an evaluation: a selection is read by one selector, or kept in memory for several.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use tithon_chunks::Samples;
use tithon_index::Matcher;

use crate::budget::Charge;
use crate::context::Context;
use crate::error::SourceError;
use crate::plan::Prepared;
use crate::series::{SelectInput, Series, SeriesData};

/// The series of one selection and how many selectors are still to read them.
pub(super) struct Slot {
    state: Mutex<(State, usize)>,
}

enum State {
    /// Not read yet.
    Fresh(SelectInput),
    /// Read by one selector and kept for others, with the charge for the samples that are decoded.
    Kept(Arc<(Vec<Series>, Charge)>),
    /// All readers have had the series, or there are none.
    Taken,
}

/// A slot for each selection of a query, and for each part that other queriers evaluate.
pub(super) fn slots(prepared: &Prepared, inputs: Vec<SelectInput>) -> Vec<Slot> {
    let n_selects = prepared.selects.len();
    let mut readers = vec![0; (n_selects + prepared.remote_parts.len()).max(inputs.len())];
    readers[n_selects..].fill(1);
    prepared.reads.values().for_each(|reading| readers[reading.select] += 1);
    let states = inputs.into_iter().map(State::Fresh).chain(std::iter::repeat_with(|| State::Taken));
    readers.into_iter().zip(states).map(|(n, state)| Slot { state: Mutex::new((state, n)) }).collect()
}

impl Slot {
    /// The series that fulfil the conditions, for the next reader; none when all readers have had theirs. Series that are
    /// kept for other readers are read to the end first, or until the caller no longer waits.
    pub(super) fn take(&self, filter: &[Matcher], ctx: &Context<'_>) -> Option<SelectInput> {
        let mut slot = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, readers) = &mut *slot;
        *readers = readers.saturating_sub(1);
        let is_last = *readers == 0;
        let series = match std::mem::replace(state, State::Taken) {
            State::Taken => return None,
            State::Fresh(input) if is_last => return Some(filtered(input, filter)),
            State::Fresh(input) => match read_all(input, ctx) {
                Ok(series) => Arc::new(series),
                Err(error) => return Some(Box::new(std::iter::once(Err(error)))),
            },
            State::Kept(series) => series,
        };
        if !is_last {
            *state = State::Kept(Arc::clone(&series));
        }
        match Arc::try_unwrap(series) {
            Ok((series, charge)) => {
                let rest = series.into_iter().map(move |series| {
                    let _held = &charge;
                    Ok(series)
                });
                Some(filtered(Box::new(rest), filter))
            }
            Err(kept) => {
                let filter = filter.to_vec();
                let mut indexes = 0..kept.0.len();
                let picked = std::iter::from_fn(move || {
                    indexes.find(|&i| fulfils(&kept.0[i], &filter)).map(|i| Ok(kept.0[i].clone()))
                });
                Some(Box::new(picked))
            }
        }
    }
}

/// Reads all series of the input and decodes those that are unread. Returns fewer when the caller no longer waits.
fn read_all(mut input: SelectInput, ctx: &Context<'_>) -> Result<(Vec<Series>, Charge), SourceError> {
    let mut charge = ctx.empty_charge();
    let mut all: Vec<Series> = Vec::new();
    loop {
        let from = all.len();
        for series in input.by_ref().take(READ_AT_ONCE).take_while(|_| !ctx.run.is_cancelled()) {
            all.push(series?);
        }
        if all.len() == from {
            return Ok((all, charge));
        }
        let fresh = &mut all[from..];
        match ctx.run.pool {
            Some(pool) => pool.install(|| fresh.par_iter_mut().try_for_each(read))?,
            None => fresh.iter_mut().try_for_each(read)?,
        }
        charge.grow(fresh.iter().map(|s| size_of::<Series>() as u64 + s.data.bytes()).sum())?;
    }
}

/// How many series are read at once, on all threads.
const READ_AT_ONCE: usize = 256;

/// Reads a series that is unread.
fn read(series: &mut Series) -> Result<(), SourceError> {
    if let SeriesData::Unread(unread) = &series.data {
        let mut samples = Box::<Samples>::default();
        (unread.read)(&unread.chunks, &mut samples)?;
        series.data = SeriesData::Samples(samples);
    }
    Ok(())
}

fn filtered(input: SelectInput, filter: &[Matcher]) -> SelectInput {
    if filter.is_empty() {
        return input;
    }
    let filter = filter.to_vec();
    Box::new(input.filter(move |series| series.as_ref().map_or(true, |series| fulfils(series, &filter))))
}

fn fulfils(series: &Series, filter: &[Matcher]) -> bool {
    filter.iter().all(|m| m.matches(series.labels.get(m.name()).unwrap_or_default()))
}
