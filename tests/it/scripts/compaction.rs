//! What compactions leave: no file that nothing needs, and no entry that a filter did not see.

use super::{Fixture, keys, noise};
use crate::support::settings::{family, tiny};
use auradb::base::extension::{CompactionFilter, FilterDecision};
use auradb::db::ColumnFamilyOptions;
use auradb::env::simulated::SimEnv;
use std::sync::Arc;

/// Tables of the family, in any level.
fn live_tables(fixture: &Fixture) -> u64 {
    (0..7).map(|level| fixture.number(&format!("rocksdb.num-files-at-level{level}"))).sum()
}

#[test]
fn merged_tables_are_gone_after_a_compaction_by_hand() {
    let fixture = Fixture::tiny();
    keys(200).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 20)));
    fixture.compact();
    assert_eq!(fixture.count(".sst") as u64, live_tables(&fixture));
}

#[test]
fn merged_tables_are_gone_after_a_compaction_in_the_background() {
    let fixture = Fixture::tiny();
    while fixture.number("auradb.compactions") == 0 {
        keys(50).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 20)));
        fixture.flush();
    }
    assert_eq!(fixture.count(".sst") as u64, live_tables(&fixture));
}

#[test]
fn segments_are_gone_when_nothing_points_there() {
    let fixture = Fixture::tiny();
    keys(60).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 400)));
    fixture.flush();
    let before = fixture.count(".vlog");
    assert!(before > 4);
    keys(60).for_each(|key| fixture.put(key, "small"));
    fixture.compact();
    fixture.put("one", "more");
    fixture.flush();
    let left = fixture.count(".vlog");
    assert!(left <= 2, "{left} segments of {before} are left though nothing points into a sealed one");
}

/// Removes keys with an odd last digit and rewrites those with a 4.
struct Judge;

impl CompactionFilter for Judge {
    fn name(&self) -> &str {
        "test.judge"
    }
    fn filter(&self, _: u32, key: &[u8], value: &[u8]) -> FilterDecision {
        match key.last() {
            Some(digit) if digit % 2 == 1 => FilterDecision::Remove,
            Some(b'4') => FilterDecision::Change([b"changed from ", &value[..4]].concat()),
            _ => FilterDecision::Keep,
        }
    }
}

#[test]
fn a_compaction_by_hand_shows_every_key_to_the_filter() {
    for (rounds, len) in [(1, 10), (1, 300), (4, 10), (4, 300)] {
        let options = ColumnFamilyOptions { compaction_filter: Some(Arc::new(Judge)), ..family(&tiny()) };
        let fixture = Fixture::with(SimEnv::new(1), &tiny(), &options);
        for round in 0..rounds {
            for (number, key) in keys(40).enumerate() {
                fixture.put(key, noise(number + round, len));
            }
            fixture.flush();
        }
        fixture.compact();
        for (number, key) in keys(40).enumerate() {
            let written = noise(number + rounds - 1, len);
            // What a compaction before changed is changed again: only that it was is certain.
            match number % 10 {
                4 => assert!(fixture.get(&key).unwrap().starts_with(b"changed from "), "{key}"),
                odd if odd % 2 == 1 => assert_eq!(fixture.get(&key), None, "{key}"),
                _ => assert_eq!(fixture.get(&key), Some(written), "{key}"),
            }
        }
    }
}
