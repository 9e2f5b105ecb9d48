//! One run a level below 0, each level `ratio` times the one above.
//!
//! Targets are set from below: the deepest level that holds anything is as large as it is, each level above a
//! `ratio`-th of it, until a level comes out at most `level1_bytes`; that one is the base, where level 0 goes, and
//! the levels above it stay empty. So nearly all bytes lie in the last level at any size of the database, and the
//! space for stale versions stays near 1 / `ratio`.
//!
//! Scores: level 0 by runs (and by bytes, when few large runs come), others by bytes that are not already being
//! taken away, over the target; and every level by the values that it may hide below, over the budget for those: what
//! is dead in the value log is known only when a compaction has met both the old pointer and the new one, and with
//! large values the pointers are so few that meeting early costs next to nothing. The highest score of at least 1
//! goes first.

use super::{Action, Observation};

/// Targets of the levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Where level 0 is compacted to.
    pub base_level: usize,
    /// Bytes aimed at, by level; 0 for the levels that should be empty.
    pub bytes: Vec<u64>,
}

/// The targets for what is seen.
pub fn targets(seen: &Observation) -> Targets {
    let last = seen.levels.len() - 1;
    let first_used = (1..=last).find(|&level| seen.levels[level].files > 0);
    let largest = (1..=last).map(|level| seen.levels[level].weighted_bytes).max().unwrap_or(0) as f64;
    let base_max = seen.level1_bytes as f64;
    let mut base_level = last;
    let mut base_bytes = largest;
    // What is in use already must stay at or below the base: level 0 may not pass it.
    let lowest_base = first_used.unwrap_or(last);
    while base_level > lowest_base || (base_level > 1 && base_bytes > base_max) {
        base_level -= 1;
        base_bytes /= seen.ratio;
    }
    let base_bytes = base_bytes.clamp(base_max / seen.ratio, base_max);
    let target = |level: usize| match level.checked_sub(base_level) {
        Some(below) => (base_bytes * seen.ratio.powi(below as i32)).min(u64::MAX as f64) as u64,
        None => 0,
    };
    Targets {
        base_level,
        bytes: (0..=last).map(|level| if level == 0 { 0 } else { target(level) }).collect(),
    }
}

/// The compactions that are due, most urgent first. The planner takes the first that can be done.
pub fn choose(seen: &Observation) -> Vec<Action> {
    let targets = targets(seen);
    let mut actions = Vec::new();
    let level0 = &seen.levels[0];
    if level0.runs > 0 && !level0.busy {
        let by_runs = level0.runs as f64 / seen.level0_trigger as f64;
        let by_bytes = if level0.runs > 1 { level0.bytes as f64 / seen.level1_bytes as f64 } else { 0.0 };
        let output_level = targets.base_level;
        let score = by_runs.max(by_bytes).max(by_values(seen, 0));
        actions.push(Action { level: 0, output_level, score });
    }
    for level in 1..seen.levels.len() - 1 {
        if seen.levels[level].files > 0 {
            let target = targets.bytes[level].max(1) as f64;
            let by_bytes = seen.levels[level].idle_bytes as f64 / target;
            let score = by_bytes.max(by_values(seen, level));
            actions.push(Action { level, output_level: level + 1, score });
        }
    }
    actions.retain(is_due);
    actions.sort_by(|a, b| b.score.total_cmp(&a.score));
    actions
}

fn by_values(seen: &Observation, level: usize) -> f64 {
    seen.levels[level].hidden_bytes as f64 / seen.hidden_value_budget as f64
}

fn is_due(action: &Action) -> bool {
    // Exactly at its trigger level 0 is due; a level exactly at its target is where it should be.
    action.score > 1.0 || (action.level == 0 && action.score >= 1.0)
}

/// Bytes above the targets: what compactions must move for the tree to be as it should be.
pub fn debt_bytes(seen: &Observation) -> u64 {
    let targets = targets(seen);
    let level0 = &seen.levels[0];
    let mut debt = if level0.runs >= seen.level0_trigger { level0.bytes } else { 0 };
    for level in 1..seen.levels.len() - 1 {
        debt += seen.levels[level].weighted_bytes.saturating_sub(targets.bytes[level]);
    }
    debt
}

#[cfg(test)]
mod tests {
    use super::super::LevelSeen;
    use super::*;

    fn seen(level0_runs: usize, bytes: &[u64]) -> Observation {
        let level = |runs, bytes| LevelSeen {
            runs,
            files: usize::from(bytes > 0),
            bytes,
            weighted_bytes: bytes,
            idle_bytes: bytes,
            busy: false,
            hidden_bytes: 0,
        };
        let mut levels = vec![level(level0_runs, level0_runs as u64 * 10)];
        levels.extend(bytes.iter().map(|&bytes| level(usize::from(bytes > 0), bytes)));
        Observation { levels, level0_trigger: 4, level1_bytes: 1000, ratio: 10.0, hidden_value_budget: 500 }
    }

    #[test]
    fn an_empty_tree_sends_level_0_to_the_last_level() {
        let seen = seen(4, &[0, 0, 0, 0]);
        assert_eq!(choose(&seen), [Action { level: 0, output_level: 4, score: 1.0 }]);
        assert_eq!(debt_bytes(&seen), 40);
    }

    #[test]
    fn the_base_rises_as_the_last_level_grows() {
        for (last, base) in [(900, 4), (5_000, 3), (50_000, 2), (500_000, 1), (50_000_000, 1)] {
            let targets = targets(&seen(0, &[0, 0, 0, last]));
            assert_eq!(targets.base_level, base, "last level of {last} bytes");
            assert!(targets.bytes[base] <= 1000 && targets.bytes[base] >= 100);
            assert!(targets.bytes[..base].iter().all(|&bytes| bytes == 0));
        }
    }

    #[test]
    fn level_0_never_passes_a_level_that_is_in_use() {
        assert_eq!(targets(&seen(0, &[0, 1, 0, 900])).base_level, 2);
        assert_eq!(targets(&seen(0, &[5, 0, 0, 0])).base_level, 1);
    }

    #[test]
    fn the_most_urgent_comes_first_and_balance_is_left_alone() {
        let due = choose(&seen(8, &[5000, 9_000, 100_000]));
        assert_eq!(due.iter().map(|action| action.level).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(choose(&seen(3, &[1000, 10_000, 100_000])), []);
        assert_eq!(debt_bytes(&seen(3, &[1000, 10_000, 100_000])), 0);
    }

    #[test]
    fn what_hides_values_is_due_however_small_it_is() {
        let mut seen = seen(1, &[0, 40, 900]);
        assert_eq!(choose(&seen), []);
        (seen.levels[0].hidden_bytes, seen.levels[2].hidden_bytes) = (600, 1000);
        let due: Vec<_> = choose(&seen).iter().map(|action| (action.level, action.score)).collect();
        assert_eq!(due, [(2, 2.0), (0, 1.2)]);
    }

    #[test]
    fn what_is_being_taken_away_does_not_count_again() {
        let mut seen = seen(8, &[5000, 9_000, 100_000]);
        seen.levels[0].busy = true;
        seen.levels[1].idle_bytes = 900;
        assert_eq!(choose(&seen), []);
    }
}
