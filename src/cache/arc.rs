//! Adaptive replacement (Megiddo and Modha, FAST'03), counted in bytes.
//!
//! Four lists: entries seen once lately (`Recent`), entries seen again (`Frequent`), and the ghosts of entries
//! evicted from each. Only a second use leads to `Frequent`, so a scan washes out `Recent` alone.
//!
//! 1. A hit moves the entry to `Frequent`.
//! 2. An insert whose key is a ghost shows which side was too small: the target size of `Recent` moves towards that
//!    side, in proportion to how much rarer that side's ghosts are; the entry goes to `Frequent`.
//! 3. Any other insert goes to `Recent`.
//! 4. Room is made from `Recent` while it is above its target, else from `Frequent`; the evicted leave ghosts.
//!
//! With c the limit, after every operation:
//! Invariant P1: Recent + Frequent <= c. P2: Recent + its ghosts <= c. P3: all four lists <= 2c. P4: target <= c.

use super::Buffer;
use super::entries::{Entries, List};
use super::shard::Evicted;

/// The lists' numbers.
const RECENT: u8 = 0;
const FREQUENT: u8 = 1;
const RECENT_GHOSTS: u8 = 2;
const FREQUENT_GHOSTS: u8 = 3;

/// The policy's state.
pub(super) struct Adaptive {
    /// Indexed by the numbers above.
    lists: [List; 4],
    /// Bytes that `Recent` should have.
    target: usize,
}

impl Adaptive {
    pub(super) fn new() -> Adaptive {
        Adaptive { lists: [List::EMPTY; 4], target: 0 }
    }

    /// Bytes of cached entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_of(RECENT) + self.bytes_of(FREQUENT)
    }

    fn bytes_of(&self, list: u8) -> usize {
        self.lists[list as usize].bytes
    }

    /// A cached entry was looked up.
    #[inline]
    pub(super) fn hit(&mut self, entries: &mut Entries, index: u32) {
        if entries.node(index).list == FREQUENT {
            entries.renew(&mut self.lists[FREQUENT as usize], index);
        } else {
            self.move_to(entries, index, FREQUENT);
        }
    }

    /// Takes in a new node, which is in no list, within `limit`, which its charge does not exceed.
    pub(super) fn admit(&mut self, entries: &mut Entries, index: u32, limit: usize, evicted: &mut Evicted) {
        let charge = entries.node(index).charge;
        self.make_room(entries, limit - charge, false, evicted);
        entries.push_newest(&mut self.lists[RECENT as usize], RECENT, index);
        self.trim_ghosts(entries, limit);
    }

    /// Brings a ghost back with a buffer. `charge` does not exceed `limit`.
    pub(super) fn readmit(
        &mut self,
        entries: &mut Entries,
        index: u32,
        (buffer, charge): (Buffer, usize),
        limit: usize,
        evicted: &mut Evicted,
    ) {
        let ghosts = entries.node(index).list;
        self.adapt(ghosts, charge, limit);
        entries.unlink(&mut self.lists[ghosts as usize], index);
        let node = entries.node_mut(index);
        (node.buffer, node.charge) = (Some(buffer), charge);
        self.make_room(entries, limit - charge, ghosts == FREQUENT_GHOSTS, evicted);
        entries.push_newest(&mut self.lists[FREQUENT as usize], FREQUENT, index);
        self.trim_ghosts(entries, limit);
    }

    /// Takes a node out, to be freed.
    pub(super) fn remove(&mut self, entries: &mut Entries, index: u32) {
        let list = entries.node(index).list;
        entries.unlink(&mut self.lists[list as usize], index);
    }

    /// Evicts down to `limit`, the new one.
    pub(super) fn shrink(&mut self, entries: &mut Entries, limit: usize, evicted: &mut Evicted) {
        self.target = self.target.min(limit);
        self.make_room(entries, limit, false, evicted);
        self.trim_ghosts(entries, limit);
    }

    /// Moves the target size of `Recent` after a miss that one of `ghosts` would have made a hit.
    fn adapt(&mut self, ghosts: u8, charge: usize, limit: usize) {
        let (recent, frequent) =
            (self.bytes_of(RECENT_GHOSTS) as u128, self.bytes_of(FREQUENT_GHOSTS) as u128);
        let (these, others) = if ghosts == RECENT_GHOSTS { (recent, frequent) } else { (frequent, recent) };
        let step = (charge as u128 * others.max(these) / these.max(1)).min(limit as u128) as usize;
        self.target = if ghosts == RECENT_GHOSTS {
            (self.target + step).min(limit)
        } else {
            self.target.saturating_sub(step)
        };
    }

    /// Evicts until cached entries take at most `room`.
    fn make_room(&mut self, entries: &mut Entries, room: usize, for_frequent: bool, evicted: &mut Evicted) {
        while self.bytes() > room {
            let recent = self.bytes_of(RECENT);
            let above_target = recent > self.target || (for_frequent && recent == self.target);
            let (from, ghosts) = if recent > 0 && (above_target || self.bytes_of(FREQUENT) == 0) {
                (RECENT, RECENT_GHOSTS)
            } else {
                (FREQUENT, FREQUENT_GHOSTS)
            };
            let Some(oldest) = self.lists[from as usize].oldest() else { return };
            self.move_to(entries, oldest, ghosts);
            evicted.add(entries.node_mut(oldest).buffer.take());
        }
    }

    /// Forgets the oldest ghosts until P2 and P3 hold.
    fn trim_ghosts(&mut self, entries: &mut Entries, limit: usize) {
        while self.bytes_of(RECENT) + self.bytes_of(RECENT_GHOSTS) > limit {
            self.forget_oldest(entries, RECENT_GHOSTS);
        }
        while self.lists.iter().map(|l| l.bytes).sum::<usize>() > 2 * limit {
            self.forget_oldest(entries, FREQUENT_GHOSTS);
        }
    }

    fn forget_oldest(&mut self, entries: &mut Entries, ghosts: u8) {
        let list = &mut self.lists[ghosts as usize];
        // P1 holds already, so what is too much are ghosts.
        let oldest = list.oldest().expect("ghosts are left while P2 or P3 is broken");
        entries.unlink(list, oldest);
        entries.free(oldest);
    }

    fn move_to(&mut self, entries: &mut Entries, index: u32, to: u8) {
        let from = entries.node(index).list;
        entries.unlink(&mut self.lists[from as usize], index);
        entries.push_newest(&mut self.lists[to as usize], to, index);
    }

    /// Checks P1 to P4 and the lists; gives the number of nodes.
    #[cfg(test)]
    pub(super) fn check(&self, entries: &Entries, limit: usize) -> usize {
        assert!(self.bytes() <= limit, "P1");
        assert!(self.bytes_of(RECENT) + self.bytes_of(RECENT_GHOSTS) <= limit, "P2");
        assert!(self.lists.iter().map(|l| l.bytes).sum::<usize>() <= 2 * limit, "P3");
        assert!(self.target <= limit, "P4");
        let lists = self.lists.iter().enumerate();
        lists.map(|(number, list)| entries.check_list(list, number as u8)).sum()
    }
}
