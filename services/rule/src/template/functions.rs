//! The functions of templates: those of Go's `text/template` and those of Prometheus's `template/template.go`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tithon_chunks::calendar::go_duration;
use tithon_index::{Template as Replacement, searching_regex};
use tithon_promql::{duration_ns, format};

use super::Surroundings;
use super::compare::{compared, equal, indexed, length, sliced};
use super::print::{shown, sprint, sprintf, sprintln};
use super::stop::Stop;
use super::text::{general, parse_float, query_escaped, split_host_port, titled};
use super::time::Moment;
use super::value::{Sample, Value};

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Any,
    /// Like `Any`, of a function of Go's own.
    Reflect,
    Str,
    Sample,
    Samples,
}

impl Want {
    /// The type as Go prints it.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Want::Any => "interface {}",
            Want::Reflect => "reflect.Value",
            Want::Str => "string",
            Want::Sample => "*template.sample",
            Want::Samples => "template.queryResult",
        }
    }
}

/// A function: its parameters, and what it does with arguments that fit them.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) fixed: &'static [Want],
    pub(super) variadic: Option<Want>,
    pub(super) call: Call,
}

/// How a function is called.
#[derive(Clone, Copy)]
pub(super) enum Call {
    /// Stops at the first false argument.
    And,
    /// Stops at the first true argument.
    Or,
    Plain(fn(&[Value]) -> Result<Value, String>),
    /// Asks what is around the template.
    Around(fn(&Surroundings<'_>, &[Value]) -> Result<Value, Stop>),
}

impl Function {
    /// The function of that name.
    pub(super) fn named(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

use Call::{Around, Plain};
use Want::{Any, Reflect, Str};

const fn plain(
    name: &'static str,
    fixed: &'static [Want],
    call: fn(&[Value]) -> Result<Value, String>,
) -> Function {
    Function { name, fixed, variadic: None, call: Plain(call) }
}

const fn many(
    name: &'static str,
    fixed: &'static [Want],
    variadic: Want,
    call: fn(&[Value]) -> Result<Value, String>,
) -> Function {
    Function { name, fixed, variadic: Some(variadic), call: Plain(call) }
}

const fn around(
    name: &'static str,
    fixed: &'static [Want],
    call: fn(&Surroundings<'_>, &[Value]) -> Result<Value, Stop>,
) -> Function {
    Function { name, fixed, variadic: None, call: Around(call) }
}

static FUNCTIONS: &[Function] = &[
    Function { name: "and", fixed: &[Reflect], variadic: Some(Reflect), call: Call::And },
    Function { name: "or", fixed: &[Reflect], variadic: Some(Reflect), call: Call::Or },
    plain("not", &[Reflect], |args| Ok(Value::Bool(!args[0].is_true()))),
    many("call", &[Reflect], Reflect, |args| match &args[0] {
        Value::None | Value::NilInterface => Err("call of nil".to_owned()),
        value => Err(format!("non-function {} of type {}", shown(value), value.type_name())),
    }),
    many("html", &[], Any, |args| Ok(Value::text(html_escaped(&joined(args))))),
    many("js", &[], Any, |args| Ok(Value::text(js_escaped(&joined(args))))),
    many("urlquery", &[], Any, |args| Ok(Value::text(query_escaped(&joined(args))))),
    many("print", &[], Any, |args| Ok(Value::text(sprint(args)))),
    many("printf", &[Str], Any, |args| Ok(Value::text(sprintf(text(&args[0]), &args[1..])))),
    many("println", &[], Any, |args| Ok(Value::text(sprintln(args)))),
    many("index", &[Reflect], Reflect, |args| indexed(&args[0], &args[1..])),
    many("slice", &[Reflect], Reflect, |args| sliced(&args[0], &args[1..])),
    plain("len", &[Reflect], |args| length(&args[0])),
    many("eq", &[Reflect], Reflect, |args| equal(&args[0], &args[1..]).map(Value::Bool)),
    plain("ne", &[Reflect, Reflect], |args| {
        equal(&args[0], &args[1..]).map(|is_equal| Value::Bool(!is_equal))
    }),
    plain("lt", &[Reflect, Reflect], |args| compared(&args[0], &args[1], |order| order.is_lt(), false)),
    plain("le", &[Reflect, Reflect], |args| compared(&args[0], &args[1], |order| order.is_le(), false)),
    plain("gt", &[Reflect, Reflect], |args| compared(&args[0], &args[1], |order| order.is_gt(), true)),
    plain("ge", &[Reflect, Reflect], |args| compared(&args[0], &args[1], |order| order.is_ge(), true)),
    around("query", &[Str], |around, args| around.query(text(&args[0]))),
    plain("first", &[Want::Samples], |args| match &args[0] {
        Value::Samples(samples) if !samples.is_empty() => Ok(Value::Sample(Arc::clone(&samples[0]))),
        _ => Err("first() called on vector with no elements".to_owned()),
    }),
    plain("label", &[Str, Want::Sample], |args| {
        let labels = &sample(&args[1])?.labels;
        Ok(Value::text(labels.get(text(&args[0])).map_or("", String::as_str)))
    }),
    plain("value", &[Want::Sample], |args| Ok(Value::from(&sample(&args[0])?.value))),
    plain("strvalue", &[Want::Sample], |args| {
        Ok(Value::text(sample(&args[0])?.labels.get("__value__").map_or("", String::as_str)))
    }),
    many("args", &[], Any, |args| {
        let named = args.iter().enumerate().map(|(i, arg)| (format!("arg{i}"), interface(arg)));
        Ok(Value::Args(Arc::new(named.collect())))
    }),
    plain("reReplaceAll", &[Str, Str, Str], |args| {
        replace_all(text(&args[0]), text(&args[1]), text(&args[2]))
    }),
    plain("match", &[Str, Str], |args| {
        let regex = searching_regex(text(&args[0])).map_err(|error| error.to_string())?;
        Ok(Value::Bool(regex.is_match(text(&args[1]))))
    }),
    plain("safeHtml", &[Str], |args| Ok(Value::Html(text(&args[0]).into()))),
    plain("title", &[Str], |args| Ok(Value::text(titled(text(&args[0]))))),
    plain("toUpper", &[Str], |args| Ok(Value::text(text(&args[0]).chars().map(upper).collect::<String>()))),
    plain("toLower", &[Str], |args| Ok(Value::text(text(&args[0]).chars().map(lower).collect::<String>()))),
    plain("graphLink", &[Str], |args| Ok(Value::text(link(text(&args[0]), 0)))),
    plain("tableLink", &[Str], |args| Ok(Value::text(link(text(&args[0]), 1)))),
    plain("sortByLabel", &[Str, Want::Samples], |args| match &args[1] {
        Value::Samples(samples) => {
            let mut sorted = Vec::clone(samples);
            let by = |sample: &Arc<Sample>| sample.labels.get(text(&args[0])).cloned().unwrap_or_default();
            sorted.sort_by_key(by);
            Ok(Value::Samples(Arc::new(sorted)))
        }
        other => Ok(other.clone()),
    }),
    plain("stripPort", &[Str], |args| {
        let host = text(&args[0]);
        Ok(Value::text(split_host_port(host).map_or(host, |(host, _)| host)))
    }),
    plain("stripDomain", &[Str], |args| Ok(Value::text(without_domain(text(&args[0]))))),
    plain("humanize", &[Any], |args| float(&args[0]).map(|value| Value::text(humanized(value)))),
    plain("humanize1024", &[Any], |args| float(&args[0]).map(|value| Value::text(humanized_1024(value)))),
    plain("humanizeDuration", &[Any], |args| float(&args[0]).map(|v| Value::text(humanized_duration(v)))),
    plain("humanizePercentage", &[Any], |args| {
        float(&args[0]).map(|value| Value::text(format!("{}%", general(value * 100.0, 4))))
    }),
    plain("humanizeTimestamp", &[Any], |args| {
        let value = float(&args[0])?;
        if !value.is_finite() {
            return Ok(Value::text(general(value, 4)));
        }
        Ok(Value::text(moment(value)?.to_string()))
    }),
    plain("toTime", &[Any], |args| moment(float(&args[0])?).map(Value::Time)),
    plain("toDuration", &[Any], |args| Ok(Value::Duration((float(&args[0])? * 1e9) as i64))),
    around("now", &[], |around, _| Ok(Value::Float(around.now_ms as f64 / 1000.0))),
    around("pathPrefix", &[], |around, _| Ok(Value::text(around.url()?.1))),
    around("externalURL", &[], |around, _| Ok(Value::text(around.url()?.0))),
    plain("parseDuration", &[Str], |args| {
        let given = text(&args[0]);
        let (sign, span) = given.strip_prefix('-').map_or((1.0, given), |span| (-1.0, span));
        Ok(Value::Float(sign * (duration_ns(span.as_bytes())? as f64 / 1e9)))
    }),
    plain("urlQueryEscape", &[Str], |args| Ok(Value::text(query_escaped(text(&args[0]))))),
];

/// The text that a checked argument holds.
fn text(value: &Value) -> &str {
    match value {
        Value::Str(text) => text,
        _ => "",
    }
}

const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

fn sample(value: &Value) -> Result<&Sample, String> {
    match value {
        Value::Sample(sample) => Ok(sample),
        _ => Err(NIL_POINTER.to_owned()),
    }
}

/// A value as a map of any values holds it.
fn interface(value: &Value) -> Value {
    match value {
        Value::None => Value::NilInterface,
        value => value.clone(),
    }
}

/// The arguments as one text, pointers followed.
fn joined(args: &[Value]) -> String {
    let seen = |arg: &Value| match arg {
        Value::None | Value::Sample(_) | Value::NilSample => Value::text(shown(arg)),
        arg => arg.clone(),
    };
    sprint(&args.iter().map(seen).collect::<Vec<_>>())
}

fn float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Str(text) => {
            let wrong =
                |what: &str| format!("strconv.ParseFloat: parsing {}: {what}", super::quote::quoted(text));
            let value = parse_float(text).ok_or_else(|| wrong("invalid syntax"))?;
            let is_large = value.is_infinite() && text.contains(|c: char| c.is_ascii_digit());
            if is_large { Err(wrong("value out of range")) } else { Ok(value) }
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn moment(seconds: f64) -> Result<Moment, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            format::general(seconds)
        ));
    }
    Ok(Moment(nanos as i64 / 1_000_000))
}

/// Scales a number by `step` until it is at least 1, with the letters of small units.
fn small(mut value: f64, step: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for letter in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        (prefix, value) = (letter, value * step);
    }
    (value, prefix)
}

fn large(mut value: f64, step: f64, prefixes: [&'static str; 8]) -> String {
    let mut prefix = "";
    for letter in prefixes {
        if value.abs() < step {
            break;
        }
        (prefix, value) = (letter, value / step);
    }
    format!("{}{prefix}", general(value, 4))
}

fn humanized(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, 4);
    }
    if value.abs() >= 1.0 {
        return large(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    let (value, prefix) = small(value, 1000.0);
    format!("{}{prefix}", general(value, 4))
}

fn humanized_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, 4);
    }
    large(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn humanized_duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value, 4);
    }
    if value == 0.0 {
        return format!("{}s", general(value, 4));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value, 1000.0);
        return format!("{}{prefix}s", general(value, 4));
    }
    let (sign, value) = if value < 0.0 { ("-", -value) } else { ("", value) };
    // A number beyond the range of integers becomes the least one, as on the processors that Prometheus mostly runs on.
    let whole = if value < i64::MAX as f64 { value as i64 } else { i64::MIN };
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", general(value, 4))
    }
}

/// Replacements go no further.
const REPLACED_BYTES_MAX: usize = 1 << 20;

fn replace_all(pattern: &str, replacement: &str, text: &str) -> Result<Value, String> {
    let regex = searching_regex(pattern)
        .map_err(|error| format!("regexp: Compile({}): {error}", go_literal(pattern)))?;
    let replacement = Replacement::parse(&regex, replacement.as_bytes());
    let (mut out, mut end, mut piece) = (Vec::new(), 0, Vec::new());
    for captures in regex.captures_iter(text) {
        let Some(found) = captures.get_match() else { continue };
        out.extend_from_slice(&text.as_bytes()[end..found.start()]);
        replacement.expand(&captures, text.as_bytes(), &mut piece);
        out.extend_from_slice(&piece);
        end = found.end();
        if out.len() > REPLACED_BYTES_MAX {
            return Err(format!("the text is longer than {REPLACED_BYTES_MAX} bytes"));
        }
    }
    out.extend_from_slice(&text.as_bytes()[end..]);
    Ok(Value::text(String::from_utf8_lossy(&out)))
}

/// As Go quotes patterns: in backquotes where that is possible.
fn go_literal(text: &str) -> String {
    match text.contains('`') || text.chars().any(char::is_control) {
        true => super::quote::quoted(text),
        false => format!("`{text}`"),
    }
}

fn upper(c: char) -> char {
    let mut letters = c.to_uppercase();
    letters.next().filter(|_| letters.next().is_none()).unwrap_or(c)
}

fn lower(c: char) -> char {
    let mut letters = c.to_lowercase();
    letters.next().filter(|_| letters.next().is_none()).unwrap_or(c)
}

fn link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escaped(expression))
}

fn without_domain(given: &str) -> String {
    let (host, port) = split_host_port(given).unwrap_or((given, ""));
    if host.parse::<IpAddr>().is_ok() {
        return given.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    match (port.is_empty(), host.contains(':')) {
        (true, _) => host.to_owned(),
        (false, true) => format!("[{host}]:{port}"),
        (false, false) => format!("{host}:{port}"),
    }
}

fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' || !super::quote::is_printable(c) && !c.is_ascii() => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

impl Surroundings<'_> {
    fn query(&self, expression: &str) -> Result<Value, Stop> {
        match self.answers.get(expression) {
            None => Err(Stop::Asks(expression.to_owned())),
            Some(Ok(samples)) => Ok(Value::Samples(Arc::clone(samples))),
            Some(Err(reason)) => Err(Stop::Failed(reason.clone())),
        }
    }

    /// The URL and its path. Without one, Go fails as it follows no pointer.
    fn url(&self) -> Result<(&str, &str), Stop> {
        self.external_url.ok_or_else(|| Stop::Failed(NIL_POINTER.to_owned()))
    }
}

/// The fields and methods of a point in time or a duration.
pub(super) fn method(value: &Value, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let wants = usize::from(name == "Format");
    let result = match value {
        Value::Time(moment) => {
            let (year, _, day) = moment.date();
            let (hour, minute, second, nanos) = moment.clock();
            let seconds = moment.0.div_euclid(1000);
            match name {
                "Format" => Value::text(args.first().map_or_else(String::new, |a| moment.format(text(a)))),
                "String" => Value::text(moment.to_string()),
                "Year" => Value::Int(year),
                "Month" => Value::Named("time.Month", moment.month().0, moment.month().1),
                "Day" => Value::Int(day),
                "Hour" => Value::Int(hour),
                "Minute" => Value::Int(minute),
                "Second" => Value::Int(second),
                "Nanosecond" => Value::Int(nanos),
                "YearDay" => Value::Int(moment.day_of_year()),
                "Weekday" => Value::Named("time.Weekday", moment.weekday().0, moment.weekday().1),
                "Unix" => Value::Int(seconds),
                "UnixMilli" => Value::Int(moment.0),
                "UnixMicro" => Value::Int(moment.0.wrapping_mul(1000)),
                "UnixNano" => Value::Int(moment.0.wrapping_mul(1_000_000)),
                "UTC" => value.clone(),
                "IsZero" => Value::Bool(false),
                _ => return None,
            }
        }
        Value::Duration(nanos) => {
            let whole = |unit: i64| nanos / unit;
            let parts = |unit: i64| (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64;
            match name {
                "String" => Value::text(go_duration(*nanos)),
                "Hours" => Value::Float(parts(3_600_000_000_000)),
                "Minutes" => Value::Float(parts(60_000_000_000)),
                "Seconds" => Value::Float(parts(1_000_000_000)),
                "Milliseconds" => Value::Int(whole(1_000_000)),
                "Microseconds" => Value::Int(whole(1_000)),
                "Nanoseconds" => Value::Int(*nanos),
                "Abs" => Value::Duration(nanos.saturating_abs()),
                _ => return None,
            }
        }
        Value::Named(_, _, text) if name == "String" => Value::text(*text),
        Value::Histogram(histogram) if name == "String" => Value::text(histogram.to_string()),
        _ => return None,
    };
    Some(match args.len() == wants {
        true => Ok(result),
        false => Err(format!("wrong number of args for {name}: want {wants} got {}", args.len())),
    })
}

/// What a template has asked for: samples, or why there are none.
pub type Answers = BTreeMap<String, Result<Arc<Vec<Arc<Sample>>>, String>>;
