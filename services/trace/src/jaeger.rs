//! Settings of type JAEGER. Spans are sent as OTLP, which Jaeger's collectors accept since 1.35 on ports 4317 and 4318.
//! Thanos `pkg/tracing/jaeger`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::duration::GoDuration;
use crate::error::TraceError;
use crate::export::{Retry, Target, Transport};
use crate::plan::Plan;
use crate::sampler::Sampling;

/// Port of OTLP over HTTP at Jaeger's collectors.
const PORT: u16 = 4318;
/// Share of traces that Jaeger's client samples until the server of the sampler `remote` has answered.
const REMOTE_RATIO: f64 = 0.001;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Jaeger {
    service_name: String,
    tags: String,
    sampler_type: String,
    sampler_param: f64,
    initial_sampler_rate: f64,
    reporter_max_queue_size: usize,
    reporter_flush_interval: GoDuration,
    endpoint: String,
    user: String,
    password: String,
}

impl Jaeger {
    pub(crate) fn plan(self) -> Result<Plan, TraceError> {
        let mut notes = Vec::new();
        let sampling = Sampling::Parent(Box::new(self.sampling(&mut notes)));
        Ok(Plan {
            target: self.target(&mut notes)?,
            attributes: tags(&self.tags),
            service_name: self.service_name,
            sampling,
            queue_spans: Some(self.reporter_max_queue_size).filter(|spans| *spans > 0),
            flush_interval: self.reporter_flush_interval.given(),
            notes,
        })
    }

    /// The collector that `endpoint` names, at its port for OTLP. Agents accept only Thrift over UDP, so they get no
    /// spans.
    fn target(&self, notes: &mut Vec<String>) -> Result<Option<Target>, TraceError> {
        if self.endpoint.is_empty() {
            notes.push(
                "no spans are sent: agents of Jaeger take Thrift over UDP alone; name the collector with type OTLP"
                    .to_owned(),
            );
            return Ok(None);
        }
        let wrong = |reason: &str| TraceError::Setting {
            key: "endpoint",
            reason: format!("{:?}: {reason}", self.endpoint),
        };
        let url: http::Uri = self.endpoint.parse().map_err(|_| wrong("expected a URL"))?;
        let host = url.host().ok_or_else(|| wrong("it names no host"))?;
        let endpoint = format!("{host}:{PORT}");
        notes.push(format!(
            "spans are sent as OTLP to {endpoint}, where collectors of Jaeger take it since 1.35"
        ));
        let mut headers = Vec::new();
        if !self.user.is_empty() {
            let word = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password));
            headers.push(("authorization".to_owned(), format!("Basic {word}")));
        }
        Ok(Some(Target {
            transport: Transport::Http { path: "/v1/traces".to_owned() },
            endpoint,
            tls: (url.scheme_str() == Some("https")).then(Target::default_tls),
            headers,
            gzip: false,
            timeout: None,
            retry: Retry::default(),
        }))
    }

    fn sampling(&self, notes: &mut Vec<String>) -> Sampling {
        match self.sampler_type.as_str() {
            "probabilistic" => Sampling::Ratio(self.sampler_param),
            "const" if self.sampler_param >= 0.5 => Sampling::Always,
            "const" => Sampling::Never,
            "remote" => {
                notes
                    .push("no server is asked which traces to sample: initial_sampler_rate holds".to_owned());
                let rate = self.initial_sampler_rate;
                Sampling::Ratio(if rate == 0.0 { REMOTE_RATIO } else { rate })
            }
            _ => Sampling::PerSecond(self.sampler_param),
        }
    }
}

/// Parses tags of the form `key=value,key=${ENVIRONMENT_VARIABLE:default}`.
fn tags(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), expanded(value.trim()))).collect()
}

fn expanded(value: &str) -> String {
    let Some(inner) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return value.to_owned();
    };
    let (name, default) = inner.split_once(':').unwrap_or((inner, ""));
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: &str) -> Plan {
        Plan::parse(&format!("type: JAEGER\nconfig: {{service_name: s, {settings}}}")).unwrap()
    }

    #[test]
    fn a_collector_gets_otlp_at_its_port() {
        let plan = plan(
            "endpoint: 'http://jaeger:14268/api/traces', user: u, password: p, sampler_type: const, sampler_param: 1",
        );
        let target = plan.target.unwrap();
        assert_eq!((target.endpoint.as_str(), target.tls.is_none()), ("jaeger:4318", true));
        assert_eq!(target.headers, [("authorization".to_owned(), "Basic dTpw".to_owned())]);
        assert_eq!(plan.sampling, Sampling::Parent(Box::new(Sampling::Always)));
    }

    #[test]
    fn an_agent_gets_nothing_and_that_is_said() {
        let plan = plan("agent_host: h, agent_port: 6831");
        assert!(plan.target.is_none() && plan.notes[0].starts_with("no spans are sent"));
    }

    #[test]
    fn samplers_and_tags() {
        let sampling = |settings: &str| plan(&format!("endpoint: 'http://h', {settings}")).sampling;
        let parent = |inner| Sampling::Parent(Box::new(inner));
        assert_eq!(sampling("sampler_type: probabilistic, sampler_param: 0.1"), parent(Sampling::Ratio(0.1)));
        assert_eq!(sampling("sampler_param: 2"), parent(Sampling::PerSecond(2.0)));
        assert_eq!(sampling("sampler_type: remote"), parent(Sampling::Ratio(0.001)));
        let expected = [("a", "1"), ("b", "two")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(tags("a=1, b=${TITHON_NO_SUCH_VARIABLE:two},c"), expected);
    }
}
