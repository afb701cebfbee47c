//! The report: how often each rule was checked, and where it was broken.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

/// A rule of the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Unique short name.
    pub(crate) name: &'static str,
    /// The demand of the rule.
    pub(crate) says: &'static str,
}

/// The result of checking one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Short name of the rule.
    pub rule: &'static str,
    /// The demand of the rule.
    pub says: &'static str,
    /// Number of checks.
    pub checks: usize,
    /// Number of checks that failed.
    pub broken: usize,
    /// The first failures: the request, what was found and what was expected.
    pub cases: Vec<String>,
}

/// The results for one server.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Address of the server.
    pub address: String,
    /// Component in its `Info`: `store`, `sidecar`, `query`, `rule` or `receive`.
    pub component: String,
    /// Number of requests sent to it.
    pub requests: usize,
    /// Results of the rules, in the order they were first checked.
    pub verdicts: Vec<Verdict>,
    /// The checks that could not be made, and why.
    pub left_out: Vec<String>,
}

/// Number of failures per rule that are shown; others are counted.
const CASES_MAX: usize = 5;

impl Report {
    pub(crate) fn new(address: &str, component: &str) -> Report {
        Report {
            address: address.to_owned(),
            component: component.to_owned(),
            requests: 0,
            verdicts: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Counts a check of a rule. The error says what was found and expected; `asked` describes the request.
    pub(crate) fn check(&mut self, rule: &Rule, asked: &str, result: Result<(), String>) {
        let at = match self.verdicts.iter().position(|verdict| verdict.rule == rule.name) {
            Some(at) => at,
            None => {
                let (checks, broken, cases) = (0, 0, Vec::new());
                self.verdicts.push(Verdict { rule: rule.name, says: rule.says, checks, broken, cases });
                self.verdicts.len() - 1
            }
        };
        let verdict = &mut self.verdicts[at];
        verdict.checks += 1;
        if let Err(what) = result {
            verdict.broken += 1;
            if verdict.cases.len() < CASES_MAX {
                verdict.cases.push(format!("{asked}: {what}"));
            }
        }
    }

    /// Whether no check failed.
    pub fn is_kept(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.broken == 0)
    }

    /// The report as a table, with the failures below it.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["rule", "looked at", "broken", "what must be so"]);
        for verdict in &self.verdicts {
            let broken = if verdict.broken == 0 { "-".to_owned() } else { verdict.broken.to_string() };
            table.add_row([verdict.rule, &verdict.checks.to_string(), &broken, verdict.says]);
        }
        for column in [1, 2] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let n_broken = self.verdicts.iter().filter(|verdict| verdict.broken > 0).count();
        let mut out = format!("{table}\n");
        for verdict in self.verdicts.iter().filter(|verdict| verdict.broken > 0) {
            out += &format!("\n{} is broken:\n", verdict.rule);
            verdict.cases.iter().for_each(|case| out += &format!("  {case}\n"));
            if verdict.broken > verdict.cases.len() {
                out += &format!("  and {} more\n", verdict.broken - verdict.cases.len());
            }
        }
        self.left_out.iter().for_each(|what| out += &format!("\nleft out: {what}\n"));
        out += &format!(
            "\n{} ({}): {} requests, {} rules kept, {n_broken} broken\n",
            self.address,
            self.component,
            self.requests,
            self.verdicts.len() - n_broken
        );
        out
    }
}
