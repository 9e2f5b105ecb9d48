//! The adaptive radix tree memtable, for byte order.
//!
//! 1. Inner nodes (`node`) branch by one byte of the user key each, and grow with their children: 4, 16, 48, 256. Bytes
//!    that all keys below share are skipped. A key alone below its last branch hangs there as it is.
//! 2. What hangs there is the chain of the key's versions (`entry`): each an entry in the arena, newest first.
//! 3. A lookup goes down by bytes alone, and compares the one key it arrives at: it touches one entry, and a line or
//!    two of each node on the way. `insert` and `iterator` tell the rest.
//!
//! Many threads may insert and read at once. Writers lock the one node that they change (`lock`), unless it is of 256
//! children: there one compare-and-exchange does it. Readers take no lock, wait for nobody and never start over: what
//! they can reach is whole (R1, R5), and a node that was replaced keeps what it had (R3).
//!
//! Memory comes from two arenas, so that nodes are aligned to cache lines and entries follow each other; nothing is
//! freed before the memtable is.

use super::MemTable;
use super::arena::Arena;
use crate::base::key::{EntryKind, SequenceNumber, trailer};
use crate::iterator::InternalIterator;
use insert::Pending;
use link::{Link, Slot};
use node::slot;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

mod entry;
mod insert;
mod iterator;
mod link;
mod lock;
mod node;
mod sync;
#[cfg(test)]
mod tests;

/// An empty radix tree memtable, for byte order.
pub(super) fn create() -> Arc<dyn MemTable> {
    Arc::new(Art::new())
}

/// The tree; see the module's text.
struct Art {
    root: Slot,
    len: AtomicUsize,
    nodes: Arena,
    entries: Arena,
}

impl Art {
    fn new() -> Art {
        Art { root: Slot::empty(), len: AtomicUsize::new(0), nodes: Arena::new(), entries: Arena::new() }
    }

    /// The link to what may be the versions of `user_key`: its bytes lead there, but those skipped were not compared.
    #[inline]
    fn candidate(&self, user_key: &[u8]) -> Link<'_> {
        let mut link = self.root.load();
        let mut depth = 0;
        while link.is_node() {
            let level = if link.is_direct() { depth } else { link.header().level() };
            let Some(byte) = user_key.get(level) else {
                if level > user_key.len() {
                    return Link::NULL;
                }
                return link.header().terminal.load();
            };
            let Some(next) = slot(link, *byte) else { return Link::NULL };
            link = next.load();
            depth = level + 1;
        }
        link
    }
}

impl MemTable for Art {
    fn insert(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]) {
        let trailer = trailer(sequence, kind);
        Pending { tree: self, user_key, trailer, value, entry: None }.insert();
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    fn get(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        visit: &mut dyn FnMut(SequenceNumber, EntryKind, &[u8]) -> bool,
    ) {
        let link = self.candidate(user_key);
        link.prefetch();
        let Some(head) = link.entry().filter(|head| head.user_key() == user_key) else { return };
        let mut version = entry::at_or_before(head, trailer(snapshot, EntryKind::SEEK));
        while let Some(entry) = version {
            if !visit(entry.trailer() >> 8, entry.kind(), entry.value()) {
                return;
            }
            version = entry.next();
        }
    }

    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator> {
        Box::new(iterator::ArtIterator::new(self))
    }

    fn memory_bytes(&self) -> usize {
        self.nodes.used_bytes() + self.entries.used_bytes()
    }

    fn allocated_bytes(&self) -> usize {
        self.nodes.allocated_bytes() + self.entries.allocated_bytes() + size_of::<Self>()
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}
