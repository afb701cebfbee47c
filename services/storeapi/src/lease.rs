//! Leases of mapped files. Chunks of an answer may be slices of mapped files, and such a file may be cut while its
//! chunks are used. Then zeros were read, and results made of them must be thrown away.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::StoreApiError;

/// Mapped files that chunks are slices of, such as a block in a directory.
pub trait Mapped: Debug + Send + Sync {
    /// A name for warnings, such as `block 01H...`.
    fn name(&self) -> String;

    /// Fails when a file was cut after it was mapped. Takes a system call per file.
    fn check(&self) -> Result<(), StoreApiError>;

    /// Whether `bytes`, such as the data of a chunk, lie in the mapped files.
    fn holds(&self, bytes: &[u8]) -> bool;

    /// Releases the pages at these addresses, if they belong to the mapped files. Later reads load them from the file
    /// again.
    fn release(&self, _addresses: &Range<usize>) {}
}

/// The mapped files behind the chunks of an answer. Whoever used the chunks must call [`Lease::check`] before using the
/// result.
#[derive(Clone, Debug, Default)]
pub struct Lease(Vec<Arc<dyn Mapped>>);

impl Lease {
    /// A lease of these files.
    pub fn new(mapped: Vec<Arc<dyn Mapped>>) -> Lease {
        Lease(mapped)
    }

    /// Adds the files of another lease.
    pub fn absorb(&mut self, other: Lease) {
        self.0.extend(other.0);
    }

    /// Fails when a file behind the chunks was cut.
    pub fn check(&self) -> Result<(), StoreApiError> {
        self.0.iter().try_for_each(|mapped| mapped.check())
    }

    /// Releases the pages at these addresses.
    pub(crate) fn release(&self, addresses: &Range<usize>) {
        self.0.iter().for_each(|mapped| mapped.release(addresses));
    }

    /// The name of the mapped files that hold the bytes of a chunk; `None` if they are not mapped.
    pub fn name_of(&self, chunk: &[u8]) -> Option<String> {
        self.0.iter().find(|mapped| mapped.holds(chunk)).map(|mapped| mapped.name())
    }

    /// Removes the files that were cut, and returns each with its error.
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
