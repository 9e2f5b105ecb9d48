//! Gathers the entries of one data block and writes its contents. See `block::format`.
//!
//! Keys and values are kept in two columns as they come; when the block is full, the prefix that first and last
//! user key share (and so, in byte order, all of them) is cut from every key.

use crate::base::coding::put_u32;
use crate::base::key::{TRAILER_LEN, user_key};

use super::format::TAIL_LEN;

/// The ends of a column's elements, and whether all are equally long.
#[derive(Default)]
struct Ends {
    ends: Vec<u32>,
    first_len: usize,
    uniform: bool,
}

impl Ends {
    fn push(&mut self, element_len: usize, column_len: usize) {
        if self.ends.is_empty() {
            self.first_len = element_len;
            self.uniform = true;
        }
        self.uniform &= element_len == self.first_len;
        self.ends.push(column_len as u32);
    }

    fn width(&self, column_len: usize) -> u8 {
        if self.uniform {
            0
        } else if column_len <= usize::from(u16::MAX) {
            2
        } else {
            4
        }
    }

    fn stored_len(&self, column_len: usize) -> usize {
        (self.ends.len() + 1) * usize::from(self.width(column_len))
    }

    /// Appends the starts of elements that are `shorter_by` bytes shorter than they were pushed.
    fn encode(&self, out: &mut Vec<u8>, width: u8, shorter_by: usize) {
        if width == 0 {
            return;
        }
        let starts = std::iter::once(0)
            .chain(self.ends.iter().enumerate().map(|(slot, &end)| end - ((slot + 1) * shorter_by) as u32));
        if width == 2 {
            starts.for_each(|start| out.extend_from_slice(&(start as u16).to_le_bytes()));
        } else {
            starts.for_each(|start| out.extend_from_slice(&start.to_le_bytes()));
        }
    }
}

/// Gathers entries in order; `finish` writes them and starts anew.
pub struct BlockBuilder {
    share_prefix: bool,
    keys: Vec<u8>,
    key_ends: Ends,
    values: Vec<u8>,
    value_ends: Ends,
}

impl BlockBuilder {
    /// An empty builder. `share_prefix` only where user keys are in byte order.
    pub fn new(share_prefix: bool) -> BlockBuilder {
        BlockBuilder {
            share_prefix,
            keys: Vec::new(),
            key_ends: Ends::default(),
            values: Vec::new(),
            value_ends: Ends::default(),
        }
    }

    /// Adds an entry. The caller keeps the order and bounds the block to less than 4 GiB.
    #[inline]
    pub fn add(&mut self, internal_key: &[u8], value: &[u8]) {
        debug_assert!(internal_key.len() >= TRAILER_LEN);
        self.keys.extend_from_slice(internal_key);
        self.key_ends.push(internal_key.len(), self.keys.len());
        self.values.extend_from_slice(value);
        self.value_ends.push(value.len(), self.values.len());
    }

    /// Entries added since the last `finish`.
    pub fn count(&self) -> usize {
        self.key_ends.ends.len()
    }

    /// True when nothing was added since the last `finish`.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Bytes of the contents if finished now, with no shared prefix.
    pub fn contents_len(&self) -> usize {
        self.keys.len()
            + self.values.len()
            + self.key_ends.stored_len(self.keys.len())
            + self.value_ends.stored_len(self.values.len())
            + TAIL_LEN
    }

    fn key(&self, slot: usize) -> &[u8] {
        let start = slot.checked_sub(1).map_or(0, |before| self.key_ends.ends[before] as usize);
        &self.keys[start..self.key_ends.ends[slot] as usize]
    }

    /// The last key added, if any.
    #[inline]
    pub fn last_key(&self) -> Option<&[u8]> {
        self.count().checked_sub(1).map(|slot| self.key(slot))
    }

    fn prefix_len(&self) -> usize {
        if !self.share_prefix {
            return 0;
        }
        let (first, last) = (user_key(self.key(0)), user_key(self.key(self.count() - 1)));
        common_prefix_len(first, last)
    }

    /// Appends the contents to `out` and empties the builder. At least one entry must have been added.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let count = self.count();
        assert!(count > 0, "an empty block is never written");
        let prefix_len = self.prefix_len();
        let keys_len = self.keys.len() - count * prefix_len;
        out.reserve(self.contents_len());
        out.extend_from_slice(&self.keys[..prefix_len]);
        if prefix_len == 0 {
            out.extend_from_slice(&self.keys);
        } else {
            let mut start = 0;
            for &end in &self.key_ends.ends {
                out.extend_from_slice(&self.keys[start + prefix_len..end as usize]);
                start = end as usize;
            }
        }
        out.extend_from_slice(&self.values);
        let (key_width, value_width) =
            (self.key_ends.width(keys_len), self.value_ends.width(self.values.len()));
        self.key_ends.encode(out, key_width, prefix_len);
        self.value_ends.encode(out, value_width, 0);
        for field in [count, prefix_len, keys_len, self.values.len()] {
            put_u32(out, u32::try_from(field).expect("blocks are smaller than 4 GiB"));
        }
        out.push(key_width);
        out.push(value_width);
        self.keys.clear();
        self.values.clear();
        self.key_ends.ends.clear();
        self.value_ends.ends.clear();
    }
}

/// How many bytes two keys have in common at their beginning.
pub fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
