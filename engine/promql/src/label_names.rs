//! Label names: which are valid, and the lists of them in a query (`by`, `without`, `on`, `ignoring`).

/// Up to so many names are searched one after the other.
const FEW: usize = 8;

/// A set of label names. It is asked for each label of each series, so large sets use binary search.
#[derive(Debug)]
pub(crate) struct NameSet<'a> {
    ascending: Vec<&'a [u8]>,
}

impl<'a> NameSet<'a> {
    /// The set of the names in a list.
    pub(crate) fn new(names: &'a [Box<[u8]>]) -> NameSet<'a> {
        let mut ascending: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
        ascending.sort_unstable();
        NameSet { ascending }
    }

    /// Whether the name is listed.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        match self.ascending.len() {
            0..=FEW => self.ascending.contains(&name),
            _ => self.ascending.binary_search(&name).is_ok(),
        }
    }

    /// Whether no name is listed.
    pub(crate) fn is_empty(&self) -> bool {
        self.ascending.is_empty()
    }
}

/// Whether a label may have this name.
pub(crate) fn is_label_name(name: &[u8]) -> bool {
    !name.is_empty() && std::str::from_utf8(name).is_ok()
}
