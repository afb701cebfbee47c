//! Arithmetic and comparison of two vectors, with matching, grouping and filling.
//!
//! Upstream: `VectorBinop`, `resultMetric` in `promql/engine.go`. Errors arise only at steps at which both series have a
//! sample; of the annotations of a step only the last one is kept.

use std::collections::{HashMap, HashSet};

use tithon_index::Labels;

use super::element::{self, Issue};
use super::matching::{Signatures, matching_labels, result_labels};
use crate::annotations::Notes;
use crate::ast::{Binary, BinaryOp, Cardinality, PosRange, VectorMatching};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, Row, Steps, label_bytes};
use crate::result::Sample;

/// Stands for the index of a row where the value is filled in.
const FILLED: usize = usize::MAX;

/// Evaluates the operator. With `group_right` the sides are swapped for matching, and swapped back for computing.
pub(super) fn eval(
    ctx: &Context<'_>,
    b: &Binary,
    pos: PosRange,
    lhs: Frame,
    rhs: Frame,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let matching = b.matching.clone().unwrap_or_default();
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let mut signatures = Signatures::default();
    let many_sigs = signatures.of(ctx, &matching, &many.rows)?;
    let one_sigs = signatures.of(ctx, &matching, &one.rows)?;
    let delayed = ctx.options.delayed_name_removal;
    let mut join = Join {
        ctx,
        op: b.op,
        return_bool: b.return_bool,
        matching: &matching,
        swapped,
        drop_name: b.return_bool && !delayed,
        many: &many.rows,
        one: &one.rows,
        many_sigs: &many_sigs,
        one_sigs: &one_sigs,
        partner: vec![FILLED; signatures.len()],
        matched: vec![false; signatures.len()],
        inserted: vec![HashSet::new(); signatures.len()],
        out: Out { pairs: HashMap::new(), at: HashMap::new(), rows: Vec::new(), len: steps.len },
    };
    let mut notes = Notes::default();
    for step in 0..steps.len {
        ctx.check_cancelled()?;
        if let Some(issue) = join.step(step)? {
            issue.note(b.op, pos, &mut notes);
        }
    }
    ctx.notes().merge(notes);
    let rows = join.out.rows.into_iter().filter(|row| !row.column.is_empty()).collect();
    Ok(Frame { rows })
}

struct Join<'a> {
    ctx: &'a Context<'a>,
    op: BinaryOp,
    return_bool: bool,
    matching: &'a VectorMatching,
    swapped: bool,
    drop_name: bool,
    many: &'a [Row],
    one: &'a [Row],
    many_sigs: &'a [usize],
    one_sigs: &'a [usize],
    /// By signature: the index of the row of the "one" side at the current step.
    partner: Vec<usize>,
    /// By signature: whether a pair was computed at the current step.
    matched: Vec<bool>,
    /// By signature: the output series of the current step, if several series may match one.
    inserted: Vec<HashSet<usize>>,
    out: Out,
}

/// The output series.
struct Out {
    pairs: HashMap<(usize, usize), usize>,
    at: HashMap<Labels, usize>,
    rows: Vec<Row>,
    len: usize,
}

impl Join<'_> {
    /// Computes one step; returns what to annotate about it.
    fn step(&mut self, step: usize) -> Result<Option<Issue>, QueryError> {
        let is_present = |row: &Row| row.column.get(step).is_some();
        let no_fill = self.matching.fill_left.is_none() && self.matching.fill_right.is_none();
        let (any_many, any_one) = (self.many.iter().any(is_present), self.one.iter().any(is_present));
        if (!any_many && !any_one) || (no_fill && !(any_many && any_one)) {
            return Ok(None);
        }
        self.partner.fill(FILLED);
        self.matched.fill(false);
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if !one_to_one {
            self.inserted.iter_mut().for_each(HashSet::clear);
        }
        for (i, row) in self.one.iter().enumerate().filter(|(_, row)| is_present(row)) {
            let held = &mut self.partner[self.one_sigs[i]];
            if *held != FILLED {
                return Err(duplicate(self.matching, self.swapped, row, &self.one[*held]));
            }
            *held = i;
        }
        let mut last = None;
        for (i, row) in self.many.iter().enumerate() {
            let Some(left) = row.column.get(step) else { continue };
            let signature = self.many_sigs[i];
            let partner = self.partner[signature];
            let right = match (partner, self.matching.fill_right) {
                (FILLED, None) => continue,
                (FILLED, Some(fill)) => Cell::Float(fill),
                (j, _) => match self.one[j].column.get(step) {
                    Some(cell) => cell,
                    None => continue,
                },
            };
            self.pair(step, (i, left), (partner, right), signature, &mut last)?;
        }
        if let Some(fill) = self.matching.fill_left {
            for (j, row) in self.one.iter().enumerate() {
                let Some(right) = row.column.get(step) else { continue };
                let signature = self.one_sigs[j];
                if !self.matched[signature] {
                    self.pair(step, (FILLED, Cell::Float(fill)), (j, right), signature, &mut last)?;
                }
            }
        }
        Ok(last)
    }

    /// Computes one pair.
    fn pair(
        &mut self,
        step: usize,
        (i, left): (usize, Cell<'_>),
        (j, right): (usize, Cell<'_>),
        signature: usize,
        last: &mut Option<Issue>,
    ) -> Result<(), QueryError> {
        let (l, r) = if self.swapped { (right, left) } else { (left, right) };
        let done = match element::combine(self.op, l, r) {
            Ok(done) => done,
            Err(issue) => {
                *last = Some(issue);
                return Ok(());
            }
        };
        *last = done.remark.or(*last);
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if one_to_one && self.matched[signature] {
            return Err(QueryError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        self.matched[signature] = true;
        let at = self.output(i, j)?;
        if !one_to_one && !self.inserted[signature].insert(at) {
            return Err(QueryError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
            ));
        }
        let value = match self.return_bool {
            true => Sample::Float(f64::from(u8::from(done.keep))),
            false if !done.keep => return Ok(()),
            false => done.value,
        };
        let column = &mut self.out.rows[at].column;
        if column.get(step).is_some() {
            return Err(QueryError::same_labelset());
        }
        column.set(step, value);
        Ok(())
    }

    /// The index of the output series of a pair of rows.
    fn output(&mut self, i: usize, j: usize) -> Result<usize, QueryError> {
        if let Some(at) = self.out.pairs.get(&(i, j)) {
            return Ok(*at);
        }
        self.ctx.check_cancelled()?;
        let labels = |rows: &[Row], i: usize| rows.get(i).map(|row| row.labels.clone());
        let (many, one) = (labels(self.many, i), labels(self.one, j));
        let filled = |other: &Option<Labels>| {
            other.as_ref().map(|labels| matching_labels(self.matching, labels)).unwrap_or_default()
        };
        let left = many.clone().unwrap_or_else(|| filled(&one));
        let right = one.unwrap_or_else(|| filled(&many));
        let labels = result_labels(self.op, self.drop_name, self.matching, &left, &right);
        let out = &mut self.out;
        let bytes = Column::bytes_of(out.len) + label_bytes(&labels) + size_of::<Row>() as u64;
        self.ctx.held.add(0, bytes)?;
        let at = *out.at.entry(labels.clone()).or_insert_with(|| {
            let column = Column::new(out.len);
            out.rows.push(Row { labels, drop_name: self.return_bool, column });
            out.rows.len() - 1
        });
        out.pairs.insert((i, j), at);
        Ok(at)
    }
}

/// The error that two series of the "one" side have the same signature.
fn duplicate(matching: &VectorMatching, swapped: bool, row: &Row, held: &Row) -> QueryError {
    let side = if swapped { "left" } else { "right" };
    let group = matching_labels(matching, &row.labels);
    let (a, b) = (row.labels.to_string(), held.labels.to_string());
    let (a, b) = if a > b { (b, a) } else { (a, b) };
    QueryError::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}
