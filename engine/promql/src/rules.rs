//! The rules by which plans are rewritten to save work, each with a switch. All but one never change an answer.
//!
//! Leaving out the buckets of histograms below `histogram_count`, `histogram_sum` and `histogram_avg` is not a rule: it is
//! part of upstream's semantics and shows in answers.

/// A rule by which a plan is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// Arithmetic on literals is computed when planning.
    ConstantFolding,
    /// Expressions whose value is the same at every step are evaluated once.
    StepInvariants,
    /// `and` and `unless` between selectors: each gets the matchers of the other that its matching series must fulfil too.
    MatchersThroughSets,
    /// Like [`Rule::MatchersThroughSets`], for arithmetic and comparisons. Off by default: it may exclude duplicate
    /// series that would fail the query.
    MatchersThroughJoins,
    /// Selectors whose matchers are a subset of another's, for the same times and purpose, share one selection.
    MergeSelects,
    /// Sorting is left out if the order does not show in the result.
    TrimSorts,
    /// `limitk`, `group` and `absent` of a selector stop reading its series once their result cannot change.
    StopEarly,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 7] = [
        Rule::ConstantFolding,
        Rule::StepInvariants,
        Rule::MatchersThroughSets,
        Rule::MatchersThroughJoins,
        Rule::MergeSelects,
        Rule::TrimSorts,
        Rule::StopEarly,
    ];
}

/// A set of rules. The default has all that never change an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u8);

impl Rules {
    /// All rules.
    pub const ALL: Rules = Rules(u8::MAX);
    /// No rule.
    pub const NONE: Rules = Rules(0);

    /// Whether the rule is on.
    pub const fn has(self, rule: Rule) -> bool {
        self.0 >> rule as u8 & 1 == 1
    }

    /// The set with the rule.
    pub const fn with(self, rule: Rule) -> Rules {
        Rules(self.0 | 1 << rule as u8)
    }

    /// The set without the rule.
    pub const fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u8))
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::ALL.without(Rule::MatchersThroughJoins)
    }
}
