//! Which values may push others out of a full cache: those that were refused before, not long ago.
//!
//! A table of marks: a refused key leaves its mark in the place that its hash says, over whatever mark was there. So a
//! mark is forgotten after about as many refusals as there are places, and the table never has to be cleared.
//! Two keys with the same mark in the same place are taken for each other once in 2^32 times: one is admitted early.

/// Bytes of budget for one mark: the marks reach back over refused values of several times the budget, unless they
/// are short.
const BYTES_FOR_ONE: usize = 1 << 10;
const FEWEST_MARKS: usize = 16;
const MOST_MARKS: usize = 1 << 20;

/// The marks of one shard. They take 4 bytes for each KiB of its limit, once the first value is refused.
pub(super) struct Doorkeeper {
    /// Empty, or a power of two of them; 0 is no mark.
    marks: Box<[u32]>,
}

impl Doorkeeper {
    pub(super) fn new() -> Doorkeeper {
        Doorkeeper { marks: Box::default() }
    }

    /// Whether the key of this hash was refused before. If not, it is now.
    pub(super) fn admits(&mut self, hash: u64, limit: usize) -> bool {
        let wanted = (limit / BYTES_FOR_ONE).clamp(FEWEST_MARKS, MOST_MARKS).next_power_of_two();
        if self.marks.len() != wanted {
            self.marks = vec![0; wanted].into_boxed_slice();
        }
        // The upper half of the hash chose the shard, so it is mixed in for the mark.
        let place = hash as usize & (wanted - 1);
        let mark = ((hash ^ hash.rotate_right(21)) >> 20) as u32 | 1;
        let known = self.marks[place] == mark;
        self.marks[place] = if known { 0 } else { mark };
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The finalizer of a common generator: spread over all 64 bits.
    fn hash(number: u64) -> u64 {
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn the_second_time_admits_and_old_marks_are_forgotten() {
        let limit = 256 * BYTES_FOR_ONE;
        let mut doorkeeper = Doorkeeper::new();
        assert!(!doorkeeper.admits(hash(1), limit));
        assert!(doorkeeper.admits(hash(1), limit));
        // Admitted: it starts anew.
        assert!(!doorkeeper.admits(hash(1), limit));
        let early = (100..3100).filter(|&number| doorkeeper.admits(hash(number), limit)).count();
        assert_eq!(early, 0);
        let kept = (100..3100).filter(|&number| doorkeeper.admits(hash(number), limit)).count();
        assert!(kept <= 256, "{kept}");
        assert!(!doorkeeper.admits(hash(1), limit));
        // A change of the limit to another size starts anew.
        assert!(!doorkeeper.admits(hash(5000), limit) && !doorkeeper.admits(hash(5000), 4 * limit));
    }

    #[test]
    fn what_returns_soon_is_admitted() {
        let mut doorkeeper = Doorkeeper::new();
        let limit = 4096 * BYTES_FOR_ONE;
        for number in 0..400 {
            assert!(!doorkeeper.admits(hash(number), limit));
        }
        let admitted = (0..400).filter(|&number| doorkeeper.admits(hash(number), limit)).count();
        assert!(admitted > 340, "{admitted}");
    }
}
