//! An open table: lookups, filters, bounds and checks.
//!
//! Everything but data blocks is read once, at `open`, checked, and held in memory (charged to the cache).
//!
//! How the first entry at or after a target is found (`find`):
//! 1. The model predicts its ordinal and the range the measured error allows; the fence index turns the
//!    ordinal into block and slot by its counts.
//! 2. If the range lies within one block, that block is loaded at once; otherwise last keys of neighbouring
//!    blocks decide which one it is before anything is loaded.
//! 3. In the block the slot is found from the hint. The answer is proven if its predecessor is before the
//!    target and itself is not; at a block's border the neighbours' last keys prove it (**T3**).
//! 4. What is not proven is searched by the fence index. The answers are the same with and without a model.

use super::block::{Block, Target};
use super::blocks::BlockSource;
use super::fence_index::FenceIndex;
use super::filter::BloomFilter;
use super::format::{
    FOOTER_LEN, Footer, Handle, SECTION_TRAILER_LEN, check_section, decode_section, decode_tombstones,
};
use super::iterator::TableIterator;
use super::learned_index::LearnedIndex;
use super::model_stats::{ModelCounters, ModelStats};
use super::properties::{self, TableNames, TableProperties};
use super::{Pin, TableOptions, TableRead};
use crate::base::key::TRAILER_LEN;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{Error, InternalComparator, ParsedKey, Result};
use crate::cache::Reservation;
use crate::env::File;
use crate::env::aligned::{AlignedBuffer, read_exact_around};
use crate::iterator::InternalIterator;
use std::sync::Arc;

/// Blocks that a prediction may be moved by comparing last keys before the fence index is searched instead.
const MAX_BLOCK_MOVES: usize = 4;

/// Is shown an entry, its stored value, and what keeps that value alive; says whether to go on.
pub type EntryVisitor<'v> = dyn FnMut(ParsedKey<'_>, &[u8], &dyn Fn() -> Pin) -> bool + 'v;

/// An open table. Lookups and iterators may run in any number of threads at once.
pub struct Table {
    pub(super) file: Arc<dyn File>,
    pub(super) number: u64,
    pub(super) options: TableOptions,
    pub(super) fence: FenceIndex,
    footer: Footer,
    properties: TableProperties,
    filter: Option<BloomFilter>,
    /// Whether the filter's prefixes are those of the extractor in the options.
    prefixes_usable: bool,
    pub(super) model: Option<LearnedIndex>,
    tombstones: TombstoneList,
    model_counters: ModelCounters,
    memory_bytes: usize,
    _reservation: Option<Reservation>,
}

/// Where the first entry at or after a target stands.
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) block: Block,
    pub(super) slot: usize,
}

/// What a search led by the model came to.
enum Led {
    /// Proven: here it is.
    Found(Found),
    /// Proven: every entry is before the target.
    End,
    /// Nothing is proven.
    Unproven,
}

/// The sections that are read at open.
struct Sections {
    fence: FenceIndex,
    properties: TableProperties,
    names: TableNames,
    filter: Option<BloomFilter>,
    model: Option<LearnedIndex>,
    tombstones: Vec<RangeTombstone>,
}

/// Reads and checks the footer of a file that must be `size` bytes long.
fn read_footer(file: &dyn File, number: u64, size: u64) -> Result<Footer> {
    let path = file.path();
    let got = file.len()?;
    if got != size {
        let message = format!("file is {got} bytes long, expected {size}; restore it from a backup");
        return Err(Error::corruption(path, got.min(size), message));
    }
    let Some(offset) = size.checked_sub(FOOTER_LEN as u64) else {
        let message = format!("file of {size} bytes is too short for a table; restore it from a backup");
        return Err(Error::corruption(path, 0, message));
    };
    let mut buffer = AlignedBuffer::new();
    let range = read_exact_around(file, offset, FOOTER_LEN, &mut buffer)?;
    let bytes = buffer.as_slice()[range].first_chunk().expect("so many bytes were read");
    Footer::decode(bytes, path, number, offset)
}

/// Reads and decodes all sections but the data blocks, in one read.
fn read_sections(
    file: &dyn File,
    number: u64,
    size: u64,
    footer: &Footer,
    model_wanted: bool,
) -> Result<Sections> {
    let path = file.path();
    let from = footer.data_end();
    let mut buffer = AlignedBuffer::new();
    let range = read_exact_around(file, from, (size - FOOTER_LEN as u64 - from) as usize, &mut buffer)?;
    let bytes = &buffer.as_slice()[range];
    let mut contents = Vec::new();
    let mut load = |handle: Handle| -> Result<Vec<u8>> {
        let start = (handle.offset - from) as usize;
        let section = &bytes[start..start + handle.stored_len as usize + SECTION_TRAILER_LEN];
        let (codec, stored) = check_section(section, path, number, handle.offset)?;
        decode_section(codec, stored, &mut contents, path, handle.offset)?;
        Ok(std::mem::take(&mut contents))
    };
    let malformed = |what: &str, handle: Handle| {
        let message = format!("{what} malformed; restore the file from a backup");
        Error::corruption(path, handle.offset, message)
    };
    let fence =
        FenceIndex::decode(&load(footer.fence)?).ok_or_else(|| malformed("fence index", footer.fence))?;
    let (mut properties, names) = properties::decode(&load(footer.properties)?)
        .ok_or_else(|| malformed("properties", footer.properties))?;
    properties.file_size = size;
    if fence.data_end() != from {
        return Err(malformed("fence index (it does not end where the data ends)", footer.fence));
    }
    if fence.entries() != properties.entries || fence.blocks() as u64 != properties.data_blocks {
        return Err(malformed("properties (they contradict the fence index)", footer.properties));
    }
    let (mut filter, mut model, mut tombstones) = (None, None, Vec::new());
    if footer.filter.is_present() {
        let decoded = BloomFilter::decode(&load(footer.filter)?);
        filter = Some(decoded.ok_or_else(|| malformed("filter", footer.filter))?);
    }
    if footer.model.is_present() && model_wanted {
        let decoded = LearnedIndex::decode(&load(footer.model)?, fence.entries());
        model = Some(decoded.ok_or_else(|| malformed("learned index", footer.model))?);
    }
    if footer.tombstones.is_present() {
        let decoded = decode_tombstones(&load(footer.tombstones)?);
        tombstones = decoded.ok_or_else(|| malformed("range tombstones", footer.tombstones))?;
    }
    Ok(Sections { fence, properties, names, filter, model, tombstones })
}

impl Table {
    /// Opens and checks footer, properties, indexes and filter. `size` is the manifest's word on the length.
    pub fn open(file: Arc<dyn File>, number: u64, size: u64, options: TableOptions) -> Result<Arc<Table>> {
        let footer = read_footer(&*file, number, size)?;
        let model_wanted = options.learned_index && options.order.is_bytewise();
        let sections = read_sections(&*file, number, size, &footer, model_wanted)?;
        let comparator = options.order.user().name();
        if sections.names.comparator != comparator {
            let message = format!(
                "the table is in the order of comparator {}, opened with {comparator}; open it with that",
                sections.names.comparator
            );
            return Err(Error::invalid_argument(message).in_file(file.path()));
        }
        let extractor = options.prefix_extractor.as_ref().map(|extractor| extractor.name());
        let prefixes_usable = extractor.is_some()
            && extractor == sections.names.prefix_extractor.as_deref()
            && sections.filter.as_ref().is_some_and(BloomFilter::has_prefixes);
        let tombstones = TombstoneList::build(&sections.tombstones, &options.order);
        let mut table = Table {
            file,
            number,
            options,
            fence: sections.fence,
            footer,
            properties: sections.properties,
            filter: sections.filter,
            prefixes_usable,
            model: sections.model,
            tombstones,
            model_counters: ModelCounters::default(),
            memory_bytes: 0,
            _reservation: None,
        };
        table.memory_bytes = table.count_memory();
        table._reservation =
            table.options.cache.as_ref().map(|cache| cache.reserve(table.memory_bytes as u64));
        Ok(Arc::new(table))
    }

    fn count_memory(&self) -> usize {
        size_of::<Table>()
            + self.fence.memory_bytes()
            + self.filter.as_ref().map_or(0, BloomFilter::memory_bytes)
            + self.model.as_ref().map_or(0, LearnedIndex::memory_bytes)
            + self.tombstones.memory_bytes()
            + self.properties.smallest.len()
            + self.properties.largest.len()
            + size_of_val(&self.properties.segments[..])
    }

    #[inline]
    fn order(&self) -> &InternalComparator {
        &self.options.order
    }

    /// False only if no version of `user_key` is in the table.
    #[inline]
    pub fn may_contain(&self, user_key: &[u8]) -> bool {
        match &self.filter {
            Some(filter) if filter.has_whole_keys() => filter.may_contain_key(user_key),
            Some(_) => self.may_contain_prefix(user_key),
            None => true,
        }
    }

    /// False only if no key with the same prefix as `user_key` is in the table.
    pub fn may_contain_prefix(&self, user_key: &[u8]) -> bool {
        match (&self.filter, &self.options.prefix_extractor) {
            (Some(filter), Some(extractor)) if self.prefixes_usable && extractor.in_domain(user_key) => {
                filter.may_contain_prefix(extractor.transform(user_key))
            }
            _ => true,
        }
    }

    /// Shows the versions of one user key at or after the internal key `lookup`, newest first, until `visit`
    /// returns false. `visit` gets the entry, its stored value and what keeps that value alive. Consults the
    /// filter first.
    pub fn get(
        self: &Arc<Self>,
        lookup: &[u8],
        mut read: TableRead,
        visit: &mut EntryVisitor<'_>,
    ) -> Result<()> {
        if lookup.len() < TRAILER_LEN {
            return Err(Error::invalid_argument("a lookup key is shorter than its trailer"));
        }
        let target = Target::new(lookup);
        if !self.may_contain(target.user_key) {
            return Ok(());
        }
        let Some(Found { mut index, mut block, mut slot }) = self.find(&target, &mut read)? else {
            return Ok(());
        };
        loop {
            while slot < block.count() {
                if !block.has_user_key(slot, target.user_key, self.order()) {
                    return Ok(());
                }
                // Equal under a comparator of the user's need not be the same bytes.
                let stored_key =
                    if self.order().is_bytewise() { target.user_key } else { block.key_suffix(slot).0 };
                let entry = block
                    .parse_with(slot, stored_key)
                    .ok_or_else(|| self.contradiction(index, "unknown kind"))?;
                let range = block.value_range(slot);
                let pin = || Pin { buffer: block.buffer().clone(), range: range.clone() };
                if !visit(entry, &block.bytes()[range.clone()], &pin) {
                    return Ok(());
                }
                slot += 1;
            }
            index += 1;
            if index == self.fence.blocks() {
                return Ok(());
            }
            block = self.load_block(index, read)?;
            slot = 0;
        }
    }

    /// The first entry at or after `target`.
    #[inline]
    pub(super) fn find(&self, target: &Target<'_>, source: &mut impl BlockSource) -> Result<Option<Found>> {
        if self.fence.blocks() == 0 {
            return Ok(None);
        }
        if let Some(model) = &self.model {
            let led = self.find_by_model(model, target, source)?;
            self.model_counters.count(!matches!(led, Led::Unproven));
            match led {
                Led::Found(found) => return Ok(Some(found)),
                Led::End => return Ok(None),
                Led::Unproven => {}
            }
        }
        self.find_by_fence(target, source)
    }

    fn find_by_fence(&self, target: &Target<'_>, source: &mut impl BlockSource) -> Result<Option<Found>> {
        let index = self.fence.lower_bound(target, self.order());
        if index == self.fence.blocks() {
            return Ok(None);
        }
        let block = source.block(self, index)?;
        let slot = block.lower_bound(target, self.order(), None);
        if slot == block.count() {
            return Err(self.contradiction(index, "its last key is before that of the index"));
        }
        Ok(Some(Found { index, block, slot }))
    }

    fn find_by_model(
        &self,
        model: &LearnedIndex,
        target: &Target<'_>,
        source: &mut impl BlockSource,
    ) -> Result<Led> {
        let fence = &self.fence;
        let prediction = model.predict(target.user_key);
        let ordinal = prediction.ordinal.min(fence.entries() - 1);
        let mut index = fence.block_of(ordinal);
        let within =
            fence.first_ordinal(index) <= prediction.low && prediction.high < fence.first_ordinal(index + 1);
        if !within {
            match self.settle(index, target) {
                Some(settled) if settled == fence.blocks() => return Ok(Led::End),
                Some(settled) => index = settled,
                None => return Ok(Led::Unproven),
            }
        }
        let hint = ordinal.saturating_sub(fence.first_ordinal(index)) as usize;
        let block = source.block(self, index)?;
        let slot = block.lower_bound(target, self.order(), Some(hint));
        if slot == block.count() {
            // Every entry up to this block's end is before the target.
            return self.find_in_next(index + 1, target, source);
        }
        let proven = slot > 0 || !within || index == 0 || fence.ends_before(index - 1, target, self.order());
        Ok(if proven { Led::Found(Found { index, block, slot }) } else { Led::Unproven })
    }

    /// Moves from block `index` to the one that holds the first entry at or after `target` by the fence
    /// index's last keys. `blocks()` means past the end, `None` that it is too far away.
    fn settle(&self, index: usize, target: &Target<'_>) -> Option<usize> {
        let ends_before = |block: usize| self.fence.ends_before(block, target, self.order());
        if ends_before(index) {
            let last = (index + MAX_BLOCK_MOVES).min(self.fence.blocks());
            return (index + 1..=last).find(|&block| block == self.fence.blocks() || !ends_before(block));
        }
        let first = index.saturating_sub(MAX_BLOCK_MOVES);
        (first..=index).rev().find(|&block| block == 0 || ends_before(block - 1))
    }

    /// Continues in block `index`, everything before it being before the target.
    fn find_in_next(&self, index: usize, target: &Target<'_>, source: &mut impl BlockSource) -> Result<Led> {
        if index == self.fence.blocks() {
            return Ok(Led::End);
        }
        if self.fence.ends_before(index, target, self.order()) {
            return Ok(Led::Unproven);
        }
        let block = source.block(self, index)?;
        let slot = block.lower_bound(target, self.order(), Some(0));
        if slot == block.count() {
            return Err(self.contradiction(index, "its last key is before that of the index"));
        }
        Ok(Led::Found(Found { index, block, slot }))
    }

    fn contradiction(&self, index: usize, what: &str) -> Error {
        let offset = self.fence.handle(index).offset;
        let message = format!("data block malformed: {what}; restore the file from a backup");
        Error::corruption(self.file.path(), offset, message)
    }

    /// An iterator over the points.
    pub fn iter(self: &Arc<Self>, read: TableRead) -> Box<dyn InternalIterator> {
        Box::new(TableIterator::new(self.clone(), read))
    }

    /// The range tombstones.
    pub fn range_tombstones(&self) -> &TombstoneList {
        &self.tombstones
    }

    /// The properties.
    pub fn properties(&self) -> &TableProperties {
        &self.properties
    }

    /// The table's file number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How often the learned index led to the answer since the table was opened.
    pub fn model_stats(&self) -> ModelStats {
        self.model_counters.sum()
    }

    /// About where in the file an internal key would be.
    pub fn approximate_offset(&self, internal_key: &[u8]) -> u64 {
        if internal_key.len() < TRAILER_LEN {
            return 0;
        }
        let index = self.fence.lower_bound(&Target::new(internal_key), self.order());
        if index == self.fence.blocks() { self.fence.data_end() } else { self.fence.handle(index).offset }
    }

    /// Memory held for as long as the table is open: indexes, filter, model.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Reads every block and checks every checksum and the order of keys.
    pub fn verify(self: &Arc<Self>) -> Result<()> {
        let size = self.properties.file_size;
        let footer = read_footer(&*self.file, self.number, size)?;
        if footer != self.footer {
            let message = "the footer changed since the table was opened; restore the file from a backup";
            return Err(Error::corruption(self.file.path(), size - FOOTER_LEN as u64, message));
        }
        read_sections(&*self.file, self.number, size, &footer, self.options.order.is_bytewise())?;
        let (mut last, mut key) = (Vec::new(), Vec::new());
        for index in 0..self.fence.blocks() {
            let block = self.read_block(index)?;
            for slot in 0..block.count() {
                block.copy_key(slot, &mut key);
                if !last.is_empty() && !self.order().compare(&last, &key).is_lt() {
                    return Err(self.contradiction(index, "keys out of order"));
                }
                if !self.may_contain(crate::base::key::user_key(&key)) {
                    return Err(self.contradiction(index, "a key is not in the filter"));
                }
                std::mem::swap(&mut last, &mut key);
            }
            if last != self.fence.last_key(index) {
                return Err(self.contradiction(index, "its last key is not that of the index"));
            }
        }
        Ok(())
    }
}
