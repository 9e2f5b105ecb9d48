//! Short buffers: slots of slabs, which are runs of a pool.
//!
//! The C library's allocator grows the heap of a thread by a few pages at a time, with a system call and page faults;
//! filling a cache with values of 1 KiB spends more on that than on finding them.
//!
//! 1. A slab is divided into slots of one length. The number of slots says which: there are as many lengths as numbers.
//! 2. `take` uses the first free slot of a slab of its length that has one; if there is none the pool adds a slab.
//! 3. A slab without a taken slot is kept until another one becomes free, so that a buffer which comes and goes costs
//!    no more than its slot; then its run goes back to the pool.
//!
//! Invariants:
//! - S1 `open` has, for each number of slots, exactly the slabs with a free one, each at the place it says.
//! - S2 of all slabs at most `empty` has no slot taken.

use std::ptr::NonNull;

/// Bytes of a slab.
pub(super) const SLAB: usize = 32 << 10;
/// Shorter buffers are the heap's: a slab has as many slots as a word has bits.
pub(super) const SHORTEST_SLOT: usize = SLAB / 64;
/// What a slot's length is a multiple of.
const ALIGNMENT: usize = 16;
const MOST_SLOTS: usize = SLAB / SHORTEST_SLOT;
/// In no list.
const NOWHERE: u32 = u32::MAX;

/// A pool's run that is, or was, a slab.
#[derive(Clone, Copy)]
pub(super) struct SlabRun {
    pub(super) start: NonNull<u8>,
    pub(super) chunk: u32,
    pub(super) unit: u32,
}

/// A slot that was free.
pub(super) struct Slot {
    pub(super) start: NonNull<u8>,
    pub(super) capacity: usize,
    pub(super) slab: u32,
    pub(super) slot: u8,
}

#[derive(Clone, Copy)]
struct Slab {
    run: SlabRun,
    slots: u8,
    /// Where `open` has it.
    place: u32,
    /// A set bit is a free slot.
    free: u64,
}

impl Slab {
    fn is_empty(&self) -> bool {
        self.free.count_ones() == u32::from(self.slots)
    }
}

/// Some of the slabs of a pool, of all lengths.
pub(super) struct Slabs {
    slabs: Vec<Slab>,
    /// Numbers of slabs that are gone.
    unused: Vec<u32>,
    /// By the number of slots (S1).
    open: [Vec<u32>; MOST_SLOTS + 1],
    /// S2.
    empty: Option<u32>,
}

// SAFETY: the pointers lead into the pool's chunks, which may be used from any thread.
unsafe impl Send for Slabs {}

/// How many slots a slab for buffers of `len` bytes has, from `SHORTEST_SLOT` bytes to those of a slab.
#[inline]
fn slots_for(len: usize) -> usize {
    SLAB / len.next_multiple_of(ALIGNMENT)
}

/// The length of a slot where there are so many.
#[inline]
fn slot_len(slots: usize) -> usize {
    SLAB / slots / ALIGNMENT * ALIGNMENT
}

impl Default for Slabs {
    fn default() -> Slabs {
        Slabs {
            slabs: Vec::new(),
            unused: Vec::new(),
            open: [const { Vec::new() }; MOST_SLOTS + 1],
            empty: None,
        }
    }
}

impl Slabs {
    /// A slot for `len` bytes, now taken; `None` if a slab has to be added first.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<Slot> {
        let slots = slots_for(len);
        let number = *self.open[slots].last()?;
        let slab = &mut self.slabs[number as usize];
        if self.empty == Some(number) {
            self.empty = None;
        }
        let slot = slab.free.trailing_zeros();
        slab.free &= slab.free - 1;
        if slab.free == 0 {
            slab.place = NOWHERE;
            self.open[slots].pop();
        }
        let capacity = slot_len(slots);
        // SAFETY: `slots` slots of `capacity` bytes are inside the slab's run, and `slot` is one of them.
        let start = unsafe { slab.run.start.add(slot as usize * capacity) };
        Some(Slot { start, capacity, slab: number, slot: slot as u8 })
    }

    /// Makes a slab of `run` and takes a slot of it for `len` bytes. Gives back the run of a slab that is not needed.
    pub(super) fn add(&mut self, run: SlabRun, len: usize) -> (Option<Slot>, Option<SlabRun>) {
        let slots = slots_for(len);
        let slab = Slab { run, slots: slots as u8, place: NOWHERE, free: u64::MAX >> (64 - slots) };
        let number = match self.unused.pop() {
            Some(number) => {
                self.slabs[number as usize] = slab;
                number
            }
            None => {
                self.slabs.push(slab);
                self.slabs.len() as u32 - 1
            }
        };
        self.list(number);
        let left_over = self.now_empty(number);
        (self.take(len), left_over)
    }

    /// Takes a slot back. Gives the run of a slab that is not needed any more.
    pub(super) fn give(&mut self, number: u32, slot: u8) -> Option<SlabRun> {
        let slab = &mut self.slabs[number as usize];
        debug_assert_eq!(slab.free & 1 << slot, 0, "U1");
        slab.free |= 1 << slot;
        let is_empty = slab.is_empty();
        if slab.place == NOWHERE {
            self.list(number);
        }
        if is_empty { self.now_empty(number) } else { None }
    }

    fn list(&mut self, number: u32) {
        let slab = &mut self.slabs[number as usize];
        let list = &mut self.open[usize::from(slab.slots)];
        slab.place = list.len() as u32;
        list.push(number);
    }

    /// The slab has no taken slot; the one that had none before goes (S2).
    fn now_empty(&mut self, number: u32) -> Option<SlabRun> {
        let before = self.empty.replace(number).filter(|before| *before != number)?;
        Some(self.remove(before))
    }

    /// Takes the run of the slab without a taken slot, if there is one.
    pub(super) fn take_empty(&mut self) -> Option<SlabRun> {
        let number = self.empty.take()?;
        Some(self.remove(number))
    }

    fn remove(&mut self, number: u32) -> SlabRun {
        let Slab { run, slots, place, .. } = self.slabs[number as usize];
        let list = &mut self.open[usize::from(slots)];
        list.swap_remove(place as usize);
        if let Some(moved) = list.get(place as usize) {
            self.slabs[*moved as usize].place = place;
        }
        self.unused.push(number);
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Slabs {
        fn check(&self) {
            let mut listed = 0;
            for (slots, list) in self.open.iter().enumerate() {
                for (place, number) in list.iter().enumerate() {
                    let slab = &self.slabs[*number as usize];
                    assert_eq!((usize::from(slab.slots), slab.place as usize), (slots, place), "S1");
                    assert!(slab.free != 0, "S1: a full slab is listed");
                    assert!(!slab.is_empty() || self.empty == Some(*number), "S2");
                    listed += 1;
                }
            }
            let gone = |number: usize| self.unused.contains(&(number as u32));
            let with_room = (0..self.slabs.len()).filter(|&n| !gone(n) && self.slabs[n].free != 0);
            assert_eq!(with_room.count(), listed, "S1: all with a free slot are listed");
        }
    }

    #[test]
    fn slots_hold_what_they_are_for_and_waste_little() {
        for len in SHORTEST_SLOT..4096 {
            let (slots, capacity) = (slots_for(len), slot_len(slots_for(len)));
            assert!((1..=MOST_SLOTS).contains(&slots) && capacity >= len, "{len}: {slots} of {capacity}");
            assert!(slots * capacity <= SLAB && capacity % ALIGNMENT == 0, "{len}");
            assert!(capacity <= len + len / 7 + ALIGNMENT, "{len} in {capacity}");
        }
        assert_eq!(slot_len(slots_for(SHORTEST_SLOT)), SHORTEST_SLOT);
    }

    #[test]
    fn slots_never_overlap_and_slabs_come_and_go() {
        for seed in 1..20u64 {
            let mut state = seed;
            let mut below = |bound: usize| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 33) as usize) % bound
            };
            let mut slabs = Slabs::default();
            let mut memory: Vec<Vec<u8>> = Vec::new();
            // Runs in use, by their start, and slots taken: start, bytes, slab, slot.
            let mut runs: Vec<usize> = Vec::new();
            let mut taken: Vec<(usize, usize, u32, u8)> = Vec::new();
            for step in 0..4000 {
                if below(100) < if step < 2500 { 60 } else { 35 } {
                    let len = [600, 1064, 1064, 3999, SHORTEST_SLOT + below(3400)][below(5)];
                    let mut given = None;
                    let slot = slabs.take(len).unwrap_or_else(|| {
                        memory.push(vec![0; SLAB]);
                        let start = NonNull::from(&mut memory.last_mut().unwrap()[..]).cast::<u8>();
                        runs.push(start.as_ptr() as usize);
                        let (slot, left_over) = slabs.add(SlabRun { start, chunk: 0, unit: 0 }, len);
                        given = left_over;
                        slot.expect("a slab was just added")
                    });
                    if let Some(run) = given {
                        let at = runs.iter().position(|run_start| *run_start == run.start.as_ptr() as usize);
                        runs.swap_remove(at.expect("a run goes once"));
                    }
                    let start = slot.start.as_ptr() as usize;
                    assert!(slot.capacity >= len);
                    let overlaps = |other: &&(usize, usize, u32, u8)| {
                        start < other.0 + other.1 && other.0 < start + slot.capacity
                    };
                    assert_eq!(taken.iter().find(overlaps), None, "seed {seed} step {step}");
                    taken.push((start, slot.capacity, slot.slab, slot.slot));
                } else if !taken.is_empty() {
                    let (_, _, slab, slot) = taken.swap_remove(below(taken.len()));
                    if let Some(run) = slabs.give(slab, slot) {
                        let start = run.start.as_ptr() as usize;
                        let inside =
                            |slot: &&(usize, usize, u32, u8)| (start..start + SLAB).contains(&slot.0);
                        assert_eq!(
                            taken.iter().find(inside),
                            None,
                            "seed {seed} step {step}: a run in use went"
                        );
                        runs.swap_remove(runs.iter().position(|run| *run == start).expect("a run goes once"));
                    }
                }
                slabs.check();
                let inside = |slot: &(usize, usize, u32, u8)| {
                    runs.iter().any(|run| (*run..run + SLAB).contains(&slot.0))
                };
                assert!(step % 100 > 0 || taken.iter().all(inside), "seed {seed} step {step}");
            }
            let mut gone = 0;
            for (_, _, slab, slot) in taken.drain(..) {
                gone += usize::from(slabs.give(slab, slot).is_some());
            }
            // One is kept.
            assert_eq!(gone + 1, runs.len(), "seed {seed}");
            slabs.check();
            assert!(slabs.take_empty().is_some() && slabs.take_empty().is_none());
            slabs.check();
        }
    }
}
