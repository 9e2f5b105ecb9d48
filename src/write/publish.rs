//! Publication: which writes readers see, kept in the order of sequence numbers without a lock.
//!
//! 1. Under the commit lock a group takes a ticket: its place in a ring.
//! 2. It goes into the memtables outside the lock, beside others, and is then done. If it is the oldest (with one
//!    writer it always is) it moves the head over itself; nobody else could. If not, it is marked in its place, with
//!    its last sequence number.
//! 3. Whoever is done moves `inserted` over all that are done from the oldest on.
//! 4. `visible` follows `inserted` up to the barrier: the oldest write that asked for durability and has it not yet.
//!
//! What one thread writes and another then needs takes as long as a miss of all caches. So what changes under the
//! commit lock is together (`Tail`), what changes outside it is (`Front`), and a place is touched only where a younger
//! group is done before an older one.
//!
//! Invariants:
//! - P1 `inserted` never passes a batch that is not wholly in the memtables: batches are seen whole or not at all.
//! - P2 `visible` never passes the barrier (W4), and neither ever moves back.
//! - P3 once every ticket is done, `inserted` and `visible` say so without anybody coming by again: marks and moves
//!   are sequentially consistent, so of two threads at least one sees the other's.
//! - P4 whoever moves `visible` is told so, each move to one thread: it wakes those who wait.

use super::sync::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, PLACES, spin_loop, yield_now};
use crate::base::SequenceNumber;

/// No write waits for durability.
const NO_BARRIER: u64 = u64::MAX;
/// The ticket of a group that came after one was given up.
const NO_PLACE: u64 = u64::MAX;
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
    /// The last sequence number of the group.
    pub(super) last: SequenceNumber,
}

/// How a group's end was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The group is visible.
    pub(super) visible: bool,
    /// This thread moved `visible`, over this group or others.
    pub(super) moved: bool,
}

/// What is changed under the commit lock only.
#[repr(align(64))]
struct Tail {
    /// The next ticket.
    next: AtomicU64,
    /// Everything up to here has a ticket.
    last: AtomicU64,
    /// Where the head was when it was last looked at: a look at it for each ticket would be a miss.
    seen_head: AtomicU64,
}

/// What every group that is done changes.
#[repr(align(64))]
struct Front {
    /// The oldest ticket that is not done, or `next`.
    head: AtomicU64,
    inserted: AtomicU64,
    barrier: AtomicU64,
    visible: AtomicU64,
}

/// The order of publication.
pub(super) struct Publisher {
    places: Box<[Place]>,
    tail: Tail,
    front: Front,
    /// A group was given up half inserted: nothing after it is ever published.
    broken: AtomicBool,
}

impl Publisher {
    /// With everything up to `last` visible.
    pub(super) fn new(last: SequenceNumber) -> Publisher {
        Publisher {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            tail: Tail { next: AtomicU64::new(0), last: AtomicU64::new(last), seen_head: AtomicU64::new(0) },
            front: Front {
                head: AtomicU64::new(0),
                inserted: AtomicU64::new(last),
                barrier: AtomicU64::new(NO_BARRIER),
                visible: AtomicU64::new(last),
            },
            broken: AtomicBool::new(false),
        }
    }

    /// What readers see: everything up to here.
    #[inline]
    pub(super) fn visible(&self) -> SequenceNumber {
        self.front.visible.load(SeqCst)
    }

    /// Everything up to here is in the memtables.
    #[inline]
    pub(super) fn inserted(&self) -> SequenceNumber {
        self.front.inserted.load(SeqCst)
    }

    /// Everything up to here has a ticket, and was logged before.
    #[inline]
    pub(super) fn ticketed(&self) -> SequenceNumber {
        self.tail.last.load(SeqCst)
    }

    /// Takes the next place for a group up to `last`. Under the commit lock.
    #[inline]
    pub(super) fn ticket(&self, last: SequenceNumber) -> Ticket {
        let number = self.tail.next.load(Relaxed);
        self.tail.last.store(last, SeqCst);
        if number - self.tail.seen_head.load(Relaxed) >= PLACES as u64 && !self.wait_for_place(number) {
            // The place is still another group's: this one gets none, and is never seen.
            return Ticket { number: NO_PLACE, last };
        }
        self.tail.next.store(number + 1, Relaxed);
        Ticket { number, last }
    }

    /// False if a group was given up and the place does not become free.
    #[cold]
    fn wait_for_place(&self, number: u64) -> bool {
        self.wait_for(|| {
            let head = self.front.head.load(SeqCst);
            self.tail.seen_head.store(head, Relaxed);
            number - head < PLACES as u64
        })
    }

    fn place(&self, number: u64) -> &Place {
        &self.places[number as usize % PLACES]
    }

    /// The group is in the memtables.
    #[inline]
    pub(super) fn done(&self, ticket: Ticket) -> Done {
        if ticket.number == NO_PLACE {
            return Done { visible: false, moved: false };
        }
        let front = &self.front;
        let is_oldest = front.head.load(SeqCst) == ticket.number;
        if is_oldest {
            // Its place says nothing of it, so nobody else moves the head.
            front.head.store(ticket.number + 1, SeqCst);
            front.inserted.fetch_max(ticket.last, SeqCst);
        } else {
            let place = self.place(ticket.number);
            place.last.store(ticket.last, Relaxed);
            place.done.store(ticket.number + 1, SeqCst);
        }
        loop {
            let head = front.head.load(SeqCst);
            let place = self.place(head);
            if place.done.load(SeqCst) != head + 1 {
                if !is_oldest && head > ticket.number {
                    // Whoever moved the head over this group may not have come to say so.
                    front.inserted.fetch_max(ticket.last, SeqCst);
                }
                break;
            }
            let last = place.last.load(Relaxed);
            // A place is used again only after the head has left it, so `last` is of `head` if this succeeds.
            if front.head.compare_exchange(head, head + 1, SeqCst, SeqCst).is_ok() {
                front.inserted.fetch_max(last, SeqCst);
            }
        }
        let moved = self.republish();
        Done { visible: self.visible() >= ticket.last, moved }
    }

    /// The group will never be whole: nothing from it on becomes visible.
    #[cold]
    pub(super) fn give_up(&self) {
        self.broken.store(true, SeqCst);
    }

    /// Whether a group was given up.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(SeqCst)
    }

    /// Waits until no group is half inserted, and `inserted` says so. Under the commit lock, so that none begins.
    /// Returns whether this moved `visible`.
    pub(super) fn drain(&self) -> bool {
        let (next, head) = (self.tail.next.load(Relaxed), &self.front.head);
        if head.load(SeqCst) != next && !self.wait_for(|| head.load(SeqCst) == next) {
            return false;
        }
        // Whoever moved the head may not have come to say so. Without a ticket that is not done, all have a place.
        let last = self.ticketed();
        self.front.inserted.fetch_max(last, SeqCst) < last && self.republish()
    }

    /// Waits until everything up to `last`, which has a ticket, is in the memtables; or a group was given up. Returns
    /// whether this moved `visible`.
    pub(super) fn wait_until_inserted(&self, last: SequenceNumber) -> bool {
        if self.inserted() < last {
            self.wait_for(|| self.inserted() >= last);
        }
        // Whoever moved `inserted` may not have come to publish it.
        self.republish()
    }

    /// Waits a short while for `last` to become visible; false if it did not.
    pub(super) fn spin_until_visible(&self, last: SequenceNumber) -> bool {
        (0..SPINS).any(|_| {
            spin_loop();
            self.visible() >= last
        })
    }

    /// False if a group was given up and it will not come.
    #[cold]
    fn wait_for(&self, reached: impl Fn() -> bool) -> bool {
        let mut looks = 0;
        while !reached() {
            if self.is_broken() {
                return false;
            }
            looks += 1;
            if looks < SPINS {
                spin_loop();
            } else {
                // The thread that inserts lost its processor.
                yield_now();
            }
        }
        true
    }

    /// Nothing from `first` on becomes visible until the barrier is moved. Before the ticket of that write is done.
    pub(super) fn set_barrier(&self, first: Option<SequenceNumber>) {
        self.front.barrier.store(first.unwrap_or(NO_BARRIER), SeqCst);
    }

    /// Moves `visible` to where it may be. Returns whether it was not there.
    #[inline]
    pub(super) fn republish(&self) -> bool {
        // In this order: a write behind `inserted` had set its barrier before.
        let inserted = self.front.inserted.load(SeqCst);
        let may_be = inserted.min(self.front.barrier.load(SeqCst) - 1);
        self.front.visible.fetch_max(may_be, SeqCst) < may_be
    }

    /// Everything up to `last` is in tables (after replay).
    pub(super) fn reset(&self, last: SequenceNumber) {
        self.tail.last.store(last, SeqCst);
        self.front.inserted.store(last, SeqCst);
        self.front.visible.store(last, SeqCst);
    }
}
