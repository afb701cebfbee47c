//! The rules and their checks.

pub(crate) mod downsampled;
pub(crate) mod hints;
pub(crate) mod info;
mod invariants;
pub(crate) mod labels;
pub(crate) mod malformed;
pub(crate) mod matchers;
pub(crate) mod replicas;
pub(crate) mod shape;
pub(crate) mod shards;
pub(crate) mod time;
pub(crate) mod together;

use bytes::Bytes;
use tithon_index::Labels;
use tithon_proto::labels_from_wire;
use tithon_proto::thanos::info::InfoResponse;
use tithon_proto::thanos::{LabelNamesRequest, LabelValuesRequest, SeriesRequest};
use tonic::{Code, Status};

use crate::answer::{SeriesAnswer, status_text};
use crate::client::{Client, with_tenant};
use crate::report::{Report, Rule};
use crate::requests::{self, selector};

const ANSWERS: Rule =
    Rule { name: "answers", says: "a well-formed request is answered with OK, and without warnings" };
const LISTS: Rule = Rule { name: "label-lists", says: "label names and values ascend, each once" };

/// An examined server and the report so far.
pub(crate) struct Checker {
    client: Client,
    pub(crate) info: InfoResponse,
    /// External label sets in the server's `Info`.
    pub(crate) label_sets: Vec<Labels>,
    /// Whether an answer has named the blocks that were asked.
    tells_blocks: bool,
    report: Report,
}

impl Checker {
    pub(crate) fn new(client: Client, info: InfoResponse, address: &str) -> Checker {
        let report = Report::new(address, &info.component_type);
        let label_sets = info.label_sets.iter().map(|set| labels_from_wire(&set.labels)).collect();
        Checker { client, info, label_sets, tells_blocks: false, report }
    }

    pub(crate) fn finish(self) -> Report {
        self.report
    }

    /// Whether the server is a store gateway, which differs from other stores in some rules. It is recognised by label
    /// answers that name the blocks asked.
    pub(crate) fn is_gateway(&self) -> bool {
        self.info.component_type == "store" && self.tells_blocks
    }

    /// Counts a check of a rule.
    pub(crate) fn rule(&mut self, rule: &Rule, asked: &str, result: Result<(), String>) {
        self.report.check(rule, asked, result);
    }

    /// Records what cannot be checked.
    pub(crate) fn leave_out(&mut self, what: impl Into<String>) {
        self.report.left_out.push(what.into());
    }

    /// Requests series, and checks the rules for every answer.
    pub(crate) async fn series(&mut self, request: &SeriesRequest) -> SeriesAnswer {
        let answer = self.try_series(with_tenant(request)).await;
        let asked = requests::request_text(request);
        let is_quiet = match (&answer.status, answer.warnings.first()) {
            (None, None) => Ok(()),
            (None, Some(warning)) => Err(format!("a warning: {warning}")),
            (status, _) => Err(status_text(status.as_ref())),
        };
        self.rule(&ANSWERS, &asked, is_quiet);
        invariants::check(self, request, &answer, &asked);
        answer
    }

    /// Requests series without checks; the answer may be an error.
    pub(crate) async fn try_series(&mut self, request: tonic::Request<Bytes>) -> SeriesAnswer {
        self.report.requests += 1;
        self.client.series(request).await
    }

    /// Requests label names, and checks the rules for every list.
    pub(crate) async fn names(&mut self, request: &LabelNamesRequest) -> Vec<Bytes> {
        let asked = format!("LabelNames {} {}..{}", selector(&request.matchers), request.start, request.end);
        let answer = self.client_for_one().label_names(request).await;
        self.tells_blocks |= answer.as_ref().is_ok_and(|answer| answer.hints.is_some());
        let answer = answer.map(|answer| (answer.names, answer.warnings));
        self.list(&asked, answer)
    }

    /// Requests the values of a label, and checks the rules for every list.
    pub(crate) async fn values(&mut self, request: &LabelValuesRequest) -> Vec<Bytes> {
        let label = String::from_utf8_lossy(&request.label);
        let matchers = selector(&request.matchers);
        let asked = format!("LabelValues {label} {matchers} {}..{}", request.start, request.end);
        let answer = self.client_for_one().label_values(request).await;
        let answer = answer.map(|answer| (answer.values, answer.warnings));
        self.list(&asked, answer)
    }

    fn list(&mut self, asked: &str, answer: Result<(Vec<Bytes>, Vec<String>), Status>) -> Vec<Bytes> {
        let (list, result) = match answer {
            Ok((list, warnings)) => {
                let result = warnings.first().map_or(Ok(()), |warning| Err(format!("a warning: {warning}")));
                (list, result)
            }
            Err(status) => (Vec::new(), Err(status_text(Some(&status)))),
        };
        self.rule(&ANSWERS, asked, result);
        self.rule(&LISTS, asked, crate::expect::ascend(&list));
        list
    }

    /// The connection, for one request that is counted here.
    pub(crate) fn client_for_one(&mut self) -> Client {
        self.report.requests += 1;
        self.client.clone()
    }

    /// Fails unless the status has one of these codes.
    pub(crate) fn is_code(status: Option<&Status>, codes: &[Code]) -> Result<(), String> {
        let code = status.map_or(Code::Ok, Status::code);
        if codes.contains(&code) {
            Ok(())
        } else {
            Err(format!("found {}, expected {codes:?}", status_text(status)))
        }
    }
}
