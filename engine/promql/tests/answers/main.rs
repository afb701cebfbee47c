//! Recorded answers of Prometheus 3.14: each query is evaluated over the same blocks and must give the same answer.
//!
//! Series are compared as sets, values as the text of an answer, errors by their text.
#![allow(clippy::disallowed_methods)]

mod data;
mod render;

use std::sync::atomic::AtomicBool;

use serde_json::Value as Json;
use tithon_chunks::Timestamp;
use tithon_promql::{
    EvalContext, Options, ParseOptions, Prepared, QueryError, QueryResult, Rule, Rules, TimeParams,
};

use data::Data;

/// How many records of a set have equal answers.
#[derive(Default)]
struct Tally {
    total: usize,
    equal: usize,
    notes_equal: usize,
    different: Vec<String>,
}

fn check(file: &str, delayed_name_removal: bool, rules: &[Rules], every: usize) {
    let data = Data::open();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads start");
    let mut tally = Tally::default();
    let mut seen = 0;
    for record in tithon_testdata::json_lines(file).iter().filter(|r| r["path"].is_string()) {
        let Some(params) = query_params(record) else { continue };
        seen += 1;
        if seen % every != 0 {
            continue;
        }
        let expected = render::expected(record);
        let rules = rules[seen / every % rules.len()];
        if rules.has(Rule::MatchersThroughJoins) && expected.kind.contains("found duplicate series") {
            continue;
        }
        tally.total += 1;
        let options = Options { parse: ParseOptions::ALL, delayed_name_removal, rules, ..Options::default() };
        let (actual, notes) = match run(&params, &data, &options, pick(tally.total, &pool)) {
            Ok(result) => {
                let notes = (result.warnings.clone(), result.infos.clone());
                (render::result(&result.value), notes)
            }
            Err(error) => (render::error(&error), Default::default()),
        };
        if render::same_notes(record, &notes) {
            tally.notes_equal += 1;
        } else if std::env::var_os("SHOW_NOTES").is_some() {
            println!(
                "#{} {}\n  {} {}\n  {notes:?}",
                record["id"], params.query, record["body"]["warnings"], record["body"]["infos"]
            );
        }
        if actual == expected {
            tally.equal += 1;
        } else {
            tally.different.push(format!(
                "#{} {} {:?}\n  expected {}\n  actual   {}",
                record["id"],
                params.query,
                params.times,
                cut(&render::difference(&expected, &actual)),
                cut(&render::difference(&actual, &expected)),
            ));
        }
    }
    let show = std::env::var("SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    tally.different.iter().take(show).for_each(|text| println!("{text}"));
    println!("{file}: {} of {} equal, notes {}", tally.equal, tally.total, tally.notes_equal);
    assert_eq!((tally.equal, tally.notes_equal), (tally.total, tally.total), "{file}");
}

fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

struct Params {
    query: String,
    times: TimeParams,
}

fn query_params(record: &Json) -> Option<Params> {
    let get = |name: &str| {
        record["params"]
            .as_array()?
            .iter()
            .find(|p| p[0] == name)
            .and_then(|p| p[1].as_str())
            .map(str::to_owned)
    };
    let query = get("query")?;
    let times = match record["path"].as_str()? {
        "/api/v1/query" => TimeParams::instant(Timestamp(time(&get("time")?)?)),
        "/api/v1/query_range" => TimeParams {
            start: Timestamp(time(&get("start")?)?),
            end: Timestamp(time(&get("end")?)?),
            step_ms: step(&get("step")?)?,
        },
        _ => return None,
    };
    Some(Params { query, times })
}

/// Seconds as a number, or RFC 3339 in UTC.
fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some((seconds.trunc() as i64) * 1000 + (seconds.fract() * 1000.0).round() as i64);
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let y = if month <= 2 { year - 1 } else { year };
    let (era, shifted) = (y.div_euclid(400), if month > 2 { month - 3 } else { month + 9 });
    let year_of_era = y - era * 400;
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let fraction: f64 = text
        .get(19..text.len() - 1)
        .filter(|f| !f.is_empty())
        .map_or(Some(0.0), |f| format!("0{f}").parse().ok())?;
    Some(seconds * 1000 + (fraction * 1000.0) as i64)
}

fn step(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => Some((seconds * 1e9) as i64 / 1_000_000),
        Err(_) => tithon_promql::duration_ns(text.as_bytes()).ok().map(|ns| ns / 1_000_000),
    }
}

/// The pool for every third query: the answers are the same on threads.
fn pick(i: usize, pool: &rayon::ThreadPool) -> Option<&rayon::ThreadPool> {
    i.is_multiple_of(3).then_some(pool)
}

fn run(
    params: &Params,
    data: &Data,
    options: &Options,
    pool: Option<&rayon::ThreadPool>,
) -> Result<QueryResult, QueryError> {
    let prepared = Prepared::new(&params.query, params.times, options)?;
    let inputs: Vec<_> = prepared.selects().iter().map(|spec| data.select(spec)).collect();
    let cancelled = AtomicBool::new(false);
    prepared.eval(inputs, &EvalContext { pool, cancelled: &cancelled })
}

#[test]
fn as_prometheus_answers() {
    check("answers/prometheus-3.14.jsonl.zst", false, &[Rules::default()], 1);
}

#[test]
fn as_prometheus_answers_with_delayed_name_removal() {
    check("answers/prometheus-3.14-delayed-name-removal.jsonl.zst", true, &[Rules::default()], 1);
}

/// Runs with all rules, with none, and with each of them off in turn; every seventh record, or all with the variable
/// `ALL_RULES`.
#[test]
fn rules_change_no_answer() {
    let mut rules = Rule::ALL.map(|rule| Rules::ALL.without(rule)).to_vec();
    rules.extend([Rules::ALL, Rules::NONE]);
    let every = if std::env::var_os("ALL_RULES").is_some() { 1 } else { 7 };
    check("answers/prometheus-3.14.jsonl.zst", false, &rules, every);
}
