//! The metrics of a server with their kinds, labels and values, from which queries are made.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::Server;

/// The kind of a metric's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Bucket,
    Native,
}

pub struct Metric {
    pub name: String,
    pub kind: Kind,
    /// Values by label name, `__name__` aside.
    pub labels: BTreeMap<String, Vec<String>>,
}

pub struct Catalog {
    pub metrics: Vec<Metric>,
}

impl Catalog {
    /// Queries a server that has data at `time`, in seconds.
    pub fn ask(server: &Server, time: i64) -> Catalog {
        let names = server.get("/api/v1/label/__name__/values", &[]);
        let names = names["data"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned());
        Catalog { metrics: names.map(|name| Metric::ask(server, name, time)).collect() }
    }

    pub fn of(&self, kind: Kind) -> Vec<&Metric> {
        self.metrics.iter().filter(|m| m.kind == kind).collect()
    }
}

impl Metric {
    fn ask(server: &Server, name: String, time: i64) -> Metric {
        let selector = format!("{{__name__=\"{name}\"}}");
        let series = server.get("/api/v1/series", &[("match[]", &selector)]);
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in series["data"].as_array().unwrap().iter().take(200) {
            for (label, value) in one.as_object().unwrap().iter().filter(|(label, _)| *label != "__name__") {
                labels.entry(label.clone()).or_default().insert(value.as_str().unwrap().to_owned());
            }
        }
        let (start, end) = (time - 18_000, time + 18_000);
        let (start, end) = (start.to_string(), end.to_string());
        let times = [("query", selector.as_str()), ("start", &start), ("end", &end), ("step", "600")];
        let found = server.get("/api/v1/query_range", &times);
        let is_native =
            found["data"]["result"].as_array().is_some_and(|r| r.iter().any(|s| s["histograms"].is_array()));
        let kind = match name.as_str() {
            _ if is_native => Kind::Native,
            n if n.ends_with("_bucket") => Kind::Bucket,
            n if n.ends_with("_total") || n.ends_with("_count") || n.ends_with("_sum") => Kind::Counter,
            _ => Kind::Gauge,
        };
        let labels = labels.into_iter().map(|(k, v)| (k, v.into_iter().collect())).collect();
        Metric { name, kind, labels }
    }
}
