//! Values read and copied past the page cache are those that were written, also when the device lets them down.

use super::tests::options;
use super::*;
use crate::base::file_name::{FileKind, path_of};
use crate::cache::EvictionPolicy;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::record::test_env::Random;

/// A value log in `env`, with everything direct.
fn open(env: Arc<dyn Env>, cache: Option<Arc<Cache>>, segment: u64, next: u64) -> Arc<ValueLog> {
    let direct = DirectIo::new(true, true);
    let how = ValueLogOptions { max_segment_size: segment, cache, cache_owner: 1, direct, ..options() };
    ValueLog::open(env, how, Arc::new(AtomicU64::new(next))).unwrap()
}

fn key(n: u64) -> Vec<u8> {
    format!("key{n}").into_bytes()
}

/// Half of them compress; the longest are longer than what is read with one call ahead of a scan.
fn value(n: u64) -> Vec<u8> {
    let mut random = Random(n + 1);
    let longest = [10, 600, 5000, 20_000, 70_000, 200_000][random.below(6) as usize];
    let len = random.below(longest) as usize;
    let is_random = random.below(2) == 0;
    (0..len).map(|at| if is_random { random.below(256) as u8 } else { (at / 300) as u8 }).collect()
}

fn append(log: &ValueLog, n: u64) -> (ValuePointer, SegmentRef) {
    log.append(7, &key(n), &value(n)).unwrap()
}

fn check(log: &ValueLog, pointer: &ValuePointer, n: u64, what: &str) {
    for fill_cache in [false, true, true] {
        let got =
            log.read(pointer, 7, &key(n), fill_cache, true).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(got.as_slice() == value(n), "{what}: value {n}");
    }
}

fn check_ahead(log: &ValueLog, pointers: &[(u64, ValuePointer)], what: &str) {
    let mut ahead = ReadAhead::default();
    pointers.iter().for_each(|(_, pointer)| ahead.push(Some(*pointer)));
    ahead.plan(log);

    let mut shown = 0;
    for (index, (n, _)) in pointers.iter().enumerate() {
        if ahead.read(log, index, 7, &key(*n), index % 2 == 0) {
            assert!(ahead.value() == value(*n), "{what}: value {n}");
            shown += 1;
        }
        ahead.pass(index);
    }
    assert!(2 * shown > pointers.len(), "{what}: {shown} of {} were read ahead", pointers.len());
}

#[test]
fn values_are_the_same_before_and_after_they_are_durable_copied_and_reopened() {
    for seed in 0..12u64 {
        let what = format!("seed {seed}");
        let mut random = Random(seed + 100);
        let env = SimEnv::new(seed);
        env.set_direct_alignment([512, 4096, 16384, 1][seed as usize % 4]);
        let cache = (seed % 3 > 0).then(|| Cache::new(1 << random.below(24), EvictionPolicy::Arc, 0));
        let segment = [5000, 100_000, 1 << 20][random.below(3) as usize];
        let log = open(env.clone(), cache.clone(), segment, 1);
        log.set_codec([Codec::None, Codec::Lz4][random.below(2) as usize]);
        let mut held = Vec::new();
        for n in 0..60 {
            let (pointer, hold) = append(&log, n);
            check(&log, &pointer, n, &what);
            held.push((n, pointer, hold));
            if random.below(9) == 0 {
                log.sync(None).unwrap();
            }
            let (n, pointer, _) = &held[random.below(held.len() as u64) as usize];
            check(&log, pointer, *n, &what);
        }
        let pointers: Vec<_> = held.iter().map(|(n, pointer, _)| (*n, *pointer)).collect();
        check_ahead(&log, &pointers, &what);
        log.seal_open_segments();
        log.sync(None).unwrap();
        check_ahead(&log, &pointers, &what);
        assert_eq!(log.options.direct.opened() > 0, seed % 4 != 3, "{what}");

        let (mut copier, mut copies) = (Copier::default(), Vec::new());
        for round in pointers.chunks(1 + random.below(30) as usize) {
            for (n, pointer) in round {
                match copier.copy(&log, pointer, 7, &key(*n)).unwrap() {
                    Copied::To(copy) => copies.push((*n, copy)),
                    Copied::Damaged(why) => panic!("{what}: {why}"),
                }
            }
            held.extend(copier.finish(&log).unwrap().into_iter().map(|hold| (0, round[0].1, hold)));
            copies.iter().for_each(|(n, copy)| check(&log, copy, *n, &what));
        }
        copier.close_segments();
        drop((held, copier, log));
        let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, seed);
        let log = open(image, cache, segment, 1000);
        for (n, pointer) in pointers.iter().chain(&copies) {
            check(&log, pointer, *n, &what);
            assert!(log.verify(pointer, 7, &key(*n)).unwrap(), "{what}");
        }
        check_ahead(&log, &copies, &what);
    }
}

/// P1: what the page cache alone has, because a sync has failed, is read through it; what the device has, past it.
#[test]
fn after_a_failed_sync_all_values_can_be_read() {
    let env = FaultyEnv::new(SimEnv::new(1));
    let log = open(env.clone(), None, 1 << 20, 1);
    let mut held: Vec<_> = (0..30).map(|n| (n, append(&log, n))).collect();
    log.sync(None).unwrap();
    held.extend((30..60).map(|n| (n, append(&log, n))));
    let selection = Selection::of(&[OperationClass::Sync]).named(".vlog");
    env.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
    assert!(log.sync(None).is_err());
    env.plan().heal();
    for _ in 0..2 {
        held.iter().for_each(|(n, (pointer, _))| check(&log, pointer, *n, "after the failure"));
        log.abandon_tail(held[0].1.0.segment);
    }
    assert!(log.options.direct.opened() > 0, "what is durable is read past the page cache");
}

#[test]
fn descriptors_that_cannot_be_had_are_done_without() {
    let env = FaultyEnv::new(SimEnv::new(1));
    let log = open(env.clone(), None, 100_000, 1);
    let held: Vec<_> = (0..40).map(|n| (n, append(&log, n))).collect();
    log.seal_open_segments();
    log.sync(None).unwrap();
    let selection = Selection::of(&[OperationClass::Open]).named(".vlog");
    env.plan().arm(Fault { selection, nth: 0, failure: Failure::TOO_MANY_FILES, lasting: true });
    held.iter().for_each(|(n, (pointer, _))| check(&log, pointer, *n, "without descriptors"));
    assert!(env.plan().fired() > 0 && log.options.direct.opened() == 0);
    env.plan().heal();
    held.iter().for_each(|(n, (pointer, _))| check(&log, pointer, *n, "with descriptors"));
    assert!(log.options.direct.opened() > 0);
}

#[test]
fn damage_is_found_past_the_page_cache_too() {
    let env = SimEnv::new(1);
    let log = open(env.clone(), None, 1 << 20, 5);
    let held: Vec<_> = (0..40).map(|n| (n, append(&log, n))).collect();
    log.seal_open_segments();
    log.sync(None).unwrap();
    let mut random = Random(5);
    for (n, (pointer, _)) in &held {
        let path = path_of(&log.options.dir, FileKind::Segment(pointer.segment));
        let mut bytes = env.read_raw(&path);
        let at = (pointer.offset + random.below(u64::from(pointer.record_len))) as usize;
        bytes[at] ^= 1;
        env.write_raw(&path, &bytes);
        let error = log.read(pointer, 7, &key(*n), true, true).unwrap_err();
        assert!(error.is_corruption() && error.offset() == Some(pointer.offset), "{error}");
        assert!(!log.verify(pointer, 7, &key(*n)).unwrap());
        bytes[at] ^= 1;
        env.write_raw(&path, &bytes);
        check(&log, pointer, *n, "healed");
    }
}
