//! Writes a table, front to back, in one pass over ascending entries.
//!
//! 1. `add` checks order and kind, counts, feeds filter and model, and puts the entry into the current block.
//! 2. A block that reached `block_size` is appended to the file, by this thread or another (`block_writer`).
//! 3. `finish` appends the other sections and the footer, writes what is left, and syncs.
//!
//! Nothing is readable before `finish` returned; a builder that failed to write refuses to go on.

use super::TableOptions;
use super::block::BlockBuilder;
use super::block_writer::{Appended, BlockWriter};
use super::fence_index::FenceBuilder;
use super::filter::BloomBuilder;
use super::format::{FOOTER_LEN, Footer, SECTION_TRAILER_LEN, encode_tombstones};
use super::key_memory::{KeyMemory, SpareKeyMemory};
use super::learned_index::{KeyCodeBuilder, LearnedIndex};
use super::properties::{self, SegmentCounter, TableNames, TableProperties};
use super::section_writer::SectionWriter;
use crate::base::expiry::{self, ExpiryCounter};
use crate::base::key::{MAX_SEQUENCE, ParsedKey};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Codec, EntryKind, Error, InternalKey, Result, ValuePointer};
use crate::env::{Env, File};
use std::path::PathBuf;
use std::sync::Arc;

/// Key and value of one entry together may be at most this long.
pub const MAX_ENTRY_LEN: usize = 2 << 30;
/// Blocks are cut at this size whatever the options say, so that block offsets fit 32 bits.
const MAX_BLOCK_SIZE: usize = 1 << 30;
/// The fence index stays below this, so that its offsets fit 32 bits.
const MAX_FENCE_LEN: usize = 2 << 30;
/// Bytes of properties and tombstone section headers, about.
const PROPERTIES_ESTIMATE: u64 = 256;

/// Writes a table to a file opened with `Create`. Keys must come in strictly ascending internal order.
pub struct TableBuilder {
    path: PathBuf,
    number: u64,
    options: TableOptions,
    block: BlockBuilder,
    blocks: BlockWriter,
    /// The last key of the last finished block.
    last_key: Vec<u8>,
    fence: FenceBuilder,
    bloom: Option<BloomBuilder>,
    /// Bytes of the filter of all keys up to the current block.
    filter_len: usize,
    key_codes: Option<KeyCodeBuilder>,
    /// Where the memory of the two comes from and goes to.
    key_memory: Option<&'static SpareKeyMemory>,
    tombstones: Vec<RangeTombstone>,
    tombstone_bytes: u64,
    segments: SegmentCounter,
    expiries: ExpiryCounter,
    properties: TableProperties,
    /// The first failed write; everything after it fails too.
    failure: Option<Error>,
}

impl TableBuilder {
    /// A builder that writes to `file` from offset 0, `io_buffer_size` bytes at a time.
    pub fn new(
        file: Arc<dyn File>,
        number: u64,
        options: TableOptions,
        io_buffer_size: usize,
    ) -> TableBuilder {
        let bytewise = options.order.is_bytewise();
        let filters = options.whole_key_filtering || options.prefix_extractor.is_some();
        let bloom = options.bloom_bits_per_key.filter(|_| filters).and_then(BloomBuilder::new);
        TableBuilder {
            path: file.path().to_path_buf(),
            number,
            block: BlockBuilder::new(bytewise),
            blocks: BlockWriter::new(options.compression, SectionWriter::new(file, number, io_buffer_size)),
            last_key: Vec::new(),
            fence: FenceBuilder::default(),
            filter_len: bloom.as_ref().map_or(0, BloomBuilder::contents_len),
            bloom,
            key_codes: (options.learned_index && bytewise).then(KeyCodeBuilder::default),
            key_memory: None,
            tombstones: Vec::new(),
            tombstone_bytes: 0,
            segments: SegmentCounter::default(),
            expiries: ExpiryCounter::default(),
            properties: TableProperties { smallest_sequence: u64::MAX, ..TableProperties::default() },
            failure: None,
            options,
        }
    }

    /// Has a thread of `env`, if it has threads, compress and write what is more than one write: somebody waits.
    pub fn set_apart(&mut self, env: Arc<dyn Env>) {
        self.blocks.set_apart(env);
    }

    /// Takes memory for what is gathered of every key from `spare`, and leaves it there at the end. Before the first
    /// entry.
    pub fn set_key_memory(&mut self, spare: &'static SpareKeyMemory) {
        let KeyMemory { hashes, heads } = spare.take();
        if let Some(bloom) = &mut self.bloom {
            bloom.set_memory(hashes);
        }
        if let Some(key_codes) = &mut self.key_codes {
            key_codes.set_memory(heads);
        }
        self.key_memory = Some(spare);
    }

    /// Has the device begin with what is written whenever it is so many bytes; 0, as at first: when the system likes.
    pub fn set_bytes_per_sync(&mut self, bytes: u64) {
        self.blocks.set_bytes_per_sync(bytes);
    }

    /// Adds a point entry. `Pointer` entries' values are encoded `ValuePointer`s and are counted by segment.
    pub fn add(&mut self, internal_key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let parsed = self.check_entry(internal_key, value)?;
        self.note_kind(parsed.kind, value)?;
        if self.properties.entries == 0 {
            self.properties.smallest = internal_key.to_vec();
        }
        self.properties.entries += 1;
        self.properties.raw_key_bytes += internal_key.len() as u64;
        self.properties.raw_value_bytes += value.len() as u64;
        self.note_sequence(parsed.sequence);
        if let Some(bloom) = &mut self.bloom {
            if self.options.whole_key_filtering {
                bloom.add_key(parsed.user_key);
            }
            if let Some(extractor) = &self.options.prefix_extractor
                && extractor.in_domain(parsed.user_key)
            {
                bloom.add_prefix(extractor.transform(parsed.user_key));
            }
        }
        if let Some(key_codes) = &mut self.key_codes {
            key_codes.add(parsed.user_key);
        }
        self.block.add(internal_key, value);
        if self.block.contents_len() >= self.options.block_size.min(MAX_BLOCK_SIZE) {
            self.finish_block()?;
        }
        Ok(())
    }

    fn note_kind(&mut self, kind: EntryKind, stored: &[u8]) -> Result<()> {
        let (expiry, value) = expiry::split(kind, stored);
        if let Some(expiry) = expiry {
            self.expiries.add(expiry);
        } else if kind.is_expiring() {
            return Err(self.refused("an entry that expires has no expiry"));
        }
        match kind.lasting() {
            EntryKind::Delete | EntryKind::SingleDelete => self.properties.deletions += 1,
            EntryKind::Merge => self.properties.merges += 1,
            EntryKind::Pointer => {
                let pointer = ValuePointer::decode(value)
                    .ok_or_else(|| self.refused("the value of a Pointer entry is not a value pointer"))?;
                self.segments.add(&pointer);
            }
            _ => {}
        }
        Ok(())
    }

    fn refused(&self, what: &str) -> Error {
        Error::invalid_argument(format!("{what}; the table under construction must be discarded"))
            .in_file(&self.path)
    }

    fn check_entry<'k>(&self, internal_key: &'k [u8], value: &[u8]) -> Result<ParsedKey<'k>> {
        let parsed = ParsedKey::parse(internal_key).filter(|parsed| parsed.kind != EntryKind::RangeDelete);
        let parsed = parsed.ok_or_else(|| self.refused("not the internal key of a point entry"))?;
        if internal_key.len().saturating_add(value.len()) > MAX_ENTRY_LEN {
            return Err(self.refused(&format!("key and value are longer than {MAX_ENTRY_LEN} bytes")));
        }
        if self.fence.contents_len().saturating_add(internal_key.len()) > MAX_FENCE_LEN {
            return Err(self.refused("the keys are too long for one table"));
        }
        if self.properties.entries > 0 {
            let last = self.block.last_key().unwrap_or(&self.last_key);
            if !self.options.order.compare(last, internal_key).is_lt() {
                return Err(
                    self.refused(&format!("key {internal_key:02x?} after {last:02x?} is out of order"))
                );
            }
        }
        Ok(parsed)
    }

    fn note_sequence(&mut self, sequence: u64) {
        self.properties.smallest_sequence = self.properties.smallest_sequence.min(sequence);
        self.properties.largest_sequence = self.properties.largest_sequence.max(sequence);
    }

    /// Adds a range tombstone, in any order relative to points. One that covers nothing is left out.
    pub fn add_range_tombstone(&mut self, tombstone: &RangeTombstone) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if tombstone.sequence > MAX_SEQUENCE {
            return Err(self.refused("a range tombstone's sequence number exceeds 56 bits"));
        }
        if self.options.order.compare_user(&tombstone.start, &tombstone.end).is_lt() {
            self.tombstone_bytes += (tombstone.start.len() + tombstone.end.len() + 16) as u64;
            self.note_sequence(tombstone.sequence);
            self.tombstones.push(tombstone.clone());
        }
        Ok(())
    }

    /// Bytes the file would have if finished now.
    pub fn estimated_size(&self) -> u64 {
        let pending = if self.block.is_empty() { 0 } else { self.block.contents_len() + SECTION_TRAILER_LEN };
        let sections =
            pending + self.filter_len + self.fence.contents_len() + FOOTER_LEN + 5 * SECTION_TRAILER_LEN;
        self.blocks.position() + sections as u64 + self.tombstone_bytes + PROPERTIES_ESTIMATE
    }

    /// Bytes of all keys and values added, as they came.
    #[inline]
    pub fn added_bytes(&self) -> u64 {
        self.properties.raw_key_bytes + self.properties.raw_value_bytes
    }

    /// Point entries and tombstones added.
    pub fn entries(&self) -> u64 {
        self.properties.entries + self.tombstones.len() as u64
    }

    fn finish_block(&mut self) -> Result<()> {
        if let Some(last) = self.block.last_key() {
            self.last_key.clear();
            self.last_key.extend_from_slice(last);
        }
        self.filter_len = self.bloom.as_ref().map_or(0, BloomBuilder::contents_len);
        let mut appended = note_block(&mut self.properties, &mut self.fence);
        let outcome = self.blocks.append(&mut self.block, &self.last_key, &mut appended);
        outcome.inspect_err(|error| self.failure = Some(error.clone()))
    }

    /// Writes filter, indexes, properties and footer, and syncs the file.
    pub fn finish(mut self) -> Result<TableProperties> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        // Beside the thread that still writes blocks, if there is one.
        let (filter, model) = self.finish_keys();
        let writer = self.blocks.end(&mut note_block(&mut self.properties, &mut self.fence))?;
        let mut writer = writer.lock();
        let mut handles = Footer::default();
        let mut contents = filter;
        if !contents.is_empty() {
            handles.filter = writer.append(Codec::None, &contents);
            self.properties.filter_bytes = handles.filter.stored_len;
        }
        if let Some(model) = model {
            contents.clear();
            model.encode(&mut contents);
            handles.model = writer.append(Codec::None, &contents);
            self.properties.model_bytes = handles.model.stored_len;
            self.properties.model_segments = model.segments() as u64;
            self.properties.model_error = model.error();
        }
        contents.clear();
        self.fence.finish(&mut contents);
        handles.fence = writer.append(self.options.compression, &contents);
        self.properties.index_bytes = handles.fence.stored_len;
        if !self.tombstones.is_empty() {
            contents.clear();
            encode_tombstones(&self.tombstones, &mut contents);
            handles.tombstones = writer.append(Codec::None, &contents);
        }
        self.finish_properties();
        contents.clear();
        properties::encode(&self.properties, &self.names(), &mut contents);
        handles.properties = writer.append(Codec::None, &contents);
        writer.append_raw(|out, offset| handles.encode(out, self.number, offset));
        self.properties.file_size = writer.finish()?;
        Ok(self.properties)
    }

    fn names(&self) -> TableNames {
        let extractor = self.options.prefix_extractor.as_ref();
        TableNames {
            comparator: self.options.order.user().name().to_string(),
            prefix_extractor: extractor.map(|extractor| extractor.name().to_string()),
        }
    }

    /// The filter's contents, empty if there is none, and the learned index.
    fn finish_keys(&mut self) -> (Vec<u8>, Option<LearnedIndex>) {
        let (mut filter, mut memory) = (Vec::new(), KeyMemory::default());
        if let Some(bloom) = self.bloom.take().filter(|bloom| !bloom.is_empty()) {
            let prefixes = self.options.prefix_extractor.is_some();
            memory.hashes = bloom.finish(self.options.whole_key_filtering, prefixes, &mut filter);
        }
        let mut key_codes = self.key_codes.take();
        let model = key_codes.as_mut().and_then(LearnedIndex::learn);
        memory.heads = key_codes.map(KeyCodeBuilder::into_memory).unwrap_or_default();
        if let Some(spare) = self.key_memory.take() {
            spare.give(memory);
        }
        (filter, model)
    }

    /// Fills in bounds, tombstones and segments.
    fn finish_properties(&mut self) {
        let order = &self.options.order;
        let properties = &mut self.properties;
        if properties.entries > 0 {
            properties.largest = std::mem::take(&mut self.last_key);
        }
        for tombstone in &self.tombstones {
            let start = InternalKey::new(&tombstone.start, tombstone.sequence, EntryKind::RangeDelete).0;
            let end = InternalKey::new(&tombstone.end, MAX_SEQUENCE, EntryKind::RangeDelete).0;
            if properties.smallest.is_empty() || order.compare(&start, &properties.smallest).is_lt() {
                properties.smallest = start;
            }
            if properties.largest.is_empty() || order.compare(&end, &properties.largest).is_gt() {
                properties.largest = end;
            }
        }
        properties.range_tombstones = self.tombstones.len() as u64;
        if properties.smallest.is_empty() {
            properties.smallest_sequence = 0;
        }
        properties.segments = std::mem::take(&mut self.segments).into_uses();
        properties.expiring = self.expiries.count();
        properties.latest_expiry = self.expiries.latest();
        // Deletions have nothing to lose.
        let values = properties.entries.saturating_sub(properties.deletions);
        properties.half_expired = self.expiries.when(values.div_ceil(2).max(1)).unwrap_or(0);
    }
}

/// Takes note of data blocks that were appended.
fn note_block<'a>(
    properties: &'a mut TableProperties,
    fence: &'a mut FenceBuilder,
) -> impl FnMut(Appended<'_>) + 'a {
    |block| {
        properties.data_blocks += 1;
        properties.data_bytes += block.stored_len + SECTION_TRAILER_LEN as u64;
        fence.push(block.last_key, block.stored_len, block.entries);
    }
}
