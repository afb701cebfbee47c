//! Push-down: stores evaluate the parts of a query for which they alone have data, next to that data, and only values travel.
//!
//! Who has data for a selection is what the fan-out says: the stores that it would ask. A part goes to a store only if it is the one
//! store that would be asked for all selections of the part, so its value is that of an evaluation here. Whatever goes wrong with
//! a part, the query is evaluated here instead, as if there were no push-down.

mod rests;
mod value;

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::try_join_all;
use tithon_promql::{Charge, Holder, OverBudget, PartValue, Prepared, SelectSpec, StorePart};
use tithon_storeapi::{Endpoint, EndpointError, PartPiece, PartRequest};
use tracing::{debug, instrument, warn};

pub(crate) use self::rests::Rests;
use self::value::{Unfit, Value, bytes_of_summary};
use crate::QueryService;
use crate::fanout::Asked;
use crate::job::Job;
use crate::options::Dialect;
use crate::query::{Query, engine_options};
use crate::slow::for_log;

/// Why the value of a part cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] EndpointError),
    /// The store does not evaluate the part.
    #[error("{0}")]
    Refused(String),
    /// The answer is no value of the part.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The query may not hold so much.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// The values of the parts of a query, and the charges for them.
#[derive(Default)]
pub(crate) struct PartValues {
    pub(crate) values: Vec<PartValue>,
    pub(crate) held: Vec<Charge>,
}

impl QueryService {
    /// Hands parts of a planned query to the stores that alone have data for them.
    ///
    /// Queries whose answers depend on what stores cannot be told are evaluated here: with labels or rules of this querier that
    /// narrow what it sees of its stores, with limits on the series and samples of selections, and where metric names are removed
    /// at the end.
    pub(crate) fn push_down(&self, prepared: &mut Prepared, query: &mut Query) {
        let options = self.options();
        let can_be_told = options.pushdown
            && options.dialect == Dialect::Thanos
            && query.distribution.is_none()
            && !options.delayed_name_removal
            && self.inner.fanout.sees_all()
            && !self.inner.fanout.limits_selections();
        if !can_be_told {
            return;
        }
        let mut stores: Vec<Endpoint> = Vec::new();
        let holder = |spec: &SelectSpec| self.holder(spec, query, &mut stores);
        let holders: Vec<Holder> = prepared.selects().iter().map(holder).collect();
        let names: Vec<String> = stores.iter().map(|store| store.address().to_owned()).collect();
        prepared.cut(&names, &holders);
        query.part_stores = stores;
    }

    /// Who has the series of a selection; a store that evaluates parts is added to `stores`.
    fn holder(&self, spec: &SelectSpec, query: &Query, stores: &mut Vec<Endpoint>) -> Holder {
        let fanout = &self.inner.fanout;
        match fanout.asked_for(&spec.matchers, spec.range, &query.scope.store_matchers) {
            Asked::Nobody => Holder::Nobody,
            Asked::One(endpoint)
                if endpoint.evaluates_parts()
                    && !self.inner.rests.has(endpoint.address(), Instant::now()) =>
            {
                let known = stores.iter().position(|store| store.address() == endpoint.address());
                Holder::One(known.unwrap_or_else(|| {
                    stores.push(endpoint);
                    stores.len() - 1
                }))
            }
            Asked::One(_) | Asked::Others => Holder::Others,
        }
    }

    /// Asks stores for all parts of a query at once, and waits for their answers. Fails with the first that cannot be used.
    pub(crate) async fn receive_values(
        &self,
        prepared: &Prepared,
        query: &Query,
        job: &Job,
    ) -> Result<PartValues, PartError> {
        let ask = |part| self.receive_value(part, query, job);
        let values = try_join_all(prepared.store_parts().iter().map(ask)).await?;
        let (values, held) = values.into_iter().unzip();
        Ok(PartValues { values, held })
    }

    #[instrument(name = "store_part", skip_all, fields(store = part.store_name))]
    async fn receive_value(
        &self,
        part: &StorePart,
        query: &Query,
        job: &Job,
    ) -> Result<(PartValue, Charge), PartError> {
        let received = self.read_value(part, query, job).await;
        self.inner.metrics.pushed(received.is_ok());
        // What this querier may hold is no fault of a store.
        let is_over_budget = matches!(received, Err(PartError::OverBudget(_)));
        if !is_over_budget && self.inner.rests.note(&part.store_name, received.is_ok(), Instant::now()) {
            let store = &part.store_name;
            warn!(
                store,
                "a store has evaluated none of the last parts of queries, it is asked for none for a while"
            );
        }
        if let Err(error) = &received {
            let (text, store) = (for_log(&part.text), &part.store_name);
            debug!(part = text, store, error = %error, "a store did not evaluate a part, the query is evaluated here");
        }
        received
    }

    /// Reads the answer of a store to its end.
    async fn read_value(
        &self,
        part: &StorePart,
        query: &Query,
        job: &Job,
    ) -> Result<(PartValue, Charge), PartError> {
        let store = query.part_stores.get(part.store).ok_or(Unfit::NoStore)?;
        let mut pieces = store.part(self.part_request(part, query));
        let (mut value, mut held) = (Value::default(), job.charge());
        let mut refused = None;
        while let Some(piece) = pieces.next().await {
            if refused.is_some() {
                break;
            }
            match piece? {
                PartPiece::Rows(rows) => {
                    for row in rows {
                        let row = row.map_err(Unfit::Row)?;
                        held.grow(row.bytes())?;
                        job.received(row.bytes());
                        value.add(row)?;
                    }
                }
                // The call is read to its end, so that it does not count as cancelled.
                PartPiece::Refusal(reason) => refused = Some(PartError::Refused(reason)),
                PartPiece::Summary(summary) => {
                    held.grow(bytes_of_summary(&summary))?;
                    value.end(summary)?;
                }
            }
        }
        refused.map_or(Ok(()), Err)?;
        Ok((value.finish()?, held))
    }

    fn part_request(&self, part: &StorePart, query: &Query) -> PartRequest {
        let options = engine_options(self.options(), query);
        PartRequest {
            query: query.text.clone(),
            times: query.times,
            node: part.node.0,
            text: part.text.to_string(),
            timeout: self.options().timeout.max(Duration::from_secs(1)),
            tenant: query.scope.tenant.clone(),
            lookback_ms: options.lookback_delta_ms,
            default_subquery_step_ms: options.default_subquery_step_ms,
            max_resolution_ms: query.max_resolution_ms,
            max_samples: options.max_samples,
            replica_labels: query.replica_labels.clone(),
            replica_rule: query.replica_rule,
            shard: query.shard.clone(),
            enforced: query.enforced.clone(),
            parse: options.parse,
        }
    }
}
