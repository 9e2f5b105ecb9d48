//! Brings data blocks into memory: from the cache, from the device, or from a read-ahead buffer.

use super::TableRead;
use super::block::Block;
use super::format::{SECTION_TRAILER_LEN, check_section, decode_section};
use super::reader::Table;
use crate::base::{Error, ErrorKind, Result};
use crate::cache::{CacheKey, EntryClass};
use crate::env::aligned::{AlignedBuffer, read_exact_around};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// A thread keeps its buffer for stored bytes only up to this size.
const MAX_KEPT_SCRATCH: usize = 1 << 20;
/// Sequential loads after which the system is told what will be read next.
const SEQUENTIAL_LOADS: u32 = 2;
const FIRST_WINDOW: u64 = 128 << 10;
const LAST_WINDOW: u64 = 2 << 20;
/// The same past the page cache, where nobody reads ahead but the iterator itself, and waits for all of it.
const FIRST_DIRECT_WINDOW: u64 = 32 << 10;
const LAST_DIRECT_WINDOW: u64 = 512 << 10;

/// Gives the blocks a search asks for.
pub(super) trait BlockSource {
    /// The data block of this index.
    fn block(&mut self, table: &Table, index: usize) -> Result<Block>;
}

impl BlockSource for TableRead {
    #[inline]
    fn block(&mut self, table: &Table, index: usize) -> Result<Block> {
        table.load_block(index, *self)
    }
}

impl Table {
    /// A data block through the cache.
    pub(super) fn load_block(&self, index: usize, read: TableRead) -> Result<Block> {
        if let Some(block) = self.cached_block(index)? {
            return Ok(block);
        }
        if !read.allow_io {
            let message = "the block is not in the cache and the read forbids I/O";
            return Err(Error::new(ErrorKind::Incomplete, message));
        }
        let block = self.read_block(index)?;
        self.keep_block(index, &block, read);
        Ok(block)
    }

    #[inline]
    fn cache_key(&self, index: usize) -> CacheKey {
        let offset = self.fence.handle(index).offset;
        CacheKey { owner: self.options.cache_owner, file: self.number, offset }
    }

    #[inline]
    fn cached_block(&self, index: usize) -> Result<Option<Block>> {
        let Some(cache) = &self.options.cache else { return Ok(None) };
        let key = self.cache_key(index);
        let Some(buffer) = cache.get(key, EntryClass::Data) else { return Ok(None) };
        let block = Block::trust(buffer).ok_or_else(|| {
            let message = "the cache gave a buffer that is not a data block; reopen the database";
            Error::new(ErrorKind::Internal, message).at(self.file.path(), key.offset)
        });
        block.map(Some)
    }

    fn keep_block(&self, index: usize, block: &Block, read: TableRead) {
        if let (Some(cache), true) = (&self.options.cache, read.fill_cache) {
            cache.insert(self.cache_key(index), EntryClass::Data, block.buffer());
        }
    }

    /// A data block from the device.
    pub(super) fn read_block(&self, index: usize) -> Result<Block> {
        thread_local! {
            static SCRATCH: RefCell<AlignedBuffer> = const { RefCell::new(AlignedBuffer::new()) };
        }
        let handle = self.fence.handle(index);
        let len = handle.stored_len as usize + SECTION_TRAILER_LEN;
        SCRATCH.with_borrow_mut(|scratch| {
            let range = read_exact_around(&*self.file, handle.offset, len, scratch)?;
            let block = self.decode_block(index, &scratch.as_slice()[range], Vec::new());
            scratch.keep_at_most(MAX_KEPT_SCRATCH);
            block
        })
    }

    /// The block in the bytes of its section. Its contents go into `buffer`.
    fn decode_block(&self, index: usize, section: &[u8], mut buffer: Vec<u8>) -> Result<Block> {
        let (path, offset) = (self.file.path(), self.fence.handle(index).offset);
        let (codec, stored) = check_section(section, path, self.number, offset)?;
        decode_section(codec, stored, &mut buffer, path, offset)?;
        let expected = self.fence.first_ordinal(index + 1) - self.fence.first_ordinal(index);
        match Block::check(Arc::new(buffer.into())) {
            Some(block) if block.count() as u64 == expected => Ok(block),
            Some(block) => {
                let message = format!("block of {} entries, the index says {expected}", block.count());
                Err(Error::corruption(path, offset, format!("{message}; restore the file from a backup")))
            }
            None => {
                Err(Error::corruption(path, offset, "data block malformed; restore the file from a backup"))
            }
        }
    }
}

/// The blocks of one iterator: notices when it runs through the table and reads ahead of it.
///
/// With `read_ahead` of 0 blocks come through the cache, and the system is told what comes next, ever more of
/// it; where it would not listen, because the file is read past the page cache, that much is read into a private
/// buffer. Otherwise (compaction) so many bytes at a time are read into it, and the cache is left alone.
pub(super) struct BlockReader {
    read: TableRead,
    last_index: Option<usize>,
    run: u32,
    window: u64,
    hinted_to: u64,
    ahead: AlignedBuffer,
    /// Where in `ahead` the bytes are that were read, and where in the file the first of them stands.
    ahead_range: Range<usize>,
    ahead_offset: u64,
    /// Memory of a block that is no longer used.
    spare: Vec<u8>,
}

impl BlockReader {
    pub(super) fn new(read: TableRead) -> BlockReader {
        BlockReader {
            read,
            last_index: None,
            run: 0,
            window: 0,
            hinted_to: 0,
            ahead: AlignedBuffer::new(),
            ahead_range: 0..0,
            ahead_offset: 0,
            spare: Vec::new(),
        }
    }

    /// Takes a block back that the iterator left, to use its memory again.
    pub(super) fn recycle(&mut self, block: Block) {
        if self.read.read_ahead > 0
            && let Ok(buffer) = Arc::try_unwrap(block.into_buffer())
            && let Some(spare) = buffer.into_vec()
        {
            self.spare = spare;
        }
    }

    /// Takes note of a load; whether it belongs to a forward run that is long enough to go on.
    fn runs_on(&mut self, index: usize) -> bool {
        let follows = self.last_index.is_some_and(|last| last + 1 == index);
        self.last_index = Some(index);
        if !follows {
            (self.run, self.window, self.hinted_to) = (0, 0, 0);
            return false;
        }
        self.run = self.run.saturating_add(1);
        self.run >= SEQUENTIAL_LOADS
    }

    /// Tells the system what a forward run will read.
    fn hint(&mut self, table: &Table, index: usize) {
        self.window = self.window.max(FIRST_WINDOW);
        let handle = table.fence.handle(index);
        if handle.offset + self.window / 2 < self.hinted_to {
            return;
        }
        let from = self.hinted_to.max(handle.offset);
        let to = (handle.offset + self.window).min(table.fence.data_end());
        if to > from {
            table.file.will_need(from, to - from);
            self.hinted_to = to;
            self.window = (self.window * 2).min(LAST_WINDOW);
        }
    }

    /// A block of a forward run through a file that is read past the page cache, with what follows it.
    fn load_with_next(&mut self, table: &Table, index: usize) -> Result<Block> {
        if let Some(block) = table.cached_block(index)? {
            return Ok(block);
        }
        let len = table.fence.handle(index).stored_len as usize + SECTION_TRAILER_LEN;
        self.window = self.window.max(FIRST_DIRECT_WINDOW);
        let before = self.ahead_offset;
        let start = self.fill(table, index, self.window)?;
        if self.ahead_offset != before {
            self.window = (self.window * 2).min(LAST_DIRECT_WINDOW);
        }
        let block = table.decode_block(index, &self.ahead.as_slice()[start..start + len], Vec::new())?;
        table.keep_block(index, &block, self.read);
        Ok(block)
    }

    /// Makes `ahead` hold the section of block `index`, and about `window` bytes more if it has to be read, and returns
    /// where in it the section starts.
    fn fill(&mut self, table: &Table, index: usize, window: u64) -> Result<usize> {
        let handle = table.fence.handle(index);
        let len = handle.stored_len + SECTION_TRAILER_LEN as u64;
        let (offset, end) = (handle.offset, handle.offset + len);
        let buffered_end = self.ahead_offset + self.ahead_range.len() as u64;
        if offset < self.ahead_offset || end > buffered_end {
            let wanted = len.max(window);
            let backward =
                end <= buffered_end && !self.ahead_range.is_empty() && end + wanted > self.ahead_offset;
            let from = if backward { end.saturating_sub(wanted) } else { offset };
            let to = if backward { end } else { (from + wanted).min(table.fence.data_end()) };
            self.ahead_range = 0..0;
            self.ahead_offset = from;
            let len = (to - from) as usize;
            self.ahead_range = read_exact_around(&*table.file, from, len, &mut self.ahead)?;
        }
        Ok(self.ahead_range.start + (offset - self.ahead_offset) as usize)
    }
}

impl BlockSource for BlockReader {
    fn block(&mut self, table: &Table, index: usize) -> Result<Block> {
        if self.read.read_ahead == 0 {
            if self.read.allow_io && self.runs_on(index) {
                if table.file.alignment() > 1 {
                    return self.load_with_next(table, index);
                }
                self.hint(table, index);
            }
            return table.load_block(index, self.read);
        }
        if !self.read.allow_io {
            return table.load_block(index, self.read);
        }
        let start = self.fill(table, index, self.read.read_ahead as u64)?;
        let len = table.fence.handle(index).stored_len as usize + SECTION_TRAILER_LEN;
        let spare = std::mem::take(&mut self.spare);
        table.decode_block(index, &self.ahead.as_slice()[start..start + len], spare)
    }
}
