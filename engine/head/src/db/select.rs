//! Selections from head and blocks together.

use std::sync::Arc;

use tithon_engine::{
    Block, BlockError, Merge, MergeStep, Select, SelectRequest, SelectedSeries, SeriesBatch, Step,
};

use super::{Db, View};
use crate::select::HeadSelect;

/// Series that are taken from the head at once.
const HEAD_SERIES: usize = 256;

/// Series of a data directory in label order. As long as it is there, the head keeps what it reads.
pub struct DbSelect {
    view: Arc<View>,
    merge: Merge,
    sources: Vec<Source>,
    /// How many series may still come.
    left: usize,
}

enum Source {
    Block(Arc<Block>, Box<Select>),
    Head(HeadSelect),
}

impl Db {
    /// Selects series of head and blocks.
    pub fn select(&self, request: SelectRequest) -> DbSelect {
        let view = self.view();
        let left = if request.limit == 0 { usize::MAX } else { request.limit };
        let request = SelectRequest { limit: 0, ..request };
        let blocks = view.blocks.iter().filter(|block| block.meta().range().overlaps(request.range));
        let mut sources: Vec<Source> = blocks
            .map(|block| {
                let (header, tombstones) = (Arc::clone(block.header()), Arc::clone(block.tombstones()));
                let select = Select::new(block.meta(), header, tombstones, request.clone());
                Source::Block(Arc::clone(block), Box::new(select))
            })
            .collect();
        let head = SelectRequest { range: view.of_head(request.range), ..request };
        if !head.range.is_empty() {
            sources.push(Source::Head(self.head().select(&head)));
        }
        DbSelect { view, merge: Merge::new(sources.len()), sources, left }
    }
}

impl DbSelect {
    /// The blocks whose mapped files chunks may be slices of.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.view.blocks
    }

    /// The next series, `n` at the most; `None` at the end.
    pub fn next_batch(&mut self, n: usize) -> Result<Option<SeriesBatch>, BlockError> {
        let mut batch = SeriesBatch::default();
        while batch.series.len() < n.min(self.left) {
            match self.merge.step() {
                MergeStep::Series(series) => batch.series.push(series),
                MergeStep::Need(i) => match self.sources[i].next()? {
                    series if series.is_empty() => self.merge.end(i),
                    series => self.merge.feed(i, series),
                },
                MergeStep::Done => break,
            }
        }
        self.left -= batch.series.len();
        Ok((!batch.series.is_empty()).then_some(batch))
    }
}

impl Source {
    /// The next series; none at the end.
    fn next(&mut self) -> Result<Vec<SelectedSeries>, BlockError> {
        let (block, select) = match self {
            Source::Block(block, select) => (block, select),
            Source::Head(select) => return Ok(select.next_batch(HEAD_SERIES)),
        };
        let mut fetched = Vec::new();
        loop {
            let step = select.step(std::mem::take(&mut fetched));
            block.check()?;
            match step? {
                Step::Fetch(ranges) => fetched = block.read(&ranges)?,
                Step::Batch(batch) if batch.series.is_empty() => {}
                Step::Batch(batch) => return Ok(batch.series),
                Step::Done => return Ok(Vec::new()),
            }
        }
    }
}
