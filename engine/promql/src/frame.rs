//! Intermediate results: series in rows, steps in columns.

pub(crate) mod merge;

use std::sync::Arc;

use tithon_chunks::{FloatHistogram, Samples};
use tithon_index::Labels;

use crate::result::Sample;

/// The steps of one evaluation: `start`, `start + interval`, … up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first step, milliseconds.
    pub(crate) start: i64,
    /// The distance of the steps, milliseconds; at least 1.
    pub(crate) interval: i64,
    /// The number of steps.
    pub(crate) len: usize,
    /// Whether the end lies after the start, even if there is one step only.
    pub(crate) is_range: bool,
}

impl Steps {
    /// The steps from `start` to at most `end`; none when `end < start`.
    pub(crate) fn new(start: i64, end: i64, interval: i64) -> Steps {
        let interval = interval.max(1);
        let len = if end < start {
            0
        } else {
            ((end.abs_diff(start) / interval as u64) as usize).saturating_add(1)
        };
        Steps { start, interval, len, is_range: end > start }
    }

    /// The first step alone.
    pub(crate) fn first_only(&self) -> Steps {
        Steps { len: self.len.min(1), is_range: false, ..*self }
    }

    /// The time of a step.
    pub(crate) fn time(&self, i: usize) -> i64 {
        self.start.saturating_add((i as i64).saturating_mul(self.interval))
    }

    /// The time of the last step.
    pub(crate) fn last(&self) -> i64 {
        self.time(self.len.saturating_sub(1))
    }
}

/// The samples of one series at each step. Floats are stored densely with a bitmap of the steps that have one,
/// histograms sparsely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    floats: Vec<f64>,
    present: Vec<u64>,
    histograms: Vec<(u32, Arc<FloatHistogram>)>,
}

/// A sample in a [`Column`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(&'a Arc<FloatHistogram>),
}

impl Column {
    /// `len` steps without a sample.
    pub(crate) fn new(len: usize) -> Column {
        Column { floats: vec![0.0; len], present: vec![0; len.div_ceil(64)], histograms: Vec::new() }
    }

    /// A column of floats, one for each step, with a bitmap of the steps that have one. `None` if the bitmap does not fit.
    pub(crate) fn of_words(floats: Vec<f64>, present: Vec<u64>) -> Option<Column> {
        let (len, rest) = (floats.len(), floats.len() % 64);
        let fits = present.len() == len.div_ceil(64)
            && (rest == 0 || present.last().is_none_or(|last| last >> rest == 0));
        fits.then_some(Column { floats, present, histograms: Vec::new() })
    }

    /// A value for each step, and the bitmap of the steps whose value is a float.
    pub(crate) fn words(&self) -> (&[f64], &[u64]) {
        (&self.floats, &self.present)
    }

    /// Sets the floats at `n` steps from `step` on, which have no sample yet, to every `stride`th of `values`.
    #[inline(always)]
    pub(crate) fn set_floats(&mut self, step: usize, n: usize, values: &[f64], stride: usize) {
        self.fill_floats(step, n, |slots| match stride {
            1 => slots.copy_from_slice(&values[..n]),
            _ => slots.iter_mut().zip(values.iter().step_by(stride)).for_each(|(slot, v)| *slot = *v),
        });
    }

    /// Lets `f` fill in the floats at `n` steps from `step` on, which have no sample yet.
    #[inline(always)]
    pub(crate) fn fill_floats(&mut self, step: usize, n: usize, f: impl FnOnce(&mut [f64])) {
        f(&mut self.floats[step..step + n]);
        let (mut at, end) = (step, step + n);
        while at < end {
            let (word, bit) = (at / 64, at % 64);
            let many = (64 - bit).min(end - at);
            self.present[word] |= (!0 >> (64 - many)) << bit;
            at += many;
        }
    }

    /// The floats of all steps if each step has one, else the unchanged column.
    pub(crate) fn into_full_floats(self) -> Result<Vec<f64>, Column> {
        let n: usize = self.present.iter().map(|word| word.count_ones() as usize).sum();
        if n == self.floats.len() && self.histograms.is_empty() { Ok(self.floats) } else { Err(self) }
    }

    /// The number of steps.
    pub(crate) fn len(&self) -> usize {
        self.floats.len()
    }

    /// Sets a float at a step that has no sample yet.
    pub(crate) fn set_float(&mut self, step: usize, value: f64) {
        self.floats[step] = value;
        self.present[step / 64] |= 1 << (step % 64);
    }

    /// Sets a histogram at a step that has no sample yet.
    pub(crate) fn set_histogram(&mut self, step: usize, value: Arc<FloatHistogram>) {
        let step = step as u32;
        match self.histograms.last() {
            Some((last, _)) if *last >= step => {
                let at = self.histograms.partition_point(|(s, _)| *s < step);
                self.histograms.insert(at, (step, value));
            }
            _ => self.histograms.push((step, value)),
        }
    }

    /// Sets a sample of either kind at a step that has none yet.
    pub(crate) fn set(&mut self, step: usize, sample: Sample) {
        match sample {
            Sample::Float(v) => self.set_float(step, v),
            Sample::Histogram(h) => self.set_histogram(step, h),
        }
    }

    /// Copies a sample of another column to a step that has none yet.
    pub(crate) fn copy(&mut self, step: usize, cell: Cell<'_>) {
        match cell {
            Cell::Float(v) => self.set_float(step, v),
            Cell::Histogram(h) => self.set_histogram(step, Arc::clone(h)),
        }
    }

    /// The float at a step.
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        (self.present[step / 64] >> (step % 64) & 1 == 1).then(|| self.floats[step])
    }

    /// The histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        if self.histograms.is_empty() {
            return None;
        }
        let at = self.histograms.binary_search_by_key(&(step as u32), |(s, _)| *s).ok()?;
        Some(&self.histograms[at].1)
    }

    /// The sample at a step.
    pub(crate) fn get(&self, step: usize) -> Option<Cell<'_>> {
        match self.float(step) {
            Some(v) => Some(Cell::Float(v)),
            None => self.histogram(step).map(Cell::Histogram),
        }
    }

    /// Whether any step has a histogram.
    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Whether any step has a float.
    pub(crate) fn has_floats(&self) -> bool {
        self.present.iter().any(|word| *word != 0)
    }

    /// Whether no step has a sample.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_histograms() && !self.has_floats()
    }

    /// The weight of the samples against the limit on samples: 1 for a float, more for a histogram, by its size.
    pub(crate) fn n_points(&self) -> u64 {
        let floats: u64 = self.present.iter().map(|word| u64::from(word.count_ones())).sum();
        floats + self.histograms.iter().map(|(_, h)| points(h)).sum::<u64>()
    }

    /// The memory that a column of so many steps takes without histograms, bytes.
    pub(crate) fn bytes_of(len: usize) -> u64 {
        (len + len.div_ceil(64)) as u64 * 8
    }

    /// The memory that the column takes, bytes; a histogram that neighbouring steps share counts once.
    pub(crate) fn bytes(&self) -> u64 {
        let mut bytes = Column::bytes_of(self.floats.len()) + size_of_val(self.histograms.as_slice()) as u64;
        let mut last: Option<&Arc<FloatHistogram>> = None;
        for (_, h) in &self.histograms {
            if !last.is_some_and(|last| Arc::ptr_eq(last, h)) {
                bytes += h.size_bytes() as u64;
            }
            last = Some(h);
        }
        bytes
    }

    /// The floats with their steps, ascending.
    pub(crate) fn floats(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.present.iter().enumerate().flat_map(move |(w, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some((w * 64 + bit, self.floats[w * 64 + bit]))
            })
        })
    }

    /// The floats in words of 64 steps: the first step of the word, a bitmap of the steps that have a float, and the
    /// floats of all its steps, meaningless where the bit is not set. Words without a float are left out.
    pub(crate) fn float_words(&self) -> impl Iterator<Item = (usize, u64, &[f64])> + '_ {
        let words = self.present.iter().zip(self.floats.chunks(64)).enumerate();
        words.map(|(w, (word, floats))| (w * 64, *word, floats)).filter(|(_, word, _)| *word != 0)
    }

    /// Replaces each float by `f` of it and the float of `other` at the same step; removes floats without a partner.
    #[inline(always)]
    pub(crate) fn zip_floats(&mut self, other: &Column, f: impl Fn(f64, f64) -> f64) {
        self.pair_words(other, |mine, theirs| {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a = f(*a, *b));
            !0
        });
    }

    /// Keeps those floats for which `keep` of it and the float of `other` at the same step is true.
    #[inline(always)]
    pub(crate) fn filter_floats(&mut self, other: &Column, keep: impl Fn(f64, f64) -> bool) {
        self.pair_words(other, |mine, theirs| {
            let bits = mine.iter().zip(theirs).enumerate();
            bits.fold(0, |word, (i, (a, b))| word | u64::from(keep(*a, *b)) << i)
        });
    }

    /// Calls `f` with the floats of both columns, 64 steps at a time, where both columns have any. Keeps the floats at the
    /// steps where both columns have one and the bit that `f` returns is set.
    #[inline(always)]
    fn pair_words(&mut self, other: &Column, f: impl Fn(&mut [f64], &[f64]) -> u64) {
        let mine = self.present.iter_mut().zip(self.floats.chunks_mut(64));
        let theirs = other.present.iter().zip(other.floats.chunks(64));
        for ((word, floats), (other_word, other_floats)) in mine.zip(theirs) {
            *word &= *other_word;
            if *word != 0 {
                *word &= f(floats, other_floats);
            }
        }
    }

    /// Replaces each float by `f` of it and the number at the same step. Does not change histograms.
    #[inline(always)]
    pub(crate) fn zip_numbers(&mut self, numbers: &[f64], f: impl Fn(f64, f64) -> f64) {
        for ((word, floats), numbers) in
            self.present.iter().zip(self.floats.chunks_mut(64)).zip(numbers.chunks(64))
        {
            if *word != 0 {
                floats.iter_mut().zip(numbers).for_each(|(v, n)| *v = f(*v, *n));
            }
        }
    }

    /// Keeps those floats for which `keep` of it and the number at the same step is true. Does not change histograms.
    #[inline(always)]
    pub(crate) fn filter_numbers(&mut self, numbers: &[f64], keep: impl Fn(f64, f64) -> bool) {
        for ((word, floats), numbers) in
            self.present.iter_mut().zip(self.floats.chunks(64)).zip(numbers.chunks(64))
        {
            let bits = floats.iter().zip(numbers).enumerate();
            *word &= bits.fold(0, |bits, (i, (v, n))| bits | u64::from(keep(*v, *n)) << i);
        }
    }

    /// Removes the histograms and returns them with their steps.
    pub(crate) fn take_histograms(&mut self) -> Vec<(u32, Arc<FloatHistogram>)> {
        std::mem::take(&mut self.histograms)
    }

    /// The histograms with their steps, ascending.
    pub(crate) fn histograms(&self) -> &[(u32, Arc<FloatHistogram>)] {
        &self.histograms
    }

    /// The histograms with their steps, ascending.
    pub(crate) fn into_histograms(self) -> Vec<(u32, Arc<FloatHistogram>)> {
        self.histograms
    }

    /// A bitmap of the steps that have a sample.
    pub(crate) fn presence(&self) -> Vec<u64> {
        let mut bits = self.present.clone();
        for (step, _) in &self.histograms {
            bits[*step as usize / 64] |= 1 << (step % 64);
        }
        bits
    }

    /// The first step that has a sample.
    pub(crate) fn first_step(&self) -> Option<usize> {
        let words = self.presence();
        let w = words.iter().position(|word| *word != 0)?;
        Some(w * 64 + words[w].trailing_zeros() as usize)
    }

    /// Keeps the samples at the steps whose bits are set (`keep`), or at the other steps. Missing words of `bits` count as 0.
    pub(crate) fn mask(&mut self, bits: &[u64], keep: bool) {
        let word = |w: usize| {
            let word = bits.get(w).copied().unwrap_or(0);
            if keep { word } else { !word }
        };
        self.present.iter_mut().enumerate().for_each(|(w, present)| *present &= word(w));
        self.histograms.retain(|(step, _)| word(*step as usize / 64) >> (step % 64) & 1 == 1);
    }

    /// Replaces each float by `f` of its step and itself, or removes it; removes all histograms.
    pub(crate) fn map_floats(&mut self, mut f: impl FnMut(usize, f64) -> Option<f64>) {
        self.histograms.clear();
        for w in 0..self.present.len() {
            let mut rest = self.present[w];
            while rest != 0 {
                let step = w * 64 + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                match f(step, self.floats[step]) {
                    Some(v) => self.floats[step] = v,
                    None => self.present[w] &= !(1 << (step % 64)),
                }
            }
        }
    }

    /// Adds the samples of `other`; returns `false` when both columns have a sample at one step.
    pub(crate) fn absorb(&mut self, other: &Column) -> bool {
        if self.present.iter().zip(&other.present).any(|(a, b)| a & b != 0) {
            return false;
        }
        if other.histograms.iter().any(|(s, _)| self.get(*s as usize).is_some())
            || self.histograms.iter().any(|(s, _)| other.float(*s as usize).is_some())
        {
            return false;
        }
        for (step, v) in other.floats() {
            self.set_float(step, v);
        }
        for (step, h) in &other.histograms {
            self.set_histogram(*step as usize, Arc::clone(h));
        }
        true
    }

    /// A column with the sample of the first step at each of `len` steps.
    pub(crate) fn spread(&self, len: usize) -> Column {
        let mut column = Column::new(len);
        if let Some(cell) = (!self.is_empty()).then(|| self.get(0)).flatten() {
            (0..len).for_each(|step| column.copy(step, cell));
        }
        column
    }
}

/// A series of an intermediate result.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The labels.
    pub(crate) labels: Labels,
    /// Whether the name is removed at the end of the query; matters with delayed name removal only.
    pub(crate) drop_name: bool,
    /// The samples.
    pub(crate) column: Column,
}

/// The memory that a label set takes, bytes, with the reference to it.
pub(crate) fn label_bytes(labels: &Labels) -> u64 {
    /// The reference counts of the shared buffer.
    const SHARED: usize = 16;
    (labels.bytes() + SHARED + size_of::<Labels>()) as u64
}

impl Row {
    /// The weight of the samples against the limit, and the bytes held. Labels count in each row, though rows may share
    /// them.
    pub(crate) fn held(&self) -> (u64, u64) {
        let bytes = self.column.bytes() + label_bytes(&self.labels) + size_of::<Column>() as u64;
        (self.column.n_points(), bytes)
    }
}

/// An intermediate result: rows in the order of evaluation. Rows without a sample may be left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// The series.
    pub(crate) rows: Vec<Row>,
}

/// The result of a node.
#[derive(Debug)]
pub(crate) enum Output {
    /// One number per step.
    Scalar(Vec<f64>),
    /// A text.
    Text(Box<[u8]>),
    /// Series.
    Frame(Frame),
}

impl Output {
    /// The weight of the samples against the limit, and the bytes held.
    pub(crate) fn held(&self) -> (u64, u64) {
        match self {
            Output::Scalar(values) => (values.len() as u64, values.len() as u64 * 8),
            Output::Text(_) => (0, 0),
            Output::Frame(frame) => frame.held(),
        }
    }

    /// The series; a scalar becomes a series without labels, a text none.
    pub(crate) fn into_frame(self) -> Frame {
        match self {
            Output::Frame(frame) => frame,
            Output::Scalar(values) => Frame::of_numbers(&values),
            Output::Text(_) => Frame::default(),
        }
    }
}

impl Frame {
    /// One series without labels that has a number at each step.
    pub(crate) fn of_numbers(values: &[f64]) -> Frame {
        let mut column = Column::new(values.len());
        column.set_floats(0, values.len(), values, 1);
        Frame { rows: vec![Row { labels: Labels::default(), drop_name: false, column }] }
    }

    /// The weight of the samples against the limit, and the bytes held.
    pub(crate) fn held(&self) -> (u64, u64) {
        self.rows.iter().map(Row::held).fold((0, 0), |(n, bytes), (m, more)| (n + m, bytes + more))
    }
}

/// The weight of a histogram against the limit on samples. Upstream: `HPoint.size` in `promql/value.go`.
pub(crate) fn points(h: &FloatHistogram) -> u64 {
    (h.size_bytes() as u64 + 8) / 16
}

/// The weight of the samples of a series against the limit on samples.
pub(crate) fn points_of(samples: &Samples) -> u64 {
    samples.floats.len() as u64 + samples.histograms.values.iter().map(points).sum::<u64>()
}

/// The labels without the ones that describe a metric: `__name__`, `__type__`, `__unit__`.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if !labels.iter().any(|(name, _)| is_metadata(name)) {
        return labels.clone();
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| !is_metadata(name)))
}

/// The labels without `__name__`.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    Labels::from_sorted(labels.iter().filter(|(name, _)| *name != b"__name__"))
}

/// Whether a label describes the metric rather than the series.
pub(crate) fn is_metadata(name: &[u8]) -> bool {
    matches!(name, b"__name__" | b"__type__" | b"__unit__")
}
