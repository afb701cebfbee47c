//! The test language: commands and what their lines expect.

use tithon_index::{Labels, MatchOp, Matcher};
use tithon_promql::{SequenceValue, duration_ns, parse_series_desc};

/// One block of a file.
pub(crate) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to be stored.
pub(crate) struct Load {
    pub(crate) step_ms: i64,
    pub(crate) with_custom_buckets: bool,
    pub(crate) series: Vec<LoadedSeries>,
}

pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<SequenceValue>,
    /// Start timestamps relative to the samples, if a line gives them.
    pub(crate) starts: Vec<Option<i64>>,
}

/// A query and its expected result.
pub(crate) struct Eval {
    pub(crate) expr: String,
    pub(crate) is_range: bool,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) ordered: bool,
    pub(crate) fail: bool,
    pub(crate) warn: bool,
    pub(crate) info: bool,
    /// Whether the result holds for an instant query only.
    pub(crate) instant_only: bool,
    pub(crate) fail_texts: Vec<TextTest>,
    pub(crate) warn_texts: Vec<TextTest>,
    pub(crate) info_texts: Vec<TextTest>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    pub(crate) scalar: Option<f64>,
    pub(crate) string: Vec<u8>,
    /// Series in the order of the lines; a series given twice has the values of the last line.
    pub(crate) series: Vec<(usize, Labels, Vec<SequenceValue>)>,
}

/// A condition on a text.
pub(crate) enum TextTest {
    Any,
    Equals(String),
    Matches(Matcher),
}

impl TextTest {
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            TextTest::Any => true,
            TextTest::Equals(want) => text == want,
            TextTest::Matches(matcher) => matcher.matches(text.as_bytes()),
        }
    }

    fn pattern(pattern: &str) -> TextTest {
        let anywhere = format!(".*(?:{pattern}).*");
        TextTest::Matches(Matcher::new(MatchOp::Regex, "text", anywhere).expect("a valid pattern"))
    }
}

/// The commands of a file with their line numbers. Panics, naming the line, if the file is not a test file.
pub(crate) fn parse(text: &str) -> Vec<(usize, Command)> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let (mut commands, mut i) = (Vec::new(), 0);
    while i < lines.len() {
        if lines[i].is_empty() {
            i += 1;
            continue;
        }
        let n = lines[i..].iter().take_while(|line| !line.is_empty()).count();
        let block = &lines[i..i + n];
        let word = block[0].split_whitespace().next().unwrap_or_default().to_lowercase();
        let number = i + 1;
        i += n;
        match word.as_str() {
            "clear" => {
                commands.push((number, Command::Clear));
                i = number;
            }
            _ if word.starts_with("load") => commands.push((number, Command::Load(load(block)))),
            _ if word.starts_with("eval") => {
                let (eval, used) = eval(block);
                commands.push((number, Command::Eval(Box::new(eval))));
                i = number - 1 + used;
            }
            _ => panic!("line {number}: invalid command {word:?}"),
        }
    }
    commands
}

fn duration_ms(text: &str) -> i64 {
    duration_ns(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}")) / 1_000_000
}

fn load(block: &[&str]) -> Load {
    let mut words = block[0].split_whitespace();
    let with_custom_buckets = words.next() == Some("load_with_nhcb");
    let step_ms = duration_ms(words.next().expect("load has a step"));
    let (mut series, mut starts) = (Vec::new(), Vec::new());
    for line in &block[1..] {
        let (head, tail) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if head.ends_with("@st") {
            starts = tail.split_whitespace().flat_map(start_item).collect();
            continue;
        }
        let (labels, values) = series_line(line);
        let starts = std::mem::take(&mut starts);
        assert!(
            starts.is_empty() || starts.len() == values.len(),
            "{line}: start timestamps differ in number"
        );
        series.push(LoadedSeries { labels, values, starts });
    }
    Load { step_ms, with_custom_buckets, series }
}

fn series_line(line: &str) -> (Labels, Vec<SequenceValue>) {
    parse_series_desc(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// `_`, `_xN`, `D`, `DxN`, `D+DxN`, `D-DxN`
fn start_item(item: &str) -> Vec<Option<i64>> {
    let count = |text: &str| text.parse::<usize>().unwrap_or_else(|e| panic!("{item}: {e}"));
    if let Some(rest) = item.strip_prefix('_') {
        return vec![None; rest.strip_prefix('x').map_or(1, count)];
    }
    let (first, rest) = signed_duration(item);
    if rest.is_empty() {
        return vec![Some(first)];
    }
    let (step, rest) = if rest.starts_with('x') { (0, rest) } else { signed_duration(rest) };
    let n = count(rest.strip_prefix('x').unwrap_or_else(|| panic!("{item}: no count")));
    (0..=n as i64).map(|i| Some(first + step * i)).collect()
}

fn signed_duration(text: &str) -> (i64, &str) {
    let digits = text.trim_start_matches(['+', '-']);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let unit = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let end = digits[unit..].find(|c: char| !c.is_ascii_alphabetic() || c == 'x').map(|n| unit + n);
    let (duration, rest) = digits.split_at(end.unwrap_or(digits.len()));
    (sign * duration_ms(duration), rest)
}

/// The first word, and the text after the spaces that follow it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn after<'a>(text: &'a str, expected: &str) -> &'a str {
    let (found, rest) = word(text);
    assert_eq!(found, expected, "in {text:?}");
    rest
}

/// Parses an evaluation and says how many lines it has.
fn eval(block: &[&str]) -> (Eval, usize) {
    let (head, rest) = word(block[0]);
    let (kind, rest) = word(rest);
    let is_range = kind == "range";
    let (start, end, step, expr);
    if is_range {
        let (from, rest) = word(after(rest, "from"));
        let (to, rest) = word(after(rest, "to"));
        let (by, rest) = word(after(rest, "step"));
        (start, end, step, expr) = (duration_ms(from), duration_ms(to), duration_ms(by), rest);
    } else {
        let (at, rest) = word(after(rest, "at"));
        (start, end, step, expr) = (duration_ms(at), duration_ms(at), 0, rest);
    }
    let modifier = head.strip_prefix("eval").unwrap_or_default();
    let mut eval = Eval {
        expr: expr.to_owned(),
        is_range,
        start_ms: start,
        end_ms: end,
        step_ms: step,
        ordered: modifier == "_ordered",
        fail: modifier == "_fail",
        warn: modifier == "_warn",
        info: modifier == "_info",
        instant_only: false,
        fail_texts: Vec::new(),
        warn_texts: Vec::new(),
        info_texts: Vec::new(),
        no_warn: false,
        no_info: false,
        scalar: None,
        string: Vec::new(),
        series: Vec::new(),
    };
    let mut position = 1;
    for (i, line) in block.iter().enumerate().skip(1) {
        if expectation(&mut eval, line) {
            continue;
        }
        if let Ok(value) = line.parse::<f64>() {
            eval.scalar = Some(value);
            return (eval, i + 1);
        }
        let (labels, values) = series_line(line);
        eval.series.retain(|(_, other, _)| *other != labels);
        eval.series.push((position, labels, values));
        position += 1;
    }
    (eval, block.len())
}

/// Reads a line with an expectation that is not a series.
fn expectation(eval: &mut Eval, line: &str) -> bool {
    if let Some(text) = line.strip_prefix("expected_fail_message").filter(|_| eval.fail) {
        eval.fail_texts.push(TextTest::Equals(text.trim().to_owned()));
        return true;
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp").filter(|_| eval.fail) {
        eval.fail_texts.push(TextTest::pattern(pattern.trim()));
        return true;
    }
    if let Some(rest) = line.strip_prefix("expect range vector ") {
        let (from, rest) = word(after(rest, "from"));
        let (to, rest) = word(after(rest, "to"));
        (eval.start_ms, eval.end_ms) = (duration_ms(from), duration_ms(to));
        eval.step_ms = duration_ms(after(rest, "step"));
        eval.instant_only = true;
        return true;
    }
    if let Some(text) = line.strip_prefix("expect string ") {
        eval.string = string_literal(text);
        eval.instant_only = true;
        return true;
    }
    let (first, rest) = word(line);
    if first != "expect" {
        return false;
    }
    let (kind, rest) = word(rest);
    let test = match rest.split_once(':') {
        Some(("msg", text)) => TextTest::Equals(text.trim().to_owned()),
        Some(("regex", pattern)) => TextTest::pattern(pattern.trim()),
        _ => TextTest::Any,
    };
    match kind {
        "ordered" => eval.ordered = true,
        "fail" => {
            eval.fail = true;
            eval.fail_texts.push(test);
        }
        "warn" => eval.warn_texts.push(test),
        "info" => eval.info_texts.push(test),
        "no_warn" => eval.no_warn = true,
        "no_info" => eval.no_info = true,
        _ => panic!("invalid expectation {line:?}"),
    }
    true
}

/// The value of a quoted text, by way of the parser for queries.
fn string_literal(text: &str) -> Vec<u8> {
    let expr = tithon_promql::parse(text, &tithon_promql::ParseOptions::ALL).expect("a string");
    match &expr[expr.root()].kind {
        tithon_promql::NodeKind::String(value) => value.to_vec(),
        other => panic!("{text} is {other:?}"),
    }
}
