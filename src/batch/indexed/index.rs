//! The order of a batch's keys: a skip list of places in the batch's bytes, in three arrays that only grow. Keys are
//! not
//! copied, an insert allocates nothing but the arrays' growth, and steps in key order follow one link.
//!
//! Each node is one key; its updates form a chain from the newest to the oldest. Node 0 is the head, before every key,
//! so that the link 0 means "no further node".
//!
//! Invariant I1: a node's key is where the batch's bytes have it, so an index goes with the bytes it was made of.

use crate::base::InternalComparator;

/// Levels of the tallest node: enough for 4^12 keys.
const MAX_HEIGHT: usize = 12;
/// The head, and as a link or update: none.
const NONE: u32 = 0;

/// A key's place in the order. Good until the index is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u32);

impl Position {
    fn of(node: u32) -> Option<Position> {
        (node != NONE).then_some(Position(node))
    }
}

struct Node {
    key: (usize, usize),
    newest: u32,
    /// Where its links start, one a level.
    links: usize,
}

/// One record of a key.
#[derive(Clone, Copy)]
struct Update {
    record: usize,
    previous: u32,
}

/// The keys of one column family in a batch.
pub(super) struct KeyIndex {
    order: InternalComparator,
    nodes: Vec<Node>,
    links: Vec<u32>,
    updates: Vec<Update>,
    /// Levels in use.
    height: usize,
    random: u64,
}

impl KeyIndex {
    pub(super) fn new(order: InternalComparator) -> KeyIndex {
        let mut index = KeyIndex {
            order,
            nodes: Vec::new(),
            links: Vec::new(),
            updates: Vec::new(),
            height: 1,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        index.clear();
        index
    }

    pub(super) fn order(&self) -> &InternalComparator {
        &self.order
    }

    /// Forgets all keys, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.links.clear();
        self.updates.clear();
        self.nodes.push(Node { key: (0, 0), newest: NONE, links: 0 });
        self.links.resize(MAX_HEIGHT, NONE);
        self.updates.push(Update { record: 0, previous: NONE });
        self.height = 1;
    }

    /// Updates remembered.
    pub(super) fn updates(&self) -> usize {
        self.updates.len() - 1
    }

    #[inline]
    fn link(&self, node: u32, level: usize) -> u32 {
        self.links[self.nodes[node as usize].links + level]
    }

    #[inline]
    fn key_of<'d>(&self, data: &'d [u8], node: u32) -> &'d [u8] {
        let (start, end) = self.nodes[node as usize].key;
        &data[start..end]
    }

    /// The last node before `key`, level by level.
    fn before(&self, data: &[u8], key: &[u8]) -> [u32; MAX_HEIGHT] {
        let mut path = [NONE; MAX_HEIGHT];
        let mut node = NONE;
        let mut known_behind = NONE;
        for level in (0..self.height).rev() {
            loop {
                let next = self.link(node, level);
                if next == NONE || next == known_behind {
                    break;
                }
                if self.order.compare_user(self.key_of(data, next), key).is_ge() {
                    known_behind = next;
                    break;
                }
                node = next;
            }
            path[level] = node;
        }
        path
    }

    fn is_at(&self, data: &[u8], node: u32, key: &[u8]) -> bool {
        node != NONE && self.order.compare_user(self.key_of(data, node), key).is_eq()
    }

    /// One or more levels, each four times rarer than the one before.
    fn random_height(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (1 + self.random.trailing_zeros() as usize / 2).min(MAX_HEIGHT)
    }

    /// Adds the record at byte `record` for the key at bytes `key` of `data`. With `replacing`, older ones of the key
    /// are forgotten.
    pub(super) fn insert(&mut self, data: &[u8], key: (usize, usize), record: usize, replacing: bool) {
        let path = self.before(data, &data[key.0..key.1]);
        let found = self.link(path[0], 0);
        if self.is_at(data, found, &data[key.0..key.1]) {
            let newest = self.nodes[found as usize].newest;
            if replacing {
                self.updates[newest as usize] = Update { record, previous: NONE };
            } else {
                self.nodes[found as usize].newest = self.add_update(record, newest);
            }
            return;
        }
        let newest = self.add_update(record, NONE);
        let height = self.random_height();
        self.height = self.height.max(height);
        let node = u32::try_from(self.nodes.len()).expect("a batch has at most 2^32 records");
        let links = self.links.len();
        for (level, &previous) in path.iter().enumerate().take(height) {
            let link = self.nodes[previous as usize].links + level;
            self.links.push(self.links[link]);
            self.links[link] = node;
        }
        self.nodes.push(Node { key, newest, links });
    }

    fn add_update(&mut self, record: usize, previous: u32) -> u32 {
        self.updates.push(Update { record, previous });
        u32::try_from(self.updates.len() - 1).expect("a batch has at most 2^32 records")
    }

    /// The key itself.
    pub(super) fn find(&self, data: &[u8], key: &[u8]) -> Option<Position> {
        self.at_or_after(data, key).filter(|found| self.is_at(data, found.0, key))
    }

    pub(super) fn first(&self) -> Option<Position> {
        Position::of(self.link(NONE, 0))
    }

    pub(super) fn last(&self) -> Option<Position> {
        let mut node = NONE;
        for level in (0..self.height).rev() {
            while self.link(node, level) != NONE {
                node = self.link(node, level);
            }
        }
        Position::of(node)
    }

    pub(super) fn next(&self, position: Position) -> Option<Position> {
        Position::of(self.link(position.0, 0))
    }

    pub(super) fn at_or_after(&self, data: &[u8], key: &[u8]) -> Option<Position> {
        Position::of(self.link(self.before(data, key)[0], 0))
    }

    pub(super) fn after(&self, data: &[u8], key: &[u8]) -> Option<Position> {
        let found = self.at_or_after(data, key)?;
        if self.is_at(data, found.0, key) { self.next(found) } else { Some(found) }
    }

    pub(super) fn last_before(&self, data: &[u8], key: &[u8]) -> Option<Position> {
        Position::of(self.before(data, key)[0])
    }

    pub(super) fn at_or_before(&self, data: &[u8], key: &[u8]) -> Option<Position> {
        let before = self.before(data, key)[0];
        let next = self.link(before, 0);
        Position::of(if self.is_at(data, next, key) { next } else { before })
    }

    pub(super) fn key<'d>(&self, data: &'d [u8], position: Position) -> &'d [u8] {
        self.key_of(data, position.0)
    }

    /// Where the records of a key start, newest first.
    pub(super) fn records(&self, position: Position) -> impl Iterator<Item = usize> + '_ {
        let mut update = self.nodes[position.0 as usize].newest;
        std::iter::from_fn(move || {
            let Update { record, previous } = self.updates[update as usize];
            (update != NONE).then(|| {
                update = previous;
                record
            })
        })
    }
}
