//! Walking over all entries, both ways.
//!
//! The way to the current entry is a stack of nodes with a position in each. Of the topmost node the next children
//! are read some at a time, and their entries are asked of the memory in advance, so that a walk waits for several
//! cache misses at once. A move along the versions of one key follows the chain; backwards it searches it from its
//! head.
//!
//! Invariant R6: nodes on the stack may be replaced meanwhile; they keep all they had, so whatever was inserted before
//! the last seek is found. Later inserts may be seen or not until the next seek.

use super::Art;
use super::entry::{self, Entry};
use super::link::Link;
use super::node::{AFTER_ALL, BEFORE_ALL, Position, TERMINAL, prefix_mismatch, slot, walk_down, walk_up};
use crate::base::Error;
use crate::base::key::{key_trailer, user_key};
use crate::iterator::InternalIterator;
use std::sync::Arc;

/// Children read at once, at most.
const BATCH: usize = 16;
/// Children read at once right after a seek: it may be all that is wanted.
const FIRST_BATCH: usize = 2;

/// A node on the way, and where in it the way goes on.
struct Frame {
    node: Link<'static>,
    at: Position,
}

/// The next children of the topmost node.
struct Batch {
    children: [(Position, Link<'static>); BATCH],
    next: usize,
    len: usize,
    upwards: bool,
    /// How many to read next time.
    size: usize,
}

impl Batch {
    fn clear(&mut self) {
        (self.next, self.len) = (0, 0);
    }

    /// Reads on from the frame's position: entries, as many as are wanted, or up to the first node.
    fn fill(&mut self, frame: &Frame, upwards: bool) {
        self.clear();
        self.upwards = upwards;
        let wanted = self.size;
        let take = |at, link: Link<'static>| {
            link.prefetch();
            self.children[self.len] = (at, link);
            self.len += 1;
            self.len < wanted && !link.is_node()
        };
        if upwards {
            walk_up(frame.node, frame.at, take);
        } else {
            walk_down(frame.node, frame.at, take);
        }
        self.size = (2 * wanted).min(BATCH);
    }
}

/// A position in a memtable.
pub(super) struct ArtIterator {
    current: Option<Entry<'static>>,
    /// The newest version of the current key, as the iterator found it.
    head: Option<Entry<'static>>,
    stack: Vec<Frame>,
    batch: Batch,
    /// What everything above really borrows from.
    memtable: Arc<Art>,
}

// SAFETY: links and entries point into the memtable, which may be shared between threads and which the iterator keeps
// alive; what they lead to is read through atomics, or never changes.
unsafe impl Send for ArtIterator {}

impl ArtIterator {
    pub(super) fn new(memtable: Arc<Art>) -> ArtIterator {
        ArtIterator {
            current: None,
            head: None,
            stack: Vec::with_capacity(8),
            batch: Batch {
                children: [(BEFORE_ALL, Link::NULL); BATCH],
                next: 0,
                len: 0,
                upwards: true,
                size: FIRST_BATCH,
            },
            memtable,
        }
    }

    /// Forgets the position, and gives the root.
    fn restart(&mut self) -> Link<'static> {
        self.stack.clear();
        self.batch.clear();
        self.batch.size = FIRST_BATCH;
        (self.current, self.head) = (None, None);
        // SAFETY: the tree lives inside the Arc that this iterator holds, at a fixed address, and nothing in it is
        // freed before it. What is borrowed never leaves the iterator but for a borrow of the iterator itself.
        let tree: &'static Art = unsafe { &*Arc::as_ptr(&self.memtable) };
        tree.root.load()
    }

    fn push(&mut self, node: Link<'static>, at: Position) {
        self.stack.push(Frame { node, at });
        self.batch.clear();
    }

    /// To the next key of the tree.
    fn next_key(&mut self, upwards: bool) {
        while let Some(top) = self.stack.last_mut() {
            if self.batch.next == self.batch.len || self.batch.upwards != upwards {
                self.batch.fill(top, upwards);
            }
            let Some((at, link)) = self.batch.children[..self.batch.len].get(self.batch.next).copied() else {
                self.stack.pop();
                self.batch.clear();
                continue;
            };
            self.batch.next += 1;
            top.at = at;
            if !link.is_node() {
                return self.enter(link, upwards);
            }
            self.push(link, if upwards { BEFORE_ALL } else { AFTER_ALL });
        }
        (self.current, self.head) = (None, None);
    }

    /// To the newest or the oldest version of a key.
    fn enter(&mut self, link: Link<'static>, newest: bool) {
        self.head = link.entry();
        self.current = if newest { self.head } else { self.head.map(entry::oldest) };
    }

    /// To the first or last entry below `root`.
    fn enter_tree(&mut self, root: Link<'static>, upwards: bool) {
        if root.is_node() {
            self.push(root, if upwards { BEFORE_ALL } else { AFTER_ALL });
            self.next_key(upwards);
        } else {
            self.enter(root, upwards);
        }
    }

    /// To the first version of the key at `head` whose trailer is at most `bound`, or to the next key.
    fn enter_version(&mut self, head: Entry<'static>, bound: u64) {
        match entry::at_or_before(head, bound) {
            Some(version) => (self.current, self.head) = (Some(version), Some(head)),
            None => self.next_key(true),
        }
    }
}

impl InternalIterator for ArtIterator {
    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn seek_to_first(&mut self) {
        let root = self.restart();
        self.enter_tree(root, true);
    }

    fn seek_to_last(&mut self) {
        let root = self.restart();
        self.enter_tree(root, false);
    }

    fn seek(&mut self, target: &[u8]) {
        let (key, bound) = (user_key(target), key_trailer(target));
        let mut link = self.restart();
        let mut depth = 0;
        while link.is_node() {
            if !link.is_direct()
                && let Some(mismatch) = prefix_mismatch(link, key, depth)
            {
                // All below comes after the target, or all before.
                let after = key.get(mismatch.at).is_none_or(|byte| mismatch.byte > *byte);
                self.push(link, if after { BEFORE_ALL } else { AFTER_ALL });
                return self.next_key(true);
            }
            let level = if link.is_direct() { depth } else { link.header().level() };
            let Some(byte) = key.get(level) else {
                self.push(link, TERMINAL);
                return match link.header().terminal.load().entry() {
                    Some(head) => self.enter_version(head, bound),
                    None => self.next_key(true),
                };
            };
            self.push(link, (*byte).into());
            link = slot(link, *byte).map_or(Link::NULL, |slot| slot.load());
            depth = level + 1;
        }
        let Some(head) = link.entry() else { return self.next_key(true) };
        match head.user_key()[depth..].cmp(&key[depth..]) {
            std::cmp::Ordering::Less => self.next_key(true),
            std::cmp::Ordering::Equal => self.enter_version(head, bound),
            std::cmp::Ordering::Greater => self.enter(link, true),
        }
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        self.seek(target);
        match self.current {
            None => self.seek_to_last(),
            Some(entry) if entry.internal_key() == target => {}
            Some(_) => self.prev(),
        }
    }

    fn next(&mut self) {
        match self.current.expect("only called when valid").next() {
            Some(older) => self.current = Some(older),
            None => self.next_key(true),
        }
    }

    fn prev(&mut self) {
        let current = self.current.expect("only called when valid");
        let head = self.head.expect("set with the current entry");
        match entry::last_after(head, current.trailer()) {
            Some(newer) => self.current = Some(newer),
            None => self.next_key(false),
        }
    }

    fn key(&self) -> &[u8] {
        self.current.expect("only called when valid").internal_key()
    }

    fn value(&self) -> &[u8] {
        self.current.expect("only called when valid").value()
    }

    fn error(&self) -> Option<&Error> {
        None
    }
}
