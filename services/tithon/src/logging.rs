//! Log lines on standard error, as logfmt or JSON, with keys in Thanos's order. Spans are sent to a collector instead.

use std::fmt::{self, Write as _};

use tithon_trace::Tracing;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::flags::LogFlags;

/// Starts logging: lines of our crates from the configured level on, and warnings and errors of libraries. Adds tracing
/// if it is configured. With `quiet`, lines below warnings about compactions are left out.
pub fn start(flags: &LogFlags, tracing: Option<&Tracing>, quiet: bool) {
    subscriber(flags, tracing, quiet).init();
}

fn subscriber(flags: &LogFlags, tracing: Option<&Tracing>, quiet: bool) -> Dispatch {
    // A directive applies to all targets with this prefix, and the names of all our crates begin with it.
    let compactions = if quiet && flags.level == "info" { ",tithon_compact=warn" } else { "" };
    let filter = EnvFilter::new(format!("warn,tithon={}{compactions}", flags.level));
    let lines = Lines { json: flags.format == "json", name: flags.debug_name.clone() };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(lines)
        .with_filter(filter.and(filter_fn(|of| of.is_event())));
    // Without tracing there must be no layer for it at all: an absent one still makes the registry keep every span.
    match tracing {
        Some(tracing) => tracing_subscriber::registry().with(lines).with(tracing.layer()).into(),
        None => tracing_subscriber::registry().with(lines).into(),
    }
}

struct Lines {
    json: bool,
    /// `--debug.name`; may be empty.
    name: String,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let ts = humantime::format_rfc3339_nanos(std::time::SystemTime::now()).to_string();
        let caller = format!(
            "{}:{}",
            event.metadata().file().and_then(|f| f.rsplit('/').next()).unwrap_or("-"),
            event.metadata().line().unwrap_or(0)
        );
        let name = (!self.name.is_empty()).then(|| ("name", self.name.clone()));
        let head = [("ts", ts), ("caller", caller)].into_iter().chain(name);
        let head = head.chain([("level", level.to_string()), ("msg", fields.message)]);
        let pairs = head.chain(fields.others.iter().map(|(k, v)| (*k, v.clone())));
        if self.json {
            let object: serde_json::Map<String, serde_json::Value> =
                pairs.map(|(k, v)| (k.to_string(), v.into())).collect();
            writeln!(out, "{}", serde_json::Value::Object(object))
        } else {
            for (i, (key, value)) in pairs.enumerate() {
                if i > 0 {
                    out.write_char(' ')?;
                }
                write_logfmt(&mut out, key, &value)?;
            }
            writeln!(out)
        }
    }
}

fn write_logfmt(out: &mut impl fmt::Write, key: &str, value: &str) -> fmt::Result {
    let plain = !value.is_empty() && value.chars().all(|c| c > ' ' && c != '"' && c != '=' && c != '\u{7f}');
    if plain { write!(out, "{key}={value}") } else { write!(out, "{key}={value:?}") }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = without_passwords(value);
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }
}

/// Replaces the password in each URL by `xxxxx`, as Go does.
fn without_passwords(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'));
        let url = &behind[..end.unwrap_or(behind.len())];
        // A password may contain characters that end a URL's host, so it extends to the last `@`.
        match url.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, _)) if user.contains('/') => out.push_str(url),
            Some((user, host)) => out.push_str(&format!("{user}:xxxxx@{host}")),
            None => out.push_str(url),
        }
        rest = &behind[url.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_not_logged() {
        for (text, logged) in [
            ("http://ann:hunter2@host:80/x?y=1", "http://ann:xxxxx@host:80/x?y=1"),
            ("get http://ann:p/w@2@host failed", "get http://ann:xxxxx@host failed"),
            ("\"redis://:hunter2@host\", 'b://c:d@e'", "\"redis://:xxxxx@host\", 'b://c:xxxxx@e'"),
            ("http://ann@host and http://host:80/x", "http://ann@host and http://host:80/x"),
            ("no://", "no://"),
            ("http://host/a:b@c", "http://host/a:b@c"),
        ] {
            assert_eq!(without_passwords(text), logged);
        }
    }

    #[test]
    fn spans_are_disabled_without_tracing() {
        let flags = LogFlags { level: "info".into(), format: "logfmt".into(), debug_name: String::new() };
        tracing::dispatcher::with_default(&subscriber(&flags, None, false), || {
            assert!(tracing::info_span!("request").is_disabled());
        });
    }

    #[test]
    fn values_are_quoted_only_where_needed() {
        let line = |value: &str| {
            let mut out = String::new();
            write_logfmt(&mut out, "k", value).unwrap();
            out
        };
        assert_eq!(line("plain/1.2"), "k=plain/1.2");
        assert_eq!(line("two words"), r#"k="two words""#);
        assert_eq!(line(""), r#"k="""#);
        assert_eq!(line("a\"b\n"), r#"k="a\"b\n""#);
    }
}
