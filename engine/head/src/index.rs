//! Which series the head has: by labels, and by each pair of label and value.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tithon_index::{Labels, MatchOp, Matcher};

use crate::series::MemSeries;

type Text = Box<[u8]>;
type Series = Arc<MemSeries>;

/// The series of a head.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_labels: HashMap<Labels, Series>,
    /// Series by name and value of a label.
    postings: BTreeMap<Text, BTreeMap<Text, Vec<Series>>>,
}

impl Index {
    pub(crate) fn get(&self, labels: &Labels) -> Option<&Series> {
        self.by_labels.get(labels)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_labels.len()
    }

    /// All series, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Series> {
        self.by_labels.values()
    }

    pub(crate) fn insert(&mut self, series: Series) {
        for (name, value) in series.labels.iter() {
            // Most pairs are there already: their texts are not copied.
            if !self.postings.contains_key(name) {
                self.postings.insert(name.into(), BTreeMap::new());
            }
            let Some(values) = self.postings.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(list) => list.push(Arc::clone(&series)),
                None => _ = values.insert(value.into(), vec![Arc::clone(&series)]),
            }
        }
        self.by_labels.insert(series.labels.clone(), series);
    }

    /// Removes series; lists that become empty go with them.
    pub(crate) fn remove(&mut self, gone: &[Series]) {
        let mut pairs: BTreeSet<(&[u8], &[u8])> = BTreeSet::new();
        let mut ids = std::collections::HashSet::new();
        for series in gone {
            self.by_labels.remove(&series.labels);
            ids.insert(series.id);
            pairs.extend(series.labels.iter());
        }
        for (name, value) in pairs {
            let Some(values) = self.postings.get_mut(name) else { continue };
            if let Some(list) = values.get_mut(value) {
                list.retain(|series| !ids.contains(&series.id));
                if list.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.postings.remove(name);
            }
        }
    }

    /// The series whose labels satisfy all matchers, in no order.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<Series> {
        let is_match = |series: &&Series| {
            matchers.iter().all(|m| m.matches(series.labels.get(m.name()).unwrap_or_default()))
        };
        match self.narrowest(matchers) {
            Some(lists) => lists.into_iter().flatten().filter(is_match).cloned().collect(),
            None => self.all().filter(is_match).cloned().collect(),
        }
    }

    /// The lists, together the shortest of those of one matcher each, that have all series which can match; `None` where
    /// a series without any of the labels can.
    fn narrowest(&self, matchers: &[Matcher]) -> Option<Vec<&Vec<Series>>> {
        let lists = |matcher: &Matcher| -> Vec<&Vec<Series>> {
            let Some(values) = self.postings.get(matcher.name()) else { return Vec::new() };
            match matcher.op() {
                MatchOp::Equal => values.get(matcher.value()).into_iter().collect(),
                _ => {
                    values.iter().filter(|(value, _)| matcher.matches(value)).map(|(_, list)| list).collect()
                }
            }
        };
        let len = |lists: &Vec<&Vec<Series>>| lists.iter().map(|list| list.len()).sum::<usize>();
        // A pattern is tried on all values: not where a list of one value narrows it down already.
        let needed =
            |op| matchers.iter().filter(move |m| !m.matches_empty() && (m.op() == MatchOp::Equal) == op);
        let exact = needed(true).map(lists).min_by_key(len);
        exact.or_else(|| needed(false).map(lists).min_by_key(len))
    }

    /// The names of all labels, ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.postings.keys().map(|name| &**name)
    }

    /// All values of a label, ascending.
    pub(crate) fn values<'i>(&'i self, name: &[u8]) -> impl Iterator<Item = &'i [u8]> + use<'i> {
        self.postings.get(name).into_iter().flat_map(|values| values.keys()).map(|value| &**value)
    }

    /// The values of each label, with the number of their series.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = (&[u8], u64)>)> {
        self.postings
            .iter()
            .map(|(name, values)| (&**name, values.iter().map(|(value, list)| (&**value, list.len() as u64))))
    }

    /// All texts of labels, ascending, and the empty one, as an index has them.
    pub(crate) fn symbols(&self) -> BTreeSet<&[u8]> {
        let texts = self.postings.iter().flat_map(|(name, values)| values.keys().chain([name]));
        texts.map(|text| &**text).chain([&b""[..]]).collect()
    }
}
