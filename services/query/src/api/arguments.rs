//! Parameters that several endpoints share, with the error texts of both dialects.

use std::collections::HashSet;
use std::sync::Arc;

use tithon_engine::dedup::ReplicaRule;
use tithon_index::{MatchOp, Matcher};
use tithon_promql::{Expr, NodeKind, QueryError, parse_selector_within, parse_within};

use super::call::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::job::Job;
use crate::options::{Dialect, QueryOptions};
use crate::params::{GoTime, Params, parse_bool, parse_duration, parse_int, parse_time, quote};
use crate::tenancy::Tenant;

/// The parameters of one request, and the options that decide how they are read.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pub(crate) params: &'a Params,
    /// The tenant that the request is for.
    pub(crate) tenant: &'a Tenant,
    pub(crate) options: &'a QueryOptions,
    /// The job of the request, which holds its budget and cancellation.
    pub(crate) job: &'a Job,
}

/// Why a selector cannot be used.
pub(crate) enum Refused {
    /// The text is not a selector; holds the parser's message.
    Text(String),
    /// Parsing was cancelled or exceeded its budget.
    Ended(ApiError),
}

impl Refused {
    /// The error of the call. `of_text` makes it of the parser's message, because endpoints differ in their prefix.
    pub(crate) fn into_error(self, of_text: impl FnOnce(String) -> ApiError) -> ApiError {
        match self {
            Refused::Text(text) => of_text(text),
            Refused::Ended(error) => error,
        }
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        match error {
            QueryError::Parse(errors) => Refused::Text(errors.to_string()),
            error => Refused::Ended(ApiError::of_query(&error)),
        }
    }
}

impl QueryService {
    /// Reads the parameters of a call; on the CPU pool when they may have long selectors or patterns.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: &Arc<Job>,
        call: &Arc<Call>,
        read: impl FnOnce(Arguments<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        if call.params.are_short() {
            return read(Arguments {
                params: &call.params,
                tenant: &call.tenant,
                options: self.options(),
                job,
            });
        }
        let (service, job, call) = (self.clone(), Arc::clone(job), Arc::clone(call));
        let read = move || {
            let (params, tenant) = (&call.params, &call.tenant);
            read(Arguments { params, tenant, options: service.options(), job: &job })
        };
        self.on_pool(read).await
    }
}

impl Arguments<'_> {
    fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// The time in an optional parameter.
    pub(crate) fn time_or(&self, name: &str, default: GoTime) -> Result<GoTime, ApiError> {
        let text = self.params.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        parse_time(text, self.dialect()).map_err(|e| match self.dialect() {
            Dialect::Prometheus => ApiError::invalid_parameter(
                self.dialect(),
                name,
                format!("invalid time value for '{name}': {e}"),
            ),
            Dialect::Thanos => ApiError::bad_data(format!("Invalid time value for '{name}': {e}")),
        })
    }

    /// The time in a required parameter.
    pub(crate) fn time(&self, name: &str) -> Result<GoTime, ApiError> {
        parse_time(self.params.get(name), self.dialect())
            .map_err(|e| ApiError::invalid_parameter(self.dialect(), name, e))
    }

    /// `start` and `end` of the label calls, in milliseconds. In Prometheus's dialect the end may be before the start.
    pub(crate) fn label_range(&self) -> Result<(i64, i64), ApiError> {
        match self.dialect() {
            Dialect::Prometheus => {
                let start = self.time_or("start", GoTime::MIN)?;
                let end = self.time_or("end", GoTime::MAX)?;
                Ok((start.storage_millis(), end.storage_millis()))
            }
            Dialect::Thanos => {
                let back = self.options.metadata_default_time_range;
                let (first, last) = if back.is_zero() {
                    (GoTime::MIN, GoTime::MAX)
                } else {
                    let now = GoTime::now();
                    let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
                    (GoTime::from_millis(now.storage_millis().saturating_sub(back)), now)
                };
                let prefixed = |e: ApiError| ApiError::bad_data(format!("bad_data: {}", e.message));
                let start = self.time_or("start", first).map_err(prefixed)?;
                let end = self.time_or("end", last).map_err(prefixed)?;
                if end.before(start) {
                    return Err(ApiError::bad_data("bad_data: end timestamp must not be before start time"));
                }
                Ok((start.storage_millis(), end.storage_millis()))
            }
        }
    }

    /// `limit`; 0 means no limit.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.params.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let number = parse_int(text, "Atoi");
        match (self.dialect(), number) {
            (_, Ok(n)) if n >= 0 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            (Dialect::Prometheus, Ok(_)) => {
                Err(ApiError::invalid_parameter(self.dialect(), "limit", "limit must be non-negative"))
            }
            (Dialect::Prometheus, Err(e)) => Err(ApiError::invalid_parameter(self.dialect(), "limit", e)),
            (Dialect::Thanos, _) => Err(ApiError::bad_data(format!(
                "cannot parse {} to a valid limit",
                crate::params::quote(text)
            ))),
        }
    }

    /// The matcher sets of `match[]`, without sets whose series another set also selects. With enforced tenancy each
    /// set has the tenant's matcher, and there is at least one set.
    pub(crate) fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        let mut seen = HashSet::new();
        let mut sets = Vec::new();
        for text in self.params.all("match[]").filter(|text| seen.insert(*text)) {
            let set = self.selector(text)?;
            if self.dialect() == Dialect::Prometheus && set.iter().all(Matcher::matches_empty) {
                let text = "match[] must contain at least one non-empty matcher";
                return Err(Refused::Text(text.to_owned()));
            }
            sets.push(set);
        }
        if let Some(matcher) = self.enforced().map_err(Refused::Ended)? {
            for set in &mut sets {
                set.retain(|own| own.name() != matcher.name());
                set.push(matcher.clone());
            }
            if sets.is_empty() {
                sets.push(vec![matcher]);
            }
        }
        Ok(widest(sets))
    }

    /// Parses one selector. The Thanos dialect parses any expression and then rejects one that is no selector, in
    /// Thanos's words.
    fn selector(&self, text: &str) -> Result<Vec<Matcher>, Refused> {
        let (options, watch) = (self.options.parse_options(), self.job.watch());
        let error = match parse_selector_within(text, &options, watch) {
            Ok((matchers, charge)) => {
                self.job.keep(charge);
                return Ok(matchers);
            }
            Err(QueryError::Parse(error)) if self.dialect() == Dialect::Thanos => error,
            Err(error) => return Err(error.into()),
        };
        let (expr, charge) = parse_within(text, &options, watch)?;
        self.job.keep(charge);
        if let NodeKind::Vector(selector) = &expr[expr.root()].kind {
            return Ok(selector.matchers.clone());
        }
        Err(Refused::Text(match go_type(&expr) {
            Some(found) => format!("expected type *parser.VectorSelector, got *parser.{found}"),
            None => error.to_string(),
        }))
    }

    /// The tenant's name, which is forwarded to the stores.
    pub(crate) fn tenant(&self) -> Result<String, ApiError> {
        self.tenant.name().map(str::to_owned).map_err(ApiError::bad_data)
    }

    /// The matcher that tenancy adds to every selector; `None` when tenancy is not enforced.
    pub(crate) fn enforced(&self) -> Result<Option<Matcher>, ApiError> {
        Ok(self.options.tenancy.enforced(&self.tenant()?))
    }

    /// A boolean parameter of Thanos's API.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.params.get(name) {
            "" => Ok(default),
            text => parse_bool(text).map_err(|e| ApiError::bad_data(format!("'{name}' parameter: {e}"))),
        }
    }

    /// `replicaLabels[]` if given, else the configured replica labels; none when `dedup` is false.
    pub(crate) fn replica_labels(&self) -> Result<Vec<String>, ApiError> {
        if !self.flag("dedup", true)? {
            return Ok(Vec::new());
        }
        Ok(if self.params.has("replicaLabels[]") {
            self.params.all("replicaLabels[]").map(str::to_owned).collect()
        } else {
            self.options.replica_labels.clone()
        })
    }

    /// `dedup_func`, a parameter that Thanos does not have: the replica rule of this request instead of the configured
    /// one.
    pub(crate) fn replica_rule(&self) -> Result<ReplicaRule, ApiError> {
        let word = match self.params.get("dedup_func") {
            "" => return Ok(self.options.dedup_function),
            word => word,
        };
        ReplicaRule::ALL.into_iter().find(|rule| rule.word() == word).ok_or_else(|| {
            ApiError::bad_data(format!(
                "'dedup_func' parameter: {} is none of penalty, chain and exact",
                quote(word)
            ))
        })
    }

    /// `storeMatch[]`: matcher sets that select endpoints by their address.
    pub(crate) fn store_matchers(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let mut seen = HashSet::new();
        let texts = self.params.all("storeMatch[]").filter(|text| seen.insert(*text));
        texts.map(|text| self.selector(text).map_err(|e| e.into_error(ApiError::bad_data))).collect()
    }

    /// `max_source_resolution` in milliseconds; `automatic` is the resolution that `auto` stands for.
    pub(crate) fn max_resolution(&self, automatic: i64) -> Result<i64, ApiError> {
        let text = self.params.get("max_source_resolution");
        let mut window = if self.options.auto_downsampling || text == "auto" { automatic } else { 0 };
        if !text.is_empty() && text != "auto" {
            window = parse_duration(text)
                .map_err(|e| ApiError::bad_data(format!("'max_source_resolution' parameter: {e}")))?
                .millis();
        }
        if window < 0 {
            return Err(ApiError::bad_data(
                "negative 'max_source_resolution' is not accepted. Try a positive integer",
            ));
        }
        Ok(window)
    }
}

/// Number of kept sets that the others are compared with; bounds the time that many sets take.
fn widest(sets: Vec<Vec<Matcher>>) -> Vec<Vec<Matcher>> {
    /// Number of sets that are compared with all others; bounds the time that many sets take.
    const WIDER_MAX: usize = 16;
    type Key<'a> = (MatchOp, &'a [u8], &'a [u8]);
    let keys: Vec<Vec<Key<'_>>> = sets
        .iter()
        .map(|set| {
            let mut key: Vec<Key<'_>> = set.iter().map(|m| (m.op(), m.name(), m.value())).collect();
            key.sort_unstable_by_key(|(op, name, value)| (op.as_str(), *name, *value));
            key.dedup();
            key
        })
        .collect();
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by_key(|i| (keys[*i].len(), *i));
    let (mut equal, mut wider) = (HashSet::new(), Vec::new());
    let mut is_kept = vec![false; sets.len()];
    for i in order {
        let has_all = |base: &&[Key<'_>]| {
            let mut own = keys[i].iter();
            base.iter().all(|m| own.any(|o| o == m))
        };
        if !equal.insert(&keys[i]) || wider.iter().any(|base: &&[Key<'_>]| has_all(base)) {
            continue;
        }
        is_kept[i] = true;
        if wider.len() < WIDER_MAX {
            wider.push(&keys[i][..]);
        }
    }
    sets.into_iter().zip(is_kept).filter_map(|(set, is_kept)| is_kept.then_some(set)).collect()
}

/// The name that Go's parser has for the type of an expression's root.
fn go_type(expr: &Expr) -> Option<&'static str> {
    match expr[expr.root()].kind {
        NodeKind::Number { .. } => Some("NumberLiteral"),
        NodeKind::String(_) => Some("StringLiteral"),
        NodeKind::Matrix(_) => Some("MatrixSelector"),
        NodeKind::Subquery(_) => Some("SubqueryExpr"),
        NodeKind::Unary { .. } => Some("UnaryExpr"),
        NodeKind::Binary(_) => Some("BinaryExpr"),
        NodeKind::Aggregate(_) => Some("AggregateExpr"),
        NodeKind::Call(_) => Some("Call"),
        NodeKind::Paren(_) => Some("ParenExpr"),
        NodeKind::Vector(_)
        | NodeKind::Duration(_)
        | NodeKind::StepInvariant(_)
        | NodeKind::Remote(_)
        | NodeKind::Part(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_within_others_are_left_out() {
        let set = |text: &str| {
            let of = |pair: &str| {
                let (name, value) = pair.split_once('=').expect("a pair");
                Matcher::new(MatchOp::Equal, name, value).expect("a matcher")
            };
            text.split(' ').filter(|pair| !pair.is_empty()).map(of).collect::<Vec<_>>()
        };
        for (given, kept) in [
            (&["a=1", "a=1"][..], &["a=1"][..]),
            (&["a=1 b=2", "b=2 a=1", "b=2 a=1 a=1"], &["a=1 b=2"]),
            (&["a=1 b=2", "b=2", "c=1"], &["b=2", "c=1"]),
            (&["a=1 b=2", "a=1 b=3"], &["a=1 b=2", "a=1 b=3"]),
            (&["", "a=1"], &[""]),
        ] {
            let kept: Vec<_> = kept.iter().map(|text| set(text)).collect();
            assert_eq!(widest(given.iter().map(|text| set(text)).collect()), kept, "{given:?}");
        }
    }
}
