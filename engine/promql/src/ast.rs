//! The syntax tree: nodes in one arena, each with its place in the query and its value type.
//!
//! Upstream: `promql/parser/ast.go`. Children come before their parents in the arena, so trees of any depth are dropped,
//! copied and walked bottom-up without recursion.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use tithon_index::Matcher;

use crate::func::Func;
use crate::value_type::ValueType;

/// Index of a node in its [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A parsed expression: the arena of its nodes, and the id of its root.
///
/// In a tree that the parser has built, every child has a smaller id than its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    nodes: Vec<Node>,
    root: NodeId,
}

/// A node: its kind, its place in the query, its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The kind of the node.
    pub kind: NodeKind,
    /// Its place in the query.
    pub pos: PosRange,
    /// The type that it evaluates to.
    pub ty: ValueType,
}

/// A range of byte offsets in the query: `start` is the first byte, `end` lies after the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PosRange {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `1.5`, or a duration in seconds.
    Number {
        /// The value; of a duration, in seconds.
        value: f64,
        /// Whether it was written as a duration.
        is_duration: bool,
    },
    /// `"text"`; need not be UTF-8.
    String(Box<[u8]>),
    /// `name{a="b"} offset 5m @ 10`
    Vector(Box<VectorSelector>),
    /// `selector[5m]`
    Matrix(MatrixSelector),
    /// `expr[5m:1m]`
    Subquery(Box<Subquery>),
    /// `-expr`, `+expr`
    Unary {
        /// Whether the sign is a minus.
        negate: bool,
        /// The operand.
        expr: NodeId,
    },
    /// `lhs op rhs`
    Binary(Box<Binary>),
    /// `op by (grouping) (param, expr)`
    Aggregate(Box<Aggregate>),
    /// `func(args)`
    Call(Call),
    /// `(expr)`
    Paren(NodeId),
    /// An operation on durations, in seconds. It stands only below the `*_expr` fields of selectors and subqueries.
    Duration(DurationExpr),
    /// An expression whose value is the same at every step. Planning inserts these nodes, the parser never does.
    StepInvariant(NodeId),
    /// The result of an expression that other queriers evaluate. Planning inserts these nodes, the parser never does.
    Remote(RemoteResult),
    /// The value of an expression that a store evaluates. Planning inserts these nodes, the parser never does.
    Part(PartPlace),
}

/// The place of an expression that a store evaluates.
#[derive(Clone, Debug, PartialEq)]
pub struct PartPlace {
    /// The expression.
    pub text: Arc<str>,
    /// Its index in [`crate::Prepared::store_parts`].
    pub part: usize,
}

/// The result of an expression that other queriers evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteResult {
    /// The expression.
    pub query: Arc<str>,
    /// The parts whose results make it up, as indexes into [`crate::Prepared::remote_parts`]. If several have a sample of a
    /// series at a step, that of the last one counts.
    pub parts: Vec<usize>,
}

/// The time that an `@` modifier sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AtModifier {
    /// There is none.
    #[default]
    None,
    /// `@ 1.5`, in milliseconds.
    At(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// An instant vector selector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces; empty if there is none. `matchers` holds it as well.
    pub name: Box<[u8]>,
    /// The conditions on labels, in the order written; the one for `name` is the last.
    pub matchers: Vec<Matcher>,
    /// The offset as written, in milliseconds: positive looks back.
    pub offset_ms: i64,
    /// The offset, if it must be computed when the query's step is known; `offset_ms` is 0 then.
    pub offset_expr: Option<NodeId>,
    /// The `@` modifier.
    pub at: AtModifier,
    /// Whether the modifier `anchored` was given.
    pub anchored: bool,
    /// Whether the modifier `smoothed` was given.
    pub smoothed: bool,
    /// Whether all matchers may accept the empty string: true of the second argument of `info`.
    pub may_match_all: bool,
}

/// A range vector selector. Offset, `@`, `anchored` and `smoothed` are those of the inner selector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixSelector {
    /// A node of kind [`NodeKind::Vector`].
    pub selector: NodeId,
    /// The range in milliseconds.
    pub range_ms: i64,
    /// The range, if it must be computed when the query's step is known; `range_ms` is 0 then.
    pub range_expr: Option<NodeId>,
}

/// A subquery.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// The expression evaluated at each of its steps.
    pub expr: NodeId,
    /// The range in milliseconds.
    pub range_ms: i64,
    /// The range, if it must be computed; `range_ms` is 0 then.
    pub range_expr: Option<NodeId>,
    /// The step in milliseconds; 0 stands for the default step.
    pub step_ms: i64,
    /// The step, if it must be computed; `step_ms` is 0 then.
    pub step_expr: Option<NodeId>,
    /// The offset as written, in milliseconds.
    pub offset_ms: i64,
    /// The offset, if it must be computed; `offset_ms` is 0 then.
    pub offset_expr: Option<NodeId>,
    /// The `@` modifier.
    pub at: AtModifier,
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: NodeId,
    /// The right operand.
    pub rhs: NodeId,
    /// How series are matched; only where both operands are instant vectors.
    pub matching: Option<VectorMatching>,
    /// Whether a comparison returns 0 or 1 instead of filtering.
    pub return_bool: bool,
}

/// How the series of two vectors are matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorMatching {
    /// How many series of each side may match.
    pub cardinality: Cardinality,
    /// Whether `labels` are the ones compared (`on`) or the ones left out (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`, in the order written.
    pub labels: Vec<Box<[u8]>>,
    /// The labels of `group_left` or `group_right`, in the order written.
    pub include: Vec<Box<[u8]>>,
    /// The value for a series missing on the left.
    pub fill_left: Option<f64>,
    /// The value for a series missing on the right.
    pub fill_right: Option<f64>,
}

/// How many series of each side may match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// The first argument of those operators that have two.
    pub param: Option<NodeId>,
    /// The vector aggregated.
    pub expr: NodeId,
    /// The labels of `by` or `without`, in the order written.
    pub grouping: Vec<Box<[u8]>>,
    /// Whether `grouping` are the labels left out.
    pub without: bool,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub func: Func,
    /// The arguments.
    pub args: Vec<NodeId>,
}

/// An operation on durations. `step()` and `range()` have no operand, a sign has `rhs` only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DurationExpr {
    /// The operator.
    pub op: DurationOp,
    /// The left operand: a number or an operation on durations.
    pub lhs: Option<NodeId>,
    /// The right operand.
    pub rhs: Option<NodeId>,
    /// Whether parentheses stand around it.
    pub wrapped: bool,
}

/// Declares an operator enum with the text of each member.
macro_rules! operators {
    ($(#[$doc:meta])* $name:ident { $($member:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $member,)*
        }

        impl $name {
            /// The text in a query.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$member => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

operators! {
    /// Binary operators.
    BinaryOp {
        Add "+",
        Sub "-",
        Mul "*",
        Div "/",
        Mod "%",
        Pow "^",
        Atan2 "atan2",
        Equal "==",
        NotEqual "!=",
        Greater ">",
        Less "<",
        GreaterOrEqual ">=",
        LessOrEqual "<=",
        TrimUpper "</",
        TrimLower ">/",
        And "and",
        Or "or",
        Unless "unless",
    }
}

operators! {
    /// Aggregation operators.
    AggregateOp {
        Sum "sum",
        Avg "avg",
        Count "count",
        Min "min",
        Max "max",
        Group "group",
        Stddev "stddev",
        Stdvar "stdvar",
        Topk "topk",
        Bottomk "bottomk",
        CountValues "count_values",
        Quantile "quantile",
        Limitk "limitk",
        LimitRatio "limit_ratio",
    }
}

operators! {
    /// Operators on durations.
    DurationOp {
        Add "+",
        Sub "-",
        Mul "*",
        Div "/",
        Mod "%",
        Pow "^",
        Step "step",
        Range "range",
        MinOf "min_of",
        MaxOf "max_of",
    }
}

impl BinaryOp {
    /// Whether it compares: `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub(crate) const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Greater
                | BinaryOp::Less
                | BinaryOp::GreaterOrEqual
                | BinaryOp::LessOrEqual
        )
    }

    /// Whether it is `and`, `or` or `unless`.
    pub(crate) const fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

impl AggregateOp {
    /// Whether it has a parameter before the vector.
    pub(crate) const fn has_param(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::CountValues
                | AggregateOp::Quantile
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
        )
    }

    /// Whether it needs experimental functions to be enabled.
    pub(crate) const fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

impl Cardinality {
    /// The name in error texts and answers: `one-to-one` and so on.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

impl PosRange {
    /// The range from `start` to `end`.
    pub(crate) const fn new(start: u32, end: u32) -> PosRange {
        PosRange { start, end }
    }
}

impl Expr {
    /// An expression over these nodes. Children must come before their parents.
    pub(crate) fn from_parts(nodes: Vec<Node>, root: NodeId) -> Expr {
        Expr { nodes, root }
    }

    /// The root's id.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Makes another node the root.
    pub(crate) fn set_root(&mut self, root: NodeId) {
        assert!((root.0 as usize) < self.nodes.len(), "the root is a node");
        self.root = root;
    }

    /// The type that the expression evaluates to.
    pub fn ty(&self) -> ValueType {
        self[self.root].ty
    }

    /// All nodes, by id. Rewriting may leave some that the root does not reach.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes, to be changed in place.
    pub(crate) fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Adds a node, whose children must be nodes already.
    pub(crate) fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("a query has fewer than 2^32 nodes"));
        self.nodes.push(node);
        id
    }

    /// The node, without the parentheses around it.
    pub(crate) fn unparen(&self, mut id: NodeId) -> NodeId {
        while let NodeKind::Paren(inner) = self[id].kind {
            id = inner;
        }
        id
    }

    /// Calls `visit` with each child in the order of evaluation of upstream's `Children`: the expression of an
    /// aggregation before its parameter. Duration expressions of selectors and subqueries are not visited.
    pub(crate) fn for_each_child(&self, id: NodeId, mut visit: impl FnMut(NodeId)) {
        match &self[id].kind {
            NodeKind::Number { .. }
            | NodeKind::String(_)
            | NodeKind::Vector(_)
            | NodeKind::Remote(_)
            | NodeKind::Part(_) => {}
            NodeKind::Matrix(m) => visit(m.selector),
            NodeKind::Subquery(s) => visit(s.expr),
            NodeKind::Unary { expr, .. } | NodeKind::Paren(expr) | NodeKind::StepInvariant(expr) => {
                visit(*expr)
            }
            NodeKind::Binary(b) => {
                visit(b.lhs);
                visit(b.rhs);
            }
            NodeKind::Aggregate(a) => {
                visit(a.expr);
                if let Some(param) = a.param {
                    visit(param);
                }
            }
            NodeKind::Call(c) => c.args.iter().copied().for_each(visit),
            NodeKind::Duration(d) => d.lhs.into_iter().chain(d.rhs).for_each(visit),
        }
    }

    /// The children, in the order of evaluation of upstream's `Children`: the expression of an aggregation before its
    /// parameter.
    pub fn children(&self, id: NodeId) -> Vec<NodeId> {
        let mut children = Vec::new();
        self.for_each_child(id, |child| children.push(child));
        children
    }

    /// All nodes below and with the root, depth first, each before its children.
    pub fn preorder(&self) -> Vec<NodeId> {
        self.preorder_from(self.root)
    }

    /// All nodes below and with a node, depth first, each before its children.
    pub(crate) fn preorder_from(&self, id: NodeId) -> Vec<NodeId> {
        let (mut order, mut pending) = (Vec::new(), vec![id]);
        while let Some(id) = pending.pop() {
            order.push(id);
            let first = pending.len();
            self.for_each_child(id, |child| pending.push(child));
            pending[first..].reverse();
        }
        order
    }
}

impl Index<NodeId> for Expr {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

impl IndexMut<NodeId> for Expr {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }
}
