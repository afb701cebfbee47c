//! Label matchers on the wire.

use std::collections::HashSet;

use bytes::Bytes;
use tithon_index::{MatchOp, Matcher, PatternBudget};

use crate::ConvertError;
use crate::thanos::LabelMatcher;
use crate::thanos::label_matcher::Type;

/// A matcher of a message. Fails on a type that the enum lacks, and on a pattern that is no regular expression.
fn matcher_from_wire(matcher: &LabelMatcher) -> Result<Matcher, ConvertError> {
    let op = match Type::try_from(matcher.r#type) {
        Ok(Type::Eq) => MatchOp::Equal,
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        Err(_) => return Err(ConvertError::MatcherType(matcher.r#type)),
    };
    Ok(Matcher::new(op, &matcher.name, &matcher.value)?)
}

/// All matchers of a request, each once. Compiles their patterns, which takes long where there are many.
///
/// Fails with the first bad one, and when the patterns together exceed the [`PatternBudget`] of one request.
pub fn matchers_from_wire(wire: &[LabelMatcher]) -> Result<Vec<Matcher>, ConvertError> {
    let (mut seen, mut budget) = (HashSet::new(), PatternBudget::default());
    let mut matchers = Vec::with_capacity(wire.len());
    for one in wire.iter().filter(|one| seen.insert((one.r#type, &one.name, &one.value))) {
        let matcher = matcher_from_wire(one)?;
        budget.add(&matcher)?;
        matchers.push(matcher);
    }
    Ok(matchers)
}

/// A matcher as a message.
pub fn matcher_to_wire(matcher: &Matcher) -> LabelMatcher {
    let r#type = match matcher.op() {
        MatchOp::Equal => Type::Eq,
        MatchOp::NotEqual => Type::Neq,
        MatchOp::Regex => Type::Re,
        MatchOp::NotRegex => Type::Nre,
    };
    LabelMatcher {
        r#type: r#type.into(),
        name: Bytes::copy_from_slice(matcher.name()),
        value: Bytes::copy_from_slice(matcher.value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
            let matcher = Matcher::new(op, "job", "a.*").unwrap();
            assert_eq!(matcher_from_wire(&matcher_to_wire(&matcher)).unwrap(), matcher);
        }
    }

    #[test]
    fn bad_ones_are_refused() {
        let matcher = LabelMatcher { r#type: 7, name: "job".into(), value: "x".into() };
        let error = matcher_from_wire(&matcher).unwrap_err();
        assert_eq!(error.to_string(), "unrecognized label matcher type 7");
        let matcher = LabelMatcher { r#type: 2, name: "job".into(), value: "(".into() };
        assert!(matcher_from_wire(&matcher).unwrap_err().to_string().starts_with("error parsing regexp: "));
    }
}
