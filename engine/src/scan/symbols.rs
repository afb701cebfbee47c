//! Joins the strings of several blocks into one ascending table, and maps each block's strings to it.

use std::sync::Arc;

use tithon_index::{IndexError, IndexHeader, Labels, SymbolRef};

use super::batch::Pair;

/// The strings of all blocks, ascending, each once; unused strings are kept, as upstream does.
pub(crate) struct SymbolUnion<'h> {
    pub(crate) texts: Vec<&'h [u8]>,
}

/// Maps a block's own numbers of strings to the shared numbers.
#[derive(Debug)]
pub(crate) struct SymbolMap {
    /// The block's references, if they differ from its numbers: in version 1.
    refs: Vec<u32>,
    shared: Vec<u32>,
    empty: Option<SymbolRef>,
}

impl<'h> SymbolUnion<'h> {
    /// Merges the tables; also returns a map for each block.
    pub(crate) fn new(headers: &[&'h Arc<IndexHeader>]) -> (SymbolUnion<'h>, Vec<SymbolMap>) {
        let mut tables: Vec<_> = headers.iter().map(|h| h.symbols().refs().peekable()).collect();
        let map = |h: &&Arc<IndexHeader>| {
            let shared = Vec::with_capacity(h.symbols().len());
            SymbolMap { refs: Vec::new(), shared, empty: None }
        };
        let mut maps: Vec<SymbolMap> = headers.iter().map(map).collect();
        let mut texts: Vec<&[u8]> = Vec::new();
        while let Some(least) = tables.iter_mut().filter_map(|t| t.peek().map(|(_, text)| *text)).min() {
            for ((table, map), header) in tables.iter_mut().zip(&mut maps).zip(headers) {
                while let Some((symbol, _)) = table.next_if(|(_, text)| *text == least) {
                    if header.version() == 1 {
                        map.refs.push(symbol.0);
                    }
                    map.shared.push(texts.len() as u32);
                }
            }
            texts.push(least);
        }
        let empty = texts.first().is_some_and(|text| text.is_empty()).then_some(SymbolRef(0));
        maps.iter_mut().for_each(|map| map.empty = empty);
        (SymbolUnion { texts }, maps)
    }

    /// The label set with these numbers.
    pub(crate) fn labels(&self, pairs: &[Pair]) -> Labels {
        let text = |symbol: SymbolRef| self.texts[symbol.0 as usize];
        Labels::from_sorted(pairs.iter().map(|(name, value)| (text(*name), text(*value))))
    }
}

impl SymbolMap {
    /// The shared number of one of the block's strings.
    pub(crate) fn get(&self, symbol: SymbolRef) -> Result<SymbolRef, IndexError> {
        let place = if self.refs.is_empty() {
            Some(symbol.0 as usize)
        } else {
            self.refs.binary_search(&symbol.0).ok()
        };
        let shared = place.and_then(|i| self.shared.get(i)).copied().map(SymbolRef);
        shared.ok_or(IndexError::NoSymbol { symbol: symbol.0, symbols: self.shared.len() as u32 })
    }

    /// The shared number of the empty string.
    pub(crate) fn empty(&self) -> Option<SymbolRef> {
        self.empty
    }
}
