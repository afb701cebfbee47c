//! A matcher that every selector must have. Upstream: prom-label-proxy `injectproxy`, as Thanos uses it for tenants.

use tithon_index::Matcher;

use crate::ast::{Expr, NodeKind};

/// Puts the matcher into every selector of the expression.
pub(super) fn in_selectors(expr: &mut Expr, matcher: &Matcher) {
    for node in expr.nodes_mut() {
        if let NodeKind::Vector(selector) = &mut node.kind {
            in_set(&mut selector.matchers, matcher);
        }
    }
}

/// Puts the matcher into a set in place of those on its label.
pub(super) fn in_set(set: &mut Vec<Matcher>, matcher: &Matcher) {
    set.retain(|own| own.name() != matcher.name());
    set.push(matcher.clone());
}

#[cfg(test)]
mod tests {
    use tithon_chunks::Timestamp;
    use tithon_index::MatchOp;

    use crate::{Options, ParseOptions, Prepared, TimeParams};

    /// The matchers of each selection of a query, where `tenant="a"` is enforced.
    fn selections(query: &str) -> Vec<String> {
        let matcher = tithon_index::Matcher::new(MatchOp::Equal, "tenant", "a").unwrap();
        let parse = ParseOptions { experimental_functions: true, ..ParseOptions::default() };
        let options = Options { enforced: Some(matcher), parse, ..Options::default() };
        let prepared = Prepared::new(query, TimeParams::instant(Timestamp(0)), &options).unwrap();
        let text = |m: &tithon_index::Matcher| m.to_string();
        prepared.selects().iter().map(|s| s.matchers.iter().map(text).collect::<Vec<_>>().join(",")).collect()
    }

    #[test]
    fn no_selection_lacks_it() {
        for (query, expected) in [
            ("up", &[r#"__name__="up",tenant="a""#][..]),
            (r#"up{tenant="b"}"#, &[r#"__name__="up",tenant="a""#]),
            (r#"up{tenant!="a",tenant=~".*"}"#, &[r#"__name__="up",tenant="a""#]),
            // One selection serves both selectors, which name other tenants.
            (r#"up{tenant="b"} + up{tenant="c"}"#, &[r#"__name__="up",tenant="a""#]),
            (
                r#"sum(rate(x{tenant="b"}[5m])) or absent(y offset 1h)"#,
                &[r#"__name__="x",tenant="a""#, r#"__name__="y",tenant="a""#],
            ),
            ("max_over_time(x[1h:5m] @ 3)", &[r#"__name__="x",tenant="a""#]),
            ("info(x)", &[r#"__name__="x",tenant="a""#, r#"__name__="target_info",tenant="a""#]),
        ] {
            assert_eq!(selections(query), expected, "{query}");
        }
    }
}
