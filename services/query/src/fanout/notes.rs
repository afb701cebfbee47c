//! The warnings that the stores of one request cause.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Number of warnings that are kept; the others are only counted.
const KEPT_MAX: usize = 1_000;

/// Longest warning in bytes; longer ones are cut, because a warning may contain the labels of a series.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// A list of warnings; clones share it. Equal texts are kept once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    texts: Vec<String>,
    known: HashSet<String>,
    omitted: usize,
}

impl Notes {
    pub(crate) fn push(&self, text: impl Into<String>) {
        let mut text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            text.push_str("...");
        }
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.known.contains(&text) {
            return;
        }
        if list.texts.len() == KEPT_MAX {
            list.omitted += 1;
            return;
        }
        list.known.insert(text.clone());
        list.texts.push(text);
    }

    /// Takes the warnings out of the list.
    pub(crate) fn take(&self) -> Vec<String> {
        let List { mut texts, omitted, .. } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if omitted > 0 {
            texts.push(format!("{omitted} more warnings omitted"));
        }
        texts
    }
}
