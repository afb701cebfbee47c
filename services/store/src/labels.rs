//! Label names and values of all blocks. Thanos `pkg/store/bucket.go`, `LabelNames` and `LabelValues`.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use tithon_bucket::BucketBlock;
use tithon_chunks::TimeRange;
use tithon_engine::{BlockId, LabelRequest, LabelStep};
use tithon_index::{Labels, METRIC_NAME, MatchOp, Matcher};
use tithon_runtime::Priority;

use crate::external::{block_matches, left_to_series};
use crate::{LabelsRequest, Store, StoreError};

/// Blocks that one call asks at the same time: each holds its names or values, and its matchers, until they are joined.
const BLOCKS_AT_ONCE: usize = 32;

/// Label names or values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelAnswer {
    /// Ascending, each once.
    pub found: Vec<Vec<u8>>,
    /// The blocks that were asked.
    pub queried: Vec<BlockId>,
    /// Blocks that could not be read.
    pub warnings: Vec<String>,
}

/// A block that is asked, with the matchers that are left to its series.
struct Asked {
    block: Arc<BucketBlock>,
    external: Labels,
    matchers: Vec<Matcher>,
}

impl Store {
    /// Names of the labels of matching series, external ones included. Without matchers those of whole blocks.
    pub async fn label_names(&self, request: LabelsRequest) -> Result<LabelAnswer, StoreError> {
        let request = &request;
        let without = move |name: &[u8]| request.without_labels.iter().any(|w| w.as_bytes() == name);
        let ask = |asked: Asked| async move {
            let by_series = !asked.matchers.is_empty();
            let mut names = self.ask(&asked, None, asked.matchers.clone(), &request_of(request, 0)).await?;
            if by_series && names.is_empty() {
                return Ok(names);
            }
            if by_series {
                names.retain(|name| !without(name));
            }
            names.extend(asked.external.iter().map(|(name, _)| name.to_vec()).filter(|name| !without(name)));
            Ok(names)
        };
        self.ask_all(request, ask).await
    }

    /// Values that a label has in matching series, external ones included. Without matchers those of whole blocks.
    pub async fn label_values(
        &self,
        label: &[u8],
        request: LabelsRequest,
    ) -> Result<LabelAnswer, StoreError> {
        if request.without_labels.iter().any(|w| w.as_bytes() == label) {
            return Ok(LabelAnswer::default());
        }
        let request = &request;
        let ask = |asked: Asked| async move {
            let own = asked.external.get(label).map(<[u8]>::to_vec);
            let mut matchers = asked.matchers.clone();
            let part = request_of(request, request.limit);
            let values = match own {
                Some(own) if !matchers.is_empty() => {
                    let names = self.ask(&asked, None, matchers, &request_of(request, 1)).await?;
                    if names.is_empty() { Vec::new() } else { vec![own] }
                }
                own => {
                    let named = |m: &Matcher| m.op() == MatchOp::Equal && m.name() == METRIC_NAME;
                    if !matchers.is_empty() && !matchers.iter().any(named) {
                        let present = Matcher::new(MatchOp::NotEqual, label, "");
                        matchers.extend(present);
                    }
                    let mut values = self.ask(&asked, Some(label.to_vec()), matchers, &part).await?;
                    values.extend(own);
                    values
                }
            };
            Ok(values)
        };
        self.ask_all(request, ask).await
    }

    /// Asks every block that the request concerns, some at a time, and joins the answers.
    async fn ask_all<F>(
        &self,
        request: &LabelsRequest,
        ask: impl Fn(Asked) -> F,
    ) -> Result<LabelAnswer, StoreError>
    where
        F: Future<Output = Result<Vec<Vec<u8>>, StoreError>>,
    {
        let blocks = self.inner.blocks.load_full();
        let mut answer = LabelAnswer::default();
        let mut concerned = Vec::new();
        for (external, group) in &blocks.groups {
            let Some(matchers) = left_to_series(&request.matchers, external) else { continue };
            let matchers = Arc::new(matchers);
            for block in group.all() {
                let (meta, range) = (block.meta(), request.range);
                let overlaps = meta.min_time <= range.max.0 && range.min.0 < meta.max_time;
                if overlaps && block_matches(&request.block_matchers, external, block.id()) {
                    answer.queried.push(block.id());
                    if !block.may_match(&matchers) {
                        self.inner.metrics.blocks_filtered.inc();
                        continue;
                    }
                    concerned.push((Arc::clone(block), external.clone(), Arc::clone(&matchers)));
                }
            }
        }
        let mut found = BTreeSet::new();
        let faults = blocks.faulty.iter().filter(|(_, f)| f.meta.range().overlaps(request.range));
        let faults = faults.map(|(id, f)| StoreError::NotServed { block: *id, reason: f.reason.clone() });
        let mut join = |result: Result<Vec<Vec<u8>>, StoreError>| {
            match result {
                Ok(values) => found.extend(values),
                Err(error) if request.abort_on_fault || !error.spares_other_blocks() => return Err(error),
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), error = %error, "block left out of an answer");
                    answer.warnings.push(error.to_string());
                }
            }
            Ok(())
        };
        faults.map(Err).try_for_each(&mut join)?;
        for some in concerned.chunks(BLOCKS_AT_ONCE) {
            let asking = some.iter().map(|(block, external, matchers)| {
                let (block, external) = (Arc::clone(block), external.clone());
                ask(Asked { block, external, matchers: matchers.to_vec() })
            });
            join_all(asking).await.into_iter().try_for_each(&mut join)?;
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        answer.found = found.into_iter().take(limit).collect();
        Ok(answer)
    }

    /// Asks one block: names, or the values of a label.
    async fn ask(
        &self,
        asked: &Asked,
        values_of: Option<Vec<u8>>,
        matchers: Vec<Matcher>,
        part: &LabelRequest,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut select = asked.block.select_labels(LabelRequest { values_of, matchers, ..part.clone() });
        let mut fetched = Vec::new();
        loop {
            let given = std::mem::take(&mut fetched);
            let step = self.inner.cpu.run(Priority::Query, move || {
                let step = select.step(given);
                (select, step)
            });
            let (same, step) = step.await?;
            select = same;
            match step? {
                LabelStep::Fetch(ranges) => fetched = asked.block.fetch(&ranges).await?,
                LabelStep::Done(found) => return Ok(found),
            }
        }
    }
}

fn request_of(request: &LabelsRequest, limit: usize) -> LabelRequest {
    let range = if request.whole_blocks { TimeRange::ALL } else { request.range };
    LabelRequest { values_of: None, matchers: Vec::new(), range, limit }
}
