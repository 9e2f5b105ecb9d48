//! The exact index of a table: the last key of every data block, in memory for as long as the table is open.
//!
//! ```text
//! contents := count:varint | (last internal key:slice | stored_len:varint | entries:varint){count}
//! ```
//!
//! Data blocks stand without gaps from offset 0, so their offsets follow from the lengths, and the ordinal of a
//! block's first entry follows from the counts. Whole last keys are kept, not shortened separators: they prove at
//! a block's border what a learned index only guesses.

use super::block::Target;
use super::format::{Handle, SECTION_TRAILER_LEN};
use crate::base::InternalComparator;
use crate::base::coding::{Decoder, put_slice, put_varint};
use crate::base::key::TRAILER_LEN;

/// Writes the contents of the fence index.
#[derive(Default)]
pub struct FenceBuilder {
    blocks: u64,
    body: Vec<u8>,
}

impl FenceBuilder {
    /// Adds the next data block.
    pub fn push(&mut self, last_key: &[u8], stored_len: u64, entries: u64) {
        self.blocks += 1;
        put_slice(&mut self.body, last_key);
        put_varint(&mut self.body, stored_len);
        put_varint(&mut self.body, entries);
    }

    /// Bytes of the contents if finished now, about.
    pub fn contents_len(&self) -> usize {
        self.body.len() + 4
    }

    /// Appends the contents.
    pub fn finish(&self, out: &mut Vec<u8>) {
        put_varint(out, self.blocks);
        out.extend_from_slice(&self.body);
    }
}

/// The fence index in memory: compact arrays, one allocation each.
pub struct FenceIndex {
    keys: Vec<u8>,
    /// Where each last key starts in `keys`, and the end of the last one.
    key_starts: Vec<u32>,
    /// Where each block starts in the file, and where data ends.
    offsets: Vec<u64>,
    /// The ordinal of each block's first entry, and the number of all entries.
    ordinals: Vec<u64>,
    /// For each stretch of 2^shift ordinals the block that holds its first.
    stretches: Vec<u32>,
    shift: u32,
}

impl FenceIndex {
    /// Reads the contents; `None` if malformed. Allocates at most a small multiple of their length.
    pub fn decode(contents: &[u8]) -> Option<FenceIndex> {
        let mut decoder = Decoder::new(contents);
        let blocks = usize::try_from(decoder.varint()?).ok()?;
        // A block takes at least one byte for each of its three fields.
        if blocks > contents.len() / 3 || contents.len() > u32::MAX as usize {
            return None;
        }
        let (mut offset, mut ordinal) = (0u64, 0u64);
        let mut fence = FenceIndex {
            keys: Vec::with_capacity(decoder.rest().len().saturating_sub(2 * blocks)),
            key_starts: Vec::with_capacity(blocks + 1),
            offsets: Vec::with_capacity(blocks + 1),
            ordinals: Vec::with_capacity(blocks + 1),
            stretches: Vec::new(),
            shift: 0,
        };
        for _ in 0..blocks {
            let key = decoder.slice().filter(|key| key.len() >= TRAILER_LEN)?;
            fence.key_starts.push(fence.keys.len() as u32);
            fence.keys.extend_from_slice(key);
            fence.offsets.push(offset);
            fence.ordinals.push(ordinal);
            offset = Handle { offset, stored_len: decoder.varint()? }.end()?;
            ordinal = ordinal.checked_add(decoder.varint().filter(|&entries| entries > 0)?)?;
        }
        if !decoder.is_empty() {
            return None;
        }
        fence.key_starts.push(fence.keys.len() as u32);
        fence.offsets.push(offset);
        fence.ordinals.push(ordinal);
        fence.index_ordinals();
        Some(fence)
    }

    fn index_ordinals(&mut self) {
        let (blocks, entries) = (self.blocks(), self.entries());
        if blocks == 0 {
            return;
        }
        self.shift = (entries / blocks as u64).ilog2();
        let mut block = 0;
        for stretch in 0..=(entries - 1) >> self.shift {
            while self.ordinals[block + 1] <= stretch << self.shift {
                block += 1;
            }
            self.stretches.push(block as u32);
        }
    }

    /// Data blocks.
    #[inline]
    pub fn blocks(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Entries in all blocks.
    #[inline]
    pub fn entries(&self) -> u64 {
        self.ordinals[self.blocks()]
    }

    /// Where the last data block ends, with its trailer.
    pub fn data_end(&self) -> u64 {
        self.offsets[self.blocks()]
    }

    /// The last internal key of a block.
    #[inline]
    pub fn last_key(&self, block: usize) -> &[u8] {
        &self.keys[self.key_starts[block] as usize..self.key_starts[block + 1] as usize]
    }

    /// Where a block stands.
    #[inline]
    pub fn handle(&self, block: usize) -> Handle {
        let stored_len = self.offsets[block + 1] - self.offsets[block] - SECTION_TRAILER_LEN as u64;
        Handle { offset: self.offsets[block], stored_len }
    }

    /// The ordinal of a block's first entry; for `blocks()` the number of all entries.
    #[inline]
    pub fn first_ordinal(&self, block: usize) -> u64 {
        self.ordinals[block]
    }

    /// The block that holds the entry of this ordinal, which must be below `entries()`.
    #[inline]
    pub fn block_of(&self, ordinal: u64) -> usize {
        let stretch = (ordinal >> self.shift) as usize;
        let first = self.stretches[stretch] as usize;
        let last = self.stretches.get(stretch + 1).map_or(self.blocks() - 1, |&block| block as usize);
        first + self.ordinals[first + 1..=last].partition_point(|&start| start <= ordinal)
    }

    /// Whether the last key of a block is before `target`.
    #[inline]
    pub fn ends_before(&self, block: usize, target: &Target<'_>, order: &InternalComparator) -> bool {
        order.compare(self.last_key(block), target.key).is_lt()
    }

    /// The first block whose last key is at or after `target`: the one that holds the first entry at or after it.
    /// `blocks()` if there is none.
    pub fn lower_bound(&self, target: &Target<'_>, order: &InternalComparator) -> usize {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ends_before(middle, target, order) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.keys.capacity()
            + 4 * (self.key_starts.capacity() + self.stretches.capacity())
            + 8 * (self.offsets.capacity() + self.ordinals.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EntryKind, InternalKey};

    fn key(number: u32) -> InternalKey {
        InternalKey::new(&number.to_be_bytes(), 1, EntryKind::Put)
    }

    /// Blocks of 1, 2, 3, ... entries; block b's last key is 10 b.
    fn sample(blocks: u32) -> Vec<u8> {
        let mut builder = FenceBuilder::default();
        for block in 0..blocks {
            builder.push(key(10 * block).as_bytes(), 1000 + u64::from(block), u64::from(block) + 1);
        }
        let mut contents = Vec::new();
        builder.finish(&mut contents);
        contents
    }

    #[test]
    fn every_key_and_ordinal_leads_to_its_block() {
        let order = InternalComparator::default();
        for blocks in [0, 1, 2, 7, 100] {
            let fence = FenceIndex::decode(&sample(blocks)).unwrap();
            assert_eq!(fence.blocks(), blocks as usize);
            for number in 0..10 * blocks + 3 {
                let expected = (number.div_ceil(10)).min(blocks) as usize;
                let target = key(number);
                assert_eq!(fence.lower_bound(&Target::new(target.as_bytes()), &order), expected);
            }
            let mut ordinal = 0;
            let mut offset = 0;
            for block in 0..blocks as usize {
                let handle = fence.handle(block);
                assert_eq!((handle.offset, handle.stored_len), (offset, 1000 + block as u64));
                assert_eq!(fence.first_ordinal(block), ordinal);
                offset = handle.end().unwrap();
                for _ in 0..=block {
                    assert_eq!(fence.block_of(ordinal), block);
                    ordinal += 1;
                }
            }
            assert_eq!((fence.entries(), fence.data_end()), (ordinal, offset));
        }
    }

    #[test]
    fn uneven_blocks_are_found_by_ordinal() {
        let mut builder = FenceBuilder::default();
        let counts = [1, 500, 1, 1, 1, 2000, 3, 1, 1, 1, 1, 90];
        for (block, &count) in counts.iter().enumerate() {
            builder.push(key(block as u32).as_bytes(), 5000, count);
        }
        let mut contents = Vec::new();
        builder.finish(&mut contents);
        let fence = FenceIndex::decode(&contents).unwrap();
        let blocks = counts.iter().enumerate().flat_map(|(block, &count)| (0..count).map(move |_| block));
        for (ordinal, block) in blocks.enumerate() {
            assert_eq!(fence.block_of(ordinal as u64), block);
        }
    }

    #[test]
    fn malformed_indexes_are_none() {
        let contents = sample(5);
        for len in 0..contents.len() {
            assert!(FenceIndex::decode(&contents[..len]).is_none());
        }
        for at in 0..contents.len() {
            let mut bad = contents.clone();
            bad[at] ^= 0xff;
            let _ = FenceIndex::decode(&bad); // must return, whatever it says
        }
        let mut endless = vec![0xff, 0xff, 0xff, 0xff, 0x7f];
        endless.extend_from_slice(&[1; 40]);
        assert!(FenceIndex::decode(&endless).is_none());
    }
}
