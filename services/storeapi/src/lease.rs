//! Chunks of an answer may be slices of mapped files. Somebody may cut such a file while the chunks are used: then zeros were
//! read, and nothing that was made of them counts.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::StoreApiError;

/// Something mapped that chunks are slices of, such as a block in a directory.
pub trait Mapped: Debug + Send + Sync {
    /// The name for people, such as `block 01H...`.
    fn name(&self) -> String;

    /// Fails when a file was cut after it was mapped. Costs a system call for each file.
    fn check(&self) -> Result<(), StoreApiError>;

    /// Whether `bytes`, such as the data of a chunk, are a slice of what is mapped.
    fn holds(&self, bytes: &[u8]) -> bool;

    /// Tells the system that the pages at these addresses are not needed for now, where they are of what is mapped. What is
    /// read of them later comes from the file again.
    fn release(&self, _addresses: &Range<usize>) {}
}

/// All that is mapped behind the chunks of an answer. Whoever used the chunks calls [`Lease::check`] before the result
/// counts.
#[derive(Clone, Debug, Default)]
pub struct Lease(Vec<Arc<dyn Mapped>>);

impl Lease {
    /// A lease of these.
    pub fn new(mapped: Vec<Arc<dyn Mapped>>) -> Lease {
        Lease(mapped)
    }

    /// Takes over what another lease is of.
    pub fn absorb(&mut self, other: Lease) {
        self.0.extend(other.0);
    }

    /// Fails when a file behind the chunks was cut.
    pub fn check(&self) -> Result<(), StoreApiError> {
        self.0.iter().try_for_each(|mapped| mapped.check())
    }

    /// Tells the system that the pages at these addresses are not needed for now.
    pub(crate) fn release(&self, addresses: &Range<usize>) {
        self.0.iter().for_each(|mapped| mapped.release(addresses));
    }

    /// The name of what the bytes of a chunk are a slice of; `None` when they are not mapped.
    pub fn name_of(&self, chunk: &[u8]) -> Option<String> {
        self.0.iter().find(|mapped| mapped.holds(chunk)).map(|mapped| mapped.name())
    }

    /// Takes out what was cut, each with its error.
    pub(crate) fn take_broken(&mut self) -> Vec<(Arc<dyn Mapped>, StoreApiError)> {
        let mut broken = Vec::new();
        self.0.retain(|mapped| match mapped.check() {
            Ok(()) => true,
            Err(error) => {
                broken.push((Arc::clone(mapped), error));
                false
            }
        });
        broken
    }
}
