//! The one iterator interface inside the engine, and what is built from it: merging and concatenation.

use crate::base::Error;

pub mod concat;
pub mod merging;
#[cfg(test)]
mod tests;

/// Moves over internal keys in their order, both ways. A new iterator is not valid until positioned.
/// After an error it is not valid and `error` tells why: end of data and failure cannot be mistaken.
pub trait InternalIterator: Send {
    /// Whether it stands on an entry.
    fn valid(&self) -> bool;
    /// To the first entry.
    fn seek_to_first(&mut self);
    /// To the last entry.
    fn seek_to_last(&mut self);
    /// To the first entry at or after `target` (an internal key).
    fn seek(&mut self, target: &[u8]);
    /// To the last entry at or before `target` (an internal key).
    fn seek_for_prev(&mut self, target: &[u8]);
    /// One on. Only when valid.
    fn next(&mut self);
    /// One back. Only when valid.
    fn prev(&mut self);
    /// The internal key. Only when valid; borrowed until the next move.
    fn key(&self) -> &[u8];
    /// The stored value (for `Pointer` entries the encoded pointer). Only when valid; until the next move.
    fn value(&self) -> &[u8];
    /// What went wrong, if anything.
    fn error(&self) -> Option<&Error>;
    /// The internal key and the stored value, if it stands on an entry.
    #[inline]
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.valid().then(|| (self.key(), self.value()))
    }
    /// One on, and the internal key there, if it stands on an entry then: one call through the trait for three. Only
    /// when valid.
    #[inline]
    fn step(&mut self) -> Option<&[u8]> {
        self.next();
        self.valid().then(|| self.key())
    }
}

/// An iterator over nothing, possibly because of an error.
#[derive(Default)]
pub struct EmptyIterator(pub Option<Error>);

impl InternalIterator for EmptyIterator {
    fn valid(&self) -> bool {
        false
    }
    fn seek_to_first(&mut self) {}
    fn seek_to_last(&mut self) {}
    fn seek(&mut self, _target: &[u8]) {}
    fn seek_for_prev(&mut self, _target: &[u8]) {}
    fn next(&mut self) {}
    fn prev(&mut self) {}
    fn key(&self) -> &[u8] {
        &[]
    }
    fn value(&self) -> &[u8] {
        &[]
    }
    fn error(&self) -> Option<&Error> {
        self.0.as_ref()
    }
}
