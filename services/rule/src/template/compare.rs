//! Comparisons, indexes and lengths of values. Go `text/template/funcs.go`.

use std::cmp::Ordering;

use super::value::Value;

/// Types of which values can be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    Str,
    Other,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) | Value::Named(..) => Kind::Int,
        Value::Byte(_) => Kind::Uint,
        Value::Float(_) => Kind::Float,
        Value::Str(_) | Value::Html(_) => Kind::Str,
        _ => Kind::Other,
    }
}

fn is_nil(value: &Value) -> bool {
    matches!(value, Value::None | Value::NilInterface | Value::NilSample)
}

/// Whether the first value equals any of the others.
pub(super) fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if is_equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_equal(a: &Value, b: &Value) -> Result<bool, String> {
    let types = || (a.type_name(), b.type_name());
    match (kind(a), kind(b)) {
        (Kind::Other, Kind::Other) => {
            if is_nil(a) || is_nil(b) {
                return Ok(is_nil(a) && is_nil(b));
            }
            match (a, b) {
                (Value::Sample(a), Value::Sample(b)) => Ok(std::sync::Arc::ptr_eq(a, b)),
                // Pointers of others are made anew each time.
                (Value::Time(_) | Value::Duration(_) | Value::Histogram(_), _) => Ok(false),
                _ if types().0 != types().1 => Err(format!(
                    "non-comparable types {}: {}, {}: {}",
                    super::print::shown(a),
                    types().0,
                    types().1,
                    super::print::shown(b)
                )),
                _ => Err(format!("non-comparable type {}: {}", super::print::shown(b), types().1)),
            }
        }
        (Kind::Int, Kind::Uint) | (Kind::Uint, Kind::Int) => Ok(order(a, b) == Some(Ordering::Equal)),
        (a_kind, b_kind) if a_kind == b_kind => Ok(order(a, b) == Some(Ordering::Equal)),
        _ if matches!(a, Value::None) || matches!(b, Value::None) => Ok(false),
        _ => {
            let (a, b) = types();
            Err(format!("incompatible types for comparison: {a} and {b}"))
        }
    }
}

/// Which of two values of comparable kinds is less; `None` with NaN.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let integer = |value: &Value| match value {
        Value::Int(n) | Value::Named(_, n, _) => Some(*n),
        Value::Byte(n) => Some(i64::from(*n)),
        _ => None,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a) | Value::Html(a), Value::Str(b) | Value::Html(b)) => {
            Some(a.as_bytes().cmp(b.as_bytes()))
        }
        _ => Some(integer(a)?.cmp(&integer(b)?)),
    }
}

/// A comparison of order. Go makes `gt` of `le` and `ge` of `lt`, so that these hold with NaN.
pub(super) fn compared(
    a: &Value,
    b: &Value,
    holds: fn(Ordering) -> bool,
    with_nan: bool,
) -> Result<Value, String> {
    let bad = || Err("invalid type for comparison".to_owned());
    match (kind(a), kind(b)) {
        (Kind::Other, _) | (_, Kind::Other) | (Kind::Bool, Kind::Bool) => bad(),
        (Kind::Int, Kind::Uint) | (Kind::Uint, Kind::Int) => Ok(Value::Bool(order(a, b).is_some_and(holds))),
        (a_kind, b_kind) if a_kind == b_kind => Ok(Value::Bool(order(a, b).map_or(with_nan, holds))),
        _ => {
            let (a, b) = (a.type_name(), b.type_name());
            Err(format!("incompatible types for comparison: {a} and {b}"))
        }
    }
}

fn position(index: &Value, max: usize) -> Result<usize, String> {
    let at = match index {
        Value::Int(n) | Value::Named(_, n, _) => *n,
        Value::Byte(n) => i64::from(*n),
        Value::None | Value::NilInterface => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let checked = usize::try_from(at).ok().filter(|at| *at <= max);
    checked.ok_or_else(|| format!("index out of range: {at}"))
}

fn key(index: &Value) -> Result<&str, String> {
    match index {
        Value::Str(text) => Ok(text),
        Value::None | Value::NilInterface => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

/// `index x 1 "a"`
pub(super) fn indexed(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    if matches!(item, Value::None | Value::NilInterface) {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = item.clone();
    for index in indexes {
        let reflects = |at: usize, what: &str| format!("reflect: {what} index out of range, {at}");
        item =
            match &item {
                Value::None | Value::NilInterface | Value::NilSample => {
                    return Err("index of nil pointer".to_owned());
                }
                Value::Str(text) | Value::Html(text) => {
                    let at = position(index, text.len())?;
                    let byte = text.as_bytes().get(at);
                    Value::Byte(*byte.ok_or_else(|| {
                        reflects(at, "string").split(',').next().unwrap_or_default().to_owned()
                    })?)
                }
                Value::Samples(samples) => {
                    let at = position(index, samples.len())?;
                    let sample = samples.get(at).ok_or("reflect: slice index out of range")?;
                    Value::Sample(sample.clone())
                }
                Value::Labels(labels) => Value::text(labels.get(key(index)?).map_or("", String::as_str)),
                Value::Args(args) => args.get(key(index)?).cloned().unwrap_or(Value::NilInterface),
                other => {
                    let name = other.type_name().trim_start_matches('*');
                    return Err(format!("can't index item of type {name}"));
                }
            };
    }
    Ok(item)
}

/// `slice x 1 2`
pub(super) fn sliced(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let len = match item {
        Value::None | Value::NilInterface => return Err("slice of untyped nil".to_owned()),
        Value::NilSample => return Err("slice of nil pointer".to_owned()),
        _ if indexes.len() > 3 => return Err(format!("too many slice indexes: {}", indexes.len())),
        Value::Str(_) | Value::Html(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Str(text) | Value::Html(text) => text.len(),
        Value::Samples(samples) => samples.len(),
        other => {
            let name = other.type_name().trim_start_matches('*');
            return Err(format!("can't slice item of type {name}"));
        }
    };
    let mut ends = [0, len, len];
    for (end, index) in ends.iter_mut().zip(indexes) {
        *end = position(index, len)?;
    }
    let [from, to, cap] = ends;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > cap {
        return Err(format!("invalid slice index: {to} > {cap}"));
    }
    Ok(match item {
        // A letter that is cut in two becomes U+FFFD.
        Value::Str(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to])),
        Value::Html(text) => Value::Html(String::from_utf8_lossy(&text.as_bytes()[from..to]).into()),
        Value::Samples(samples) => Value::Samples(samples[from..to].to_vec().into()),
        other => other.clone(),
    })
}

/// `len x`
pub(super) fn length(item: &Value) -> Result<Value, String> {
    let len = match item {
        Value::None => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        Value::NilSample | Value::NilInterface => return Err("len of nil pointer".to_owned()),
        Value::Str(text) | Value::Html(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Args(args) => args.len(),
        Value::Samples(samples) => samples.len(),
        other => return Err(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    };
    Ok(Value::Int(len as i64))
}
