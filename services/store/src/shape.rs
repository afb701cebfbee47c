//! From the labels of a block to the labels that are sent, in the order of the latter.
//!
//! Adding external labels keeps the order of an index except where the labels of one series are the beginning of
//! another's: `{a="1"}` comes before `{a="1",b="2"}`, but `{a="1",m="x"}` after `{a="1",b="2",m="x"}`. Such series lie
//! together in the index, so only runs that begin with the same labels are held back. Replacing or removing a label can
//! reorder series arbitrarily: then the whole block is held back and sorted.

use std::sync::Arc;

use tithon_engine::SelectedSeries;
use tithon_index::Labels;

/// Which labels are added and taken away; external ones win over a series' own.
#[derive(Clone, Debug)]
pub(crate) struct Relabel {
    external: Labels,
    without: Arc<[Vec<u8>]>,
}

impl Relabel {
    pub(crate) fn new(external: &Labels, without: &[String]) -> Relabel {
        let without: Vec<Vec<u8>> = without.iter().map(|name| name.clone().into_bytes()).collect();
        let mut kept = external.to_builder();
        kept.retain(|name| !without.iter().any(|w| w == name));
        Relabel { external: kept.finish(), without: without.into() }
    }

    /// The labels that a series is sent with.
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        if self.external.is_empty() && self.without.is_empty() {
            return labels.clone();
        }
        let mut pairs = Vec::with_capacity(32);
        let mut added = self.external.iter().peekable();
        for (name, value) in labels.iter() {
            while let Some(pair) = added.next_if(|(external, _)| *external < name) {
                pairs.push(pair);
            }
            if self.without.iter().any(|w| w == name) {
                continue;
            }
            pairs.push(added.next_if(|(external, _)| *external == name).unwrap_or((name, value)));
        }
        pairs.extend(added);
        Labels::from_sorted(pairs)
    }

    /// How the series of a block whose labels have these names change places.
    pub(crate) fn disorder<'a>(&self, mut names: impl Iterator<Item = &'a [u8]>) -> Disorder {
        let touched =
            |name: &[u8]| self.external.get(name).is_some() || self.without.iter().any(|w| w == name);
        if names.any(touched) {
            Disorder::Anywhere
        } else if self.external.is_empty() {
            Disorder::Nowhere
        } else {
            Disorder::InRuns
        }
    }
}

/// How much of a block must be held back to send it in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    Nowhere,
    InRuns,
    Anywhere,
}

/// Takes series in index order, gives them out in the order of the labels they are sent with.
#[derive(Debug)]
pub(crate) struct Reorder {
    relabel: Relabel,
    disorder: Disorder,
    /// The index's labels of the first series held back.
    run: Option<Labels>,
    held: Vec<SelectedSeries>,
}

impl Reorder {
    pub(crate) fn new(relabel: Relabel, disorder: Disorder) -> Reorder {
        Reorder { relabel, disorder, run: None, held: Vec::new() }
    }

    /// Takes the next series and appends to `out` those whose place is certain.
    pub(crate) fn push(&mut self, series: SelectedSeries, out: &mut Vec<SelectedSeries>) {
        let labels = self.relabel.apply(&series.labels);
        let own = series.labels;
        let series = SelectedSeries { labels, chunks: series.chunks };
        match self.disorder {
            Disorder::Nowhere => out.push(series),
            Disorder::Anywhere => self.held.push(series),
            Disorder::InRuns => {
                if !self.run.as_ref().is_some_and(|first| begins_with(&own, first)) {
                    self.finish(out);
                    self.run = Some(own);
                }
                self.held.push(series);
            }
        }
    }

    /// The labels that a series of the index is sent with, where its place among the others is certain.
    pub(crate) fn place_of(&self, labels: &Labels) -> Option<Labels> {
        (self.disorder != Disorder::Anywhere).then(|| self.relabel.apply(labels))
    }

    /// Appends what is held back.
    pub(crate) fn finish(&mut self, out: &mut Vec<SelectedSeries>) {
        if self.held.len() > 1 {
            self.held.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        out.append(&mut self.held);
    }
}

fn begins_with(labels: &Labels, beginning: &Labels) -> bool {
    let mut rest = labels.iter();
    beginning.iter().all(|pair| rest.next() == Some(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|pair| pair.split_once('=')))
    }

    fn check(external: &str, without: &[&str], series: &[&str], want: Disorder) {
        let without: Vec<String> = without.iter().map(|s| (*s).to_owned()).collect();
        let relabel = Relabel::new(&labels(external), &without);
        let mut own: Vec<Labels> = series.iter().map(|s| labels(s)).collect();
        own.sort();
        let disorder = relabel.disorder(own.iter().flat_map(Labels::iter).map(|(name, _)| name));
        assert_eq!(disorder, want);
        let mut model: Vec<Labels> = own
            .iter()
            .map(|l| {
                let mut builder = l.to_builder();
                for (name, value) in labels(external).iter() {
                    builder.set(name, value);
                }
                for name in &without {
                    builder.remove(name.as_bytes());
                }
                builder.finish()
            })
            .collect();
        model.sort();
        let mut reorder = Reorder::new(relabel, disorder);
        let mut out = Vec::new();
        own.into_iter().for_each(|l| reorder.push(SelectedSeries { labels: l, chunks: vec![] }, &mut out));
        reorder.finish(&mut out);
        assert_eq!(out.into_iter().map(|s| s.labels).collect::<Vec<_>>(), model);
    }

    #[test]
    fn sent_in_the_order_of_what_is_sent() {
        let series =
            ["a=1", "a=1 b=2", "a=1 b=2 n=1", "a=1 n=3", "a=1 z=0", "a=2", "b=1", "z=9", "a=1 b=2 c=1 z=1"];
        check("", &[], &series, Disorder::Nowhere);
        check("m=x", &[], &series, Disorder::InRuns);
        check("c0=x m=x zz=1", &[], &series, Disorder::InRuns);
        check("m=x b=7", &[], &series, Disorder::Anywhere);
        check("m=x", &["b"], &series, Disorder::Anywhere);
        check("m=x", &["m"], &series, Disorder::Nowhere);
        check("0=x", &[], &series, Disorder::InRuns);
    }
}
