//! Whatever is planned, what is read is the value of the pointer and the key, or nothing.

use super::tests::{append, dir, open, options};
use super::*;
use crate::base::Result;
use crate::base::file_name::{FileKind, path_of};
use crate::cache::EvictionPolicy;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::record::test_env::{Random, TestEnv};

fn key(n: u64) -> Vec<u8> {
    format!("key{n}").into_bytes()
}

fn alone(log: &ValueLog, pointer: &ValuePointer, n: u64) -> Vec<u8> {
    log.read(pointer, 7, &key(n), false, true).unwrap().as_slice().to_vec()
}

#[test]
fn planned_values_are_those_read_alone_in_any_order() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let mut pointers = Vec::new();
    for (at, codec) in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate() {
        log.set_codec(codec);
        pointers.extend((at as u64 * 60..(at as u64 + 1) * 60).map(|n| (n, append(&log, n))));
    }
    let large: Vec<u8> = b"large".iter().cycle().take(50_000).copied().collect();
    log.set_codec(Codec::None);
    pointers.push((240, log.append(7, &key(240), &large).unwrap()));
    let mut random = Random(11);
    let mut ahead = ReadAhead::default();
    for round in 0..200 {
        ahead.clear();
        let count = 1 + random.below(60) as usize;
        let ordered = random.below(2) == 0;
        let first = random.below(180);
        let chosen: Vec<Option<u64>> = (0..count as u64)
            .map(|at| match random.below(8) {
                0 => None,
                _ if ordered => Some(first + at),
                _ => Some(random.below(241)),
            })
            .collect();
        chosen.iter().for_each(|n| ahead.push(n.map(|n| pointers[n as usize].1.0)));
        ahead.plan(&log);
        for (index, n) in chosen.iter().enumerate() {
            match n {
                Some(n) if random.below(4) > 0 => {
                    let told = ahead.read(&log, index, 7, &key(*n), false);
                    assert_eq!(told, *n != 240, "round {round}: long records are left to single reads");
                    let expected = alone(&log, &pointers[*n as usize].1.0, *n);
                    assert!(!told || ahead.value() == expected, "round {round}: value {n}");
                    assert!(
                        !ahead.read(&log, index, 7, b"another key", false)
                            && !ahead.read(&log, index, 8, &key(*n), true)
                    );
                    assert!(ahead.value().is_empty());
                }
                Some(_) => {}
                None => assert!(!ahead.read(&log, index, 7, &key(0), false)),
            }
            ahead.pass(index);
        }
    }
}

#[test]
fn damage_hurts_only_the_record_it_is_in() {
    let env = SimEnv::new(1);
    let how = ValueLogOptions { max_segment_size: 1 << 20, ..options() };
    let log = ValueLog::open(env.clone(), how, Arc::new(AtomicU64::new(5))).unwrap();
    let path = path_of(dir(), FileKind::Segment(5));
    let flip = |at: u64| {
        let mut bytes = env.read_raw(&path);
        bytes[at as usize] ^= 1;
        env.write_raw(&path, &bytes);
    };
    let pointers: Vec<_> = (0..100).map(|n| append(&log, n)).collect();
    let mut random = Random(3);
    for _ in 0..100 {
        let hurt = random.below(100) as usize;
        let at = pointers[hurt].0.offset + random.below(u64::from(pointers[hurt].0.record_len));
        flip(at);
        let mut ahead = ReadAhead::default();
        // A pointer to nowhere, and one into the middle of a record, come along.
        let stray = ValuePointer { offset: 1 << 40, ..pointers[0].0 };
        let inside = ValuePointer { offset: pointers[50].0.offset + 5, ..pointers[50].0 };
        let missing = ValuePointer { segment: 77, ..pointers[0].0 };
        let all = pointers.iter().map(|(pointer, _)| *pointer).chain([stray, inside, missing]);
        all.for_each(|pointer| ahead.push(Some(pointer)));
        ahead.plan(&log);
        for n in 0..100 {
            assert_eq!(ahead.read(&log, n, 7, &key(n as u64), false), n != hurt);
        }
        for (index, n) in [(100, 0), (101, 50), (102, 0)] {
            assert!(!ahead.read(&log, index, 7, &key(n), false));
        }
        flip(at);
    }
}

#[test]
fn a_run_is_one_read_and_one_that_fails_is_given_up() -> Result<()> {
    let faulty = FaultyEnv::new(SimEnv::new(1));
    let how = ValueLogOptions { max_segment_size: 1 << 20, ..options() };
    let log = ValueLog::open(faulty.clone(), how, Arc::new(AtomicU64::new(5)))?;
    let pointers: Vec<_> = (0..200).map(|n| append(&log, n)).collect();
    let bytes: u64 = pointers.iter().map(|(pointer, _)| u64::from(pointer.record_len)).sum();
    let reads = Selection::of(&[OperationClass::Read]).named(".vlog");
    let mut ahead = ReadAhead::default();
    let mut read_all = || {
        ahead.clear();
        pointers.iter().for_each(|(pointer, _)| ahead.push(Some(*pointer)));
        ahead.plan(&log);
        (0..200).filter(|n| ahead.read(&log, *n, 7, &key(*n as u64), false)).count()
    };
    faulty.plan().count(reads.clone());
    assert_eq!(read_all(), 200);
    assert!(faulty.plan().seen() <= 1 + bytes / (100 << 10), "{} reads", faulty.plan().seen());
    faulty.plan().arm(Fault { selection: reads, nth: 0, failure: Failure::BROKEN, lasting: false });
    assert!(read_all() < 200);
    assert_eq!(faulty.plan().fired(), 1);
    faulty.plan().heal();
    assert_eq!(read_all(), 200);
    Ok(())
}

#[test]
fn the_cache_is_asked_for_small_values_while_it_has_them() {
    let env = TestEnv::new();
    let cache = Cache::new(1 << 20, EvictionPolicy::Lru, 0);
    let how = ValueLogOptions { cache: Some(cache.clone()), cache_owner: 1, ..options() };
    let log = ValueLog::open(env.clone(), how, Arc::new(AtomicU64::new(5))).unwrap();
    let pointers: Vec<_> = (0..64).map(|n| append(&log, n)).collect();
    let mut ahead = ReadAhead::default();
    let mut read_all = || {
        let before = cache.stats();
        ahead.clear();
        pointers.iter().for_each(|(pointer, _)| ahead.push(Some(*pointer)));
        ahead.plan(&log);
        for (n, (pointer, _)) in pointers.iter().enumerate() {
            assert!(ahead.read(&log, n, 7, &key(n as u64), false));
            assert_eq!(ahead.value().len(), pointer.value_len as usize);
        }
        let after = cache.stats();
        (after.value_hits - before.value_hits, after.value_misses - before.value_misses)
    };
    assert_eq!(read_all(), (0, 64));
    assert_eq!(read_all(), (0, 8));
    for (n, (pointer, _)) in pointers.iter().enumerate() {
        log.read(pointer, 7, &key(n as u64), true, true).unwrap();
    }
    assert_eq!(read_all(), (8, 0));
    assert_eq!(read_all(), (64, 0));
}

#[test]
fn values_that_are_kept_are_in_the_cache_after_one_read_of_a_run() {
    let env = TestEnv::new();
    let cache = Cache::new(4 << 20, EvictionPolicy::Lru, 0);
    let how = ValueLogOptions {
        cache: Some(cache.clone()),
        cache_owner: 1,
        max_segment_size: 1 << 20,
        ..options()
    };
    let log = ValueLog::open(env.clone(), how, Arc::new(AtomicU64::new(5))).unwrap();
    let mut pointers = Vec::new();
    for (at, codec) in [Codec::None, Codec::Lz4].into_iter().enumerate() {
        log.set_codec(codec);
        pointers.extend((at as u64 * 60..(at as u64 + 1) * 60).map(|n| append(&log, n)));
    }
    let mut ahead = ReadAhead::default();
    let mut read_all = || {
        ahead.clear();
        pointers.iter().for_each(|(pointer, _)| ahead.push(Some(*pointer)));
        ahead.plan(&log);
        let values = pointers.iter().enumerate().map(|(n, _)| {
            assert!(ahead.read(&log, n, 7, &key(n as u64), true));
            ahead.value().to_vec()
        });
        values.collect::<Vec<_>>()
    };
    let first = read_all();
    assert_eq!(cache.stats().inserts, 120);
    // No read is left to do.
    env.faults.fail_reads.store(1, Ordering::Relaxed);
    assert_eq!(read_all(), first);
    for (n, (pointer, _)) in pointers.iter().enumerate() {
        assert_eq!(alone(&log, pointer, n as u64), first[n]);
    }
    assert_eq!(env.faults.fail_reads.load(Ordering::Relaxed), 1);
}

#[test]
fn runs_are_announced_once_one_is_not_in_memory() {
    let env = TestEnv::new();
    let how = ValueLogOptions { max_segment_size: 1 << 20, ..options() };
    let log = ValueLog::open(env.clone(), how, Arc::new(AtomicU64::new(5))).unwrap();
    let pointers: Vec<_> = (0..200).map(|n| append(&log, n)).collect();
    let mut ahead = ReadAhead::default();
    let mut announced_by_reading = |is_cold: bool| {
        env.faults.is_cold.store(is_cold, Ordering::Relaxed);
        let before = env.faults.announced.load(Ordering::Relaxed);
        ahead.clear();
        // Far from each other, so that each is a run.
        let far = (0..200).step_by(40);
        far.clone().for_each(|n| ahead.push(Some(pointers[n].0)));
        ahead.plan(&log);
        for (index, n) in far.enumerate() {
            assert!(ahead.read(&log, index, 7, &key(n as u64), false));
            assert_eq!(ahead.value(), alone(&log, &pointers[n].0, n as u64));
        }
        env.faults.announced.load(Ordering::Relaxed) - before
    };
    assert_eq!(announced_by_reading(false), 0);
    // The first alone, and then all with the gaps between them.
    let whole = pointers[160].0.end() - pointers[0].0.offset;
    assert_eq!(announced_by_reading(true), u64::from(pointers[0].0.record_len) + whole);
    assert_eq!(announced_by_reading(false), 0);
}
