//! Random well-typed queries.

use super::catalog::{Catalog, Kind, Metric};
use super::dice::Dice;

/// The dialect of the queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Queries that Prometheus 2.42 and 3.14 answer alike (see `KNOWN_DIFFERENCES`).
    Common,
    /// Everything that 3.14 has, experimental functions and modifiers included.
    Modern,
}

/// Generates queries; the same seed gives the same queries.
pub struct Queries<'a> {
    dice: Dice,
    catalog: &'a Catalog,
    dialect: Dialect,
}

const RANGES: &[&str] = &["1m", "2m", "5m", "5m", "7m30s", "10m", "17m", "30m", "1h", "2h5m"];
const STEPS: &[&str] = &["", "1m", "30s", "97s", "5m"];
const OFFSETS: &[&str] = &["1m", "5m", "-3m", "17m", "1h", "-30s"];
const NUMBERS: &[&str] = &[
    "0", "1", "2", "-1", "0.5", "3", "10", "100", "1e3", "0.1", "1e-3", "-7.25", "NaN", "Inf", "-Inf", "0x1F",
];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISON: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const LABELS: &[&str] =
    &["job", "instance", "le", "pod", "code", "method", "handler", "case", "nosuch", "kind"];

/// Functions of a range of floats or histograms.
const RANGE_FUNCTIONS: &[&str] = &[
    "changes",
    "resets",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "avg_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "idelta",
    "irate",
    "deriv",
    "delta",
    "absent_over_time",
];
const MODERN_RANGE_FUNCTIONS: &[&str] = &[
    "rate",
    "increase",
    "rate",
    "increase",
    "mad_over_time",
    "first_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "ts_of_last_over_time",
    "ts_of_first_over_time",
];
/// The functions that `anchored` and `smoothed` may be used with.
const ANCHORED: &[&str] = &["rate", "increase", "delta", "changes", "resets"];
const SMOOTHED: &[&str] = &["rate", "increase", "delta"];

const VECTOR_FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "round",
    "deg",
    "rad",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "timestamp",
    "sort",
    "sort_desc",
    "absent",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];
const NATIVE_FUNCTIONS: &[&str] =
    &["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];
const AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "group"];
const MODERN_AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "stddev", "stdvar"];

impl<'a> Queries<'a> {
    pub fn new(seed: u64, catalog: &'a Catalog, dialect: Dialect) -> Queries<'a> {
        Queries { dice: Dice::new(seed), catalog, dialect }
    }

    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    fn modern(&self) -> bool {
        self.dialect == Dialect::Modern
    }

    /// A whole query.
    pub fn query(&mut self) -> String {
        let depth = 1 + self.dice.weighted(&[3, 5, 3, 1]);
        match self.dice.weighted(&[1, 20, usize::from(self.modern())]) {
            0 => self.scalar(depth),
            1 => self.vector(depth),
            // Instant queries may return a range vector.
            _ => self.range(depth, ""),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return (*self.dice.pick(NUMBERS)).to_owned();
        }
        let kinds: &[usize] = if self.modern() { &[6, 1, 1, 2, 2, 1, 1] } else { &[6, 1, 1, 2, 2] };
        match self.dice.weighted(kinds) {
            0 => (*self.dice.pick(NUMBERS)).to_owned(),
            1 => "time()".to_owned(),
            2 => "pi()".to_owned(),
            3 => format!("scalar({})", self.vector(depth - 1)),
            4 => {
                let (a, b) = (self.scalar(depth - 1), self.scalar(depth - 1));
                let op = match self.dice.once_in(4) {
                    true => format!("{} bool", self.dice.pick(COMPARISON)),
                    false => (*self.dice.pick(&ARITHMETIC[..6])).to_owned(),
                };
                format!("({a} {op} {b})")
            }
            5 => (*self.dice.pick(&["start()", "end()", "range()", "step()"])).to_owned(),
            _ => format!("-{}", self.scalar(depth - 1)),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let weights: &[usize] = if self.modern() {
            &[2, 7, 6, 3, 4, 2, 5, 1, 1, 2, 2, 1, 2]
        } else {
            &[2, 6, 6, 3, 4, 2, 4, 1, 1, 2]
        };
        match self.dice.weighted(weights) {
            0 => self.selector(),
            1 => self.range_call(depth - 1),
            2 => self.aggregation(depth - 1),
            3 => self.with_scalar(depth - 1),
            4 => self.joined(depth - 1),
            5 => self.set(depth - 1),
            6 => self.call(depth - 1),
            7 => format!("-{}", self.vector(depth - 1)),
            8 => format!("({})", self.vector(depth - 1)),
            9 => self.quantile(),
            10 => self.native(depth - 1),
            11 => self.info(depth - 1),
            _ => self.modern_aggregation(depth - 1),
        }
    }

    fn metric(&mut self) -> &'a Metric {
        loop {
            let kind =
                [Kind::Gauge, Kind::Counter, Kind::Bucket, Kind::Native][self.dice.weighted(&[6, 6, 2, 3])];
            let metric = self.metric_of(kind);
            if self.modern() || (metric.kind != Kind::Native && is_plain(&metric.name)) {
                return metric;
            }
        }
    }

    fn metric_of(&mut self, kind: Kind) -> &'a Metric {
        let catalog = self.catalog;
        let list = catalog.of(kind);
        if list.is_empty() { self.dice.pick(&catalog.metrics) } else { list[self.dice.below(list.len())] }
    }

    /// A selector without modifiers.
    fn bare(&mut self, metric: &Metric) -> String {
        let mut matchers = Vec::new();
        for _ in 0..self.dice.weighted(&[5, 4, 2]) {
            matchers.push(self.matcher(metric));
        }
        let mut name = metric.name.clone();
        if !is_plain(&name) || (self.modern() && self.dice.once_in(40)) {
            matchers.insert(0, format!("\"{name}\""));
            name.clear();
        }
        match matchers.is_empty() {
            true => name,
            false => format!("{name}{{{}}}", matchers.join(",")),
        }
    }

    fn matcher(&mut self, metric: &Metric) -> String {
        let has_newline = |label: &str| metric.labels[label].iter().any(|value| value.contains('\n'));
        let labels = metric.labels.keys().filter(|l| is_plain(l) && (self.modern() || !has_newline(l)));
        let labels: Vec<&String> = labels.collect();
        if labels.is_empty() || self.dice.once_in(12) {
            return format!("{}{}\"\"", self.dice.pick(LABELS), self.dice.pick(&["=", "!="]));
        }
        let label = *self.dice.pick(&labels);
        let values = &metric.labels[label];
        let value = quoted(self.dice.pick::<String>(values));
        let cut = |text: &str| text.chars().take(3).filter(|c| c.is_ascii_alphanumeric()).collect::<String>();
        match self.dice.weighted(&[6, 2, 2, 2, 1]) {
            0 => format!("{label}=\"{value}\""),
            1 => format!("{label}!=\"{value}\""),
            2 => format!("{label}=~\"{}.*\"", cut(&value)),
            3 => format!("{label}=~\"{}|{}\"", cut(&value), cut(self.dice.pick::<String>(values))),
            _ => format!("{label}!~\".*{}.*\"", cut(&value)),
        }
    }

    fn modifiers(&mut self) -> String {
        let mut text = String::new();
        if self.dice.once_in(10) {
            let at = ["@ start()", "@ end()", "@ 1710050000", "@ 1710061234.5"];
            text = format!(" {}", self.dice.pick(&at));
        }
        if self.dice.once_in(8) {
            let offset = *self.dice.pick(OFFSETS);
            let offset = format!(" offset {offset}");
            text = if self.dice.once_in(2) { text + &offset } else { offset + &text };
        }
        text
    }

    fn selector(&mut self) -> String {
        let metric = self.metric();
        format!("{}{}", self.bare(metric), self.modifiers())
    }

    fn duration(&mut self) -> String {
        if self.modern() && self.dice.once_in(14) {
            let list = [
                "step()*3+1m",
                "2*5m",
                "(1h/4)",
                "5m+30s",
                "300",
                "max_of(step(),3m)",
                "min_of(10m,1h)",
                "range()/4+1m",
            ];
            return (*self.dice.pick(&list)).to_owned();
        }
        (*self.dice.pick(RANGES)).to_owned()
    }

    /// A range selector or a subquery, to be given to `function`.
    fn range(&mut self, depth: usize, function: &str) -> String {
        if depth > 0 && self.dice.once_in(4) {
            let inner = self.vector(depth - 1);
            let inner =
                if inner.ends_with(')') && !inner.contains(' ') { inner } else { format!("({inner})") };
            return format!("{inner}[{}:{}]{}", self.duration(), self.dice.pick(STEPS), self.modifiers());
        }
        let metric = match function {
            "rate" | "increase" | "irate" | "resets" if !self.dice.once_in(4) => {
                let kind = if self.modern() && self.dice.once_in(3) { Kind::Native } else { Kind::Counter };
                self.metric_of(kind)
            }
            _ => self.metric(),
        };
        let mut extended = "";
        if self.modern() && self.dice.once_in(7) {
            if ANCHORED.contains(&function) && self.dice.once_in(2) {
                extended = " anchored";
            } else if SMOOTHED.contains(&function) {
                extended = " smoothed";
            }
        }
        format!("{}[{}]{extended}{}", self.bare(metric), self.duration(), self.modifiers())
    }

    fn range_call(&mut self, depth: usize) -> String {
        let modern = usize::from(self.modern());
        let number = self.dice.weighted(&[8, 8 * modern, 2, modern, modern]);
        match number {
            0 => {
                let function = *self.dice.pick(RANGE_FUNCTIONS);
                format!("{function}({})", self.range(depth, function))
            }
            1 => {
                let function = *self.dice.pick(MODERN_RANGE_FUNCTIONS);
                format!("{function}({})", self.range(depth, function))
            }
            2 => format!(
                "quantile_over_time({}, {})",
                self.dice.pick(&["0", "0.5", "0.9", "1", "-1", "2"]),
                self.range(depth, "")
            ),
            3 => format!(
                "predict_linear({}, {})",
                self.range(depth, ""),
                self.dice.pick(&["60", "3600", "-600"])
            ),
            _ => format!("double_exponential_smoothing({}, 0.3, 0.7)", self.range(depth, "")),
        }
    }

    fn grouping(&mut self) -> String {
        if self.dice.once_in(4) {
            return String::new();
        }
        let n = self.dice.below(3);
        let labels: Vec<&str> = (0..n).map(|_| *self.dice.pick(LABELS)).collect();
        format!(" {} ({})", self.dice.pick(&["by", "by", "without"]), labels.join(", "))
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let (grouping, inner) = (self.grouping(), self.vector(depth));
        let modern = usize::from(self.modern());
        match self.dice.weighted(&[10, 2 * modern, 1, 1, 4 * modern]) {
            0 => format!("{}{grouping} ({inner})", self.dice.pick(AGGREGATIONS)),
            1 => format!(
                "{}{grouping} ({}, {inner})",
                self.dice.pick(&["topk", "bottomk"]),
                self.dice.pick(&["1", "2", "5", "0"])
            ),
            2 => {
                format!("quantile{grouping} ({}, {inner})", self.dice.pick(&["0.5", "0.25", "1", "0", "1.5"]))
            }
            3 => format!("count_values{grouping} (\"value\", {inner})"),
            _ => format!("{}{grouping} ({inner})", self.dice.pick(MODERN_AGGREGATIONS)),
        }
    }

    fn modern_aggregation(&mut self, depth: usize) -> String {
        let (grouping, inner) = (self.grouping(), self.vector(depth));
        match self.dice.below(2) {
            0 => format!("limitk{grouping} ({}, {inner})", self.dice.pick(&["1", "2", "7", "0"])),
            _ => format!("limit_ratio{grouping} ({}, {inner})", self.dice.pick(&["0.5", "-0.5", "0.1", "1"])),
        }
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let (vector, scalar) = (self.vector(depth), self.scalar(depth.min(1)));
        let vector = format!("({vector})");
        let op = match self.dice.below(3) {
            0 => (*self.dice.pick(COMPARISON)).to_owned(),
            1 => format!("{} bool", self.dice.pick(COMPARISON)),
            _ => (*self.dice.pick(&ARITHMETIC[..6])).to_owned(),
        };
        match self.dice.below(2) {
            0 => format!("{vector} {op} {scalar}"),
            _ => format!("{scalar} {op} {vector}"),
        }
    }

    /// Two operands whose series can match.
    fn sides(&mut self, depth: usize) -> (String, String) {
        if self.dice.once_in(3) {
            return (format!("({})", self.vector(depth)), format!("({})", self.vector(depth)));
        }
        let metric = self.metric();
        let (a, b) = (self.bare(metric), self.bare(metric));
        (a, format!("{b}{}", self.modifiers()))
    }

    fn joined(&mut self, depth: usize) -> String {
        let (mut a, mut b) = self.sides(depth);
        let mut matching = String::new();
        if self.dice.once_in(2) {
            let on = self.dice.once_in(2);
            let labels: Vec<&str> =
                (0..1 + self.dice.below(2)).map(|_| *self.dice.pick(&LABELS[..7])).collect();
            matching = format!(" {} ({})", if on { "on" } else { "ignoring" }, labels.join(", "));
            match self.dice.weighted(&[3, 2, 2]) {
                0 => {}
                side => {
                    let extra = if self.dice.once_in(3) { *self.dice.pick(LABELS) } else { "" };
                    matching += &format!(" group_{} ({extra})", if side == 1 { "left" } else { "right" });
                    // On the "one" side there should be one series per group, at least now and then.
                    if self.dice.once_in(2) && on {
                        let one = if side == 1 { &mut b } else { &mut a };
                        *one = format!("max by ({}) ({one})", labels.join(", "));
                    }
                }
            }
        }
        let fill = match self.modern() && self.dice.once_in(8) && !matching.contains("group") {
            true => format!(
                " {}({})",
                self.dice.pick(&["fill", "fill_left", "fill_right"]),
                self.dice.pick(&["0", "1", "-2.5"])
            ),
            false => String::new(),
        };
        let op = match self.dice.below(3) {
            0 => (*self.dice.pick(COMPARISON)).to_owned(),
            1 => format!("{} bool", self.dice.pick(COMPARISON)),
            _ => (*self.dice.pick(if self.modern() { ARITHMETIC } else { &ARITHMETIC[..6] })).to_owned(),
        };
        format!("{a} {op}{matching}{fill} {b}")
    }

    fn set(&mut self, depth: usize) -> String {
        let (a, b) = self.sides(depth);
        let matching = match self.dice.below(3) {
            0 => String::new(),
            _ => format!(" {} ({})", self.dice.pick(&["on", "ignoring"]), self.dice.pick(&LABELS[..7])),
        };
        format!("{a} {}{matching} {b}", self.dice.pick(&["and", "or", "unless"]))
    }

    fn call(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        match self.dice.weighted(&[12, 1, 1, 1, 2, 1, 1, 2 * usize::from(self.modern())]) {
            0 => format!("{}({inner})", self.dice.pick(VECTOR_FUNCTIONS)),
            1 => format!("clamp({inner}, {}, {})", self.scalar(0), self.scalar(0)),
            2 => format!("{}({inner}, {})", self.dice.pick(&["clamp_min", "clamp_max"]), self.scalar(0)),
            3 => format!("round({inner}, {})", self.dice.pick(&["0.1", "10", "0.5", "-3"])),
            4 => {
                let (from, to) =
                    (*self.dice.pick(LABELS), *self.dice.pick(&["job", "new", "instance", "__name__"]));
                let (pattern, with) =
                    *self.dice.pick(&[("(.*)", "x-$1"), ("(.).*", "$1"), ("nothing", "y"), (".*", "")]);
                format!("label_replace({inner}, \"{to}\", \"{with}\", \"{from}\", \"{pattern}\")")
            }
            5 => format!(
                "label_join({inner}, \"{}\", \"-\", \"job\", \"instance\")",
                self.dice.pick(&["new", "pod", "job"])
            ),
            6 => format!("vector({})", self.scalar(1)),
            _ => format!(
                "{}({inner}, \"{}\")",
                self.dice.pick(&["sort_by_label", "sort_by_label_desc"]),
                self.dice.pick(LABELS)
            ),
        }
    }

    fn quantile(&mut self) -> String {
        let metric = self.metric_of(Kind::Bucket);
        let bare = self.bare(metric);
        let function = if self.modern() { "rate" } else { "irate" };
        let inner = match self.dice.below(3) {
            0 => bare,
            1 => format!("sum by (le, job) ({bare})"),
            _ => format!("sum by (le) ({function}({bare}[{}]))", self.duration()),
        };
        match self.modern() && self.dice.once_in(3) {
            true => format!(
                "histogram_fraction({}, {}, {inner})",
                self.dice.pick(&["0", "-Inf", "0.1"]),
                self.dice.pick(&["0.2", "1", "+Inf"])
            ),
            false => format!(
                "histogram_quantile({}, {inner})",
                self.dice.pick(&["0.5", "0.9", "0.99", "0", "1", "-1", "2"])
            ),
        }
    }

    fn native(&mut self, depth: usize) -> String {
        let metric = self.metric_of(Kind::Native);
        let bare = self.bare(metric);
        let inner = match self.dice.below(6) {
            0 => bare,
            1 => format!("rate({bare}[{}])", self.duration()),
            2 => format!("sum{} (rate({bare}[{}]))", self.grouping(), self.duration()),
            3 => format!("sum{} ({bare})", self.grouping()),
            4 => format!(
                "{}({bare}[{}])",
                self.dice.pick(&["avg_over_time", "sum_over_time", "increase", "delta", "last_over_time"]),
                self.duration()
            ),
            _ => self.vector(depth),
        };
        match self.dice.below(5) {
            0 => {
                format!("histogram_quantile({}, {inner})", self.dice.pick(&["0.5", "0.9", "0.01", "0", "1"]))
            }
            1 => format!(
                "histogram_fraction({}, {}, {inner})",
                self.dice.pick(&["0", "-Inf", "0.1"]),
                self.dice.pick(&["0.2", "1", "+Inf"])
            ),
            2 => format!("histogram_quantiles({inner}, \"q\", 0.5, 0.9)"),
            3 => inner,
            _ => format!("{}({inner})", self.dice.pick(NATIVE_FUNCTIONS)),
        }
    }

    fn info(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        match self.dice.below(3) {
            0 => format!("info({inner})"),
            1 => format!("info({inner}, {{version=~\".+\"}})"),
            _ => format!("info({inner}, {{__name__=~\".*_info\"}})"),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn quoted(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
