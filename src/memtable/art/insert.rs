//! Writing: the way down, and what is changed where it ends.
//!
//! 1. Go down from the root by the key's bytes, comparing prefixes on the way.
//! 2. Where it ends there is one change to make, by one store: an empty slot gets the entry; an entry of the same key
//!    gets a newer version on top (or an older one below); an entry of another key, or a node whose prefix differs,
//!    gets a new node of 4 in its place that has both; a node without a child for the byte gets one, or a larger copy
//!    with it takes its place.
//! 3. If another thread changed that place in between, go down again.

use super::Art;
use super::entry::{self, Entry};
use super::link::{Link, kind};
use super::node::{Mismatch, Place, add, node4, prefix_mismatch, slot};

/// What is to be inserted, and its copy in the arena once it is made.
pub(super) struct Pending<'a> {
    pub(super) tree: &'a Art,
    pub(super) user_key: &'a [u8],
    pub(super) trailer: u64,
    pub(super) value: &'a [u8],
    pub(super) entry: Option<Entry<'a>>,
}

impl<'a> Pending<'a> {
    /// The entry in the arena: made when first wanted, for by then it is known whether the key had versions.
    #[inline]
    fn entry(&mut self, versioned: bool) -> Entry<'a> {
        *self.entry.get_or_insert_with(|| {
            Entry::write(&self.tree.entries, self.user_key, self.trailer, self.value, versioned)
        })
    }

    /// Inserts it, however many threads do likewise.
    #[inline]
    pub(super) fn insert(&mut self) {
        while !self.attempt() {}
    }

    /// False if another thread was quicker at the same place.
    #[inline]
    fn attempt(&mut self) -> bool {
        let (tree, key) = (self.tree, self.user_key);
        let mut place = Place { slot: &tree.root, owner: None };
        let mut depth = 0;
        loop {
            let link = place.slot.load();
            if link.is_null() {
                return place.replace(Link::NULL, self.first_version());
            }
            if !link.is_node() {
                return self.meet_entry(&place, link, depth);
            }
            let mut level = depth;
            if !link.is_direct() {
                if let Some(mismatch) = prefix_mismatch(link, key, depth) {
                    return self.cut_prefix(&place, link, depth, mismatch);
                }
                level = link.header().level();
            }
            let Some(byte) = key.get(level) else {
                place = Place::within(link, &link.header().terminal);
                depth = level;
                continue;
            };
            let Some(next) = slot(link, *byte) else {
                let child = self.first_version();
                return add(&tree.nodes, &place, link, *byte, child);
            };
            place = Place::within(link, next);
            depth = level + 1;
        }
    }

    /// A link to the entry, as the only version of its key.
    #[inline]
    fn first_version(&mut self) -> Link<'a> {
        let entry = self.entry(false);
        entry.stand_on(None);
        entry.link()
    }

    /// The way ended at an entry, which shares the first `depth` bytes.
    fn meet_entry(&mut self, place: &Place<'a>, link: Link<'a>, depth: usize) -> bool {
        let head = link.entry().expect("not null");
        let (key, other) = (self.user_key, head.user_key());
        let Some(level) = first_difference(key, other, depth) else {
            return self.add_version(place, head);
        };
        let child = self.first_version();
        let node = node4(&self.tree.nodes, key, level);
        node.put(other, link);
        node.put(key, child);
        let fork = Link::to_node(node, kind::NODE4).with_direct(level == depth);
        place.replace(link, fork)
    }

    /// The key leaves the prefix of the node at `link`, whose parent decided byte `depth` - 1.
    fn cut_prefix(&mut self, place: &Place<'a>, link: Link<'a>, depth: usize, mismatch: Mismatch) -> bool {
        let (key, level) = (self.user_key, mismatch.at);
        let child = self.first_version();
        let node = node4(&self.tree.nodes, key, level);
        node.put_under(mismatch.byte, link.with_direct(link.header().level() == level + 1));
        node.put(key, child);
        let fork = Link::to_node(node, kind::NODE4).with_direct(level == depth);
        place.replace(link, fork)
    }

    /// The key is there: `head` is its newest version.
    fn add_version(&mut self, place: &Place<'a>, head: Entry<'a>) -> bool {
        let entry = self.entry(true);
        if entry.trailer() < head.trailer() {
            entry::insert_below(head, entry);
            return true;
        }
        debug_assert!(entry.trailer() != head.trailer(), "an internal key was added twice");
        entry.stand_on(Some(head));
        place.replace(head.link(), entry.link())
    }
}

/// Where two keys differ first, or one of them ends; both have the first `from` bytes.
#[inline]
fn first_difference(a: &[u8], b: &[u8], from: usize) -> Option<usize> {
    let (rest_a, rest_b) = (&a[from..], &b[from..]);
    let common = rest_a.iter().zip(rest_b).position(|(a, b)| a != b);
    match common {
        Some(common) => Some(from + common),
        None if rest_a.len() == rest_b.len() => None,
        None => Some(from + rest_a.len().min(rest_b.len())),
    }
}
