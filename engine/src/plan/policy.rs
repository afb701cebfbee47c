//! How long series are kept: rules by their labels, the first that matches counts, and the retention of blocks for the rest.

use std::collections::HashSet;

use tithon_chunks::TimeRange;
use tithon_index::Matcher;

use super::Retention;
use crate::compact::InputBlock;
use crate::entries::matching_series;
use crate::left_to_series;
use crate::{BlockError, BlockMeta, Tombstones};

/// Rules, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct RetentionPolicy {
    /// The rules.
    pub rules: Vec<RetentionRule>,
    /// Of series that no rule matches.
    pub otherwise: Retention,
}

/// How long some series are kept.
#[derive(Clone, Debug)]
pub struct RetentionRule {
    /// Series that satisfy all of these, as a query would select them; there is one at least.
    pub matchers: Vec<Matcher>,
    /// How long.
    pub keep: Retention,
}

/// What is to be done with a block now.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// All of its series are kept.
    Keep,
    /// None is, and this is the longest that one of them was kept, milliseconds.
    Drop(i64),
    /// Some may not be: those of the claims that are over. In the order of the rules.
    Partly(Vec<Claim>),
}

/// The series of a block that a rule decides on, unless a claim before this one has them.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The rule's number; `None` for the series that no rule matches.
    pub rule: Option<usize>,
    /// What series must satisfy by their own labels; nothing for all that are left.
    pub matchers: Vec<Matcher>,
    /// Whether they are not kept any longer.
    pub is_over: bool,
}

impl RetentionPolicy {
    /// The same retention for all series.
    pub fn plain(retention: Retention) -> RetentionPolicy {
        RetentionPolicy { rules: Vec::new(), otherwise: retention }
    }

    /// What is to be done with a block, told by its meta.json. A rule is over once all of the block lies beyond its time.
    pub fn verdict(&self, block: &BlockMeta, now_ms: i64) -> Verdict {
        let claims = self.claims(block, now_ms);
        if claims.iter().all(|claim| !claim.is_over) {
            return Verdict::Keep;
        }
        if claims.iter().any(|claim| !claim.is_over) {
            return Verdict::Partly(claims);
        }
        let kept = claims.iter().map(|claim| self.keep(claim.rule).of(block.resolution_ms()));
        Verdict::Drop(kept.max().unwrap_or_default())
    }

    /// The rules that may have series of the block, in their order.
    pub fn claims(&self, block: &BlockMeta, now_ms: i64) -> Vec<Claim> {
        let external = block.thanos.as_ref().map(|thanos| thanos.external_labels()).unwrap_or_default();
        let mut claims = Vec::new();
        let numbered = self.rules.iter().enumerate().map(|(i, rule)| (Some(i), rule.matchers.as_slice()));
        for (rule, matchers) in numbered.chain([(None, &[][..])]) {
            let Some(matchers) = left_to_series(matchers, &external) else { continue };
            let is_last = matchers.is_empty();
            let is_over = self.keep(rule).is_over(block, now_ms);
            claims.push(Claim { rule, matchers, is_over });
            if is_last {
                break;
            }
        }
        claims
    }

    fn keep(&self, rule: Option<usize>) -> Retention {
        rule.and_then(|rule| self.rules.get(rule)).map_or(self.otherwise, |rule| rule.keep)
    }

    /// Whether the block would be kept longer at a coarser resolution, by any claim that is over.
    pub fn outlives(&self, block: &BlockMeta, now_ms: i64) -> bool {
        let coarser = [300_000, 3_600_000].into_iter().filter(|ms| *ms > block.resolution_ms());
        let is_over = |keep: Retention, ms: i64| keep.is_over_at(ms, block.max_time, now_ms);
        let claims = self.claims(block, now_ms);
        let mut over = claims.iter().filter(|claim| claim.is_over).map(|claim| self.keep(claim.rule));
        over.any(|keep| coarser.clone().any(|ms| !is_over(keep, ms)))
    }
}

/// Series that one rule claims: the number of the rule, `None` for the general retention, and their references.
pub type ClaimedSeries = (Option<usize>, Vec<u64>);

/// The series whose retention is over, by the rule of each claim that is over.
pub fn series_over(mut source: InputBlock<'_>, claims: &[Claim]) -> Result<Vec<ClaimedSeries>, BlockError> {
    let mut claimed: HashSet<u32> = HashSet::new();
    let mut over = Vec::new();
    let last = claims.iter().rposition(|claim| claim.is_over).map_or(0, |last| last + 1);
    for claim in &claims[..last] {
        let found = matching_series(&mut source, &claim.matchers)?;
        let new: Vec<u64> = found
            .iter()
            .filter(|series| claimed.insert(series.0))
            .map(|series| u64::from(series.0))
            .collect();
        if claim.is_over && !new.is_empty() {
            over.push((claim.rule, new));
        }
    }
    Ok(over)
}

/// Whole series, to be deleted.
pub fn whole_series(series: impl IntoIterator<Item = u64>) -> Tombstones {
    let mut deleted = Tombstones::default();
    deleted.add_all(series, &[TimeRange::ALL]);
    deleted
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;
    use crate::ThanosMeta;
    use crate::plan::duplicates::tests::meta;

    const DAY: i64 = 86_400_000;

    fn matcher(name: &str, value: &str) -> Matcher {
        Matcher::new(MatchOp::Equal, name, value).unwrap()
    }

    fn rule(matchers: Vec<Matcher>, days: [i64; 3]) -> RetentionRule {
        let [of_raw_blocks_ms, of_5m_blocks_ms, of_1h_blocks_ms] = days.map(|days| days * DAY);
        RetentionRule { matchers, keep: Retention { of_raw_blocks_ms, of_5m_blocks_ms, of_1h_blocks_ms } }
    }

    fn policy() -> RetentionPolicy {
        RetentionPolicy {
            rules: vec![
                rule(vec![matcher("team", "x")], [10, 0, 0]),
                rule(vec![matcher("tenant", "a")], [30, 0, 0]),
                rule(vec![matcher("tenant", "b"), matcher("job", "y")], [0, 0, 0]),
            ],
            otherwise: Retention { of_raw_blocks_ms: 20 * DAY, ..Retention::default() },
        }
    }

    fn block(tenant: &str) -> BlockMeta {
        let labels = [("tenant".to_owned(), tenant.to_owned())].into();
        let thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
        BlockMeta { thanos, ..meta(1, 0, DAY, &[1]) }
    }

    /// Each claim by its rule, and whether it is over; nothing for a block that is kept.
    fn told(tenant: &str, days: i64) -> Vec<(Option<usize>, bool)> {
        match policy().verdict(&block(tenant), (1 + days) * DAY + 1) {
            Verdict::Keep => vec![],
            Verdict::Drop(ms) => vec![(None, ms == 30 * DAY || ms == 20 * DAY)],
            Verdict::Partly(claims) => claims.iter().map(|claim| (claim.rule, claim.is_over)).collect(),
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        assert_eq!(told("a", 9), []);
        assert_eq!(told("a", 10), [(Some(0), true), (Some(1), false)]);
        assert_eq!(told("a", 29), [(Some(0), true), (Some(1), false)]);
        assert_eq!(told("a", 30), [(None, true)]);
        assert_eq!(told("b", 25), [(Some(0), true), (Some(2), false), (None, true)]);
        assert_eq!(told("b", 15), [(Some(0), true), (Some(2), false), (None, false)]);
        assert_eq!(told("c", 20), [(None, true)]);
    }

    #[test]
    fn without_rules_it_is_the_retention_of_blocks() {
        let retention = Retention { of_raw_blocks_ms: 10 * DAY, ..Retention::default() };
        let plain = RetentionPolicy::plain(retention);
        let check = |now: i64| matches!(plain.verdict(&block("a"), now), Verdict::Drop(ms) if ms == 10 * DAY);
        assert!(check(11 * DAY + 1) && !check(11 * DAY));
        assert!(plain.outlives(&block("a"), 12 * DAY));
        let short = Retention { of_5m_blocks_ms: DAY, of_1h_blocks_ms: DAY, ..retention };
        assert!(!RetentionPolicy::plain(short).outlives(&block("a"), 12 * DAY));
    }
}
