//! Templates of alerts: bytes in, no panic and no endless work out.

use std::sync::Arc;

use tithon_rule::{Answers, Data, Expansion, Number, Surroundings, Template};

/// Parses and expands the bytes; queries find nothing.
pub fn expand_bytes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // An error is fine; a panic is what is looked for.
    let Ok(template) = Template::of_alert("Fuzz", text) else { return };
    let labels = [("job", "node"), ("instance", "a.b:1"), ("empty", "")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data =
        Data { labels: Arc::new(labels.into_iter().collect()), value: Number::Float(1.5), ..Data::default() };
    let mut answers = Answers::new();
    while answers.len() < 8 {
        let around = Surroundings { now_ms: 1_700_000_000_000, external_url: None, answers: &answers };
        match template.expand(data.clone(), &around) {
            Ok(Expansion::Asks(query)) => {
                assert!(answers.insert(query, Ok(Arc::default())).is_none(), "asked again for what is known");
            }
            Ok(Expansion::Text(_)) | Err(_) => return,
        }
    }
}
