//! Several sorted children as one sorted sequence, both ways.
//!
//! 1. A binary heap of the valid children has the one to show on top: the smallest key when moving forward, the
//!    largest when moving back. Heap slots carry the first eight bytes of the user key, so in byte order most
//!    comparisons touch no child.
//! 2. After a step of the top child one comparison with the runner-up mostly decides that it stays on top. The
//!    runner-up is found when the top changes and remembered while it does not.
//! 3. A change of direction puts the other children on the far side of the current key by seeks, then goes on.
//!
//! Invariant M1: moving forward every child stands on its first entry at or after the current one, moving back on
//! its last at or before; entries are ordered by (internal key, child index), so even equal keys have one order.
//! Invariant M2: if any child failed, the whole is invalid with its error until the next seek.

use super::{EmptyIterator, InternalIterator};
use crate::base::key::user_key;
use crate::base::{Error, InternalComparator};
use std::cmp::Ordering;

/// One iterator over all entries of `children`. Where two have the same internal key, the earlier child's comes
/// first: put newer sources first.
pub fn merge(
    children: Vec<Box<dyn InternalIterator>>,
    order: &InternalComparator,
) -> Box<dyn InternalIterator> {
    merge_within(children, order, (&[], &[]))
}

/// The same where all user keys are known to be from `first` to `last`: in byte order the bytes that these two begin
/// with need no comparison. Keys beyond them come out of order.
pub fn merge_within(
    mut children: Vec<Box<dyn InternalIterator>>,
    order: &InternalComparator,
    (first, last): (&[u8], &[u8]),
) -> Box<dyn InternalIterator> {
    match children.len() {
        0 => Box::new(EmptyIterator::default()),
        1 => children.pop().expect("one child"),
        _ => {
            let mut merging = MergingIterator::new(children, order.clone());
            merging.shared_len = first.iter().zip(last).take_while(|(a, b)| a == b).count();
            Box::new(merging)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Forward,
    Backward,
}

/// A valid child in the heap.
#[derive(Clone, Copy)]
struct Slot {
    /// Bytes of the child's user key, big-endian: the first that may differ. 0 for all in a custom order.
    prefix: u64,
    child: usize,
}

/// Merges children by internal key; see the module's text.
pub struct MergingIterator {
    children: Vec<Box<dyn InternalIterator>>,
    order: InternalComparator,
    /// Bytes that all user keys begin with.
    shared_len: usize,
    /// The valid children; the first is the current one.
    heap: Vec<Slot>,
    /// Which of the heap's slots 1 and 2 comes first, if known.
    runner_up: Option<usize>,
    direction: Direction,
    error: Option<Error>,
    /// Room for the current key during a change of direction.
    switch_key: Vec<u8>,
}

impl MergingIterator {
    /// Merges `children`; see `merge`.
    pub fn new(children: Vec<Box<dyn InternalIterator>>, order: InternalComparator) -> MergingIterator {
        let heap = Vec::with_capacity(children.len());
        MergingIterator {
            children,
            order,
            shared_len: 0,
            heap,
            runner_up: None,
            direction: Direction::Forward,
            error: None,
            switch_key: Vec::new(),
        }
    }

    /// Positions every child with `position`, then makes the heap.
    fn seek_children(&mut self, direction: Direction, mut position: impl FnMut(&mut dyn InternalIterator)) {
        self.error = None;
        self.direction = direction;
        for child in &mut self.children {
            position(child.as_mut());
        }
        self.rebuild();
    }

    /// Makes the heap of the children where they stand.
    fn rebuild(&mut self) {
        self.heap.clear();
        for child in 0..self.children.len() {
            if let Some(slot) = self.slot_of(child) {
                self.heap.push(slot);
            }
        }
        if self.error.is_some() {
            return self.heap.clear();
        }
        for slot in (0..self.heap.len() / 2).rev() {
            self.sift_down(slot);
        }
        self.runner_up = None;
    }

    /// The heap slot of a child where it stands; `None` if it is at its end. Notes its error, if it failed.
    #[inline]
    fn slot_of(&mut self, child: usize) -> Option<Slot> {
        let iterator = &self.children[child];
        if !iterator.valid() {
            if let Some(error) = iterator.error() {
                self.error = Some(error.clone());
            }
            return None;
        }
        let prefix = prefix_of(iterator.key(), self.order.is_bytewise(), self.shared_len);
        Some(Slot { prefix, child })
    }

    /// Whether `a` is to be shown before `b` in the current direction.
    #[inline]
    fn precedes(&self, a: Slot, b: Slot) -> bool {
        let ordering = a.prefix.cmp(&b.prefix).then_with(|| self.compare_children(a.child, b.child));
        match self.direction {
            Direction::Forward => ordering.is_lt(),
            Direction::Backward => ordering.is_gt(),
        }
    }

    fn compare_children(&self, a: usize, b: usize) -> Ordering {
        self.order.compare(self.children[a].key(), self.children[b].key()).then(a.cmp(&b))
    }

    fn sift_down(&mut self, mut parent: usize) {
        let moving = self.heap[parent];
        loop {
            let mut first = 2 * parent + 1;
            if first >= self.heap.len() {
                break;
            }
            if first + 1 < self.heap.len() && self.precedes(self.heap[first + 1], self.heap[first]) {
                first += 1;
            }
            if !self.precedes(self.heap[first], moving) {
                break;
            }
            self.heap[parent] = self.heap[first];
            parent = first;
        }
        self.heap[parent] = moving;
    }

    /// The slot to show after the top one.
    #[inline]
    fn find_runner_up(&mut self) -> Option<usize> {
        if self.runner_up.is_none() {
            self.runner_up = match self.heap.len() {
                0 | 1 => None,
                2 => Some(1),
                _ => Some(if self.precedes(self.heap[2], self.heap[1]) { 2 } else { 1 }),
            };
        }
        self.runner_up
    }

    /// Takes the top child, which is at its end or failed, out of the heap.
    #[cold]
    fn top_ended(&mut self) {
        if let Some(error) = self.children[self.heap[0].child].error() {
            self.error = Some(error.clone());
            return self.heap.clear();
        }
        self.runner_up = None;
        self.heap.swap_remove(0);
        if !self.heap.is_empty() {
            self.sift_down(0);
        }
    }

    /// Restores the heap after the top child moved to `moved`.
    #[inline]
    fn top_moved(&mut self, moved: Slot) {
        self.heap[0] = moved;
        let Some(second) = self.find_runner_up() else { return };
        if self.precedes(self.heap[second], moved) {
            self.heap.swap(0, second);
            self.sift_down(second);
            self.runner_up = None;
        }
    }

    /// Turns round at the current entry: puts the other children beyond it in the new direction (M1).
    #[cold]
    fn switch(&mut self, direction: Direction) {
        let current = self.heap[0].child;
        let mut key = std::mem::take(&mut self.switch_key);
        key.clear();
        key.extend_from_slice(self.children[current].key());
        for (index, child) in self.children.iter_mut().enumerate() {
            if index == current {
                continue;
            }
            // Of entries with the same key those of earlier children come before the current one.
            match direction {
                Direction::Forward => child.seek(&key),
                Direction::Backward => child.seek_for_prev(&key),
            }
            let same = child.valid() && self.order.compare(child.key(), &key).is_eq();
            match direction {
                Direction::Forward if same && index < current => child.next(),
                Direction::Backward if same && index > current => child.prev(),
                _ => {}
            }
        }
        self.switch_key = key;
        self.direction = direction;
        self.rebuild();
        // The current child still stands on the current entry, which precedes all others (M1).
        debug_assert!(self.error.is_some() || self.heap[0].child == current);
    }
}

/// What a slot keeps of an internal key.
#[inline]
fn prefix_of(key: &[u8], bytewise: bool, shared_len: usize) -> u64 {
    match user_key(key).get(shared_len..) {
        Some(rest) if bytewise => key_prefix(rest),
        _ => 0,
    }
}

/// The first eight bytes as a number that is ordered as the bytes are; zeros after a shorter key.
#[inline]
fn key_prefix(user_key: &[u8]) -> u64 {
    if let Some(start) = user_key.first_chunk::<8>() {
        return u64::from_be_bytes(*start);
    }
    let mut start = [0; 8];
    start[..user_key.len()].copy_from_slice(user_key);
    u64::from_be_bytes(start)
}

impl InternalIterator for MergingIterator {
    #[inline]
    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    fn seek_to_first(&mut self) {
        self.seek_children(Direction::Forward, |child| child.seek_to_first());
    }

    fn seek_to_last(&mut self) {
        self.seek_children(Direction::Backward, |child| child.seek_to_last());
    }

    fn seek(&mut self, target: &[u8]) {
        self.seek_children(Direction::Forward, |child| child.seek(target));
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        self.seek_children(Direction::Backward, |child| child.seek_for_prev(target));
    }

    fn next(&mut self) {
        if self.direction != Direction::Forward {
            self.switch(Direction::Forward);
        }
        // Empty if the change of direction failed.
        let Some(&Slot { child, .. }) = self.heap.first() else { return };
        let (bytewise, shared_len) = (self.order.is_bytewise(), self.shared_len);
        let prefix = self.children[child].step().map(|key| prefix_of(key, bytewise, shared_len));
        match prefix {
            Some(prefix) => self.top_moved(Slot { prefix, child }),
            None => self.top_ended(),
        }
    }

    fn prev(&mut self) {
        if self.direction != Direction::Backward {
            self.switch(Direction::Backward);
        }
        let Some(&Slot { child, .. }) = self.heap.first() else { return };
        self.children[child].prev();
        match self.slot_of(child) {
            Some(moved) => self.top_moved(moved),
            None => self.top_ended(),
        }
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.heap.first().and_then(|top| self.children[top.child].entry())
    }

    fn key(&self) -> &[u8] {
        self.children[self.heap[0].child].key()
    }

    fn value(&self) -> &[u8] {
        self.children[self.heap[0].child].value()
    }

    fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}
