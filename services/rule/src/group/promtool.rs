//! The real program as the judge of what tests expect: `promtool test rules` evaluates the same rules over the same series.

use std::process::Command;

use serde_json::{Value, json};

use super::lives_tests::{Case, Input, Life, PER_SLOT, SAMPLE, value_at};
use super::*;

/// Fails unless Prometheus has the expected alerts of a case at each evaluation, and at the last one the `recorded` series.
pub(super) fn check(case: &Case, recorded: &[SeriesSample]) {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "promtool is not installed");
        eprintln!("not compared: promtool is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yml"), case.rules).unwrap();
    let test = json!({
        "rule_files": ["rules.yml"],
        "evaluation_interval": format!("{}s", SAMPLE * PER_SLOT as u64),
        "tests": [{
            "interval": format!("{SAMPLE}s"),
            "input_series": case.series.iter().map(series).collect::<Vec<_>>(),
            "alert_rule_test": alerts(case),
            "promql_expr_test": recorded.iter().map(|sample| expression(sample, case)).collect::<Vec<_>>(),
        }],
    });
    let file = dir.path().join("test.yml");
    std::fs::write(&file, test.to_string()).unwrap();
    let tested = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    let told = [tested.stdout, tested.stderr].concat();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&told));
}

fn time(sample: usize) -> String {
    format!("{}s", sample as u64 * SAMPLE)
}

fn series((labels, values): &Input) -> Value {
    let n: usize = values.iter().map(|(_, times)| times).sum();
    let values: Vec<String> = (0..n).map(|i| value_at(values, i).to_string()).collect();
    json!({"series": Labels::from_pairs(labels.iter().copied()).to_string(), "values": values.join(" ")})
}

/// The firing alerts of each rule at each evaluation.
fn alerts(case: &Case) -> Vec<Value> {
    let object = |labels: &Labels| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let own = labels.iter().filter(|(name, _)| *name != b"alertname");
        own.map(|(name, value)| (text(name), text(value))).collect::<BTreeMap<_, _>>()
    };
    let named = |life: &Life| life.labels().get("alertname").unwrap().to_vec();
    let names: BTreeSet<Vec<u8>> = case.lives.iter().map(named).collect();
    let mut all = Vec::new();
    for sample in (0..case.samples).step_by(PER_SLOT) {
        for name in &names {
            let firing = case
                .lives
                .iter()
                .filter(|life| named(life) == *name && life.state(sample) == Some(AlertState::Firing));
            let expected: Vec<Value> = firing
                .map(|life| {
                    let annotations = object(&life.annotations(sample));
                    json!({"exp_labels": object(&life.labels()), "exp_annotations": annotations})
                })
                .collect();
            let name = String::from_utf8_lossy(name);
            all.push(json!({"eval_time": time(sample), "alertname": name, "exp_alerts": expected}));
        }
    }
    all
}

/// A recorded series at the last evaluation.
fn expression(sample: &SeriesSample, case: &Case) -> Value {
    let last = (case.samples - 1) / PER_SLOT * PER_SLOT;
    let labels = sample.labels.to_string();
    let Number::Float(value) = sample.value else { panic!("{labels}: not a float") };
    json!({"expr": labels, "eval_time": time(last), "exp_samples": [{"labels": labels, "value": value}]})
}
