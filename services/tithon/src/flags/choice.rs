//! Flags whose value is one of a few words, parsed into the types of the services.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tithon_compact::Verify;
use tithon_engine::dedup::{Algorithm, ReplicaRule};
use tithon_query::ConnectionLabel;
use tithon_runtime::GrpcEncoding;

/// Parses `--deduplication.func` of a querier.
pub fn replica_rule() -> impl TypedValueParser<Value = ReplicaRule> {
    choice(ReplicaRule::ALL.map(|rule| (rule.word(), rule)))
}

/// Parses `--deduplication.func` of a compactor; empty means chain.
pub fn compact_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    choice([("", Algorithm::Chain), ("penalty", Algorithm::Penalty)])
}

/// Parses `--compact.verify`.
pub fn verify() -> impl TypedValueParser<Value = Verify> {
    choice([("full", Verify::Full), ("index", Verify::Index)])
}

/// Parses `--query.conn-metric.label`.
pub fn connection_label() -> impl TypedValueParser<Value = ConnectionLabel> {
    choice([
        ("external_labels", ConnectionLabel::ExternalLabels),
        ("store_type", ConnectionLabel::StoreType),
        ("ip_port", ConnectionLabel::IpPort),
    ])
}

/// A value of `--grpc-compression`.
#[derive(Clone, Copy, Debug)]
pub struct Packed(pub Option<GrpcEncoding>);

/// Parses `--grpc-compression`. Thanos knows only the first two words.
pub fn grpc_compression() -> impl TypedValueParser<Value = Packed> {
    choice([
        ("none", Packed(None)),
        ("snappy", Packed(Some(GrpcEncoding::Snappy))),
        ("gzip", Packed(Some(GrpcEncoding::Gzip))),
        ("zstd", Packed(Some(GrpcEncoding::Zstd))),
    ])
}

/// A value of `--query.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In this process.
    Local,
    /// Parts of them at the queriers below.
    Distributed,
}

impl Mode {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Distributed => "distributed",
        }
    }
}

/// Parses `--query.mode`.
pub fn query_mode() -> impl TypedValueParser<Value = Mode> {
    choice([Mode::Local, Mode::Distributed].map(|mode| (mode.word(), mode)))
}

/// Parses `--log.format`.
pub fn parse_log_format(text: &str) -> Result<String, String> {
    match text {
        "logfmt" | "json" => Ok(text.to_owned()),
        "journald" => Err(
            "lines are written to standard error alone, which whatever starts the process can hand to the \
                           journal; use logfmt or json"
                .to_owned(),
        ),
        _ => Err("expected logfmt or json".to_owned()),
    }
}

/// A parser that accepts one of `words`.
fn choice<T: Copy + Send + Sync + 'static, const N: usize>(
    words: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let parser = PossibleValuesParser::new(words.map(|(word, _)| word));
    parser.try_map(move |found| {
        let known = words.iter().find(|(word, _)| *word == found).map(|(_, value)| *value);
        known.ok_or_else(|| format!("unknown word {found:?}"))
    })
}
