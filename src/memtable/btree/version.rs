//! The version word of a node: a counter of changes whose lowest bit is the writers' lock.
//!
//! Readers remember the version, read, and ask whether it is still the same (`is_still`); what they read before a
//! "no" means nothing. Writers turn the version they read under into the lock, so what they saw holds while they
//! write. The lock is held for some stores; who finds it taken spins.
//!
//! Invariant T1: a node's shared fields change only while its version is odd, and the version never repeats.

use super::super::sync::{AtomicU64, Ordering, fence, spin_loop, yield_now};

const LOCKED: u64 = 1;
/// Looks at a taken lock before the thread gives way to others.
const SPINS: u32 = 100;

pub(super) struct Version(AtomicU64);

impl Version {
    pub(super) fn new() -> Version {
        Version(AtomicU64::new(0))
    }

    /// The version to read under; waits while a writer is at work.
    #[inline]
    pub(super) fn begin(&self) -> u64 {
        // Acquire: what the last writer stored is seen.
        let seen = self.0.load(Ordering::Acquire);
        if seen & LOCKED == 0 { seen } else { self.begin_slow() }
    }

    #[cold]
    fn begin_slow(&self) -> u64 {
        let mut spins = 0;
        loop {
            if spins < SPINS {
                spin_loop();
                spins += 1;
            } else {
                yield_now();
            }
            let seen = self.0.load(Ordering::Acquire);
            if seen & LOCKED == 0 {
                return seen;
            }
        }
    }

    /// Whether nothing changed since `begin` gave `seen`.
    #[inline]
    pub(super) fn is_still(&self, seen: u64) -> bool {
        // If a load before the fence saw a writer's store, the load after it sees that writer's lock: the fences pair.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == seen
    }

    /// Takes the lock if nothing changed since `begin` gave `seen`.
    #[inline]
    pub(super) fn lock(&self, seen: u64) -> bool {
        let locked =
            self.0.compare_exchange(seen, seen | LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // The stores that follow come after the lock for whoever sees one of them.
        fence(Ordering::Release);
        locked
    }

    /// Ends the lock taken at `seen`, after changes.
    #[inline]
    pub(super) fn unlock(&self, seen: u64) {
        self.0.store(seen + 2 * LOCKED, Ordering::Release);
    }

    /// Ends the lock taken at `seen`; nothing was changed.
    pub(super) fn unlock_unchanged(&self, seen: u64) {
        self.0.store(seen, Ordering::Release);
    }
}
