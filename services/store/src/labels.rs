//! Label names and values of all blocks. Thanos `pkg/store/bucket.go`, `LabelNames` and `LabelValues`.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tithon_bucket::BucketBlock;
use tithon_chunks::TimeRange;
use tithon_engine::{LabelRequest, LabelStep, LabelsRequest, left_to_series};
use tithon_index::{Labels, METRIC_NAME, MatchOp, Matcher, Texts};
use tithon_runtime::Priority;
use tithon_storeapi::LabelsAnswer;

use crate::drive::Budget;
use crate::external::block_matches;
use crate::matchers;
use crate::memory::Call;
use crate::select::count_drop;
use crate::{Store, StoreError};

/// Number of blocks that one call asks at the same time; each holds its result and matchers until they are merged.
const BLOCKS_AT_ONCE: usize = 32;

/// A block to ask, with the matchers that its series must satisfy.
struct Asked {
    block: Arc<BucketBlock>,
    external: Labels,
    matchers: Vec<Matcher>,
    budget: Arc<Budget>,
    call: Arc<Call>,
}

impl Store {
    /// Label names, or the values of a label, as the request says.
    pub(crate) async fn find_labels(&self, request: LabelsRequest) -> Result<LabelsAnswer, StoreError> {
        match request.values_of.clone() {
            None => self.label_names(request).await,
            Some(label) if request.is_without(&label) => Ok(LabelsAnswer::default()),
            Some(label) => self.label_values(&label, request).await,
        }
    }

    /// Names of the labels of matching series, external ones included; without matchers, the names in whole blocks.
    async fn label_names(&self, request: LabelsRequest) -> Result<LabelsAnswer, StoreError> {
        let request = &self.prepared(request).await?;
        let without = |name: &[u8]| request.is_without(name);
        let ask = |asked: Asked| async move {
            let by_series = !asked.matchers.is_empty();
            let mut names = self.ask(&asked, None, asked.matchers.clone(), &request_of(request, 0)).await?;
            if by_series && names.is_empty() {
                return Ok(names);
            }
            if by_series {
                names = names.iter().filter(|name| !without(name)).collect();
            }
            let external = asked.external.iter().map(|(name, _)| name).filter(|name| !without(name));
            Ok(names.union(external.collect()))
        };
        self.ask_all(request, ask).await
    }

    /// Values of a label in matching series, external ones included; without matchers, the values in whole blocks.
    async fn label_values(&self, label: &[u8], request: LabelsRequest) -> Result<LabelsAnswer, StoreError> {
        let request = &self.prepared(request).await?;
        let ask = |asked: Asked| async move {
            let own = asked.external.get(label);
            let mut matchers = asked.matchers.clone();
            let part = request_of(request, request.limit);
            let values = match own {
                Some(own) if !matchers.is_empty() => {
                    let names = self.ask(&asked, None, matchers, &request_of(request, 1)).await?;
                    if names.is_empty() { Texts::default() } else { Texts::from_iter([own]) }
                }
                own => {
                    let named = |m: &Matcher| m.op() == MatchOp::Equal && m.name() == METRIC_NAME;
                    if !matchers.is_empty() && !matchers.iter().any(named) {
                        let present = Matcher::new(MatchOp::NotEqual, label, "");
                        matchers.extend(present);
                    }
                    let values = self.ask(&asked, Some(label.to_vec()), matchers, &part).await?;
                    values.union(own.into_iter().collect())
                }
            };
            Ok(values)
        };
        self.ask_all(request, ask).await
    }

    /// Removes repeated matchers and checks the budget of patterns, on the CPU pool.
    async fn prepared(&self, mut request: LabelsRequest) -> Result<LabelsRequest, StoreError> {
        let prepare = move || {
            matchers::normalise(&mut request.matchers)?;
            matchers::normalise(&mut request.block_matchers)?;
            Ok(request)
        };
        self.inner.cpu.run(Priority::Query, prepare).await?
    }

    /// Asks all blocks that may have matching series, some at a time, and merges their results.
    async fn ask_all<F>(
        &self,
        request: &LabelsRequest,
        ask: impl Fn(Asked) -> F,
    ) -> Result<LabelsAnswer, StoreError>
    where
        F: Future<Output = Result<Texts, StoreError>>,
    {
        let blocks = self.inner.blocks.load_full();
        let (mut answer, mut queried) = (LabelsAnswer::default(), Vec::new());
        let mut concerned = Vec::new();
        let options = &self.inner.options;
        let budget = Arc::new(Budget::new(options.request_series_max, 0, options.downloaded_bytes_max));
        let begun = self.inner.memory.begin().await;
        let call = Arc::new(begun.inspect_err(|error| count_drop(&self.inner, error, &request.tenant))?);
        for (external, group) in &blocks.groups {
            let Some(matchers) = left_to_series(&request.matchers, external) else { continue };
            let matchers = Arc::new(matchers);
            for block in group.all() {
                let (meta, range) = (block.meta(), request.range);
                let overlaps = meta.min_time <= range.max.0 && range.min.0 < meta.max_time;
                if overlaps && block_matches(&request.block_matchers, external, block.id()) {
                    queried.push(block.id());
                    if !block.may_match(&matchers, &self.inner) {
                        self.inner.metrics.blocks_filtered.inc();
                        continue;
                    }
                    concerned.push((Arc::clone(block), external.clone(), Arc::clone(&matchers)));
                }
            }
        }
        let mut found = Unions::default();
        let faults = blocks.faulty.iter().filter(|(_, f)| f.meta.range().overlaps(request.range));
        let faults = faults.map(|(id, f)| StoreError::NotServed { block: *id, reason: f.reason.clone() });
        let asking = stream::iter(concerned).map(|(block, external, matchers)| {
            let (matchers, budget, ask) = (matchers.to_vec(), Arc::clone(&budget), &ask);
            let call = Arc::clone(&call);
            async move {
                let block = block.get(&self.inner).await?;
                if !block.may_match(&matchers) {
                    // Opening the block has built its label filter, which now excludes it.
                    self.inner.metrics.blocks_filtered.inc();
                    return Ok(Texts::default());
                }
                ask(Asked { block, external, matchers, budget, call }).await
            }
        });
        let faults = stream::iter(faults.map(Err).collect::<Vec<_>>());
        let mut results = faults.chain(asking.buffered(BLOCKS_AT_ONCE));
        while let Some(result) = results.next().await {
            match result {
                Ok(values) => found.add(values),
                Err(error) if !request.partial_response || !error.spares_other_blocks() => {
                    count_drop(&self.inner, &error, &request.tenant);
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), error = %error, "block left out of an answer");
                    answer.warnings.push(error.to_string());
                }
            }
        }
        let mut found = found.finish();
        found.truncate(if request.limit == 0 { usize::MAX } else { request.limit });
        answer.found = found;
        answer.queried_blocks = Some(queried);
        Ok(answer)
    }

    /// Finds the label names, or the values of a label, in one block.
    async fn ask(
        &self,
        asked: &Asked,
        values_of: Option<Vec<u8>>,
        matchers: Vec<Matcher>,
        part: &LabelRequest,
    ) -> Result<Texts, StoreError> {
        let mut select = asked.block.select_labels(LabelRequest { values_of, matchers, ..part.clone() });
        let (mut fetched, mut counted) = (Vec::new(), 0);
        loop {
            let (block, given) = (asked.block.id(), std::mem::take(&mut fetched));
            let step = self.inner.cpu.run(Priority::Query, move || {
                let step = select.step(given);
                (select, step)
            });
            let (same, step) =
                step.await.map_err(|source| StoreError::Reader { block, source: Box::new(source) })?;
            // If a mapped file was cut meanwhile, the step may have read zeros, so its result is dropped.
            asked.block.check()?;
            select = same;
            asked.budget.take_series(select.n_series() - counted)?;
            counted = select.n_series();
            match step? {
                LabelStep::Fetch(ranges) => {
                    // A mapped block returns slices of its map, which take no memory.
                    let bytes =
                        if asked.block.mapped().is_some() { 0 } else { ranges.iter().map(|r| r.len).sum() };
                    let charge = asked.call.charge(bytes).await?;
                    fetched = charge.put_on(asked.block.fetch(&ranges).await?);
                    asked.budget.take_bytes(&fetched)?;
                }
                LabelStep::Done(found) => return Ok(found),
            }
        }
    }
}

fn request_of(request: &LabelsRequest, limit: usize) -> LabelRequest {
    let range = if request.whole_blocks { TimeRange::ALL } else { request.range };
    LabelRequest { values_of: None, matchers: Vec::new(), range, limit }
}

/// The union of many ascending lists. Lists of similar length are merged first, so that each text is compared only a
/// few times and few lists are held at once.
#[derive(Default)]
struct Unions {
    /// Each list is at least twice as long as the next one.
    lists: Vec<Texts>,
}

impl Unions {
    fn add(&mut self, mut list: Texts) {
        while let Some(longer) = self.lists.pop_if(|last| last.len() < 2 * list.len()) {
            list = longer.union(list);
        }
        if !list.is_empty() {
            self.lists.push(list);
        }
    }

    fn finish(self) -> Texts {
        self.lists.into_iter().rev().reduce(Texts::union).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Unions;

    fn texts() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("[a-c]{0,3}", 0..9)
    }

    proptest! {
        #[test]
        fn unions_are_those_of_sets(lists in prop::collection::vec(texts(), 0..9)) {
            let (mut found, mut expected) = (Unions::default(), BTreeSet::new());
            for list in lists {
                found.add(list.iter().collect());
                expected.extend(list);
            }
            prop_assert_eq!(found.finish(), expected.into_iter().collect());
        }
    }
}
