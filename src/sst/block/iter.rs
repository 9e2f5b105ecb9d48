//! Finding slots in a block, and standing on one.
//!
//! `lower_bound` gives the first slot whose key is at or after a target: by binary search, or from a hint by
//! galloping, which costs as many comparisons as the logarithm of the hint's error. Either way every claim about
//! the answer rests on comparisons of keys: a wrong hint costs time, never the answer.

use super::format::Block;
use crate::base::InternalComparator;
use crate::base::key::{key_trailer, user_key};
use std::cmp::Ordering;
use std::ops::Range;

/// An internal key that is looked for, taken apart once.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The whole internal key.
    pub key: &'a [u8],
    /// Its user key.
    pub user_key: &'a [u8],
    /// Its trailer.
    pub trailer: u64,
}

impl<'a> Target<'a> {
    /// Takes `key` apart; it must be at least a trailer long.
    #[inline]
    pub fn new(key: &'a [u8]) -> Target<'a> {
        Target { key, user_key: user_key(key), trailer: key_trailer(key) }
    }
}

/// Bytes that are compared with many others: the first eight are kept as a number.
struct Needle<'a> {
    bytes: &'a [u8],
    head: Option<u64>,
}

impl<'a> Needle<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Self {
        Needle { bytes, head: bytes.first_chunk::<8>().map(|head| u64::from_be_bytes(*head)) }
    }

    /// The order of `other` relative to the needle.
    #[inline]
    fn order_of(&self, other: &[u8]) -> Ordering {
        if let (Some(head), Some(other_head)) = (self.head, other.first_chunk::<8>()) {
            let other_head = u64::from_be_bytes(*other_head);
            if other_head != head {
                return other_head.cmp(&head);
            }
            return other[8..].cmp(&self.bytes[8..]);
        }
        other.cmp(self.bytes)
    }
}

impl Block {
    /// The first slot at or after `target`, or `count`. Starts at `hint` if there is one.
    #[inline]
    pub fn lower_bound(&self, target: &Target<'_>, order: &InternalComparator, hint: Option<usize>) -> usize {
        if !order.is_bytewise() {
            return self.search(hint, |slot| {
                let (user, trailer) = self.key_suffix(slot);
                match order.compare_user(user, target.user_key) {
                    Ordering::Equal => trailer > target.trailer,
                    unequal => unequal.is_lt(),
                }
            });
        }
        let suffix = match self.cut_prefix(target.user_key) {
            Ok(suffix) => Needle::new(suffix),
            Err(Ordering::Less) => return 0,
            Err(_) => return self.count(),
        };
        self.search(hint, |slot| {
            let (user, trailer) = self.key_suffix(slot);
            match suffix.order_of(user) {
                Ordering::Equal => trailer > target.trailer,
                unequal => unequal.is_lt(),
            }
        })
    }

    /// Bytewise: what follows the block's prefix in `user_key`; where it does not begin so, how it compares
    /// with every key of the block.
    #[inline]
    fn cut_prefix<'k>(&self, user_key: &'k [u8]) -> Result<&'k [u8], Ordering> {
        let prefix = self.prefix();
        match user_key.strip_prefix(prefix) {
            Some(suffix) => Ok(suffix),
            None => Err(if user_key < prefix { Ordering::Less } else { Ordering::Greater }),
        }
    }

    /// Whether the entry at `slot` is a version of `wanted`.
    #[inline]
    pub fn has_user_key(&self, slot: usize, wanted: &[u8], order: &InternalComparator) -> bool {
        let (user, _) = self.key_suffix(slot);
        if order.is_bytewise() {
            wanted.len() == self.prefix().len() + user.len()
                && wanted.ends_with(user)
                && wanted.starts_with(self.prefix())
        } else {
            order.compare_user(user, wanted).is_eq()
        }
    }

    /// The first slot that is not before the target.
    #[inline]
    fn search(&self, hint: Option<usize>, is_before: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = match hint {
            Some(hint) => gallop(self.count(), hint, &is_before),
            None => (0, self.count()),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Bounds `low..=high` of the first slot that is not before the target, close to `hint`.
#[inline]
fn gallop(count: usize, hint: usize, is_before: &impl Fn(usize) -> bool) -> (usize, usize) {
    let hint = hint.min(count - 1);
    let mut step = 1;
    if is_before(hint) {
        let mut low = hint + 1;
        while low < count {
            let probe = (hint + step).min(count - 1);
            if !is_before(probe) {
                return (low, probe);
            }
            low = probe + 1;
            step *= 2;
        }
        (count, count)
    } else {
        let mut high = hint;
        while high > 0 {
            let probe = hint.saturating_sub(step);
            if is_before(probe) {
                return (probe + 1, high);
            }
            high = probe;
            step *= 2;
        }
        (0, 0)
    }
}

/// Stands on one entry of a block, its key in one piece.
#[derive(Default)]
pub struct BlockCursor {
    block: Option<Block>,
    slot: usize,
    /// The whole key where the block has a prefix.
    key: Vec<u8>,
    prefix_len: usize,
    key_range: Range<usize>,
    value_range: Range<usize>,
}

impl BlockCursor {
    /// The block stood in.
    pub fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }

    /// Leaves the block and gives it back.
    pub fn take_block(&mut self) -> Option<Block> {
        self.block.take()
    }

    /// The slot stood on.
    #[inline]
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Enters `block` at `slot`, which must be one of its slots.
    pub fn enter(&mut self, block: Block, slot: usize) {
        self.prefix_len = block.prefix().len();
        self.key.clear();
        self.key.extend_from_slice(block.prefix());
        self.block = Some(block);
        self.stand_on(slot);
    }

    /// One on in the same block; false if there is no further entry in it.
    #[inline]
    pub fn step_forward(&mut self) -> bool {
        match &self.block {
            Some(block) if self.slot + 1 < block.count() => {
                self.stand_on(self.slot + 1);
                true
            }
            _ => false,
        }
    }

    /// One back in the same block; false if there is no earlier entry in it.
    #[inline]
    pub fn step_back(&mut self) -> bool {
        if self.block.is_none() || self.slot == 0 {
            return false;
        }
        self.stand_on(self.slot - 1);
        true
    }

    #[inline]
    fn stand_on(&mut self, slot: usize) {
        let Some(block) = &self.block else { return };
        self.slot = slot;
        self.key_range = block.key_range(slot);
        self.value_range = block.value_range(slot);
        if self.prefix_len > 0 {
            self.key.truncate(self.prefix_len);
            self.key.extend_from_slice(&block.bytes()[self.key_range.clone()]);
        }
    }

    /// The internal key stood on; empty outside a block.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.block {
            Some(_) if self.prefix_len > 0 => &self.key,
            Some(block) => &block.bytes()[self.key_range.clone()],
            None => &[],
        }
    }

    /// The value stood on; empty outside a block.
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |block| &block.bytes()[self.value_range.clone()])
    }
}
