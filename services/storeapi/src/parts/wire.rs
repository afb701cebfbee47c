//! Requests and answers of `tithon.Parts` as messages.

use std::time::Duration;

use tithon_chunks::{ErrorKind, Timestamp};
use tithon_engine::dedup::ReplicaRule;
use tithon_promql::{Annotation, Detail, Monotonicity, ParseOptions, PosRange, QueryStats, TimeParams};
use tithon_proto::tithon::{
    self, PartAnnotation, PartMonotonicity, PartResponse, part_annotation, part_response,
};
use tithon_proto::{matcher_to_wire, matchers_from_wire, shard_from_wire, shard_to_wire};
use tithon_runtime::to_status;
use tonic::Status;

use super::{PartPiece, PartRequest, PartRows, PartSummary};
use crate::status::convert_status;

/// A piece of an answer to a query of so many steps; `None` if the response has no content.
pub(crate) fn piece(response: PartResponse, steps: usize) -> Option<PartPiece> {
    Some(match response.result? {
        part_response::Result::Rows(rows) => PartPiece::Rows(PartRows { rows: rows.rows.into_iter(), steps }),
        part_response::Result::Refusal(refusal) => PartPiece::Refusal(refusal.reason),
        part_response::Result::Summary(summary) => PartPiece::Summary(PartSummary {
            rows: summary.rows,
            annotations: summary.annotations.into_iter().map(annotation_from_wire).collect(),
            stats: QueryStats {
                total_samples: summary.total_samples,
                samples_read: summary.samples_read,
                peak_samples: summary.peak_samples,
            },
        }),
    })
}

pub(super) fn annotation_to_wire(annotation: Annotation) -> PartAnnotation {
    use part_annotation::Detail as Wire;
    let Annotation { text, pos, detail } = annotation;
    let detail = match detail {
        Detail::None => None,
        Detail::Occurrences(n) => Some(Wire::Occurrences(n)),
        Detail::Monotonicity(m) => Some(Wire::Monotonicity(PartMonotonicity {
            first_time: m.times.0,
            last_time: m.times.1,
            lowest_bound: m.bounds.0,
            highest_bound: m.bounds.1,
            max_diff: m.max_diff,
            count: m.count,
        })),
    };
    PartAnnotation { text, start: pos.start, end: pos.end, detail }
}

fn annotation_from_wire(wire: PartAnnotation) -> Annotation {
    use part_annotation::Detail as Wire;
    let detail = match wire.detail {
        None => Detail::None,
        Some(Wire::Occurrences(n)) => Detail::Occurrences(n),
        Some(Wire::Monotonicity(m)) => Detail::Monotonicity(Monotonicity {
            times: (m.first_time, m.last_time),
            bounds: (m.lowest_bound, m.highest_bound),
            max_diff: m.max_diff,
            count: m.count,
        }),
    };
    Annotation { text: wire.text, pos: PosRange { start: wire.start, end: wire.end }, detail }
}

/// The message of a request.
pub(crate) fn request_to_wire(request: &PartRequest) -> tithon::PartRequest {
    let ParseOptions { experimental_functions, duration_expr: _, extended_range_selectors, binop_fill } =
        request.parse;
    tithon::PartRequest {
        query: request.query.clone(),
        start: request.times.start.0,
        end: request.times.end.0,
        step: request.times.step_ms,
        node: request.node,
        text: request.text.clone(),
        timeout: i64::try_from(request.timeout.as_millis()).unwrap_or(i64::MAX),
        lookback: request.lookback_ms,
        default_subquery_step: request.default_subquery_step_ms,
        max_resolution: request.max_resolution_ms,
        max_samples: request.max_samples,
        replica_labels: request.replica_labels.clone(),
        replica_rule: request.replica_rule.word().to_owned(),
        shard: request.shard.as_ref().map(shard_to_wire),
        enforced: request.enforced.as_ref().map(matcher_to_wire),
        experimental_functions,
        extended_range_selectors,
        fill_modifiers: binop_fill,
    }
}

/// The request in a message. Fails when times make no sense, on an unknown rule for replicas, and on a matcher that is none.
pub(super) fn request_from_wire(wire: tithon::PartRequest, tenant: String) -> Result<PartRequest, Status> {
    let invalid = |what: String| to_status(ErrorKind::Invalid, what);
    let times = TimeParams { start: Timestamp(wire.start), end: Timestamp(wire.end), step_ms: wire.step };
    let are_steps = match wire.step {
        0 => wire.start == wire.end,
        step => step > 0 && wire.start <= wire.end,
    };
    if !are_steps {
        let (start, end, step) = (wire.start, wire.end, wire.step);
        return Err(invalid(format!("range from {start} to {end} ms in steps of {step} ms")));
    }
    let rule = ReplicaRule::ALL.into_iter().find(|rule| rule.word() == wire.replica_rule);
    let unknown = || invalid(format!("{:?} is no rule for replicas", wire.replica_rule));
    let replica_rule = rule.ok_or_else(unknown)?;
    let enforced = matchers_from_wire(wire.enforced.as_slice()).map_err(|error| convert_status(&error))?;
    Ok(PartRequest {
        query: wire.query,
        times,
        node: wire.node,
        text: wire.text,
        timeout: Duration::from_millis(u64::try_from(wire.timeout).unwrap_or(0)),
        tenant,
        lookback_ms: wire.lookback,
        default_subquery_step_ms: wire.default_subquery_step,
        max_resolution_ms: wire.max_resolution,
        max_samples: wire.max_samples,
        replica_labels: wire.replica_labels,
        replica_rule,
        shard: wire.shard.and_then(shard_from_wire),
        enforced: enforced.into_iter().next(),
        parse: ParseOptions {
            experimental_functions: wire.experimental_functions,
            duration_expr: false,
            extended_range_selectors: wire.extended_range_selectors,
            binop_fill: wire.fill_modifiers,
        },
    })
}

#[cfg(test)]
mod tests {
    use tithon_engine::SeriesShard;
    use tithon_index::{MatchOp, Matcher};

    use super::*;

    #[test]
    fn requests_arrive_as_they_were() {
        let request = PartRequest {
            query: "sum(m)".to_owned(),
            times: TimeParams { start: Timestamp(-1), end: Timestamp(1_001), step_ms: 250 },
            node: 3,
            text: "sum(m)".to_owned(),
            timeout: Duration::from_millis(1_500),
            tenant: "t".to_owned(),
            lookback_ms: 90_001,
            default_subquery_step_ms: 61,
            max_resolution_ms: 300_000,
            max_samples: u64::MAX,
            replica_labels: vec!["replica".to_owned()],
            replica_rule: ReplicaRule::Exact,
            shard: SeriesShard::from_signed(1, 2, true, vec!["pod".to_owned()]),
            enforced: Matcher::new(MatchOp::Equal, "tenant", "a").ok(),
            parse: ParseOptions {
                experimental_functions: true,
                duration_expr: false,
                extended_range_selectors: true,
                binop_fill: false,
            },
        };
        assert!(request.shard.is_some() && request.enforced.is_some());
        let read = request_from_wire(request_to_wire(&request), "t".to_owned()).expect("a right request");
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
        let mut wrong = vec![request_to_wire(&request); 4];
        wrong[0].step = -1;
        wrong[1].step = 0;
        wrong[2].end = -2;
        wrong[3].replica_rule = "none".to_owned();
        for wire in wrong {
            assert!(request_from_wire(wire.clone(), String::new()).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn annotations_arrive_as_they_were() {
        let pos = PosRange { start: 4, end: 9 };
        let buckets = Monotonicity { times: (1, 2), bounds: (-0.0, f64::INFINITY), max_diff: 0.5, count: 7 };
        for detail in [Detail::None, Detail::Occurrences(3), Detail::Monotonicity(buckets)] {
            let annotation = Annotation { text: "PromQL info: x".to_owned(), pos, detail };
            assert_eq!(annotation_from_wire(annotation_to_wire(annotation.clone())), annotation);
        }
    }
}
