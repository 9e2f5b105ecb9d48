//! Copies verify, stand apart, and what cannot be copied is told.

use super::tests::{append, change, dir, get, open, options};
use super::*;
use crate::base::error::Subcode;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::record::test_env::TestEnv;

fn key(n: u64) -> Vec<u8> {
    format!("key{n}").into_bytes()
}

fn moved(copied: Copied) -> ValuePointer {
    match copied {
        Copied::To(pointer) => pointer,
        Copied::Damaged(what) => panic!("{what}"),
    }
}

#[test]
fn copies_read_as_their_originals_also_after_these_are_gone() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let mut copier = Copier::default();
    let mut pointers = Vec::new();
    for (at, codec) in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate() {
        log.set_codec(codec);
        pointers.extend((at as u64 * 60..(at as u64 + 1) * 60).map(|n| (n, append(&log, n))));
    }
    log.seal_open_segments();
    let victims = pointers.iter().map(|(_, (pointer, _))| pointer.segment).collect();
    let mut moves = Moves::out_of(victims);
    for (n, (pointer, _)) in &pointers {
        moves.push(pointer, &moved(copier.copy(&log, pointer, 7, &key(*n)).unwrap()));
    }
    let holds = copier.finish(&log).unwrap();
    let left = ValuePointer { offset: 1 << 20, ..pointers[0].1.0 };
    moves.push_hidden(&left, 9);
    moves.has_expired(500);
    let relocation = Relocation::new(moves, holds);
    assert!(relocation.has_emptied(left.segment) && relocation.has_emptied(500));
    assert!(!relocation.has_emptied(501));
    let fate = |pointer: &ValuePointer, sequence| relocation.fate(&pointer.to_bytes(), sequence);
    assert_eq!((fate(&left, 9), fate(&left, 8)), (Fate::Hidden, Fate::Stays));
    assert_eq!(relocation.values(), 240);
    let values: Vec<Vec<u8>> =
        pointers.iter().map(|(n, (pointer, _))| get(&log, pointer, *n).unwrap()).collect();
    let mut numbers = Vec::new();
    for ((n, (pointer, hold)), value) in pointers.into_iter().zip(&values) {
        let Fate::Moved(new) = fate(&pointer, 1) else { panic!("value {n} was not moved") };
        assert!(!relocation.victims().contains(&new.segment), "copies stand in segments of their own");
        assert_eq!((new.record_len, new.value_len), (pointer.record_len, pointer.value_len));
        assert_eq!(&get(&log, &new, n).unwrap(), value);
        // The same place with another checksum is another record.
        let other = ValuePointer { checksum: pointer.checksum ^ 1, ..pointer };
        assert_eq!(fate(&other, 1), Fate::Stays);
        drop(hold);
        numbers.push((n, new));
    }
    for victim in log.take_obsolete() {
        assert!(relocation.victims().contains(&victim));
        assert!(log.remove(victim).unwrap() > 0);
    }
    for ((n, new), value) in numbers.iter().zip(&values) {
        assert_eq!(&get(&log, new, *n).unwrap(), value);
    }
    copier.close_segments();
    drop(relocation);
    assert!(!log.take_obsolete().is_empty(), "copies that nothing points to are let go of");
}

#[test]
fn a_damaged_record_is_told_and_the_next_one_is_copied() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let mut copier = Copier::default();
    let (bad, _bad_hold) = append(&log, 1);
    let (good, _good_hold) = append(&log, 2);
    let wrong_key = copier.copy(&log, &good, 7, b"another").unwrap();
    assert!(matches!(wrong_key, Copied::Damaged(what) if what.contains("another key")));
    change(&env, bad.segment, |bytes| bytes[bad.offset as usize + 30] ^= 1);
    let log = open(&env, 50);
    let mut copier = Copier::default();
    let damaged = copier.copy(&log, &bad, 7, &key(1)).unwrap();
    assert!(matches!(&damaged, Copied::Damaged(what) if what.contains("checksum")), "{damaged:?}");
    let far = ValuePointer { offset: 1 << 30, ..good };
    assert!(matches!(copier.copy(&log, &far, 7, &key(2)).unwrap(), Copied::Damaged(_)));
    let short = ValuePointer { record_len: 3, ..good };
    assert!(matches!(copier.copy(&log, &short, 7, &key(2)).unwrap(), Copied::Damaged(_)));
    let copy = moved(copier.copy(&log, &good, 7, &key(2)).unwrap());
    copier.finish(&log).unwrap();
    assert_eq!(get(&log, &copy, 2).unwrap(), get(&log, &good, 2).unwrap());
}

#[test]
fn what_was_finished_survives_a_power_loss_and_a_sync_of_the_log_leaves_copies_alone() {
    let env = SimEnv::new(7);
    let log = ValueLog::open(env.clone(), options(), Arc::new(AtomicU64::new(5))).unwrap();
    let mut copier = Copier::default();
    let (original, _hold) = log.append(7, &key(1), b"some value that is kept").unwrap();
    log.sync(None).unwrap();
    let copy = moved(copier.copy(&log, &original, 7, &key(1)).unwrap());
    let syncs = log.stats().syncs;
    log.sync(None).unwrap();
    assert_eq!(log.stats().syncs, syncs, "the log's sync does not wait for copies");
    assert!(log.durable_marks().iter().all(|(segment, _)| *segment != copy.segment));
    let _held = copier.finish(&log).unwrap();
    for seed in 0..20 {
        let image = env.crash_image(env.journal_len(), ImageKind::RandomSectors, seed);
        let log = ValueLog::open(image, options(), Arc::new(AtomicU64::new(50))).unwrap();
        assert!(log.verify(&copy, 7, &key(1)).unwrap(), "seed {seed}");
    }
}

#[test]
fn a_segment_arrives_with_the_last_compaction_that_writes_to_it() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let arriving = || log.segments().iter().filter(|segment| segment.is_arriving).count();
    let separate = |n: u64| {
        let mut copier = log.take_copier(Origin::Tables);
        copier.append(&log, 7, &key(n), b"inline until now").unwrap();
        copier
    };
    let finish = |mut copier: Copier| {
        let holds = copier.finish(&log).unwrap();
        log.give_back_copier(copier);
        holds
    };
    let first = finish(separate(1));
    let second = finish(separate(2));
    assert_eq!((log.segments().len(), first[0].number()), (1, second[0].number()));
    log.have_arrived(&first);
    assert_eq!(arriving(), 1, "the second compaction's tables are not there yet");
    log.have_arrived(&second);
    assert_eq!(arriving(), 0);
    let mut third = separate(3);
    assert_eq!(arriving(), 1);
    third.abandon(&log);
    log.give_back_copier(third);
    assert_eq!(arriving(), 0, "what was given up never arrives");
    // One that is filled no further is closed some time.
    let last = finish(separate(4));
    log.have_arrived(&last);
    log.set_live(0, 0);
    let open = || log.segments().iter().filter(|s| s.class == SegmentClass::Copies && !s.sealed).count();
    assert_eq!(open(), 1);
    let values: Vec<_> = (0..1000).map(|n| append(&log, n)).collect();
    assert!(
        values.iter().map(|(pointer, _)| u64::from(pointer.record_len)).sum::<u64>()
            > options().max_segment_size
    );
    log.set_live(0, 0);
    assert_eq!(open(), 0);
}

#[test]
fn every_failing_operation_is_told_and_copying_can_begin_again() {
    let mut failures = 0;
    for nth in 0.. {
        let inner = SimEnv::new(3);
        let env = FaultyEnv::new(inner.clone());
        let log = ValueLog::open(env.clone(), options(), Arc::new(AtomicU64::new(5))).unwrap();
        let pointers: Vec<_> = (0..40).map(|n| log.append(7, &key(n), &[n as u8; 300]).unwrap()).collect();
        let selection = Selection::of(&[
            OperationClass::Create,
            OperationClass::Write,
            OperationClass::Sync,
            OperationClass::SyncDir,
            OperationClass::Rename,
        ]);
        env.plan().arm(Fault { selection, nth, failure: Failure::FULL, lasting: false });
        let mut copier = Copier::default();
        let mut run = || -> Result<Vec<ValuePointer>> {
            let mut copies = Vec::new();
            for (n, (pointer, _)) in pointers.iter().enumerate() {
                copies.push(moved(copier.copy(&log, pointer, 7, &key(n as u64))?));
            }
            copier.finish(&log).map(|_| copies)
        };
        let Err(error) = run() else {
            assert_eq!(env.plan().fired(), 0, "operation {nth} failed unnoticed");
            break;
        };
        failures += 1;
        assert!(error.to_string().contains("space") || error.subcode() == Subcode::SyncUnknown, "{error}");
        let copies = run().unwrap_or_else(|_| {
            copier.abandon(&log);
            Vec::new()
        });
        for (n, copy) in copies.iter().enumerate() {
            assert!(log.verify(copy, 7, &key(n as u64)).unwrap());
        }
        let names = inner.list(dir()).unwrap();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
    }
    assert!(failures > 8, "{failures}");
}

/// What flushes write is new: it advances the clock and has the classes of new values. What compactions write is not.
#[test]
fn values_of_memtables_are_new_and_those_of_tables_are_old() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let value = [7; 1000];
    log.set_live(400 * 1000, 400);
    let mut clock = log.lifetimes.now();
    let mut classes = |origin: Origin, n: u64, others: u64| {
        let mut copier = log.take_copier(origin);
        for other in 0..others {
            copier.append(&log, 7, &key(1000 * n + other), &value).unwrap();
        }
        let pointer = copier.append(&log, 7, &key(n), &value).unwrap();
        log.have_arrived(&copier.finish(&log).unwrap());
        log.give_back_copier(copier);
        let passed = log.lifetimes.now() - std::mem::replace(&mut clock, log.lifetimes.now());
        assert_eq!(passed > 0, origin == Origin::Memtables, "{passed} bytes");
        assert!(log.verify(&pointer, 7, &key(n)).unwrap());
        log.segments().iter().find(|segment| segment.number == pointer.segment).unwrap().class
    };
    assert_eq!(classes(Origin::Memtables, 1, 0), SegmentClass::New);
    assert_eq!(classes(Origin::Tables, 1, 0), SegmentClass::Copies);
    assert_eq!(classes(Origin::Memtables, 1, 0), SegmentClass::Hottest);
    assert_eq!(classes(Origin::Memtables, 1, 300), SegmentClass::Warm);
    assert_eq!(classes(Origin::Tables, 1, 300), SegmentClass::Copies);
    let stats = log.stats();
    assert_eq!((stats.values_written, stats.value_bytes), (303, 303_000));
    assert!(stats.flushed_bytes > 0 && stats.flushed_bytes == stats.bytes_written);
    assert!(stats.separated_bytes > 0 && stats.copied_bytes == 0);
}

/// A log's sync does not cover what a flush is writing, marks do not name it, and what has arrived before counts.
#[test]
fn segments_that_flushes_fill_are_left_to_them() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let append = |copier: &mut Copier, n: u64| copier.append(&log, 7, &key(n), &[n as u8; 300]).unwrap();
    let info = |number: u64| log.segments().into_iter().find(|segment| segment.number == number).unwrap();
    let mut copier = log.take_copier(Origin::Memtables);
    let first = append(&mut copier, 1);
    let holds = copier.finish(&log).unwrap();
    log.give_back_copier(copier);
    assert_eq!(
        (info(first.segment).is_arriving, info(first.segment).arrived_len),
        (true, SEGMENT_HEADER_LEN)
    );
    log.have_arrived(&holds);
    let len = info(first.segment).len;
    assert_eq!((info(first.segment).is_arriving, info(first.segment).arrived_len), (false, len));
    let mut copier = log.take_copier(Origin::Memtables);
    let second = append(&mut copier, 2);
    assert_eq!(second.segment, first.segment, "the open segment is used again");
    let holds = copier.finish(&log).unwrap();
    assert_eq!((info(first.segment).is_arriving, info(first.segment).arrived_len), (true, len));
    assert!(info(first.segment).len > len);
    log.have_arrived(&holds);
    log.give_back_copier(copier);
    let mut copier = log.take_copier(Origin::Memtables);
    let third = append(&mut copier, 3);
    let syncs = log.stats().syncs;
    log.sync(None).unwrap();
    assert_eq!(log.stats().syncs, syncs);
    assert!(log.durable_marks().iter().all(|(segment, _)| *segment != third.segment));
    copier.abandon(&log);
    log.give_back_copier(copier);
    assert!(
        !info(first.segment).is_arriving && info(first.segment).sealed,
        "what was given up never arrives"
    );
    assert!(log.verify(&first, 7, &key(1)).unwrap() && log.verify(&second, 7, &key(2)).unwrap());
    // One that is left open where there are no classes is of the first class.
    let mut copier = log.take_copier(Origin::Memtables);
    let fourth = append(&mut copier, 4);
    log.have_arrived(&copier.finish(&log).unwrap());
    log.give_back_copier(copier);
    log.set_live(0, 0);
    assert!(!info(fourth.segment).sealed);
    log.seal_open_segments();
    assert!(info(fourth.segment).sealed);
}
