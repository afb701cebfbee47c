//! The rewritings that save work and change no answer, each with a switch.
//!
//! That histograms lose their buckets below `histogram_count` and its kin is none of them: it is part of upstream's
//! semantics, and shows in answers.

/// A rewriting of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// Arithmetic on literals is done once, when planning.
    ConstantFolding,
    /// What is the same at every step is evaluated once.
    StepInvariants,
    /// `and` and `unless`: a selector gets those conditions of the other that its partners must fulfil.
    MatchersThroughSets,
    /// The same for arithmetic and comparisons. Off by default: duplicates on a side, which fail a query, may be among the
    /// series that are no longer selected.
    MatchersThroughJoins,
    /// Selectors whose conditions are a part of another's, for the same time and purpose, share one selection.
    MergeSelects,
    /// Sorting is left out where nobody sees the order.
    TrimSorts,
    /// Input is read no further when the result is settled: `limitk`, `group` and `absent` of a selector.
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
