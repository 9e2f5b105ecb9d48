//! Key order: the user's comparator, and the order of internal keys built on it.

use super::key::{TRAILER_LEN, key_trailer, user_key};
use std::cmp::Ordering;
use std::sync::Arc;

/// A total order of user keys. Called from many threads at once; must not unwind into the engine.
pub trait Comparator: Send + Sync {
    /// Its name: stored in the database, and checked at open.
    fn name(&self) -> &str;
    /// The order of two user keys.
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering;
    /// True only for plain byte order; learned indexes and key prefixes work with that order alone.
    fn is_bytewise(&self) -> bool {
        false
    }
}

/// Plain byte order, the default. Its name is data that other tools check.
#[derive(Clone, Copy, Debug, Default)]
pub struct BytewiseComparator;

impl Comparator for BytewiseComparator {
    fn name(&self) -> &str {
        "leveldb.BytewiseComparator"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }
    fn is_bytewise(&self) -> bool {
        true
    }
}

/// Maps a key to the prefix that prefix filters and prefix scans work with.
pub trait SliceTransform: Send + Sync {
    /// Its name: stored with each table, whose prefix filter is used only by a transform of the same name.
    fn name(&self) -> &str;
    /// The prefix of `key`; called only for keys in the domain.
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8];
    /// Whether `key` has a prefix.
    fn in_domain(&self, key: &[u8]) -> bool;
}

/// The order of internal keys: user key ascending, then sequence and kind descending.
#[derive(Clone)]
pub struct InternalComparator {
    user: Arc<dyn Comparator>,
    bytewise: bool,
}

impl InternalComparator {
    /// The internal order over a user order.
    pub fn new(user: Arc<dyn Comparator>) -> Self {
        let bytewise = user.is_bytewise();
        InternalComparator { user, bytewise }
    }

    /// The user's comparator.
    pub fn user(&self) -> &Arc<dyn Comparator> {
        &self.user
    }

    /// True when user keys are in plain byte order.
    pub fn is_bytewise(&self) -> bool {
        self.bytewise
    }

    /// The order of two user keys; no virtual call in byte order, and none at all where the first eight bytes differ.
    #[inline]
    pub fn compare_user(&self, a: &[u8], b: &[u8]) -> Ordering {
        if !self.bytewise {
            return self.user.compare(a, b);
        }
        match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
            (Some(x), Some(y)) if x != y => u64::from_be_bytes(*x).cmp(&u64::from_be_bytes(*y)),
            _ => a.cmp(b),
        }
    }

    /// The order of two internal keys, both at least a trailer long.
    #[inline]
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        debug_assert!(a.len() >= TRAILER_LEN && b.len() >= TRAILER_LEN);
        self.compare_user(user_key(a), user_key(b)).then_with(|| key_trailer(b).cmp(&key_trailer(a)))
    }
}

impl Default for InternalComparator {
    fn default() -> Self {
        InternalComparator::new(Arc::new(BytewiseComparator))
    }
}

impl std::fmt::Debug for InternalComparator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InternalComparator({})", self.user.name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{EntryKind, InternalKey};
    use super::*;

    #[test]
    fn byte_order_is_that_of_slices() {
        let order = InternalComparator::default();
        let keys =
            ["", "a", "abcdefg", "abcdefgh", "abcdefgh\0", "abcdefghi", "abcdefgz", "\u{7f}bcdefghi", "zz"];
        for (a, b) in keys.iter().flat_map(|a| keys.map(|b| (a.as_bytes(), b.as_bytes()))) {
            assert_eq!(order.compare_user(a, b), a.cmp(b), "{a:?} {b:?}");
        }
        assert!(order.compare_user(&[0xff; 9], &[0x7f; 9]).is_gt());
    }

    #[test]
    fn newest_version_comes_first() {
        let order = InternalComparator::default();
        let new = InternalKey::new(b"a", 9, EntryKind::Put);
        let old = InternalKey::new(b"a", 3, EntryKind::Put);
        let next = InternalKey::new(b"aa", 99, EntryKind::Put);
        assert_eq!(order.compare(new.as_bytes(), old.as_bytes()), Ordering::Less);
        assert_eq!(order.compare(old.as_bytes(), next.as_bytes()), Ordering::Less);
        let seek = InternalKey::for_lookup(b"a", 9);
        assert_ne!(order.compare(seek.as_bytes(), new.as_bytes()), Ordering::Greater);
    }
}
