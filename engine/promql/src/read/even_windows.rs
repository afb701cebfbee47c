//! Windows over samples at equal distances: where one window is known, so are those of the next steps.

use super::reference::Reference;
use crate::frame::Steps;
use crate::kernel;

/// Finds steps whose windows hold as many samples as the window before, each a fixed number of samples later.
pub(crate) struct EvenWindows<'a> {
    times: &'a [i64],
    /// The distance of the times read; 0 when all steps read one time.
    interval: i64,
    /// A run of samples at equal distances.
    run: Run,
}

/// Samples at equal distances.
#[derive(Clone, Copy, Default)]
struct Run {
    /// The first sample.
    start: usize,
    /// One past the last sample.
    end: usize,
    /// The distance, milliseconds.
    delta: i64,
}

impl<'a> EvenWindows<'a> {
    /// Takes the times of the samples, and the steps at which the windows are read.
    pub(crate) fn new(times: &'a [i64], reference: Reference, steps: &Steps) -> EvenWindows<'a> {
        let interval = if reference.is_fixed() { 0 } else { steps.interval };
        EvenWindows { times, interval, run: Run::default() }
    }

    /// How many of the windows that follow the one with the samples `from..to` hold as many samples at the same distances
    /// from their ends, and by how many samples each window lies after the one before.
    ///
    /// The sample before the window and the one after the last of these windows belong to the run too, so no other
    /// sample can lie in any of them.
    pub(crate) fn after(&mut self, from: usize, to: usize) -> Option<(usize, usize)> {
        let before = from.checked_sub(1)?;
        if before < self.run.start || to >= self.run.end {
            self.find_run(before)?;
        }
        let Run { end, delta, .. } = self.run;
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
        let end = first + kernel::evenly_spaced(&self.times[first..], delta);
        self.run = Run { start: first, end, delta };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::AtModifier;

    fn after(times: &[i64], interval: i64, from: usize, to: usize) -> Option<(usize, usize)> {
        let steps = Steps::new(0, 1_000, interval);
        EvenWindows::new(times, Reference::new(AtModifier::None, 0), &steps).after(from, to)
    }

    #[test]
    fn windows_move_on_by_a_stride_until_the_run_ends() {
        let times = [0, 10, 20, 30, 40, 50, 60, 75];
        assert_eq!(after(&times, 10, 1, 3), Some((3, 1)));
        assert_eq!(after(&times, 20, 1, 3), Some((1, 2)));
        // Steps between samples, a window without a sample before it, a window at the end of the run.
        assert_eq!(after(&times, 15, 1, 3), None);
        assert_eq!(after(&times, 10, 0, 3), None);
        assert_eq!(after(&times, 10, 5, 7), None);
    }
}
