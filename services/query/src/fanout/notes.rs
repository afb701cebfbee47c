//! The warnings of all stores that one request asks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// No more warnings than this are kept; the others are counted.
const KEPT_MAX: usize = 1_000;

/// Longer warnings are cut to this many bytes: a warning may show the labels of a series.
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

    /// Takes out the warnings so far.
    pub(crate) fn take(&self) -> Vec<String> {
        let List { mut texts, omitted, .. } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if omitted > 0 {
            texts.push(format!("{omitted} more warnings omitted"));
        }
        texts
    }
}
