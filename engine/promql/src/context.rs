//! The state of one evaluation: its options, the memory it holds, the annotations so far, whether the caller still waits.
//! It knows no operator.

mod held;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::annotations::Notes;
use crate::budget::Charge;
use crate::error::QueryError;
use crate::frame::Column;
use crate::options::{EvalContext, Options};

pub(crate) use held::{Held, Peaks};

/// The state that all operators of one evaluation share, on all its threads.
pub(crate) struct Context<'a> {
    /// The options of the query.
    pub(crate) options: &'a Options,
    /// The threads of the evaluation, and the flag by which the caller cancels it.
    pub(crate) run: EvalContext<'a>,
    /// The samples and bytes held in memory.
    pub(crate) held: Held,
    notes: Mutex<Notes>,
}

impl<'a> Context<'a> {
    /// The state before the first operator.
    pub(crate) fn new(options: &'a Options, run: EvalContext<'a>, held: Held) -> Context<'a> {
        Context { options, run, held, notes: Mutex::default() }
    }

    /// The annotations so far.
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the caller no longer waits for the answer.
    pub(crate) fn check_cancelled(&self) -> Result<(), QueryError> {
        if self.run.is_cancelled() { Err(QueryError::Cancelled) } else { Ok(()) }
    }

    /// A charge of 0 bytes against the budget of the query, to grow later.
    pub(crate) fn empty_charge(&self) -> Charge {
        self.held.budget().empty_charge()
    }

    /// Charges for a column of so many steps while it is filled. Columns are counted when they are finished, so only
    /// long ones need this.
    pub(crate) fn reserve(&self, n_steps: usize) -> Result<Option<Charge>, QueryError> {
        /// About as many steps as a range query may have.
        const SHORT: usize = 16_384;
        if n_steps <= SHORT {
            return Ok(None);
        }
        self.check_cancelled()?;
        Ok(Some(self.held.budget().charge(Column::bytes_of(n_steps))?))
    }
}
