//! Publication: which writes readers see, kept in the order of sequence numbers without a lock.
//!
//! 1. Under the commit lock a group takes a ticket: its place in a ring, with its last sequence number.
//! 2. It goes into the memtables outside the lock, beside others, and is then marked done.
//! 3. Whoever marks one done moves `inserted` over all that are done from the oldest on.
//! 4. `visible` follows `inserted` up to the barrier: the oldest write that asked for durability and has it not yet.
//!
//! Invariants:
//! - P1 `inserted` never passes a batch that is not wholly in the memtables: batches are seen whole or not at all.
//! - P2 `visible` never passes the barrier (W4), and neither ever moves back.
//! - P3 once every ticket is done, `inserted` and `visible` say so without anybody coming by again: marks and moves
//!   are sequentially consistent, so of two threads at least one sees the other's.

use crate::base::SequenceNumber;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Groups between their ticket and the end of their insertion; one a thread, so more than enough.
const PLACES: usize = 256;
/// No write waits for durability.
const NO_BARRIER: u64 = u64::MAX;
/// How often a thread looks again before it lets others run.
const SPINS: usize = 128;

/// A place in the ring, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Place {
    /// The last sequence number of the group.
    last: AtomicU64,
    /// The ticket that is done, plus one.
    done: AtomicU64,
}

/// A group's place in the order of publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    number: u64,
    last: SequenceNumber,
}

/// The order of publication.
pub(super) struct Publisher {
    places: Box<[Place]>,
    /// The next ticket. Changed under the commit lock only.
    next: AtomicU64,
    /// The oldest ticket that is not done, or `next`.
    head: AtomicU64,
    inserted: AtomicU64,
    barrier: AtomicU64,
    visible: AtomicU64,
    /// A group was given up half inserted: nothing after it is ever published.
    broken: AtomicBool,
}

impl Publisher {
    /// With everything up to `last` visible.
    pub(super) fn new(last: SequenceNumber) -> Publisher {
        Publisher {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            next: AtomicU64::new(0),
            head: AtomicU64::new(0),
            inserted: AtomicU64::new(last),
            barrier: AtomicU64::new(NO_BARRIER),
            visible: AtomicU64::new(last),
            broken: AtomicBool::new(false),
        }
    }

    /// What readers see: everything up to here.
    #[inline]
    pub(super) fn visible(&self) -> SequenceNumber {
        self.visible.load(SeqCst)
    }

    /// Everything up to here is in the memtables.
    #[inline]
    pub(super) fn inserted(&self) -> SequenceNumber {
        self.inserted.load(SeqCst)
    }

    /// Takes the next place for a group up to `last`. Under the commit lock.
    #[inline]
    pub(super) fn ticket(&self, last: SequenceNumber) -> Ticket {
        let number = self.next.load(SeqCst);
        if number - self.head.load(SeqCst) >= PLACES as u64 {
            self.wait_for(|| number - self.head.load(SeqCst) < PLACES as u64);
        }
        self.place(number).last.store(last, SeqCst);
        self.next.store(number + 1, SeqCst);
        Ticket { number, last }
    }

    fn place(&self, number: u64) -> &Place {
        &self.places[number as usize % PLACES]
    }

    /// The group is in the memtables. Returns whether it is visible.
    #[inline]
    pub(super) fn done(&self, ticket: Ticket) -> bool {
        self.place(ticket.number).done.store(ticket.number + 1, SeqCst);
        loop {
            let head = self.head.load(SeqCst);
            let place = self.place(head);
            if place.done.load(SeqCst) != head + 1 {
                if head > ticket.number {
                    // Whoever moved the head over this group may not have come to say so.
                    self.inserted.fetch_max(ticket.last, SeqCst);
                }
                break;
            }
            let last = place.last.load(SeqCst);
            // A place is used again only after the head has left it, so `last` is of `head` if this succeeds.
            if self.head.compare_exchange(head, head + 1, SeqCst, SeqCst).is_ok() {
                self.inserted.fetch_max(last, SeqCst);
            }
        }
        self.republish() >= ticket.last
    }

    /// The group will never be whole: nothing from it on becomes visible.
    #[cold]
    pub(super) fn give_up(&self) {
        self.broken.store(true, SeqCst);
    }

    /// Waits until no group is half inserted. Under the commit lock, so that none begins.
    pub(super) fn drain(&self) {
        let next = self.next.load(SeqCst);
        if self.head.load(SeqCst) != next {
            self.wait_for(|| self.head.load(SeqCst) == next);
        }
    }

    /// Waits a short while for `last` to become visible; false if it did not.
    pub(super) fn spin_until_visible(&self, last: SequenceNumber) -> bool {
        (0..SPINS).any(|_| {
            std::hint::spin_loop();
            self.visible() >= last
        })
    }

    #[cold]
    fn wait_for(&self, reached: impl Fn() -> bool) {
        let mut looks = 0;
        while !reached() && !self.broken.load(SeqCst) {
            looks += 1;
            if looks < SPINS {
                std::hint::spin_loop();
            } else {
                // The thread that inserts lost its processor.
                std::thread::yield_now();
            }
        }
    }

    /// Nothing from `first` on becomes visible until the barrier is moved. Before the ticket of that write is done.
    pub(super) fn set_barrier(&self, first: Option<SequenceNumber>) {
        self.barrier.store(first.unwrap_or(NO_BARRIER), SeqCst);
    }

    /// Moves `visible` to where it may be, and gives it.
    #[inline]
    pub(super) fn republish(&self) -> SequenceNumber {
        // In this order: a write behind `inserted` had set its barrier before.
        let inserted = self.inserted.load(SeqCst);
        let may_be = inserted.min(self.barrier.load(SeqCst) - 1);
        self.visible.fetch_max(may_be, SeqCst).max(may_be)
    }

    /// Everything up to `last` is in tables (after replay).
    pub(super) fn reset(&self, last: SequenceNumber) {
        self.inserted.store(last, SeqCst);
        self.visible.store(last, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn groups_become_visible_in_order() {
        let publisher = Publisher::new(10);
        let (first, second, third) = (publisher.ticket(11), publisher.ticket(15), publisher.ticket(15));
        assert!(!publisher.done(third));
        assert!(!publisher.done(second));
        assert_eq!((publisher.inserted(), publisher.visible()), (10, 10));
        assert!(publisher.done(first));
        assert_eq!((publisher.inserted(), publisher.visible()), (15, 15));
    }

    #[test]
    fn a_barrier_holds_back_what_follows_it() {
        let publisher = Publisher::new(0);
        let before = publisher.ticket(1);
        publisher.set_barrier(Some(2));
        let (asked, after) = (publisher.ticket(2), publisher.ticket(3));
        assert!(!publisher.done(after) && !publisher.done(asked));
        assert!(publisher.done(before));
        assert_eq!((publisher.inserted(), publisher.visible()), (3, 1));
        publisher.set_barrier(None);
        assert_eq!(publisher.republish(), 3);
    }

    /// P1 and P3 with more threads than places are used for: each writer's group is visible when all before are.
    #[test]
    fn threads_publish_everything() {
        let publisher = &Publisher::new(0);
        let commit = &Mutex::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    for round in 0..3000u64 {
                        let ticket = {
                            let mut last = commit.lock().unwrap();
                            *last += 1 + round % 3;
                            publisher.ticket(*last)
                        };
                        if round % 7 == 0 {
                            std::thread::yield_now();
                        }
                        if !publisher.done(ticket) {
                            while publisher.visible() < ticket.last {
                                std::thread::yield_now();
                            }
                        }
                    }
                });
            }
        });
        publisher.drain();
        let last = *commit.lock().unwrap();
        assert_eq!((publisher.inserted(), publisher.visible()), (last, last));
    }
}
