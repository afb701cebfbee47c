//! Windows that move along samples at equal distances: where one of them is known, so are those of the next steps.

use crate::frame::Steps;
use crate::kernel;
use crate::ops::selector::Reference;

/// Finds steps whose windows hold samples at the same places as the step before.
pub(crate) struct Alike<'a> {
    times: &'a [i64],
    /// The distance of the times read; 0 when all steps read one time.
    interval: i64,
    /// Samples at equal distances: the first one, behind the last one, the distance.
    run: (usize, usize, i64),
}

impl<'a> Alike<'a> {
    /// For windows over samples at `times`, read at `steps`.
    pub(crate) fn new(times: &'a [i64], reference: Reference, steps: &Steps) -> Alike<'a> {
        let interval = if reference.is_fixed() { 0 } else { steps.interval };
        Alike { times, interval, run: (0, 0, 0) }
    }

    /// How many windows after the one that holds `from..to` hold as many samples at the same distances from their ends,
    /// and by how many samples each lies further on.
    ///
    /// With the sample before the window, and one behind the last of them, among samples at equal distances no other
    /// can come in.
    pub(crate) fn after(&mut self, from: usize, to: usize) -> Option<(usize, usize)> {
        let before = from.checked_sub(1)?;
        let (start, end, _) = self.run;
        if before < start || to >= end {
            self.find_run(before)?;
        }
        let (_, end, delta) = self.run;
        let stride = usize::try_from(self.interval / delta).ok()?;
        let n = end.checked_sub(to + 1)? / stride;
        (n > 0).then_some((n, stride))
    }

    /// Looks for samples at equal distances from `first` on, if windows move by a multiple of the distance.
    fn find_run(&mut self, first: usize) -> Option<()> {
        let delta = self.times.get(first + 1)?.checked_sub(self.times[first])?;
        if delta <= 0 || self.interval < delta || self.interval % delta != 0 {
            return None;
        }
        self.run = (first, first + kernel::regular(&self.times[first..], delta), delta);
        Some(())
    }
}
