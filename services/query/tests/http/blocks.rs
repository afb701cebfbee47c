//! A store over block directories, a small stand-in for the store that the program gives to a querier.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use futures::future::FutureExt;
use futures::stream::StreamExt;
use tithon_chunks::{EncodedChunk, ErrorKind, TimeRange};
use tithon_engine::{Block, LabelRequest, LabelsRequest, SelectRequest, SelectedSeries, SeriesRequest};
use tithon_index::{Labels, Matcher, Texts};
use tithon_storeapi::{
    LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo,
};

type AnyError = Box<dyn Error + Send + Sync>;

/// Blocks whose external labels belong to every series.
pub(crate) struct Blocks(Vec<Arc<Block>>);

impl Blocks {
    /// Opens the blocks in the directories, each a block or a folder of blocks.
    pub(crate) fn open(dirs: &[&str]) -> Blocks {
        let mut blocks = Vec::new();
        for dir in dirs {
            let dir = tithon_testdata::shared(dir);
            if dir.join("meta.json").exists() {
                blocks.push(open(&dir));
                continue;
            }
            for entry in std::fs::read_dir(&dir).expect("a folder of blocks") {
                blocks.push(open(&entry.expect("an entry").path()));
            }
        }
        Blocks(blocks)
    }
}

fn open(dir: &Path) -> Arc<Block> {
    Arc::new(Block::open(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())))
}

/// The matchers on labels that are not external, or nothing if an external label contradicts a matcher.
fn inner_matchers(external: &Labels, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let mut inner = Vec::new();
    for matcher in matchers {
        match external.get(matcher.name()) {
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
            None => inner.push(matcher.clone()),
        }
    }
    Some(inner)
}

/// The time range of a block, both ends inclusive.
fn range(block: &Block) -> TimeRange {
    TimeRange::new(block.meta().min_time, block.meta().max_time - 1)
}

fn touches(block: &Block, asked: TimeRange) -> bool {
    range(block).min <= asked.max && asked.min <= range(block).max
}

impl Blocks {
    /// For each external label set, the blocks of the coarsest resolution that is allowed.
    fn of_resolution(&self, window: i64) -> Vec<&Arc<Block>> {
        let best = |block: &Block| {
            let same = self.0.iter().filter(|b| b.external_labels() == block.external_labels());
            same.map(|b| b.meta().resolution_ms()).filter(|r| *r <= window).max().unwrap_or(0)
        };
        self.0.iter().filter(|block| block.meta().resolution_ms() == best(block)).collect()
    }
}

impl Blocks {
    fn select(&self, request: &SeriesRequest) -> Result<Vec<SelectedSeries>, AnyError> {
        let mut streams = Vec::new();
        for block in self.of_resolution(request.max_resolution_ms) {
            let external = block.external_labels();
            let Some(matchers) = inner_matchers(&external, &request.matchers) else { continue };
            if !touches(block, request.range) {
                continue;
            }
            let select = SelectRequest {
                skip_chunks: request.skip_chunks,
                ..SelectRequest::new(matchers, request.range)
            };
            let mut series = Vec::new();
            for batch in block.select(select) {
                for one in batch?.series {
                    let mut builder = one.labels.to_builder();
                    for (name, value) in external.iter() {
                        builder.set(name, value);
                    }
                    let chunks: Vec<EncodedChunk> = one.chunks;
                    series.push(SelectedSeries {
                        labels: builder.finish().without(&request.without_labels),
                        chunks,
                    });
                }
            }
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            streams.push(series);
        }
        Ok(tithon_engine::merge(streams).collect())
    }

    fn find(&self, request: &LabelsRequest) -> Result<Texts, AnyError> {
        let mut found = std::collections::BTreeSet::new();
        for block in &self.0 {
            let external = block.external_labels();
            let Some(matchers) = inner_matchers(&external, &request.matchers) else { continue };
            if !touches(block, request.range) {
                continue;
            }
            let hidden = |name: &[u8]| request.is_without(name);
            let own = LabelRequest {
                values_of: request.values_of.clone(),
                matchers,
                range: range(block),
                limit: 0,
            };
            match &request.values_of {
                Some(name) if external.get(name).is_some() => {
                    // Any matching series carries the external value, so one is enough.
                    let any = LabelRequest { values_of: None, limit: 1, ..own };
                    if !hidden(name) && !block.labels(any)?.is_empty() {
                        found.extend(external.get(name).map(<[u8]>::to_vec));
                    }
                }
                Some(_) => found.extend(block.labels(own)?.iter().map(<[u8]>::to_vec)),
                None => {
                    let names = block.labels(own)?;
                    if !names.is_empty() {
                        found.extend(external.iter().map(|(n, _)| n.to_vec()).filter(|n| !hidden(n)));
                    }
                    found.extend(names.iter().map(<[u8]>::to_vec));
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

fn failed(error: AnyError) -> StoreApiError {
    StoreApiError::new(ErrorKind::Aborted, error)
}

impl StoreApi for Blocks {
    fn name(&self) -> String {
        "blocks".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        Some(StoreInfo::new("store", TimeRange::ALL))
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let series = self.select(&request).map_err(failed).map(|mut series| {
            if let Some(shard) = &request.shard {
                series.retain(|one| shard.holds(&one.labels, &mut Vec::new()));
            }
            SeriesPart::Series(tithon_engine::SeriesBatch { series })
        });
        futures::stream::iter([series]).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let found = self.find(&request).map_err(failed);
        let answer = found.map(|found| LabelsAnswer { found, ..LabelsAnswer::default() });
        std::future::ready(answer).boxed()
    }
}
