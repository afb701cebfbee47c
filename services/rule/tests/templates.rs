//! Expansions of templates, as the real Prometheus makes them (`testdata/templates/expansions.json`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tithon_rule::{Answers, Data, Expansion, Number, Sample, Surroundings, Template};
use tithon_testdata::project_root;

fn labels(pairs: &[(&str, &str)]) -> Arc<BTreeMap<String, String>> {
    Arc::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// What the real program's queries found when the expansions were recorded.
fn answers() -> Answers {
    let sample = |value: f64, pairs: &[(&str, &str)]| {
        Arc::new(Sample { labels: labels(pairs), value: Number::Float(value) })
    };
    let up = vec![
        sample(1.0, &[("__name__", "up"), ("instance", "b"), ("__value__", "x")]),
        sample(0.0, &[("__name__", "up"), ("instance", "a")]),
        sample(f64::NAN, &[("__name__", "up"), ("instance", "c")]),
    ];
    let found = [("up", up), ("one", vec![sample(42.5, &[("job", "j")])]), ("none", Vec::new())];
    found.into_iter().map(|(query, samples)| (query.to_owned(), Ok(Arc::new(samples)))).collect()
}

fn expanded(text: &str, value: f64) -> Result<String, String> {
    let data = Data {
        labels: labels(&[
            ("instance", "db-1.example.org:9100"),
            ("job", "node"),
            ("empty", ""),
            ("n", "1234.5"),
            ("html", "<b>\"a\" & 'b'</b>"),
            ("uni", "größe ☃"),
            ("ts", "1714564800.5"),
        ]),
        external_labels: labels(&[("cluster", "eu"), ("replica", "a")]),
        external_url: "http://ext.example.org".to_owned(),
        value: Number::Float(value),
    };
    let template = Template::of_alert("T", text).map_err(|error| error.to_string())?;
    let mut answers = answers();
    loop {
        let external_url = Some(("http://prom.example.org/base", "/base"));
        let around = Surroundings { now_ms: 1_714_564_800_123, external_url, answers: &answers };
        match template.expand(data.clone(), &around).map_err(|error| error.to_string())? {
            Expansion::Text(text) => return Ok(text),
            Expansion::Asks(query) => {
                let failed = Err(format!("query failed: {query}"));
                assert!(answers.insert(query, failed).is_none(), "asked again for what is known");
            }
        }
    }
}

#[test]
fn expansions_are_those_of_prometheus() {
    let file = project_root().join("testdata/templates/expansions.json");
    let text = std::fs::read_to_string(file).expect("recorded expansions");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for case in &cases {
        let field = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
        let (text, value) = (field("text"), field("value"));
        let expected = match case.get("error") {
            Some(error) => Err(error.as_str().expect("a text").to_owned()),
            None => Ok(field("output")),
        };
        // Go prints addresses of its own here.
        let mask = |text: String| match text.find("0xc000") {
            Some(at) => text[..at].to_owned(),
            None => text,
        };
        let found = expanded(&text, value.trim_start_matches('+').parse().expect("a number"));
        if found.clone().map(mask) != expected.clone().map(mask) {
            wrong.push(format!("{text}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn an_expansion_is_bounded() {
    let nested = "{{ range 1000 }}".repeat(4) + "x" + &"{{ end }}".repeat(4);
    let doubled = "{{ $x := \"0123456789\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}";
    let endless = "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}";
    for (text, reason) in [
        (nested.as_str(), "more than 100000 steps"),
        (doubled, "functions make more than 16777216 bytes"),
        (endless, "exceeded maximum template depth (50)"),
        ("{{ range 10000 }}{{ printf \"%1000d\" 1 }}{{ end }}", "more than 1048576 bytes"),
    ] {
        let error = expanded(text, 1.0).expect_err(text);
        assert!(error.contains(reason), "{error}");
    }
    let deep = "{{ if true }}".repeat(5000) + &"{{ end }}".repeat(5000);
    assert!(expanded(&deep, 1.0).expect_err("too deep").contains("max expression depth exceeded"));
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(expanded(&parens, 1.0).expect_err("too deep").contains("max expression depth exceeded"));
}
