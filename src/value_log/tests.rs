use super::format::SEGMENT_HEADER_LEN;
use super::*;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, ErrorKind};
use crate::record::test_env::{Random, TestEnv};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const DATABASE: [u8; 16] = *b"a database's id.";

pub(super) fn dir() -> &'static Path {
    Path::new("db/vlog")
}

fn path(segment: u64) -> PathBuf {
    path_of(dir(), FileKind::Segment(segment))
}

pub(super) fn options() -> ValueLogOptions {
    ValueLogOptions::plain(dir(), DATABASE, 4096)
}

fn open_with(env: &Arc<TestEnv>, options: ValueLogOptions, next: u64) -> Result<Arc<ValueLog>> {
    ValueLog::open(env.clone(), options, Arc::new(AtomicU64::new(next)))
}

pub(super) fn open(env: &Arc<TestEnv>, next: u64) -> Arc<ValueLog> {
    open_with(env, options(), next).unwrap()
}

fn value(n: u64) -> Vec<u8> {
    format!("value {n} ").into_bytes().repeat(1 + (n % 40) as usize)
}

fn key(n: u64) -> Vec<u8> {
    format!("key{n}").into_bytes()
}

pub(super) fn get(log: &ValueLog, pointer: &ValuePointer, n: u64) -> Result<Vec<u8>> {
    Ok(log.read(pointer, 7, &key(n), true, true)?.as_slice().to_vec())
}

pub(super) fn append(log: &ValueLog, n: u64) -> (ValuePointer, SegmentRef) {
    log.append(7, &key(n), &value(n)).unwrap()
}

pub(super) fn change(env: &TestEnv, segment: u64, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = env.bytes(&path(segment));
    how(&mut bytes);
    env.put(&path(segment), bytes);
}

fn numbers(log: &ValueLog) -> Vec<u64> {
    log.segments().iter().map(|info| info.number).collect()
}

#[test]
fn values_of_every_codec_round_trip_and_survive_a_reopen() {
    let env = TestEnv::new();
    let log = open(&env, 5);
    let mut pointers = Vec::new();
    for (at, codec) in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().enumerate() {
        log.set_codec(codec);
        for n in at as u64 * 50..(at as u64 + 1) * 50 {
            let (pointer, handle) = append(&log, n);
            assert_eq!((handle.number(), pointer.value_len as usize), (pointer.segment, value(n).len()));
            pointers.push((pointer, handle));
        }
    }
    let (empty, _kept) = log.append(0, b"", b"").unwrap();
    let check = |log: &ValueLog| {
        for (n, (pointer, _)) in pointers.iter().enumerate() {
            assert_eq!(get(log, pointer, n as u64).unwrap(), value(n as u64));
            assert!(log.verify(pointer, 7, &key(n as u64)).unwrap());
        }
        assert_eq!(log.read(&empty, 0, b"", false, true).unwrap().as_slice(), b"");
    };
    check(&log);
    let stats = log.stats();
    assert_eq!((stats.values_written, stats.values_read), (201, 201));
    assert_eq!(stats.value_bytes, (0..200).map(|n| value(n).len() as u64).sum::<u64>());
    let stored: u64 = pointers.iter().map(|(pointer, _)| u64::from(pointer.record_len)).sum();
    assert_eq!(stats.bytes_written, stored + u64::from(empty.record_len));
    assert!(stats.bytes_written < stats.value_bytes, "text is compressed");

    let infos = log.segments();
    assert!(infos.len() > 2 && infos.iter().all(|info| info.len <= 4096));
    assert!(infos.iter().rev().skip(1).all(|info| info.sealed) && !infos.last().unwrap().sealed);
    let again = open(&env, 1000);
    assert!(again.segments().iter().all(|info| info.sealed), "V2");
    check(&again);
    let (pointer, _) = append(&again, 1);
    assert_eq!((pointer.segment, pointer.offset), (1000, SEGMENT_HEADER_LEN));
    check(&open(&env, 2000));
}

#[test]
fn a_record_larger_than_a_segment_has_one_of_its_own() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let big = vec![3u8; 10_000];
    let (first, _a) = append(&log, 1);
    let (large, _b) = log.append(7, b"big", &big).unwrap();
    let (after, _c) = append(&log, 2);
    assert_eq!([first.segment, large.segment, after.segment], [1, 2, 3]);
    assert_eq!(large.offset, SEGMENT_HEADER_LEN);
    assert_eq!(log.read(&large, 7, b"big", false, true).unwrap().as_slice(), big);
    assert_eq!(log.segments().iter().map(|info| info.sealed).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn every_flipped_byte_of_a_segment_is_noticed_or_harmless() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let kept: Vec<_> = (0..8).map(|n| append(&log, n)).collect();
    let good = env.bytes(&path(1));
    for at in 0..good.len() {
        let hit = kept.iter().position(|(pointer, _)| (pointer.offset..pointer.end()).contains(&(at as u64)));
        for flip in [1u8, 0x80, 0xff] {
            change(&env, 1, |bytes| bytes[at] ^= flip);
            let log = open(&env, 100);
            assert_eq!(log.damaged_headers().is_empty(), at as u64 >= SEGMENT_HEADER_LEN);
            for (n, (pointer, _)) in kept.iter().enumerate() {
                let read = get(&log, pointer, n as u64);
                assert_eq!(log.verify(pointer, 7, &key(n as u64)).unwrap(), hit != Some(n));
                if hit != Some(n) {
                    assert_eq!(read.unwrap(), value(n as u64), "byte {at}");
                    continue;
                }
                let error = read.unwrap_err();
                assert!(error.is_corruption() && error.to_string().contains("restore"), "{error}");
                assert_eq!((error.file(), error.offset()), (Some(&*path(1)), Some(pointer.offset)));
            }
            env.put(&path(1), good.clone());
        }
    }
}

#[test]
fn every_cut_leaves_the_values_before_it() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    log.set_codec(Codec::Lz4);
    let kept: Vec<_> = (30..40).map(|n| (n, append(&log, n))).collect();
    let good = env.bytes(&path(1));
    for cut in 0..good.len() {
        for garbage in [false, true] {
            change(&env, 1, |bytes| {
                bytes.truncate(cut);
                if garbage {
                    bytes.resize(good.len(), 0x11);
                }
            });
            let log = open(&env, 100);
            for (n, (pointer, _)) in &kept {
                let whole = pointer.end() <= cut as u64;
                assert_eq!(log.verify(pointer, 7, &key(*n)).unwrap(), whole, "cut at {cut}");
                match get(&log, pointer, *n) {
                    Ok(read) => assert!(whole && read == value(*n), "cut at {cut}"),
                    Err(error) => assert!(!whole && error.is_corruption(), "cut at {cut}: {error}"),
                }
            }
            env.put(&path(1), good.clone());
        }
    }
}

#[test]
fn a_value_passes_for_its_own_pointer_key_and_family_only() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let (one, _a) = log.append(7, b"same", b"first").unwrap();
    let (two, _b) = log.append(7, b"same", b"other").unwrap();
    let refused = |pointer: &ValuePointer, family: u32, key: &[u8]| {
        assert!(!log.verify(pointer, family, key).unwrap());
        let error = log.read(pointer, family, key, true, true).unwrap_err();
        assert!(error.is_corruption(), "{error}");
        error.to_string()
    };
    assert!(refused(&one, 8, b"same").contains("column family"));
    assert!(refused(&one, 7, b"sane").contains("another key"));
    assert!(refused(&one, 7, b"sam").contains("another key"));
    refused(&ValuePointer { offset: two.offset, ..one }, 7, b"same");
    refused(&ValuePointer { checksum: two.checksum, ..one }, 7, b"same");
    refused(&ValuePointer { value_len: 4, ..one }, 7, b"same");
    for record_len in [0, 1, 23, one.record_len - 1, one.record_len + 1, u32::MAX] {
        refused(&ValuePointer { record_len, ..one }, 7, b"same");
    }
    for offset in [0, 63, 1 << 40] {
        refused(&ValuePointer { offset, ..one }, 7, b"same");
    }
    let missing = ValuePointer { segment: 77, ..one };
    assert!(refused(&missing, 7, b"same").contains("000077.vlog"));
    let error = log.read(&missing, 7, b"same", true, true).unwrap_err();
    assert_eq!(error.subcode(), Subcode::MissingFile);
    let error = log.read(&one, 7, b"same", true, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);

    // A record of the right bytes in the wrong place: as after a misdirected write.
    let bytes = env.bytes(&path(1));
    let record = bytes[one.offset as usize..one.end() as usize].to_vec();
    change(&env, 1, |bytes| bytes[two.offset as usize..two.end() as usize].copy_from_slice(&record));
    let log = open(&env, 100);
    assert!(log.verify(&one, 7, b"same").unwrap());
    assert!(!log.verify(&two, 7, b"same").unwrap());
}

#[test]
fn foreign_renamed_and_newer_segments_are_refused() {
    let env = TestEnv::new();
    append(&open(&env, 1), 1);
    let refused = |env: &Arc<TestEnv>, options: ValueLogOptions| -> Error {
        let error = open_with(env, options, 9).err().expect("refused");
        assert!(error.is_corruption(), "{error}");
        error
    };
    let foreign = refused(&env, ValueLogOptions { database: [1; 16], ..options() });
    assert!(foreign.to_string().contains("another database"), "{foreign}");
    env.put(&path(2), env.bytes(&path(1)));
    let renamed = refused(&env, options());
    assert_eq!(renamed.file(), Some(&*path(2)));
    assert!(renamed.to_string().contains("this is segment 1"), "{renamed}");
    env.remove(&path(2));
    // Damaged beyond knowing: what is in them verifies by itself.
    env.put(&path(3), vec![]);
    env.put(&path(4), vec![0; 63]);
    env.put(&path(5), vec![0; 300]);
    let log = open(&env, 9);
    assert_eq!(log.damaged_headers(), [3, 4, 5]);
    assert_eq!(
        log.segments().iter().map(|info| info.len > 0).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    assert_eq!(log.unheld_segments(), [1, 3, 4, 5]);
}

#[test]
fn a_failed_append_seals_the_segment_and_the_next_goes_to_a_new_one() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let (first, _a) = append(&log, 1);
    for tear in [0, 10, 30] {
        *env.faults.tear_next_write.lock() = Some(tear);
        let error = log.append(7, b"k", b"torn").unwrap_err();
        assert_eq!(error.errno(), Some(libc::EIO));
        let active = *numbers(&log).last().unwrap();
        assert!(log.segments().last().unwrap().sealed);
        let (next, _b) = append(&log, 2);
        assert!(next.segment > active, "V1");
        assert_eq!(get(&log, &next, 2).unwrap(), value(2));
    }
    assert_eq!(env.bytes(&path(1)).len() as u64, first.end(), "the torn record was cut off");
    assert_eq!(get(&log, &first, 1).unwrap(), value(1));
    // Creating a segment fails: nothing is left behind, the next append works.
    log.sync(None).unwrap();
    let before = numbers(&log);
    for failure in 0..2 {
        *env.faults.tear_next_write.lock() = Some(0);
        log.append(7, b"k", b"torn").unwrap_err();
        match failure {
            0 => *env.faults.tear_next_write.lock() = Some(0),
            _ => env.faults.fail_next_dir_sync.store(true, Ordering::SeqCst),
        }
        log.append(7, b"k", b"no segment").unwrap_err();
        assert!(!numbers(&log).iter().any(|number| !crate::env::Env::exists(&*env, &path(*number))));
        append(&log, 3);
    }
    assert_eq!(numbers(&log).len(), before.len() + 2);
}

#[test]
fn a_failed_sync_is_final_for_its_segment() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let (lost, _a) = append(&log, 1);
    env.faults.fail_next_sync.store(true, Ordering::SeqCst);
    let error = log.sync(Some(&[lost.segment])).unwrap_err();
    assert_eq!(error.subcode(), Subcode::SyncUnknown);
    assert!(log.segments()[0].sealed);
    let (next, _b) = append(&log, 2);
    assert_eq!(next.segment, 2);
    log.sync(Some(&[2])).unwrap();
    let syncs = env.faults.syncs.load(Ordering::SeqCst);
    for numbers in [None, Some(&[1u64, 2][..])] {
        assert_eq!(log.sync(numbers).unwrap_err().subcode(), Subcode::SyncUnknown);
    }
    assert_eq!(env.faults.syncs.load(Ordering::SeqCst), syncs, "a failed fsync is never tried again");
    assert_eq!(log.durable_marks(), [(1, SEGMENT_HEADER_LEN), (2, next.end())]);
    assert_eq!(get(&log, &lost, 1).unwrap(), value(1), "still readable");
}

#[test]
fn syncs_cover_the_named_segments_and_only_what_is_new() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let kept: Vec<_> = (20..140).map(|n| append(&log, n)).collect();
    let count = numbers(&log).len() as u64;
    assert!(count > 3);
    assert_eq!(env.faults.dir_syncs.load(Ordering::SeqCst), count, "V3");
    log.sync(Some(&[2, 3, 99])).unwrap();
    log.sync(Some(&[2])).unwrap();
    assert_eq!(log.stats().syncs, 2);
    let ends = |segment: u64| kept.iter().filter(|(p, _)| p.segment == segment).map(|(p, _)| p.end()).max();
    assert_eq!(
        log.durable_marks()[..3],
        [(1, SEGMENT_HEADER_LEN), (2, ends(2).unwrap()), (3, ends(3).unwrap())]
    );
    log.sync(None).unwrap();
    assert_eq!(log.stats().syncs, count);
    assert!(log.durable_marks().iter().all(|&(segment, durable)| Some(durable) == ends(segment)));

    // What an earlier open left is not known to be durable; recovery makes it so before it accepts a value.
    let again = open(&env, 100);
    assert_eq!(again.durable_marks(), []);
    assert!(again.verify(&kept[0].0, 7, &key(20)).unwrap());
    assert_eq!((again.durable_marks(), again.stats().syncs), (vec![(1, ends(1).unwrap())], 1));
    again.sync(None).unwrap();
    assert_eq!(again.stats().syncs, count);
}

#[test]
fn an_open_segment_that_nobody_refers_to_can_be_closed() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let (_, hold) = append(&log, 0);
    log.seal_unheld_segments();
    assert!(!log.segments()[0].sealed, "somebody refers to it");
    drop(hold);
    assert_eq!(log.take_obsolete(), [0u64; 0]);
    log.seal_unheld_segments();
    assert_eq!(log.take_obsolete(), [1]);
    log.remove(1).unwrap();
    log.seal_unheld_segments();
    assert_eq!(numbers(&log), [0u64; 0]);
    let (pointer, hold) = append(&log, 1);
    assert_eq!((pointer.segment, get(&log, &pointer, 1).unwrap()), (2, value(1)));
    // Copies too, but none that no table has yet.
    log.seal_open_segments();
    let mut copier = Copier::default();
    let Copied::To(copy) = copier.copy(&log, &pointer, 7, &key(1)).unwrap() else { panic!("it is whole") };
    let copies = copier.finish(&log).unwrap();
    copier.close_unheld();
    assert!(log.segments().iter().any(|info| info.number == copy.segment && !info.sealed));
    drop((hold, copies));
    assert_eq!(log.take_obsolete(), [2]);
    copier.close_unheld();
    assert_eq!(log.take_obsolete(), [copy.segment]);
}

#[test]
fn a_segment_is_obsolete_once_when_its_last_holder_lets_go() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let kept: Vec<_> = (30..140).map(|n| append(&log, n)).collect();
    let last = *numbers(&log).last().unwrap();
    assert_eq!(log.remove(1).unwrap_err().kind(), ErrorKind::Busy);
    let extra = log.hold(2).unwrap();
    assert!(Arc::ptr_eq(&extra, &log.hold(2).unwrap()), "V4");
    drop(kept);
    assert_eq!(log.take_obsolete(), (1..last).filter(|&number| number != 2).collect::<Vec<_>>());
    assert_eq!(log.take_obsolete(), [0u64; 0]);
    assert!(log.hold(1).is_none(), "gone for good");
    assert!(log.hold(last).is_some(), "the queue holds the one it appends to");
    drop(extra);
    assert_eq!(log.take_obsolete(), [2]);
    log.remove(1).unwrap();
    assert!(!crate::env::Env::exists(&*env, &path(1)) && !numbers(&log).contains(&1));
    assert!(log.remove(1).unwrap_err().is_not_found());

    let again = open(&env, 100);
    assert_eq!(again.take_obsolete(), [0u64; 0]);
    let held = again.hold(3).unwrap();
    assert_eq!(again.unheld_segments(), numbers(&again).into_iter().filter(|&n| n != 3).collect::<Vec<_>>());
    again.remove(2).unwrap();
    assert!(again.hold(2).is_none());
    drop(held);
    assert_eq!(again.take_obsolete(), [3]);
    assert!(!again.unheld_segments().contains(&3));
}

#[test]
fn a_read_that_fails_is_tried_once_more() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    let (pointer, _kept) = append(&log, 1);
    env.faults.fail_reads.store(1, Ordering::SeqCst);
    assert_eq!(get(&log, &pointer, 1).unwrap(), value(1));
    env.faults.flip_reads.store(1, Ordering::SeqCst);
    assert_eq!(get(&log, &pointer, 1).unwrap(), value(1));
    env.faults.fail_reads.store(2, Ordering::SeqCst);
    let error = get(&log, &pointer, 1).unwrap_err();
    assert_eq!((error.errno(), error.offset()), (Some(libc::EIO), Some(pointer.offset)));
    env.faults.fail_reads.store(2, Ordering::SeqCst);
    assert_eq!(log.verify(&pointer, 7, &key(1)).unwrap_err().errno(), Some(libc::EIO));
    env.faults.flip_reads.store(2, Ordering::SeqCst);
    assert!(get(&log, &pointer, 1).unwrap_err().is_corruption());
}

#[test]
fn what_is_too_long_is_refused_before_anything_is_written() {
    let env = TestEnv::new();
    let log = open(&env, 1);
    // Zeros that are never touched cost no memory.
    let huge = vec![0u8; u32::MAX as usize - 20];
    assert_eq!(log.append(0, b"key", &huge).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(numbers(&log), [0u64; 0]);
}

#[test]
fn writers_readers_and_syncs_work_side_by_side() {
    let env = TestEnv::new();
    let options =
        ValueLogOptions { max_segment_size: 1 << 16, write_queues: 3, codec: Codec::Lz4, ..options() };
    let log = open_with(&env, options, 1).unwrap();
    let done = AtomicBool::new(false);
    let threads = 5;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                log.sync(None).unwrap();
                assert!(log.durable_marks().is_sorted());
            }
        });
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    let mut random = Random(thread + 1);
                    let mut kept = Vec::new();
                    for n in 0..400 {
                        let n = thread * 1000 + n;
                        kept.push((n, append(log, n)));
                        let at = random.below(kept.len() as u64) as usize;
                        let (m, (pointer, handle)) = &kept[at];
                        assert_eq!(get(log, pointer, *m).unwrap(), value(*m));
                        assert_eq!(
                            log.hold(handle.number()).map(|held| Arc::ptr_eq(&held, handle)),
                            Some(true)
                        );
                        if random.below(50) == 0 {
                            log.sync(Some(&[pointer.segment])).unwrap();
                            let marks = log.durable_marks();
                            assert!(marks.iter().any(|&(n, to)| n == pointer.segment && to >= pointer.end()));
                        }
                    }
                    kept.into_iter().map(|(n, (pointer, _))| (n, pointer)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut written: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        for (n, pointer) in &written {
            assert_eq!(get(&log, pointer, *n).unwrap(), value(*n));
        }
        // Every byte of every segment is in exactly one record.
        written.sort_by_key(|(_, pointer)| *pointer);
        for pair in written.windows(2) {
            let ((_, one), (_, next)) = (&pair[0], &pair[1]);
            let expected = if one.segment == next.segment { one.end() } else { SEGMENT_HEADER_LEN };
            assert_eq!(next.offset, expected, "V1");
        }
    });
    assert_eq!(log.stats().values_written, threads * 400);
    let mut obsolete = log.take_obsolete();
    obsolete.sort();
    let sealed: Vec<u64> = log.segments().iter().filter(|info| info.sealed).map(|info| info.number).collect();
    assert_eq!(obsolete, sealed, "each sealed segment once, for nobody holds any");
}
