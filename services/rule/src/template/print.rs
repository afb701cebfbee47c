//! Values as Go's `fmt` prints them.

use std::collections::BTreeMap;

use tithon_chunks::calendar::go_duration;
use tithon_promql::format;

use super::quote::{quoted, quoted_char};
use super::text;
use super::value::{Number, Value};

/// Widths and precisions go no further.
const WIDTH_MAX: usize = 1_000_000;
/// Where Go prints an address, which differs from run to run.
const ADDRESS: &str = "0xc000000000";

/// `fmt.Sprint`: spaces between values of which none is a text.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Str(_) | Value::Html(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&Flags::default().value(value, 'v', 0));
    }
    out
}

/// `fmt.Sprintln`
pub(super) fn sprintln(values: &[Value]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for value in values {
        texts.push(Flags::default().value(value, 'v', 0));
    }
    texts.join(" ") + "\n"
}

/// What a template prints of a value: what pointers point to, and nothing as `<no value>`.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::None => "<no value>".to_owned(),
        Value::NilSample => "<nil>".to_owned(),
        Value::Sample(sample) => {
            format!("{{{} {}}}", map(&sample.labels), number(&sample.value))
        }
        value => sprint(std::slice::from_ref(value)),
    }
}

fn map(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", pairs.join(" "))
}

fn number(number: &Number) -> String {
    match number {
        Number::Float(value) => format::general(*value),
        Number::Histogram(_) => ADDRESS.to_owned(),
    }
}

/// The flags of a verb.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`
pub(super) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer { args, next: 0, reordered: false, out: String::new() };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        printer.out.push_str(&rest[..at]);
        rest = printer.verb(&rest[at + 1..]);
    }
    printer.out.push_str(rest);
    if !printer.reordered && printer.next < args.len() {
        let told = |arg: &Value| match arg {
            Value::None | Value::NilInterface => "<nil>".to_owned(),
            arg => format!("{}={}", arg.type_name(), Flags::default().value(arg, 'v', 0)),
        };
        let extra: Vec<String> = args[printer.next..].iter().map(told).collect();
        printer.out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    printer.out
}

struct Printer<'v> {
    args: &'v [Value],
    next: usize,
    /// Whether arguments were named by number.
    reordered: bool,
    out: String,
}

impl Printer<'_> {
    /// Prints one verb, the text of which is behind a `%`; what follows is left.
    fn verb<'t>(&mut self, text: &'t str) -> &'t str {
        let mut flags = Flags::default();
        let mut rest = text;
        let mut good_index = true;
        loop {
            match rest.chars().next() {
                Some('+') => flags.plus = true,
                Some('-') => (flags.minus, flags.zero) = (true, false),
                Some('#') => flags.sharp = true,
                Some(' ') => flags.space = true,
                Some('0') => flags.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        rest = self.index(rest, &mut good_index);
        if let Some(behind) = rest.strip_prefix('*') {
            rest = behind;
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
        } else {
            (flags.width, rest) = digits(rest);
        }
        if let Some(behind) = rest.strip_prefix('.') {
            rest = self.index(behind, &mut good_index);
            if let Some(behind) = rest.strip_prefix('*') {
                rest = behind;
                match self.star() {
                    Some(precision) => flags.precision = usize::try_from(precision).ok(),
                    None => self.out.push_str("%!(BADPREC)"),
                }
            } else {
                let (precision, behind) = digits(rest);
                (flags.precision, rest) = (Some(precision.unwrap_or(0)), behind);
            }
        }
        rest = self.index(rest, &mut good_index);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
        } else if !good_index {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            self.out.push_str(&flags.arg(arg, verb));
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        rest
    }

    /// `[n]`: the number of the next argument.
    fn index<'t>(&mut self, text: &'t str, is_good: &mut bool) -> &'t str {
        let Some(inner) = text.strip_prefix('[') else { return text };
        self.reordered = true;
        let Some(end) = inner.find(']') else {
            *is_good = false;
            return inner;
        };
        match inner[..end].parse::<usize>() {
            Ok(n) if (1..=self.args.len()).contains(&n) => self.next = n - 1,
            _ => *is_good = false,
        }
        &inner[end + 1..]
    }

    fn star(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        match arg {
            Value::Int(n) if n.unsigned_abs() <= WIDTH_MAX as u64 => Some(*n),
            _ => None,
        }
    }
}

/// A number in front of a text; one that is too large counts as none.
fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok().filter(|n| *n <= WIDTH_MAX), &text[end..])
}

impl Flags {
    /// An argument of `Sprintf`.
    fn arg(self, arg: &Value, verb: char) -> String {
        // A plus asks for the names of fields where everything is printed, and for no sign.
        let plain = Flags { plus: self.plus && verb != 'v', ..self };
        match verb {
            'T' => self.padded(arg.type_name()),
            'v' if matches!(arg, Value::None | Value::NilInterface) => self.padded("<nil>"),
            _ => plain.value(arg, verb, 0),
        }
    }

    /// A value; `depth` is how many others it lies in.
    fn value(self, value: &Value, verb: char, depth: usize) -> String {
        match value {
            Value::None | Value::NilInterface => match verb {
                'v' => self.padded("<nil>"),
                verb => format!("%!{verb}(<nil>)"),
            },
            Value::NilSample => match verb {
                'v' => self.padded("<nil>"),
                verb => self.bad(value, verb),
            },
            Value::Bool(on) if matches!(verb, 't' | 'v') => self.padded(if *on { "true" } else { "false" }),
            Value::Bool(_) => self.bad(value, verb),
            Value::Int(n) => self.integer(*n, verb).unwrap_or_else(|| self.bad(value, verb)),
            Value::Byte(n) => self.integer(i64::from(*n), verb).unwrap_or_else(|| self.bad(value, verb)),
            Value::Float(n) => self.float(*n, verb).unwrap_or_else(|| self.bad(value, verb)),
            Value::Str(text) | Value::Html(text) => {
                self.text(text, verb).unwrap_or_else(|| self.bad(value, verb))
            }
            Value::Named(_, n, name) => match verb {
                'v' | 's' | 'x' | 'X' | 'q' => self.text(name, verb).unwrap_or_default(),
                verb => self.integer(*n, verb).unwrap_or_else(|| self.bad(value, verb)),
            },
            Value::Time(moment) => self.stringer(&moment.to_string(), value, verb),
            Value::Duration(nanos) => self.stringer(&go_duration(*nanos), value, verb),
            Value::Histogram(histogram) => self.stringer(&histogram.to_string(), value, verb),
            Value::Labels(labels) => {
                let pairs = labels.iter().map(|(name, text)| (name, Value::text(text.as_str())));
                self.map("map[string]string", pairs, verb, depth)
            }
            Value::Args(args) => {
                let pairs = args.iter().map(|(name, arg)| (name, arg.clone()));
                self.map("map[string]interface {}", pairs, verb, depth)
            }
            Value::Link(expression) => format!("{{{expression}}}"),
            Value::Data(data) => {
                let fields = [
                    Value::Labels(data.labels.clone()),
                    Value::Labels(data.external_labels.clone()),
                    Value::text(data.external_url.as_str()),
                    Value::from(&data.value),
                ];
                let texts = fields.map(|field| self.value(&field, verb, depth + 1));
                format!("{{{}}}", texts.join(" "))
            }
            Value::Sample(_) if depth > 0 => ADDRESS.to_owned(),
            Value::Sample(sample) => {
                let labels = self.value(&Value::Labels(sample.labels.clone()), verb, 1);
                let number = match &sample.value {
                    Number::Float(value) => self.value(&Value::Float(*value), verb, 1),
                    Number::Histogram(_) => ADDRESS.to_owned(),
                };
                format!("&{{{labels} {number}}}")
            }
            Value::Samples(samples) => {
                let texts = vec![ADDRESS; samples.len()];
                format!("[{}]", texts.join(" "))
            }
        }
    }

    /// A value that has a text of its own, printed as such or as an address.
    fn stringer(self, text: &str, value: &Value, verb: char) -> String {
        match verb {
            'v' | 's' | 'x' | 'X' | 'q' => self.text(text, verb).unwrap_or_else(|| self.bad(value, verb)),
            _ => ADDRESS.to_owned(),
        }
    }

    fn map<'n>(
        self,
        type_name: &str,
        pairs: impl Iterator<Item = (&'n String, Value)>,
        verb: char,
        depth: usize,
    ) -> String {
        let is_go = self.sharp && verb == 'v';
        let mut texts = Vec::new();
        for (name, value) in pairs {
            let name = self.value(&Value::text(name.as_str()), verb, depth + 1);
            texts.push(format!("{name}:{}", self.value(&value, verb, depth + 1)));
        }
        if is_go {
            format!("{type_name}{{{}}}", texts.join(", "))
        } else {
            format!("map[{}]", texts.join(" "))
        }
    }

    fn bad(self, value: &Value, verb: char) -> String {
        format!("%!{verb}({}={})", value.type_name(), self.value(value, 'v', 0))
    }

    fn text(self, text: &str, verb: char) -> Option<String> {
        let cut = |text: &str| match self.precision {
            Some(n) => text.chars().take(n).collect(),
            None => text.to_owned(),
        };
        Some(match verb {
            'v' if self.sharp => self.padded(&quoted(text)),
            'v' | 's' => self.padded(&cut(text)),
            'q' if self.sharp && !text.contains(['`', '\n']) => self.padded(&format!("`{}`", cut(text))),
            'q' => self.padded(&quoted(&cut(text))),
            'x' | 'X' => {
                let bytes = &text.as_bytes()[..self.precision.unwrap_or(usize::MAX).min(text.len())];
                let one = |byte: &u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                let separator = if self.space { " " } else { "" };
                let texts: Vec<String> = bytes.iter().map(one).collect();
                self.padded(&texts.join(separator))
            }
            _ => return None,
        })
    }

    fn integer(self, n: i64, verb: char) -> Option<String> {
        let magnitude = n.unsigned_abs();
        let (prefix, digits) = match verb {
            'v' | 'd' => ("", magnitude.to_string()),
            'b' => (if self.sharp { "0b" } else { "" }, format!("{magnitude:b}")),
            'o' => (if self.sharp { "0" } else { "" }, format!("{magnitude:o}")),
            'O' => ("0o", format!("{magnitude:o}")),
            'x' => (if self.sharp { "0x" } else { "" }, format!("{magnitude:x}")),
            'X' => (if self.sharp { "0X" } else { "" }, format!("{magnitude:X}")),
            'c' | 'q' | 'U' => {
                let code = u32::try_from(n).ok().and_then(char::from_u32);
                let c = code.unwrap_or(char::REPLACEMENT_CHARACTER);
                return Some(self.padded(&match verb {
                    'c' => c.to_string(),
                    'q' => quoted_char(c),
                    _ => format!("U+{magnitude:04X}"),
                }));
            }
            _ => return None,
        };
        if self.precision == Some(0) && n == 0 {
            return Some(self.padded(""));
        }
        let sign = self.sign(n < 0);
        let mut least = self.precision.unwrap_or(0);
        if self.zero && self.precision.is_none() {
            // Zeros fill the whole width, sign included.
            least = self.width.unwrap_or(0).saturating_sub(sign.len() + prefix.len());
        }
        Some(Flags { zero: false, ..self }.padded(&format!("{sign}{prefix}{digits:0>least$}")))
    }

    fn sign(self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn float(self, value: f64, verb: char) -> Option<String> {
        let text = match (verb, self.precision) {
            ('v' | 'g', None) => format::general(value),
            ('v' | 'g', Some(n)) => text::general(value, n),
            ('G', None) => format::general(value).replace('e', "E"),
            ('G', Some(n)) => text::general(value, n).replace('e', "E"),
            ('e', n) => text::exponential(value, n.unwrap_or(6)),
            ('E', n) => text::exponential(value, n.unwrap_or(6)).replace('e', "E"),
            ('f' | 'F', n) => text::fixed(value, n.unwrap_or(6)),
            _ => return None,
        };
        let is_negative = text.starts_with('-');
        let body = text.trim_start_matches(['-', '+']);
        let is_number = value.is_finite();
        let plus = text.starts_with('+') && !self.space;
        let sign = if plus { "+" } else { self.sign(is_negative) };
        if self.zero && is_number {
            let least = self.width.unwrap_or(0).saturating_sub(sign.len());
            return Some(format!("{sign}{body:0>least$}"));
        }
        let is_nan_with_plus = value.is_nan() && self.plus;
        let sign = if is_nan_with_plus { "+" } else { sign };
        Some(Flags { zero: false, ..self }.padded(&format!("{sign}{body}")))
    }

    /// Fills the width, at the left unless told otherwise.
    fn padded(self, text: &str) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text.to_owned();
        }
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        let fill = if self.zero { "0" } else { " " };
        format!("{}{text}", fill.repeat(missing))
    }
}
