//! The type check of trees without syntax errors, in upstream's order (`checkAST` in `promql/parser/parse.go`). The
//! check has a stack of its own instead of recursing.

use std::collections::HashMap;

use tithon_index::METRIC_NAME;

use super::token::quoted;
use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, NodeId, NodeKind, PosRange};
use crate::func::Func;
use crate::parse_error::{ERRORS_MAX, ParseError};
use crate::value_type::ValueType;

/// Checks the tree, and changes what depends on types: set operators match many to many, and only operations on two
/// vectors keep their matching.
pub(super) fn check(expr: &mut Expr, input: &[u8]) -> Vec<ParseError> {
    let root = expr.root();
    let mut checker = Checker { expr, input, errors: Vec::new() };
    let mut pending = vec![Work::Enter(root)];
    while let Some(work) = pending.pop() {
        match work {
            Work::Enter(id) => checker.enter(id, &mut pending),
            Work::Leave(id) => checker.leave(id),
            Work::Expect { id, ty, place } => checker.expect(id, ty, &place),
        }
    }
    checker.errors
}

enum Work {
    /// Check the node before its children, then check the children.
    Enter(NodeId),
    /// Check the node after its children.
    Leave(NodeId),
    /// The node must have this type.
    Expect { id: NodeId, ty: ValueType, place: String },
}

struct Checker<'a> {
    expr: &'a mut Expr,
    input: &'a [u8],
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn complain(&mut self, range: PosRange, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(ParseError::new(self.input, range, message));
        }
    }

    fn enter(&mut self, id: NodeId, pending: &mut Vec<Work>) {
        let mut work = Vec::new();
        match &self.expr[id].kind {
            NodeKind::Aggregate(a) => aggregate_work(a, &mut work),
            NodeKind::Call(call) => {
                let call = call.clone();
                self.call(id, &call);
                for (i, arg) in call.args.iter().enumerate() {
                    let Some(ty) = arg_type(&call, i) else { break };
                    work.push(Work::Enter(*arg));
                    let place = format!("call to function \"{}\"", call.func);
                    work.push(Work::Expect { id: *arg, ty, place });
                }
            }
            _ => {
                self.expr.for_each_child(id, |child| work.push(Work::Enter(child)));
                work.push(Work::Leave(id));
            }
        }
        pending.extend(work.into_iter().rev());
    }

    fn leave(&mut self, id: NodeId) {
        let pos = self.expr[id].pos;
        match &self.expr[id].kind {
            NodeKind::Binary(b) => {
                let b = (**b).clone();
                self.binary(id, b);
            }
            NodeKind::Unary { expr, .. } => {
                let ty = self.expr[*expr].ty;
                if !matches!(ty, ValueType::Scalar | ValueType::Vector) {
                    let got = ty.documented();
                    self.complain(
                        pos,
                        format!("unary expression only allowed on expressions of type scalar or instant vector, got \"{got}\""),
                    );
                }
            }
            NodeKind::Subquery(s) => {
                let ty = self.expr[s.expr].ty;
                if ty != ValueType::Vector {
                    let got = ty.as_str();
                    self.complain(
                        pos,
                        format!("subquery is only allowed on instant vector, got {got} instead"),
                    );
                }
            }
            NodeKind::Vector(_) => self.vector(id),
            _ => {}
        }
    }

    fn expect(&mut self, id: NodeId, ty: ValueType, place: &str) {
        let got = self.expr[id].ty;
        if got != ty {
            let message = format!("expected type {} in {place}, got {}", ty.documented(), got.documented());
            self.complain(self.expr[id].pos, message);
        }
    }

    fn vector(&mut self, id: NodeId) {
        let NodeKind::Vector(v) = &self.expr[id].kind else { return };
        let pos = self.expr[id].pos;
        if v.name.is_empty() {
            if !v.may_match_all && v.matchers.iter().all(|m| m.matches_empty()) {
                self.complain(pos, "vector selector must contain at least one non-empty matcher");
            }
            return;
        }
        // The last matcher is the one for the name before the braces.
        let twice: Vec<String> = v.matchers[..v.matchers.len() - 1]
            .iter()
            .filter(|m| m.name() == METRIC_NAME)
            .map(|m| {
                format!("metric name must not be set twice: {} or {}", quoted(&v.name), quoted(m.value()))
            })
            .collect();
        for message in twice {
            self.complain(pos, message);
        }
    }

    fn call(&mut self, id: NodeId, call: &Call) {
        let (pos, func, n) = (self.expr[id].pos, call.func, call.args.len());
        let signature = func.signature();
        let declared = signature.arg_types.len();
        if signature.variadic == 0 {
            if n != declared {
                self.complain(pos, format!("expected {declared} argument(s) in call to \"{func}\", got {n}"));
            }
        } else {
            let least = declared - 1;
            let most = usize::try_from(signature.variadic).ok().map(|v| least + v);
            if n < least {
                self.complain(
                    pos,
                    format!("expected at least {least} argument(s) in call to \"{func}\", got {n}"),
                );
            } else if let Some(most) = most.filter(|most| n > *most) {
                self.complain(
                    pos,
                    format!("expected at most {most} argument(s) in call to \"{func}\", got {n}"),
                );
            }
        }
        if let (Func::Info, Some(second)) = (func, call.args.get(1)) {
            self.info_selector(pos, *second);
        }
    }

    /// The second argument of `info`: matchers without a name, all of which may accept the empty string.
    fn info_selector(&mut self, call: PosRange, arg: NodeId) {
        let (pos, ty) = (self.expr[arg].pos, self.expr[arg].ty);
        if ty != ValueType::Vector {
            let got = ty.documented();
            self.complain(
                call,
                format!("expected type instant vector in call to function \"info\", got {got}"),
            );
        }
        match &mut self.expr[arg].kind {
            NodeKind::Vector(v) if v.name.is_empty() => v.may_match_all = true,
            NodeKind::Vector(_) => {
                self.complain(pos, "expected label selectors only, got vector selector instead");
            }
            _ => self.complain(pos, "expected label selectors only"),
        }
    }

    fn binary(&mut self, id: NodeId, mut b: Binary) {
        let Some(mut matching) = b.matching.take() else { return };
        let pos = self.expr[id].pos;
        let (lhs, rhs) = (self.expr[b.lhs].pos, self.expr[b.rhs].pos);
        let (lt, rt) = (self.expr[b.lhs].ty, self.expr[b.rhs].ty);
        if b.return_bool && !b.op.is_comparison() {
            self.complain(self.op_range(lhs, rhs), "bool modifier can only be used on comparison operators");
        }
        let scalars = lt == ValueType::Scalar && rt == ValueType::Scalar;
        if b.op.is_comparison() && !b.return_bool && scalars {
            self.complain(self.op_range(lhs, rhs), "comparisons between scalars must use BOOL modifier");
        }
        if b.op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let mut included: HashMap<&[u8], usize> = HashMap::new();
        matching.include.iter().for_each(|label| *included.entry(label).or_default() += 1);
        for label in matching.labels.iter().filter(|_| matching.on) {
            for _ in 0..included.get(&**label).copied().unwrap_or(0).min(ERRORS_MAX) {
                let label = quoted(label);
                let message = format!("label {label} must not occur in ON and GROUP clause at once");
                self.complain(self.op_range(lhs, rhs), message);
            }
        }
        for (ty, range) in [(lt, lhs), (rt, rhs)] {
            if !matches!(ty, ValueType::Scalar | ValueType::Vector) {
                self.complain(range, "binary expression must contain only scalar and instant vector types");
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if lt != ValueType::Vector || rt != ValueType::Vector {
            if !matching.labels.is_empty() {
                self.complain(pos, "vector matching only allowed between instant vectors");
            }
            if fills {
                self.complain(pos, "filling in missing series only allowed between instant vectors");
            }
        } else {
            if b.op.is_set() {
                if matching.cardinality != Cardinality::ManyToMany {
                    self.complain(pos, format!("no grouping allowed for \"{}\" operation", b.op));
                    self.complain(pos, "set operations must always be many-to-many");
                }
                if fills {
                    self.complain(pos, "filling in missing series not allowed for set operators");
                }
            }
            b.matching = Some(matching);
        }
        if (lt == ValueType::Scalar || rt == ValueType::Scalar) && b.op.is_set() {
            self.complain(pos, format!("set operator \"{}\" not allowed in binary scalar expression", b.op));
        }
        self.expr[id].kind = NodeKind::Binary(Box::new(b));
    }

    /// The range between two operands, without the spaces around it.
    fn op_range(&self, lhs: PosRange, rhs: PosRange) -> PosRange {
        let is_space = |at: u32| matches!(self.input.get(at as usize), Some(b' ' | b'\t' | b'\n' | b'\r'));
        let (mut start, mut end) = (lhs.end, rhs.start.saturating_sub(1));
        while is_space(start) {
            start += 1;
        }
        while end > 0 && is_space(end) {
            end -= 1;
        }
        PosRange::new(start, end)
    }
}

fn aggregate_work(a: &Aggregate, work: &mut Vec<Work>) {
    work.push(Work::Enter(a.expr));
    work.push(Work::Expect { id: a.expr, ty: ValueType::Vector, place: "aggregation expression".to_owned() });
    let Some(param) = a.param else { return };
    let ty = if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
    work.push(Work::Enter(param));
    work.push(Work::Expect { id: param, ty, place: "aggregation parameter".to_owned() });
}

/// The type that argument `i` must have; `None` if it is one too many, which is complained about elsewhere.
fn arg_type(call: &Call, i: usize) -> Option<ValueType> {
    let signature = call.func.signature();
    let types = signature.arg_types;
    match types.get(i) {
        Some(ty) => Some(*ty),
        None if signature.variadic == 0 => None,
        None => types.last().copied(),
    }
}
