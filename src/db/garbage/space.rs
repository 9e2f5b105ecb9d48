//! What the value log takes, what of it is alive, and where the bound lies. Pure: no I/O, no clock, no lock.
//!
//! Bytes of a segment are *referenced* (some table or memtable points to them) or *dead*. A part of the referenced
//! bytes is *hidden* garbage: replaced or deleted by a newer entry that no compaction has met yet, at most what the
//! entries above the last level may hide. What is alive for sure is the rest.
//!
//! The bound: total <= live x `max_space_amp` + `ALLOWED_SEGMENTS`. Relocation starts when the dead bytes alone exceed
//! the factor's share, writers of values are slowed from half the allowance on and stopped before all of it is used.
//!
//! How much may be hidden: compacting the pointers earlier hides less, so relocation copies less (what tables hide it
//! finds and leaves behind, but it begins earlier for it; what memtables hide it copies), but rewrites the pointers
//! more often. With r = table bytes to value bytes and h = hidden to live bytes, a byte written costs about 4 h of
//! copying more (near the default bound) and r / h of table writing, least at h = sqrt(r) / 2.

/// Segments beyond the factor: those being written by queues and by relocation, and what is in between.
pub(in crate::db) const ALLOWED_SEGMENTS: u64 = 4;
/// Of those, how many may be used before writers are slowed, and before they are stopped.
const SLOW_FROM: f64 = 1.5;
const STOP_AT: f64 = 2.5;
/// Segments' worth of live values from which on there are classes; half as many for each queue.
const CLASSES_FROM: u64 = 16;
/// Times `max_space_amp`: among so many referenced bytes, one counts as alive at least.
const LEAST_LIVE: f64 = 1.5;
/// The least part of a segment that a level of one family may hide.
const LEAST_PART: u64 = 64;

/// The value log at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::db) struct Space {
    /// Bytes of all segments but the pinned ones.
    pub(in crate::db) total: u64,
    /// Bytes that tables and memtables refer to.
    pub(in crate::db) referenced: u64,
    /// Bytes of them that newer entries may have made garbage, at most.
    pub(in crate::db) hidden: u64,
    /// Dead bytes that relocation can get at now.
    pub(in crate::db) reclaimable: u64,
    /// Bytes of segments that only readers, snapshots or unfinished writes keep.
    pub(in crate::db) pinned: u64,
    /// Bytes that a relocation under way will still add, and those of segments that running jobs let go of soon.
    pub(in crate::db) passing: u64,
    /// Bytes of segments that nobody holds any more, whose files are about to be removed.
    pub(in crate::db) leaving: u64,
    /// Bytes of tables that refer to values.
    pub(in crate::db) tables: u64,
    /// Column families that have values.
    pub(in crate::db) families: u64,
}

/// The bound of a database.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) struct Bound {
    /// `max_space_amp`.
    pub(in crate::db) factor: f64,
    /// `max_segment_size`.
    pub(in crate::db) segment: u64,
}

/// What follows for the rest of the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::db) struct Limits {
    /// Value-log bytes that a level of one family may hide.
    pub(in crate::db) hidden: u64,
    /// Value-log bytes of a memtable.
    pub(in crate::db) memtable: u64,
    /// 0 = writers of values go on; up to 1 = just before they are stopped; 1 = stopped.
    pub(in crate::db) slow: f64,
}

impl Space {
    /// Bytes of tables to those that they refer to.
    fn table_share(&self) -> f64 {
        self.tables as f64 / self.referenced.max(1) as f64
    }

    /// Bytes that are still there, or still to come, for moments only.
    pub(in crate::db) fn going(&self) -> u64 {
        self.passing.saturating_add(self.leaving)
    }
}

impl Bound {
    /// Bytes that are alive for sure, or what would be if hidden bytes alone filled one and a half times the bound:
    /// some are counted twice until a compaction has met them, and more than the bound holds are hidden for moments.
    pub(in crate::db) fn live(&self, space: &Space) -> u64 {
        let least = space.referenced as f64 / (LEAST_LIVE * self.factor).max(2.0);
        space.referenced.saturating_sub(space.hidden).max(least as u64)
    }

    /// Total to live bytes; 1 if there are none.
    pub(in crate::db) fn ratio(&self, space: &Space) -> f64 {
        if space.total == 0 { 1.0 } else { space.total as f64 / self.live(space).max(1) as f64 }
    }

    /// Above so many bytes in total, relocation starts.
    pub(in crate::db) fn target(&self, space: &Space) -> u64 {
        (self.live(space) as f64 * self.factor) as u64
    }

    /// The bound itself.
    pub(in crate::db) fn most(&self, space: &Space) -> u64 {
        self.target(space).saturating_add(ALLOWED_SEGMENTS.saturating_mul(self.segment))
    }

    /// Dead bytes beyond what the factor allows, while a relocation adds its copies to what there is: one segment of
    /// them is among those allowed beyond the factor.
    pub(in crate::db) fn excess(&self, space: &Space) -> u64 {
        let copies = self.most_copied(space).saturating_sub(self.segment);
        space.total.saturating_add(copies).saturating_sub(self.target(space))
    }

    /// Live bytes that the next relocation may copy: as many as there is room for, but for a segment.
    pub(in crate::db) fn room(&self, space: &Space) -> u64 {
        let taken = space.total.saturating_add(space.going());
        let free = self.most(space).saturating_sub(self.segment).saturating_sub(taken);
        free.min(self.most_copied(space))
    }

    /// Whether copies of `victims` stay within the bound although there are segments that go soon. Where there are none
    /// they do: writers are stopped early enough for one victim, and more are chosen only where there is room.
    pub(in crate::db) fn has_room_beside_what_goes(&self, space: &Space, victims: &[Candidate]) -> bool {
        let copies: u64 = victims.iter().map(|victim| victim.live).sum();
        let then = space.total.saturating_add(space.going()).saturating_add(copies);
        space.going() == 0 || then <= self.most(space).saturating_sub(self.segment / 2)
    }

    /// Live bytes that one relocation copies, at most: the more, the fewer times tables are rewritten for it, and the
    /// earlier it has to begin. With r as above and c copied to live bytes, a byte written costs about r / c of table
    /// writing and, near the default bound, 8 c of copying more: least at c = sqrt(r / 8).
    pub(in crate::db) fn most_copied(&self, space: &Space) -> u64 {
        let share = (space.table_share() / 8.0).sqrt().min((self.factor - 1.0) / 4.0);
        self.segment.max((self.live(space) as f64 * share) as u64)
    }

    /// The least share of garbage that makes relocating a segment worth it: half of what an average segment has when
    /// the bound is reached.
    pub(in crate::db) fn least_garbage(&self) -> f64 {
        (1.0 - 1.0 / self.factor) / 2.0
    }

    /// Bytes alive, if they fill so many segments that values are worth putting into classes by how long they live,
    /// each class with open segments of its own; else 0. Where there are classes already they stay until a quarter
    /// fewer are alive: each change closes segments that are not full.
    pub(in crate::db) fn turnover(&self, space: &Space, write_queues: u64, has_classes: bool) -> u64 {
        let least = self.segment.saturating_mul(CLASSES_FROM.max(CLASSES_FROM / 2 * write_queues));
        let least = if has_classes { least / 4 * 3 } else { least };
        if self.live(space) >= least { self.live(space) } else { 0 }
    }

    /// What levels and memtables may hide, and how much writers have to wait.
    pub(in crate::db) fn limits(&self, space: &Space) -> Limits {
        let live = self.live(space) as f64;
        let slack = self.factor - 1.0;
        let share = space.table_share().sqrt() / 2.0;
        let share = share.clamp(0.01, 0.15).min(slack / 3.0);
        // What is free below the target may be hidden at no cost.
        let free = self.target(space).saturating_sub(space.total);
        let hidden = ((live * share) as u64).max(self.segment / 4).max(free / 2);
        // Each of many families gets a part; a small one is not worth its flushes.
        let own = (hidden / space.families.max(1)).max(self.segment / LEAST_PART);
        Limits { hidden: own, memtable: (own / 2).max(1), slow: self.slow(space, hidden) }
    }

    fn slow(&self, space: &Space, hidden: u64) -> f64 {
        let start = self.target(space).saturating_add((self.segment as f64 * SLOW_FROM) as u64);
        // What no work can reclaim is no reason to wait.
        let late = space.hidden.saturating_sub(hidden);
        let reclaimable = space.reclaimable.saturating_add(late).saturating_add(space.going());
        let debt = space.total.saturating_add(space.going()).saturating_sub(start).min(reclaimable);
        let range = (self.segment as f64 * (STOP_AT - SLOW_FROM)).max(1.0);
        (debt as f64 / range).min(1.0)
    }
}

/// A segment that relocation can take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::db) struct Candidate {
    pub(in crate::db) segment: u64,
    /// Bytes of records.
    pub(in crate::db) bytes: u64,
    /// Bytes of them that tables refer to.
    pub(in crate::db) live: u64,
    /// Bytes of new values since it was created.
    pub(in crate::db) age: u64,
}

impl Candidate {
    pub(in crate::db) fn dead(&self) -> u64 {
        self.bytes.saturating_sub(self.live)
    }

    /// Share of it that is dead.
    pub(in crate::db) fn garbage(&self) -> f64 {
        self.dead() as f64 / self.bytes.max(1) as f64
    }

    /// What emptying it gains for what it costs, and what is old is likely to stay as it is.
    fn benefit(&self) -> f64 {
        self.dead() as f64 / self.live.max(1) as f64 * (self.age as f64 + 1.0)
    }
}

/// How much one relocation takes on.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) struct Batch {
    /// Candidates with a smaller share of garbage are left alone.
    pub(in crate::db) least_garbage: f64,
    /// Goes on until so many dead bytes are freed.
    pub(in crate::db) dead: u64,
    /// Stops before so many live bytes are copied (but takes one segment in any case).
    pub(in crate::db) live: u64,
}

/// The segments to empty next, those with the highest benefit first.
pub(in crate::db) fn victims(mut candidates: Vec<Candidate>, batch: &Batch) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.dead() > 0 && candidate.garbage() >= batch.least_garbage);
    candidates.sort_by(|a, b| b.benefit().total_cmp(&a.benefit()).then(a.segment.cmp(&b.segment)));
    let (mut dead, mut live) = (0, 0);
    let mut chosen = Vec::new();
    for candidate in candidates {
        if !chosen.is_empty() && (dead >= batch.dead || live + candidate.live > batch.live) {
            break;
        }
        dead += candidate.dead();
        live += candidate.live;
        chosen.push(candidate);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { factor: 1.4, segment: 100 };

    fn space(total: u64, referenced: u64, hidden: u64) -> Space {
        let reclaimable = total.saturating_sub(referenced);
        Space {
            total,
            referenced,
            hidden,
            reclaimable,
            tables: referenced / 1000,
            families: 1,
            ..Space::default()
        }
    }

    #[test]
    fn live_is_what_nothing_can_hide() {
        assert_eq!(BOUND.live(&space(2000, 1000, 100)), 900);
        assert_eq!(BOUND.live(&space(2000, 1050, 5000)), 500);
        assert_eq!(BOUND.ratio(&Space::default()), 1.0);
        assert_eq!(BOUND.ratio(&space(1260, 1000, 100)), 1.4);
        // A looser bound may be filled with what is hidden, which is not alive.
        let loose = Bound { factor: 4.0, segment: 100 };
        assert_eq!(loose.live(&space(4000, 4000, 3000)), 1000);
        assert_eq!(loose.live(&space(6000, 6000, 6000)), 1000);
        assert_eq!(loose.limits(&space(4200, 4000, 3000)).slow, 0.5);
    }

    #[test]
    fn writers_wait_for_what_can_be_reclaimed_only() {
        assert_eq!(BOUND.limits(&space(1400, 1000, 0)).slow, 0.0);
        assert_eq!(BOUND.limits(&space(1550, 1000, 0)).slow, 0.0);
        assert_eq!(BOUND.limits(&space(1600, 1000, 0)).slow, 0.5);
        let leaving = Space { leaving: 50, ..space(1550, 1000, 0) };
        assert_eq!(BOUND.limits(&leaving).slow, 0.5);
        let copying = Space { passing: 50, ..space(1550, 1000, 0) };
        assert_eq!(BOUND.limits(&copying).slow, 0.5);
        assert_eq!(BOUND.limits(&space(1650, 1000, 0)).slow, 1.0);
        assert!(BOUND.most(&space(1750, 1000, 0)) > 1750);
        let stuck = Space { reclaimable: 0, ..space(5000, 1000, 0) };
        assert_eq!(BOUND.limits(&stuck).slow, 0.0);
        let late = Space { hidden: 400, ..stuck };
        assert!(BOUND.limits(&late).slow > 0.9, "{:?}", BOUND.limits(&late));
    }

    #[test]
    fn relocation_starts_early_enough_for_its_copies() {
        assert_eq!(BOUND.excess(&space(1400, 1000, 0)), 0);
        assert_eq!(BOUND.excess(&space(1410, 1000, 0)), 10);
        // Five segments are copied at once where tables are large, four more than the one allowed.
        let half = Bound { factor: 1.5, segment: 100 };
        let with = |total| Space { tables: 250, ..space(total, 8000, 0) };
        assert_eq!(half.most_copied(&with(12_000)), 500);
        assert_eq!(half.excess(&with(11_600)), 0);
        assert_eq!(half.excess(&with(11_610)), 10);
        // 300 beyond the factor's share may be used for the copies.
        assert_eq!((half.room(&with(11_610)), half.room(&with(12_200))), (500, 100));
        assert_eq!(half.room(&with(12_390)), 0);
        // One where rewriting them is cheap, an eighth of all at most.
        let small = |tables| half.most_copied(&Space { tables, ..space(12_000, 8000, 0) });
        assert_eq!((small(0), small(1), small(4000)), (100, 100, 1000));
    }

    #[test]
    fn copies_wait_for_segments_that_go_where_there_is_no_room_for_both() {
        let victims = [Candidate { segment: 1, bytes: 100, live: 80, age: 1 }];
        let has_room = |total, going| {
            let parts = [
                Space { passing: going, ..space(total, 1000, 0) },
                Space { leaving: going, ..space(total, 1000, 0) },
            ];
            parts.map(|space| BOUND.has_room_beside_what_goes(&space, &victims))
        };
        // The bound is 1800.
        assert_eq!(has_room(1570, 99), [true; 2]);
        assert_eq!(has_room(1572, 99), [false; 2]);
        assert_eq!(has_room(1669, 1), [true; 2]);
        assert_eq!(has_room(1670, 1), [false; 2]);
        assert_eq!(has_room(1799, 0), [true; 2]);
    }

    #[test]
    fn less_may_be_hidden_where_pointers_are_cheap() {
        let big = Bound { factor: 1.4, segment: 1 };
        let with = |tables| big.limits(&Space { tables, ..space(1_400_000, 1_000_000, 0) }).hidden;
        assert_eq!(with(700), 13_228);
        assert_eq!(with(11_000), 52_440);
        assert_eq!(with(400_000), 133_333);
        // Before there is garbage, half of what the bound leaves free.
        assert_eq!(big.limits(&space(1_000_000, 1_000_000, 0)).hidden, 200_000);
        // Families share it, as far as that makes sense.
        let shared = |families| BOUND.limits(&Space { families, ..space(10_000, 10_000, 0) });
        assert_eq!((shared(1).hidden, shared(4).hidden, shared(4).memtable), (2000, 500, 250));
        assert_eq!(shared(100_000).hidden, 1);
    }

    #[test]
    fn classes_are_for_many_segments() {
        let with = |live| BOUND.turnover(&space(live, live, 0), 1, false);
        assert_eq!((with(1599), with(1600), with(5000)), (0, 1600, 5000));
        assert_eq!(BOUND.turnover(&space(3100, 3100, 0), 4, false), 0);
        assert_eq!(BOUND.turnover(&space(3200, 3200, 0), 4, false), 3200);
        let still = |live| BOUND.turnover(&space(live, live, 0), 1, true);
        assert_eq!((still(1599), still(1200), still(1199)), (1599, 1200, 0));
    }

    #[test]
    fn victims_are_old_and_empty() {
        let candidate = |segment, live, age| Candidate { segment, bytes: 100, live, age };
        let all = vec![candidate(1, 95, 9), candidate(2, 60, 8), candidate(3, 60, 3), candidate(4, 5, 1)];
        let numbers = |dead, live| -> Vec<u64> {
            let batch = Batch { least_garbage: 0.14, dead, live };
            victims(all.clone(), &batch).iter().map(|victim| victim.segment).collect()
        };
        assert_eq!(numbers(1, 1000), [4]);
        assert_eq!(numbers(100, 1000), [4, 2]);
        assert_eq!(numbers(1000, 1000), [4, 2, 3]);
        assert_eq!(numbers(1000, 70), [4, 2]);
        assert_eq!(numbers(1000, 0), [4]);
    }
}
