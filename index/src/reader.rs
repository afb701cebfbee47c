//! A whole index in memory or mapped: series and postings straight from its bytes.

use bytes::Bytes;
use tithon_chunks::TimeRange;

use crate::header::slice;
use crate::{IndexError, IndexHeader, Matcher, Postings, PostingsPlan, SeriesEntry, SeriesRef};

/// An index of version 1, 2 or 3, borrowed from the bytes of its file.
#[derive(Clone, Debug)]
pub struct IndexReader {
    index: Bytes,
    header: IndexHeader,
}

impl IndexReader {
    /// Opens the bytes of an index file. Verifies the table of contents, the symbols and the postings offset table;
    /// each list and each entry is verified when it is read.
    pub fn open(index: Bytes) -> Result<IndexReader, IndexError> {
        let header = IndexHeader::from_index(&index)?;
        Ok(IndexReader { index, header })
    }

    /// The resident part.
    pub fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// The file.
    pub fn bytes(&self) -> &Bytes {
        &self.index
    }

    /// Series that match all matchers, at most `limit` (0: all of them).
    pub fn postings(&self, matchers: &[Matcher], limit: usize) -> Result<Postings, IndexError> {
        let plan = PostingsPlan::new(&self.header, matchers, limit)?;
        let fetched = plan
            .ranges()
            .iter()
            .map(|range| slice(&self.index, range.clone(), "postings list"))
            .collect::<Result<Vec<_>, _>>()?;
        plan.resolve(&fetched)
    }

    /// Fills `entry` with a series and those of its chunks that share a millisecond with `range`.
    pub fn series(
        &self,
        series: SeriesRef,
        range: TimeRange,
        entry: &mut SeriesEntry,
    ) -> Result<(), IndexError> {
        let offset = self.header.series_offset(series);
        let bytes = usize::try_from(offset).ok().and_then(|offset| self.index.get(offset..));
        entry.decode(bytes.unwrap_or_default(), offset, range)?;
        Ok(())
    }
}
