//! Flags whose value is one of a few words, read straight into the types that the services use.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tithon_compact::Verify;
use tithon_engine::dedup::{Algorithm, ReplicaRule};

/// `--deduplication.func` of a querier.
pub fn replica_rule() -> impl TypedValueParser<Value = ReplicaRule> {
    choice(ReplicaRule::ALL.map(|rule| (rule.word(), rule)))
}

/// `--deduplication.func` of a compactor: the empty word chains.
pub fn compact_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    choice([("", Algorithm::Chain), ("penalty", Algorithm::Penalty)])
}

/// `--compact.verify`.
pub fn verify() -> impl TypedValueParser<Value = Verify> {
    choice([("full", Verify::Full), ("index", Verify::Index)])
}

/// One of `words`.
fn choice<T: Copy + Send + Sync + 'static, const N: usize>(
    words: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let parser = PossibleValuesParser::new(words.map(|(word, _)| word));
    parser.try_map(move |found| {
        let known = words.iter().find(|(word, _)| *word == found).map(|(_, value)| *value);
        known.ok_or_else(|| format!("unknown word {found:?}"))
    })
}
