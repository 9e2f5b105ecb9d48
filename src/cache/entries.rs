//! The entries of one shard: a slab of nodes, the hash table that finds them, and the lists that order them.
//!
//! Nodes are numbered; lists and hash chains link numbers, so no operation on an entry that exists allocates.
//! Freed numbers are used again. A node without a buffer is a ghost: what a policy remembers of an evicted entry.
//!
//! Invariant E1: every node in use is in one hash chain and, outside the policy's own steps, in one list.
//! Invariant E2: a list's `bytes` is the sum of its nodes' charges.

use super::{Buffer, CacheKey};

/// No node.
const NONE: u32 = u32::MAX;
/// Chains of the hash table of a fresh shard.
const SMALLEST_TABLE: usize = 16;

/// One entry or ghost.
pub(super) struct Node {
    key: CacheKey,
    /// `None`: a ghost.
    pub(super) buffer: Option<Buffer>,
    /// Bytes charged while it is (or, a ghost, was) cached.
    pub(super) charge: usize,
    /// Which of its policy's lists it is in.
    pub(super) list: u8,
    next_in_chain: u32,
    newer: u32,
    older: u32,
}

/// Nodes from the newest to the oldest.
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    /// Sum of charges (E2).
    pub(super) bytes: usize,
}

impl List {
    pub(super) const EMPTY: List = List { newest: NONE, oldest: NONE, bytes: 0 };

    /// The node next to leave.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }
}

/// All nodes of a shard.
pub(super) struct Entries {
    nodes: Vec<Node>,
    /// First of the free nodes, which are linked by `next_in_chain`.
    free: u32,
    /// First node of each chain; the length is a power of two.
    chains: Vec<u32>,
    in_use: usize,
}

impl Entries {
    pub(super) fn new() -> Entries {
        Entries { nodes: Vec::new(), free: NONE, chains: vec![NONE; SMALLEST_TABLE], in_use: 0 }
    }

    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    pub(super) fn node_mut(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    /// Every node in use, ghosts too.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.chains.iter().flat_map(|&first| {
            std::iter::successors(self.nodes.get(first as usize), |n| {
                self.nodes.get(n.next_in_chain as usize)
            })
        })
    }

    /// The node of `key`, whose hash is `hash`.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &CacheKey) -> Option<u32> {
        let mut index = self.chains[self.chain(hash)];
        while let Some(node) = self.nodes.get(index as usize) {
            if node.key == *key {
                return Some(index);
            }
            index = node.next_in_chain;
        }
        None
    }

    /// A new node, in no list yet. `key` must not have one.
    pub(super) fn add(&mut self, hash: u64, key: CacheKey, buffer: Buffer, charge: usize) -> u32 {
        debug_assert!(self.find(hash, &key).is_none());
        if self.in_use >= self.chains.len() {
            self.grow_table();
        }
        let chain = self.chain(hash);
        let next_in_chain = self.chains[chain];
        let node =
            Node { key, buffer: Some(buffer), charge, list: 0, next_in_chain, newer: NONE, older: NONE };
        let index = if self.free == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.node(index).next_in_chain;
            self.nodes[index as usize] = node;
            index
        };
        self.chains[chain] = index;
        self.in_use += 1;
        index
    }

    /// Frees a node that is in no list any more, and gives its buffer.
    pub(super) fn free(&mut self, index: u32) -> Option<Buffer> {
        let chain = self.chain(self.node(index).key.hash());
        let after = self.node(index).next_in_chain;
        if self.chains[chain] == index {
            self.chains[chain] = after;
        } else {
            let mut before = self.chains[chain];
            while self.node(before).next_in_chain != index {
                before = self.node(before).next_in_chain;
            }
            self.node_mut(before).next_in_chain = after;
        }
        let free = self.free;
        let node = self.node_mut(index);
        node.next_in_chain = free;
        let buffer = node.buffer.take();
        self.free = index;
        self.in_use -= 1;
        buffer
    }

    /// Puts a node that is in no list at the new end of `list`, which is the policy's list number `number`.
    pub(super) fn push_newest(&mut self, list: &mut List, number: u8, index: u32) {
        let older = std::mem::replace(&mut list.newest, index);
        if older == NONE {
            list.oldest = index;
        } else {
            self.node_mut(older).newer = index;
        }
        let node = self.node_mut(index);
        (node.newer, node.older, node.list) = (NONE, older, number);
        list.bytes += node.charge;
    }

    /// Takes a node out of `list`, which it must be in.
    pub(super) fn unlink(&mut self, list: &mut List, index: u32) {
        let Node { newer, older, charge, .. } = *self.node(index);
        if newer == NONE {
            list.newest = older;
        } else {
            self.node_mut(newer).older = older;
        }
        if older == NONE {
            list.oldest = newer;
        } else {
            self.node_mut(older).newer = newer;
        }
        list.bytes -= charge;
    }

    /// Makes a node of `list` its newest.
    #[inline]
    pub(super) fn renew(&mut self, list: &mut List, index: u32) {
        if list.newest != index {
            let number = self.node(index).list;
            self.unlink(list, index);
            self.push_newest(list, number, index);
        }
    }

    /// The chain of a hash; its upper bits chose the shard.
    #[inline]
    fn chain(&self, hash: u64) -> usize {
        hash as usize & (self.chains.len() - 1)
    }

    #[cold]
    fn grow_table(&mut self) {
        let longer = vec![NONE; self.chains.len() * 2];
        for mut index in std::mem::replace(&mut self.chains, longer) {
            while index != NONE {
                let chain = self.chain(self.node(index).key.hash());
                let first = std::mem::replace(&mut self.chains[chain], index);
                index = std::mem::replace(&mut self.node_mut(index).next_in_chain, first);
            }
        }
    }

    /// Checks E1 and E2 for one list.
    #[cfg(test)]
    pub(super) fn check_list(&self, list: &List, number: u8) -> usize {
        let (mut count, mut bytes, mut newer, mut index) = (0, 0, NONE, list.newest);
        while index != NONE {
            let node = self.node(index);
            assert_eq!((node.newer, node.list), (newer, number), "E1: links of node {index}");
            assert_eq!(
                self.find(node.key.hash(), &node.key),
                Some(index),
                "E1: node {index} cannot be found"
            );
            (count, bytes) = (count + 1, bytes + node.charge);
            (newer, index) = (index, node.older);
        }
        assert_eq!((newer, bytes), (list.oldest, list.bytes), "E2");
        count
    }

    /// Nodes in use.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        assert_eq!(self.iter().count(), self.in_use);
        self.in_use
    }
}
