//! Collects the faults of one request's blocks: each becomes a warning or ends the answer.

use tithon_index::Labels;

use crate::StoreError;

/// The faults that a request has met so far.
pub(crate) struct Faults {
    partial: bool,
    /// Faults of single series, by the labels that the series are sent with; reported when the answer reaches these
    /// labels.
    of_series: Vec<(Labels, StoreError)>,
    warnings: Vec<String>,
}

impl Faults {
    /// No faults yet; `partial` says whether a fault may become a warning.
    pub(crate) fn new(partial: bool) -> Faults {
        Faults { partial, of_series: Vec::new(), warnings: Vec::new() }
    }

    /// Makes a warning of a fault if the request and the kind of fault allow it, else returns the fault.
    pub(crate) fn tolerate(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !self.partial || !error.spares_other_blocks() {
            return Err(error);
        }
        self.warnings.push(error.to_string());
        Ok(())
    }

    /// Keeps a fault until the answer reaches these labels; a limit may end the answer before.
    pub(crate) fn keep(&mut self, labels: Labels, error: StoreError) {
        self.of_series.push((labels, error));
    }

    /// Reports the faults kept for the series with these labels.
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
