//! Moves over the points of a table, both ways.
//!
//! Within a block a move is a few loads and, where the block has a prefix, a short copy that puts the key together;
//! at its ends the neighbouring block is loaded (see `blocks::BlockReader` for reading ahead). An error ends the
//! iteration and is kept until the next positioning.

use super::TableRead;
use super::block::{Block, BlockCursor, Target};
use super::blocks::{BlockReader, BlockSource};
use super::reader::{Found, Table};
use crate::base::key::TRAILER_LEN;
use crate::base::{Error, Result};
use crate::iterator::InternalIterator;
use std::sync::Arc;

/// An iterator over the points of one table.
pub struct TableIterator {
    table: Arc<Table>,
    reader: BlockReader,
    cursor: BlockCursor,
    /// Index of the block in `cursor`.
    index: usize,
    valid: bool,
    error: Option<Error>,
}

/// Gives the block the iterator stands in without loading it again.
struct CurrentOrLoaded<'a> {
    reader: &'a mut BlockReader,
    current: Option<Block>,
    index: usize,
}

impl BlockSource for CurrentOrLoaded<'_> {
    fn block(&mut self, table: &Table, index: usize) -> Result<Block> {
        match self.current.take() {
            Some(block) if index == self.index => Ok(block),
            left => {
                left.into_iter().for_each(|block| self.reader.recycle(block));
                self.reader.block(table, index)
            }
        }
    }
}

impl TableIterator {
    pub(super) fn new(table: Arc<Table>, read: TableRead) -> TableIterator {
        let reader = BlockReader::new(read);
        TableIterator { table, reader, cursor: BlockCursor::default(), index: 0, valid: false, error: None }
    }

    /// Runs `locate` over the blocks and stands where it says.
    fn position(
        &mut self,
        locate: impl FnOnce(&Table, &mut CurrentOrLoaded<'_>) -> Result<Option<Found>>,
    ) -> bool {
        self.error = None;
        self.valid = false;
        let current = self.cursor.take_block();
        let mut source = CurrentOrLoaded { reader: &mut self.reader, current, index: self.index };
        match locate(&self.table, &mut source) {
            Ok(Some(found)) => {
                self.index = found.index;
                self.cursor.enter(found.block, found.slot);
                self.valid = true;
            }
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
        self.valid
    }

    /// Stands on the first or last entry of block `index`.
    fn enter(&mut self, index: usize, at_end: bool) {
        self.position(|table, source| {
            let block = source.block(table, index)?;
            let slot = if at_end { block.count() - 1 } else { 0 };
            Ok(Some(Found { index, block, slot }))
        });
    }

    fn is_too_short(&mut self, target: &[u8]) -> bool {
        if target.len() < TRAILER_LEN {
            self.valid = false;
            self.error = Some(Error::invalid_argument("a seek key is shorter than its trailer"));
        }
        target.len() < TRAILER_LEN
    }

    #[cold]
    fn next_block(&mut self) {
        if self.index + 1 < self.table.fence.blocks() {
            self.enter(self.index + 1, false);
        } else {
            self.valid = false;
        }
    }

    #[cold]
    fn prev_block(&mut self) {
        match self.index.checked_sub(1) {
            Some(before) => self.enter(before, true),
            None => self.valid = false,
        }
    }
}

impl InternalIterator for TableIterator {
    #[inline]
    fn valid(&self) -> bool {
        self.valid
    }

    fn seek_to_first(&mut self) {
        (self.valid, self.error) = (false, None);
        if self.table.fence.blocks() > 0 {
            self.enter(0, false);
        }
    }

    fn seek_to_last(&mut self) {
        (self.valid, self.error) = (false, None);
        if let Some(last) = self.table.fence.blocks().checked_sub(1) {
            self.enter(last, true);
        }
    }

    fn seek(&mut self, target: &[u8]) {
        if self.is_too_short(target) {
            return;
        }
        self.position(|table, source| table.find(&Target::new(target), source));
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        if self.is_too_short(target) {
            return;
        }
        if self.position(|table, source| table.find(&Target::new(target), source)) {
            if self.table.options.order.compare(self.cursor.key(), target).is_gt() {
                self.prev();
            }
        } else if self.error.is_none() {
            self.seek_to_last();
        }
    }

    #[inline]
    fn next(&mut self) {
        debug_assert!(self.valid);
        if !self.cursor.step_forward() {
            self.next_block();
        }
    }

    #[inline]
    fn prev(&mut self) {
        debug_assert!(self.valid);
        if !self.cursor.step_back() {
            self.prev_block();
        }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}
