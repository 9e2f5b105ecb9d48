//! Least recently used: one list; a hit renews, room is made at the old end.

use super::entries::{Entries, List};
use super::shard::Evicted;

/// The policy's state.
pub(super) struct Lru {
    list: List,
}

impl Lru {
    pub(super) fn new() -> Lru {
        Lru { list: List::EMPTY }
    }

    /// Bytes of cached entries.
    pub(super) fn bytes(&self) -> usize {
        self.list.bytes
    }

    /// A cached entry was looked up.
    #[inline]
    pub(super) fn hit(&mut self, entries: &mut Entries, index: u32) {
        entries.renew(&mut self.list, index);
    }

    /// Takes in a new node, which is in no list, within `limit`, which its charge does not exceed.
    pub(super) fn admit(&mut self, entries: &mut Entries, index: u32, limit: usize, evicted: &mut Evicted) {
        let charge = entries.node(index).charge;
        self.shrink(entries, limit - charge, evicted);
        entries.push_newest(&mut self.list, 0, index);
    }

    /// Takes a node out, to be freed.
    pub(super) fn remove(&mut self, entries: &mut Entries, index: u32) {
        entries.unlink(&mut self.list, index);
    }

    /// Evicts down to `limit`.
    pub(super) fn shrink(&mut self, entries: &mut Entries, limit: usize, evicted: &mut Evicted) {
        while self.list.bytes > limit {
            let Some(oldest) = self.list.oldest() else { return };
            entries.unlink(&mut self.list, oldest);
            evicted.add(entries.free(oldest));
        }
    }

    /// Checks the list; gives the number of nodes.
    #[cfg(test)]
    pub(super) fn check(&self, entries: &Entries, limit: usize) -> usize {
        assert!(self.list.bytes <= limit);
        entries.check_list(&self.list, 0)
    }
}
