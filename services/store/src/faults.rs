//! What is wrong with blocks of one request: a warning, or the end of the answer.

use tithon_index::Labels;

use crate::StoreError;

/// The faults that a request met so far.
pub(crate) struct Faults {
    partial: bool,
    /// Faults of series, by the labels that the series are sent with: told when the answer comes to these.
    of_series: Vec<(Labels, StoreError)>,
    warnings: Vec<String>,
}

impl Faults {
    /// No faults yet; `partial` says whether they may cost a warning only.
    pub(crate) fn new(partial: bool) -> Faults {
        Faults { partial, of_series: Vec::new(), warnings: Vec::new() }
    }

    /// Makes a warning of a fault where the request and the fault allow it.
    pub(crate) fn tolerate(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !self.partial || !error.spares_other_blocks() {
            return Err(error);
        }
        self.warnings.push(error.to_string());
        Ok(())
    }

    /// Keeps a fault until the answer comes to the series with these labels: a limit may end the answer before.
    pub(crate) fn keep(&mut self, labels: Labels, error: StoreError) {
        self.of_series.push((labels, error));
    }

    /// Tells of the faults that were kept for a series.
    pub(crate) fn reached(&mut self, labels: &Labels) -> Result<(), StoreError> {
        while let Some(i) = self.of_series.iter().position(|(at, _)| at == labels) {
            let (_, error) = self.of_series.swap_remove(i);
            self.tolerate(error)?;
        }
        Ok(())
    }

    /// The warnings since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}
