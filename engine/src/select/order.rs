//! Sorts series from the order of an index into the order of the labels that they are sent with.
//!
//! Adding external labels keeps the order of an index, except if the labels of one series are the beginning of
//! another's: `{a="1"}` comes before `{a="1",b="2"}`, but `{a="1",m="x"}` after `{a="1",b="2",m="x"}`. Replacing or
//! removing a label changes only the order of series that agree in all labels before it. In both cases the series that
//! can change places lie together in the index: only a run of them is held back and sorted.
//!
//! A series that loses its last label may become the beginning of another: `{a="1",r="x"}` moves before `{a="1",b="2"}`
//! as `{a="1"}`. But it never loses a label that every series has, or that is added: series that differ before such a
//! label keep their order. If there is no such label, the whole block is sorted.

use std::collections::VecDeque;

use tithon_index::{IndexError, IndexHeader, Relabel};

use super::Pending;

/// The series of a block that must be held back so that all are sent in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disorder {
    /// None.
    Nowhere,
    /// Series that begin with all labels of the first one.
    Extensions,
    /// Series that agree in all labels whose names come before this one.
    Before(Box<[u8]>),
    /// All series.
    Anywhere,
}

impl Disorder {
    /// How the series of a block can change places.
    pub(super) fn of_block(relabel: &Relabel, header: &IndexHeader) -> Result<Disorder, IndexError> {
        let names = header.label_names()?;
        let mut common = None;
        if names.iter().any(|name| relabel.touches(name)) {
            for name in names.iter().rev().filter(|name| !relabel.touches(name)) {
                if header.every_series_has(name)? {
                    common = Some(*name);
                    break;
                }
            }
        }
        Ok(Disorder::of(relabel, names, common))
    }

    /// Like [`Disorder::of_block`], for series with labels of these names; all of them have the label `common`, which
    /// is not changed.
    fn of<'a>(
        relabel: &Relabel,
        names: impl IntoIterator<Item = &'a [u8]>,
        common: Option<&[u8]>,
    ) -> Disorder {
        let added = relabel.last_added();
        let Some(first) = names.into_iter().filter(|name| relabel.touches(name)).min() else {
            return if added.is_some() { Disorder::Extensions } else { Disorder::Nowhere };
        };
        let behind = common.map(|name| [name, b"\0"].concat());
        match behind.as_deref().max(added) {
            Some(kept) => Disorder::Before(first.min(kept).into()),
            None => Disorder::Anywhere,
        }
    }
}

/// Takes series in index order, and returns them in the order of the labels that they are sent with.
pub(super) struct Order {
    disorder: Disorder,
    held: Vec<Pending>,
    /// The number of labels that all series of the run begin with.
    run_labels: usize,
    /// The number of labels that the next series shares with all before it in the run.
    shared: usize,
}

impl Order {
    pub(super) fn new(disorder: Disorder) -> Order {
        Order { disorder, held: Vec::new(), run_labels: 0, shared: usize::MAX }
    }

    pub(super) fn disorder(&self) -> &Disorder {
        &self.disorder
    }

    /// Notes how many labels of the index the next series, or one that is left out, shares with the one before.
    pub(super) fn share(&mut self, labels: usize) {
        self.shared = self.shared.min(labels);
    }

    /// Takes the next series and appends to `out` the series whose place is certain. `leading` is the number of labels
    /// that decide with which series it can change places.
    pub(super) fn push(&mut self, series: Pending, leading: usize, out: &mut VecDeque<Pending>) {
        match self.disorder {
            Disorder::Nowhere => out.push_back(series),
            Disorder::Anywhere => self.held.push(series),
            Disorder::Extensions | Disorder::Before(_) => {
                if self.held.is_empty() || self.shared < self.run_labels {
                    self.finish(out);
                    (self.run_labels, self.shared) = (leading, usize::MAX);
                }
                self.held.push(series);
            }
        }
    }

    /// Appends the series held back.
    pub(super) fn finish(&mut self, out: &mut VecDeque<Pending>) {
        if self.held.len() > 1 {
            self.held.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        out.extend(self.held.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tithon_index::{Labels, SeriesRef};

    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|pair| pair.split_once('=')))
    }

    /// The order in which these series are sent, given in any order.
    fn ordered(relabel: &Relabel, own: &mut Vec<Labels>) -> (Disorder, Vec<Labels>) {
        own.sort();
        own.dedup();
        let names = || own.iter().flat_map(Labels::iter).map(|(name, _)| name);
        let every = |name: &[u8]| own.iter().all(|labels| labels.get(name).is_some());
        let common = names().filter(|name| !relabel.touches(name) && every(name)).max();
        let disorder = Disorder::of(relabel, names(), common);
        let (mut order, mut out) = (Order::new(disorder.clone()), VecDeque::new());
        let mut last = Labels::default();
        for own in own.iter() {
            order.share(own.iter().zip(last.iter()).take_while(|(a, b)| a == b).count());
            last = own.clone();
            let leading = match &disorder {
                Disorder::Before(first) => own.iter().take_while(|(name, _)| **name < **first).count(),
                _ => own.len(),
            };
            let series =
                Pending { id: SeriesRef(0), labels: relabel.apply(own), chunks: Vec::new(), behind: None };
            order.push(series, leading, &mut out);
        }
        order.finish(&mut out);
        (disorder, out.into_iter().map(|series| series.labels).collect())
    }

    fn model(external: &Labels, without: &[String], own: &[Labels]) -> Vec<Labels> {
        let relabelled = own.iter().map(|own| {
            let mut builder = own.to_builder();
            for (name, value) in external.iter() {
                builder.set(name, value);
            }
            for name in without {
                builder.remove(name.as_bytes());
            }
            builder.finish()
        });
        let mut model: Vec<Labels> = relabelled.collect();
        model.sort();
        model
    }

    fn check(external: &str, without: &[&str], series: &[&str], want: &Disorder) {
        let without: Vec<String> = without.iter().map(|s| (*s).to_owned()).collect();
        let relabel = Relabel::new(&labels(external), &without);
        let mut own: Vec<Labels> = series.iter().map(|s| labels(s)).collect();
        let (disorder, sent) = ordered(&relabel, &mut own);
        assert_eq!(disorder, *want);
        assert_eq!(sent, model(&labels(external), &without, &own));
    }

    #[test]
    fn sent_in_the_order_of_what_is_sent() {
        let series =
            ["a=1", "a=1 b=2", "a=1 b=2 n=1", "a=1 n=3", "a=1 z=0", "a=2", "b=1", "z=9", "a=1 b=2 c=1 z=1"];
        let before_b = Disorder::Before(b"b".as_slice().into());
        check("", &[], &series, &Disorder::Nowhere);
        check("m=x", &[], &series, &Disorder::Extensions);
        check("c0=x m=x zz=1", &[], &series, &Disorder::Extensions);
        check("m=x b=7", &[], &series, &before_b);
        check("m=x", &["b"], &series, &before_b);
        check("", &["b"], &series, &Disorder::Anywhere);
        check("m=x", &["m"], &series, &Disorder::Nowhere);
        check("0=x", &[], &series, &Disorder::Extensions);
    }

    proptest! {
        #[test]
        fn any_series_in_order(
            external in prop::collection::btree_map("[a-f]", "[xy]", 0..3),
            without in prop::collection::btree_set("[a-f]", 0..3),
            series in prop::collection::vec(prop::collection::btree_map("[a-f]", "[xy]", 0..5), 0..20),
            common in prop::option::of("[a-f]"),
        ) {
            let without: Vec<String> = without.into_iter().collect();
            let external = Labels::from_pairs(external);
            let relabel = Relabel::new(&external, &without);
            let all = |pairs: BTreeMap<String, String>| pairs.into_iter().chain(common.clone().map(|c| (c, "x".into())));
            let mut own: Vec<Labels> = series.into_iter().map(|pairs| Labels::from_pairs(all(pairs))).collect();
            let (_, sent) = ordered(&relabel, &mut own);
            prop_assert_eq!(sent, model(&external, &without, &own));
        }
    }
}
