//! Parameters that several endpoints share, with the error texts of either dialect.

use tithon_index::Matcher;
use tithon_promql::{Expr, NodeKind, parse, parse_metric_selector};

use crate::error::ApiError;
use crate::options::{Dialect, QueryOptions};
use crate::params::{GoTime, Params, parse_bool, parse_duration, parse_int, parse_time};

/// Reads requests under some options.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    pub(crate) params: &'a Params,
    pub(crate) options: &'a QueryOptions,
}

impl Arguments<'_> {
    fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// Fails where a pair of the form or the URL is malformed. Most endpoints do not look: there the parameter is missing.
    pub(crate) fn check_form(&self) -> Result<(), ApiError> {
        self.params.check().map_err(|e| match self.dialect() {
            Dialect::Prometheus => ApiError::bad_data(format!("error parsing form values: {e}")),
            Dialect::Thanos => ApiError::internal(format!("parse form: {e}")),
        })
    }

    /// A time that may be left out.
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

    /// A time that must be given.
    pub(crate) fn time(&self, name: &str) -> Result<GoTime, ApiError> {
        parse_time(self.params.get(name), self.dialect())
            .map_err(|e| ApiError::invalid_parameter(self.dialect(), name, e))
    }

    /// `start` and `end` of the label calls, in milliseconds; the end may be before the start in Prometheus's dialect.
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

    /// `limit`; 0 is none.
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

    /// The matcher sets of `match[]`. The error has no prefix: endpoints differ in it.
    pub(crate) fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let sets: Vec<Vec<Matcher>> =
            self.params.all("match[]").map(|text| self.selector(text)).collect::<Result<_, _>>()?;
        if self.dialect() == Dialect::Prometheus
            && sets.iter().any(|set| set.iter().all(Matcher::matches_empty))
        {
            return Err("match[] must contain at least one non-empty matcher".into());
        }
        Ok(sets)
    }

    /// One selector. Thanos reads any expression and then finds that it is no selector.
    fn selector(&self, text: &str) -> Result<Vec<Matcher>, String> {
        let options = self.options.parse_options();
        let error = match (parse_metric_selector(text, &options), self.dialect()) {
            (Ok(matchers), _) => return Ok(matchers),
            (Err(error), Dialect::Prometheus) => return Err(error.to_string()),
            (Err(error), Dialect::Thanos) => error,
        };
        let expr = parse(text, &options).map_err(|e| e.to_string())?;
        if let NodeKind::Vector(selector) = &expr[expr.root()].kind {
            return Ok(selector.matchers.clone());
        }
        Err(match go_type(&expr) {
            Some(found) => format!("expected type *parser.VectorSelector, got *parser.{found}"),
            None => error.to_string(),
        })
    }

    /// A boolean of Thanos's.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.params.get(name) {
            "" => Ok(default),
            text => parse_bool(text).map_err(|e| ApiError::bad_data(format!("'{name}' parameter: {e}"))),
        }
    }

    /// `replicaLabels[]`, which replaces the configured labels, unless `dedup` is off.
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

    /// `storeMatch[]`: sets of matchers on the address of an endpoint.
    pub(crate) fn store_matchers(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        self.params.all("storeMatch[]").map(|text| self.selector(text).map_err(ApiError::bad_data)).collect()
    }

    /// `max_source_resolution` in milliseconds; `automatic` is what `auto` stands for.
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

/// What Go's parser calls the root of an expression.
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
        NodeKind::Vector(_) | NodeKind::Duration(_) | NodeKind::StepInvariant(_) => None,
    }
}
