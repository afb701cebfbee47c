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

use tithon_index::{IndexError, IndexHeader, Labels, Relabel};

/// The series that must be held back so that all are sent in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disorder {
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
    pub(crate) fn of_block(relabel: &Relabel, header: &IndexHeader) -> Result<Disorder, IndexError> {
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

    /// How series can change places of whose labels nothing is known.
    pub fn of_any(relabel: &Relabel) -> Disorder {
        Disorder::of(relabel, relabel.touched(), None)
    }

    /// How many of a series' own labels decide with which others it can change places.
    pub fn leading(&self, labels: &Labels) -> usize {
        match self {
            Disorder::Before(first) => labels.iter().take_while(|(name, _)| **name < **first).count(),
            _ => labels.len(),
        }
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

/// Takes series in the order of their own labels, as an index has them, and returns them in the order of the labels that they are sent
/// with.
#[derive(Debug)]
pub struct Order<T> {
    disorder: Disorder,
    /// The labels that a series is sent with.
    labels: fn(&T) -> &Labels,
    held: Vec<T>,
    /// The number of labels that all series of the run begin with.
    run_labels: usize,
    /// The number of labels that the next series shares with all before it in the run.
    shared: usize,
}

impl<T> Order<T> {
    /// Holds nothing yet; `labels` gives the labels that a series is sent with.
    pub fn new(disorder: Disorder, labels: fn(&T) -> &Labels) -> Order<T> {
        Order { disorder, labels, held: Vec::new(), run_labels: 0, shared: usize::MAX }
    }

    /// Which series are held back.
    pub fn disorder(&self) -> &Disorder {
        &self.disorder
    }

    /// Notes how many labels of the index the next series, or one that is left out, shares with the one before.
    pub fn share(&mut self, labels: usize) {
        self.shared = self.shared.min(labels);
    }

    /// Takes the next series and appends to `out` the series whose place is certain. `leading` is the number of labels
    /// that decide with which series it can change places.
    pub fn push(&mut self, series: T, leading: usize, out: &mut VecDeque<T>) {
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
    pub fn finish(&mut self, out: &mut VecDeque<T>) {
        if self.held.len() > 1 {
            let labels = self.labels;
            self.held.sort_by(|a, b| labels(a).cmp(labels(b)));
        }
        out.extend(self.held.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|pair| pair.split_once('=')))
    }

    /// The order in which series are sent, given in their own order.
    fn sent(relabel: &Relabel, own: &[Labels], disorder: &Disorder) -> Vec<Labels> {
        let (mut order, mut out) = (Order::new(disorder.clone(), |labels| labels), VecDeque::new());
        let mut last = Labels::default();
        for own in own {
            order.share(own.iter().zip(last.iter()).take_while(|(a, b)| a == b).count());
            last = own.clone();
            order.push(relabel.apply(own), disorder.leading(own), &mut out);
        }
        order.finish(&mut out);
        out.into()
    }

    /// The order in which these series are sent, given in any order.
    fn ordered(relabel: &Relabel, own: &mut Vec<Labels>) -> (Disorder, Vec<Labels>) {
        own.sort();
        own.dedup();
        let names = || own.iter().flat_map(Labels::iter).map(|(name, _)| name);
        let every = |name: &[u8]| own.iter().all(|labels| labels.get(name).is_some());
        let common = names().filter(|name| !relabel.touches(name) && every(name)).max();
        let disorder = Disorder::of(relabel, names(), common);
        let sent = sent(relabel, own, &disorder);
        (disorder, sent)
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
            let (_, known) = ordered(&relabel, &mut own);
            let model = model(&external, &without, &own);
            prop_assert_eq!(&known, &model);
            prop_assert_eq!(sent(&relabel, &own, &Disorder::of_any(&relabel)), model);
        }
    }
}
