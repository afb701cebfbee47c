//! The mean of native histograms.

use tithon_chunks::{FloatHistogram, HistogramError};

/// The mean of histograms added one by one: a sum until it would overflow, then an incremental mean.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    sum: FloatHistogram,
    lost: Option<FloatHistogram>,
    n: f64,
    incremental: bool,
    /// Whether custom bounds were reconciled at the last addition or before.
    pub(crate) reconciled: bool,
}

impl HistogramMean {
    /// The mean of one histogram.
    pub(crate) fn of(first: &FloatHistogram) -> HistogramMean {
        HistogramMean { sum: first.clone(), lost: None, n: 1.0, incremental: false, reconciled: false }
    }

    /// Adds a histogram.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Result<(), HistogramError> {
        self.n += 1.0;
        let n = self.n;
        if !self.incremental {
            let (mut sum, mut lost) = (self.sum.clone(), self.lost.clone());
            self.reconciled |= sum.kahan_add(h, &mut lost)?.bounds_reconciled;
            if !sum.has_overflow() {
                (self.sum, self.lost) = (sum, lost);
                return Ok(());
            }
            self.incremental = true;
            self.sum.div(n - 1.0);
            if let Some(lost) = &mut self.lost {
                lost.div(n - 1.0);
            }
        }
        let q = (n - 1.0) / n;
        if let Some(lost) = &mut self.lost {
            lost.mul(q);
        }
        let mut part = h.clone();
        part.div(n);
        self.sum.mul(q);
        self.reconciled |= self.sum.kahan_add(&part, &mut self.lost)?.bounds_reconciled;
        Ok(())
    }

    /// The mean; not compacted.
    pub(crate) fn finish(mut self) -> Result<FloatHistogram, HistogramError> {
        if !self.incremental {
            self.sum.div(self.n);
            if let Some(lost) = &mut self.lost {
                lost.div(self.n);
            }
        }
        if let Some(lost) = &self.lost {
            self.sum.add(lost)?;
        }
        Ok(self.sum)
    }
}
