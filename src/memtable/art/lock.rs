//! The control word of a node: a lock for writers, a mark for nodes that were replaced, and how many children there
//! are. Readers never wait for it.
//!
//! control := children << 2 | obsolete << 1 | locked
//!
//! Invariant R3: a node that can be replaced (all but those of 256 children) changes only under its lock, and not any
//! more once it is obsolete. A lock is held for some stores, or while a larger copy is made.
//! Invariant R4: who holds the lock of a node takes at most that of its parent, so nobody waits in a circle.

use super::sync::{AtomicU32, Ordering, spin_loop, yield_now};

const LOCKED: u32 = 1;
const OBSOLETE: u32 = 2;
const COUNT_SHIFT: u32 = 2;
/// Looks at a taken lock before the thread gives way to others.
const SPINS: u32 = 100;

pub(super) struct Control(AtomicU32);

impl Control {
    /// Of a node that nobody else sees yet.
    pub(super) fn new(count: usize) -> Control {
        Control(AtomicU32::new((count as u32) << COUNT_SHIFT))
    }

    /// Children in order of arrival; whoever reads a count sees so many.
    #[inline]
    pub(super) fn count(&self) -> usize {
        (self.0.load(Ordering::Acquire) >> COUNT_SHIFT) as usize
    }

    /// Waits for the lock, and gives the number of children; `None` if the node is obsolete.
    #[inline]
    pub(super) fn lock(&self) -> Option<usize> {
        let mut seen = self.0.load(Ordering::Relaxed);
        let mut spins = 0;
        loop {
            if seen & OBSOLETE != 0 {
                return None;
            }
            if seen & LOCKED != 0 {
                spins = wait(spins);
                seen = self.0.load(Ordering::Relaxed);
                continue;
            }
            // Acquire: what the last holder stored is seen. Relaxed: the next attempt decides by what was seen.
            match self.0.compare_exchange_weak(seen, seen | LOCKED, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some((seen >> COUNT_SHIFT) as usize),
                Err(other) => seen = other,
            }
        }
    }

    /// Ends the lock, with so many children.
    #[inline]
    pub(super) fn unlock(&self, count: usize) {
        debug_assert!(self.0.load(Ordering::Relaxed) & (LOCKED | OBSOLETE) == LOCKED);
        self.0.store((count as u32) << COUNT_SHIFT, Ordering::Release);
    }

    /// Ends the lock of a node whose larger copy was linked in its place.
    pub(super) fn retire(&self, count: usize) {
        debug_assert!(self.0.load(Ordering::Relaxed) & (LOCKED | OBSOLETE) == LOCKED);
        self.0.store((count as u32) << COUNT_SHIFT | OBSOLETE, Ordering::Release);
    }
}

#[cold]
fn wait(spins: u32) -> u32 {
    if spins < SPINS {
        spin_loop()
    } else {
        yield_now()
    }
    spins.saturating_add(1)
}
