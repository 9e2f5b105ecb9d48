//! The iterator that callers hold: over the database alone, or with a batch on top.

use super::iterator::StoredIterator;
use super::overlay::OverlaidIterator;
use super::state::Engine;
use super::{Family, ReadOptions, SharedBatch};
use crate::base::{Error, Result, SequenceNumber};
use crate::read::ReadView;
use std::sync::Arc;

/// Moves over the visible entries of a column family, both ways. One thread at a time.
pub struct DbIterator(Over);

#[allow(clippy::large_enum_variant, reason = "nearly every iterator is the large one")]
enum Over {
    Database(StoredIterator),
    Batch(Box<OverlaidIterator>),
}

impl DbIterator {
    pub(super) fn new(
        engine: &Arc<Engine>,
        family: &Arc<Family>,
        view: &Arc<ReadView>,
        snapshot: SequenceNumber,
        options: &ReadOptions,
    ) -> DbIterator {
        DbIterator(Over::Database(StoredIterator::new(engine, family, view, snapshot, options)))
    }

    /// The same iterator with `batch` on top: what it would show if the batch were written. Not positioned. Bounds of
    /// `options` hold besides the iterator's own; the rest of them was settled when the iterator was made. Later
    /// changes of the batch are seen from the next move on. `InvalidArgument` if there is a batch on top already.
    pub fn with_batch(self, batch: &SharedBatch, options: Option<&ReadOptions>) -> Result<DbIterator> {
        match self.0 {
            Over::Database(stored) => {
                let overlaid = OverlaidIterator::new(stored, Arc::clone(batch), options);
                Ok(DbIterator(Over::Batch(Box::new(overlaid))))
            }
            Over::Batch(_) => Err(Error::invalid_argument(
                "the iterator has a batch on top already: make one of the database for each batch",
            )),
        }
    }

    /// The id of its column family.
    pub fn column_family(&self) -> u32 {
        match &self.0 {
            Over::Database(stored) => stored.family().id,
            Over::Batch(overlaid) => overlaid.column_family(),
        }
    }

    /// Whether it stands on an entry.
    #[inline]
    pub fn valid(&self) -> bool {
        match &self.0 {
            Over::Database(stored) => stored.valid(),
            Over::Batch(overlaid) => overlaid.valid(),
        }
    }

    /// To the first entry within the bounds.
    pub fn seek_to_first(&mut self) {
        match &mut self.0 {
            Over::Database(stored) => stored.seek_to_first(),
            Over::Batch(overlaid) => overlaid.seek_to_first(),
        }
    }

    /// To the last entry within the bounds.
    pub fn seek_to_last(&mut self) {
        match &mut self.0 {
            Over::Database(stored) => stored.seek_to_last(),
            Over::Batch(overlaid) => overlaid.seek_to_last(),
        }
    }

    /// To the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) {
        match &mut self.0 {
            Over::Database(stored) => stored.seek(target),
            Over::Batch(overlaid) => overlaid.seek(target),
        }
    }

    /// To the last entry at or before `target`.
    pub fn seek_for_prev(&mut self, target: &[u8]) {
        match &mut self.0 {
            Over::Database(stored) => stored.seek_for_prev(target),
            Over::Batch(overlaid) => overlaid.seek_for_prev(target),
        }
    }

    /// One on. Does nothing when not valid.
    #[inline]
    pub fn next(&mut self) {
        match &mut self.0 {
            Over::Database(stored) => stored.next(),
            Over::Batch(overlaid) => overlaid.next(),
        }
    }

    /// One back. Does nothing when not valid.
    #[inline]
    pub fn prev(&mut self) {
        match &mut self.0 {
            Over::Database(stored) => stored.prev(),
            Over::Batch(overlaid) => overlaid.prev(),
        }
    }

    /// The key; until the next move. Only when valid.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.0 {
            Over::Database(stored) => stored.key(),
            Over::Batch(overlaid) => overlaid.key(),
        }
    }

    /// The value, read from the value log on first use; a failed read makes the iterator invalid with an error and
    /// gives an empty slice. Until the next move. Only when valid.
    #[inline]
    pub fn value(&mut self) -> &[u8] {
        match &mut self.0 {
            Over::Database(stored) => stored.value(),
            Over::Batch(overlaid) => overlaid.value(),
        }
    }

    /// What went wrong, if anything.
    pub fn status(&self) -> Result<()> {
        match &self.0 {
            Over::Database(stored) => stored.status(),
            Over::Batch(overlaid) => overlaid.status(),
        }
    }

    /// Shows the latest state (drops the snapshot, if any) and loses the position.
    pub fn refresh(&mut self) -> Result<()> {
        match &mut self.0 {
            Over::Database(stored) => stored.refresh(),
            Over::Batch(overlaid) => overlaid.refresh(),
        }
    }
}
