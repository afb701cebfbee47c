//! From the labels that an index has of a series to those that the series is sent with.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::Labels;
use crate::labels::push_pair;

/// Which labels are added to every series of a block and taken away from it; an added label replaces the series' own. Clones
/// share the labels.
#[derive(Clone, Debug, Default)]
pub struct Relabel {
    added: Arc<[Added]>,
    without: Arc<[Box<[u8]>]>,
}

/// A label that is added.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) name: Box<[u8]>,
    /// Name and value in the layout of a [`Labels`].
    pub(crate) packed: Box<[u8]>,
}

impl Relabel {
    /// Adds the labels of `external` except those named in `without`, and takes away all labels named there.
    pub fn new(external: &Labels, without: &[impl AsRef<[u8]>]) -> Relabel {
        let without: Arc<[Box<[u8]>]> = without.iter().map(|name| name.as_ref().into()).collect();
        let kept = external.iter().filter(|(name, _)| !without.iter().any(|w| **w == **name));
        let added = kept.map(|(name, value)| {
            let mut packed = Vec::new();
            push_pair(&mut packed, name, value);
            Added { name: name.into(), packed: packed.into() }
        });
        Relabel { added: added.collect(), without }
    }

    /// Whether the labels stay as they are.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.without.is_empty()
    }

    /// The greatest name of a label that is added.
    pub fn last_added(&self) -> Option<&[u8]> {
        self.added.last().map(|added| &*added.name)
    }

    /// The names of the labels that are added or taken away.
    pub fn touched(&self) -> impl Iterator<Item = &[u8]> {
        self.added.iter().map(|added| &*added.name).chain(self.without.iter().map(|name| &**name))
    }

    /// Whether a series' own label of this name is replaced or taken away.
    pub fn touches(&self, name: &[u8]) -> bool {
        self.added.iter().any(|added| *added.name == *name) || self.removes(name)
    }

    pub(crate) fn added(&self) -> &[Added] {
        &self.added
    }

    #[inline]
    pub(crate) fn removes(&self, name: &[u8]) -> bool {
        self.without.iter().any(|without| **without == *name)
    }

    /// How many bytes longer the labels of a series become in their buffer, if it has none of the labels that are replaced or taken
    /// away.
    pub fn added_bytes(&self) -> usize {
        self.added.iter().map(|added| added.packed.len()).sum()
    }

    /// The labels that a series is sent with.
    pub fn apply(&self, labels: &Labels) -> Labels {
        if self.is_empty() {
            return labels.clone();
        }
        let room = labels.packed().len() + self.added_bytes();
        let mut packer = Packer { packed: Vec::with_capacity(room), added: 0 };
        labels.iter().for_each(|(name, value)| packer.push(self, name, value));
        packer.finish(self)
    }
}

/// The order of two names, most of which differ in the first byte.
#[inline]
fn name_order(a: &[u8], b: &[u8]) -> Ordering {
    match a.first().cmp(&b.first()) {
        Ordering::Equal => a.cmp(b),
        order => order,
    }
}

/// Packs the labels of a series, those that are added among them.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    packed: Vec<u8>,
    /// How many of the added labels are packed.
    added: usize,
}

/// How far a [`Packer`] had come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packed {
    bytes: usize,
    added: usize,
}

impl Packer {
    /// Takes the next label of a series; names ascend.
    #[inline]
    pub(crate) fn push(&mut self, relabel: &Relabel, name: &[u8], value: &[u8]) {
        while let Some(added) = relabel.added().get(self.added) {
            let order = name_order(&added.name, name);
            if order.is_gt() {
                break;
            }
            self.packed.extend_from_slice(&added.packed);
            self.added += 1;
            if order.is_eq() {
                return;
            }
        }
        if !relabel.removes(name) {
            push_pair(&mut self.packed, name, value);
        }
    }

    /// Where it stands.
    pub(crate) fn packed(&self) -> Packed {
        Packed { bytes: self.packed.len(), added: self.added }
    }

    /// Forgets what was packed since it stood there.
    pub(crate) fn return_to(&mut self, packed: Packed) {
        self.packed.truncate(packed.bytes);
        self.added = packed.added;
    }

    /// The labels, with those that are added behind the last one.
    pub(crate) fn finish(&mut self, relabel: &Relabel) -> Labels {
        for added in relabel.added().get(self.added..).unwrap_or_default() {
            self.packed.extend_from_slice(&added.packed);
        }
        self.added = relabel.added().len();
        Labels::from_packed(&self.packed)
    }
}
