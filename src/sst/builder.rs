//! Writes a table, front to back, in one pass over ascending entries.
//!
//! 1. `add` checks order and kind, counts, feeds filter and model, and puts the entry into the current block.
//! 2. A block that reached `block_size` is appended to the write buffer; a full buffer is written.
//! 3. `finish` appends the other sections and the footer, writes what is left, and syncs.
//!
//! Nothing is readable before `finish` returned; a builder that failed to write refuses to go on.

use super::TableOptions;
use super::block::BlockBuilder;
use super::fence_index::FenceBuilder;
use super::filter::BloomBuilder;
use super::format::{
    FOOTER_LEN, Footer, Handle, SECTION_TRAILER_LEN, append_section, encode_tombstones, seal_section,
};
use super::learned_index::{KeyCodeBuilder, LearnedIndex};
use super::properties::{self, SegmentCounter, TableNames, TableProperties};
use crate::base::compression::Compressor;
use crate::base::expiry::{self, ExpiryCounter};
use crate::base::key::{MAX_SEQUENCE, ParsedKey};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Codec, EntryKind, Error, InternalKey, Result, ValuePointer};
use crate::env::File;
use std::io::IoSlice;
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
    file: Arc<dyn File>,
    number: u64,
    options: TableOptions,
    io_buffer_size: usize,
    /// Bytes that are not written yet.
    out: Vec<u8>,
    /// How many bytes are written: the offset of `out`.
    written: u64,
    block: BlockBuilder,
    /// Contents of a block or section before compression.
    scratch: Vec<u8>,
    compressor: Compressor,
    /// The last key of the last finished block.
    last_key: Vec<u8>,
    fence: FenceBuilder,
    bloom: Option<BloomBuilder>,
    /// Bytes of the filter of all keys up to the current block.
    filter_len: usize,
    key_codes: Option<KeyCodeBuilder>,
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
            file,
            number,
            io_buffer_size,
            out: Vec::with_capacity(io_buffer_size.min(4 << 20)),
            written: 0,
            block: BlockBuilder::new(bytewise),
            scratch: Vec::new(),
            compressor: Compressor::default(),
            last_key: Vec::new(),
            fence: FenceBuilder::default(),
            filter_len: bloom.as_ref().map_or(0, BloomBuilder::contents_len),
            bloom,
            key_codes: (options.learned_index && bytewise).then(KeyCodeBuilder::default),
            tombstones: Vec::new(),
            tombstone_bytes: 0,
            segments: SegmentCounter::default(),
            expiries: ExpiryCounter::default(),
            properties: TableProperties { smallest_sequence: u64::MAX, ..TableProperties::default() },
            failure: None,
            options,
        }
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
            .in_file(self.file.path())
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
        self.position() + sections as u64 + self.tombstone_bytes + PROPERTIES_ESTIMATE
    }

    /// Point entries and tombstones added.
    pub fn entries(&self) -> u64 {
        self.properties.entries + self.tombstones.len() as u64
    }

    /// Where the next byte will stand.
    fn position(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    fn finish_block(&mut self) -> Result<()> {
        let offset = self.position();
        let entries = self.block.count() as u64;
        if let Some(last) = self.block.last_key() {
            self.last_key.clear();
            self.last_key.extend_from_slice(last);
        }
        let stored_len = if self.options.compression == Codec::None {
            let from = self.out.len();
            self.block.finish(&mut self.out);
            seal_section(&mut self.out, from, Codec::None, self.number, offset)
        } else {
            self.scratch.clear();
            self.block.finish(&mut self.scratch);
            self.append_contents(self.options.compression, offset)
        };
        self.properties.data_blocks += 1;
        self.filter_len = self.bloom.as_ref().map_or(0, BloomBuilder::contents_len);
        self.properties.data_bytes += self.position() - offset;
        self.fence.push(&self.last_key, stored_len, entries);
        if self.out.len() >= self.io_buffer_size { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_at(self.written, &[IoSlice::new(&self.out)]) {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.written += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Appends `scratch` as a section.
    fn append_scratch(&mut self, codec: Codec) -> Handle {
        let offset = self.position();
        let stored_len = self.append_contents(codec, offset);
        Handle { offset, stored_len }
    }

    /// The same at `offset`, which is where the next byte will stand. Returns the stored length.
    fn append_contents(&mut self, codec: Codec, offset: u64) -> u64 {
        let how = (codec, &mut self.compressor);
        append_section(&mut self.out, &self.scratch, how, self.number, offset)
    }

    /// Writes filter, indexes, properties and footer, and syncs the file.
    pub fn finish(mut self) -> Result<TableProperties> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        let filter = self.finish_filter();
        let model = self.finish_model();
        self.scratch.clear();
        self.fence.finish(&mut self.scratch);
        let fence = self.append_scratch(self.options.compression);
        self.properties.index_bytes = fence.stored_len;
        let mut tombstones = Handle::default();
        if !self.tombstones.is_empty() {
            self.scratch.clear();
            encode_tombstones(&self.tombstones, &mut self.scratch);
            tombstones = self.append_scratch(Codec::None);
        }
        self.finish_properties();
        let names = TableNames {
            comparator: self.options.order.user().name().to_string(),
            prefix_extractor: self
                .options
                .prefix_extractor
                .as_ref()
                .map(|extractor| extractor.name().to_string()),
        };
        self.scratch.clear();
        properties::encode(&self.properties, &names, &mut self.scratch);
        let properties = self.append_scratch(Codec::None);
        let footer = Footer { filter, model, fence, tombstones, properties };
        let offset = self.position();
        footer.encode(&mut self.out, self.number, offset);
        self.write_out()?;
        self.file.sync_data()?;
        self.properties.file_size = self.written;
        Ok(self.properties)
    }

    fn finish_filter(&mut self) -> Handle {
        let Some(bloom) = self.bloom.take().filter(|bloom| !bloom.is_empty()) else {
            return Handle::default();
        };
        self.scratch.clear();
        let prefixes = self.options.prefix_extractor.is_some();
        bloom.finish(self.options.whole_key_filtering, prefixes, &mut self.scratch);
        let handle = self.append_scratch(Codec::None);
        self.properties.filter_bytes = handle.stored_len;
        handle
    }

    fn finish_model(&mut self) -> Handle {
        let Some(model) = self.key_codes.take().and_then(LearnedIndex::learn) else {
            return Handle::default();
        };
        self.scratch.clear();
        model.encode(&mut self.scratch);
        let handle = self.append_scratch(Codec::None);
        self.properties.model_bytes = handle.stored_len;
        self.properties.model_segments = model.segments() as u64;
        self.properties.model_error = model.error();
        handle
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
        properties.half_expired = self.expiries.when(properties.entries.div_ceil(2).max(1)).unwrap_or(0);
    }
}
