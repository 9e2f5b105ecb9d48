//! The order of keys, and the eight bytes a node keeps of each key, its code: most comparisons end there.
//!
//! In byte order a code is what follows the node's `skip` bytes of user key, big-endian, zeros after the end. All keys
//! that may ever get into the node share those first bytes, for its lowest key and the key it ends before do.
//! Where both have the same user key, all keys have it, and the code is their trailer: `ONE_KEY`.
//! In a custom order all codes are 0, unless the node is of one user key.
//!
//! Invariant T3: of two keys that may get into a node, the one with the smaller code is the smaller.

use crate::base::InternalComparator;
use crate::base::key::{key_trailer, user_key};
use std::cmp::Ordering;

/// The `skip` of nodes whose keys are all versions of one user key. Different keys have different codes there.
pub(super) const ONE_KEY: u16 = u16::MAX;
/// Bytes of a code.
const CODE_LEN: usize = 8;

/// An order of internal keys.
pub(super) trait KeyOrder: Send + Sync + 'static {
    /// The code of `key` in nodes of this `skip`. Any code will do if the key may not get into such a node.
    fn code(&self, key: &[u8], skip: u16) -> u64;
    /// The order of two keys whose codes are equal in a node of this `skip`.
    fn compare(&self, a: &[u8], b: &[u8], skip: u16) -> Ordering;
    /// The best `skip` for a node of keys from `low` to before `high`.
    fn skip(&self, low: &[u8], high: &[u8]) -> u16;
    /// Whether two internal keys have the same user key.
    fn is_same_user_key(&self, a: &[u8], b: &[u8]) -> bool;
}

/// The order of bytes.
pub(super) struct ByteOrder;

impl KeyOrder for ByteOrder {
    #[inline]
    fn code(&self, key: &[u8], skip: u16) -> u64 {
        if skip == ONE_KEY {
            return !key_trailer(key);
        }
        let (len, skip) = (user_key(key).len(), skip as usize);
        if skip >= len {
            return 0;
        }
        // The trailer follows the user key, so there are eight bytes to be read; what is not user key is cut off.
        let bytes = key[skip..skip + CODE_LEN].try_into().expect("eight bytes");
        let cut = CODE_LEN.saturating_sub(len - skip) * 8;
        u64::from_be_bytes(bytes) >> cut << cut
    }

    #[inline]
    fn compare(&self, a: &[u8], b: &[u8], skip: u16) -> Ordering {
        let (user_a, user_b) = (user_key(a), user_key(b));
        let shorter = user_a.len().min(user_b.len());
        // A key that ends within the code was filled up with zeros: equal codes do not mean equal bytes there.
        let decided = (skip as usize).saturating_add(CODE_LEN);
        let from = if decided <= shorter { decided } else { shorter.min(skip as usize) };
        user_a[from..].cmp(&user_b[from..]).then_with(|| key_trailer(b).cmp(&key_trailer(a)))
    }

    fn skip(&self, low: &[u8], high: &[u8]) -> u16 {
        let (low, high) = (user_key(low), user_key(high));
        if low == high {
            return ONE_KEY;
        }
        let shared = low.iter().zip(high).take_while(|(a, b)| a == b).count();
        shared.min(ONE_KEY as usize - 1) as u16
    }

    #[inline]
    fn is_same_user_key(&self, a: &[u8], b: &[u8]) -> bool {
        user_key(a) == user_key(b)
    }
}

impl KeyOrder for InternalComparator {
    #[inline]
    fn code(&self, key: &[u8], skip: u16) -> u64 {
        if skip == ONE_KEY { !key_trailer(key) } else { 0 }
    }

    #[inline]
    fn compare(&self, a: &[u8], b: &[u8], _skip: u16) -> Ordering {
        InternalComparator::compare(self, a, b)
    }

    fn skip(&self, low: &[u8], high: &[u8]) -> u16 {
        if self.is_same_user_key(low, high) { ONE_KEY } else { 0 }
    }

    #[inline]
    fn is_same_user_key(&self, a: &[u8], b: &[u8]) -> bool {
        self.compare_user(user_key(a), user_key(b)).is_eq()
    }
}
