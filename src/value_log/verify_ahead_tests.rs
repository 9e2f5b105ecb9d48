//! Whatever is pushed, and in whichever thread it is checked, the verdicts are those of `ValueLog::verify`.

use super::tests::options;
use super::*;
use crate::base::file_name::{FileKind, path_of};
use crate::env::posix::PosixEnv;
use crate::env::simulated::SimEnv;
use crate::env::{Env, OpenMode};
use crate::record::test_env::{Random, TestEnv};
use std::io::IoSlice;
use std::path::Path;

type Written = Vec<(Vec<u8>, ValuePointer)>;

fn open(env: &Arc<dyn Env>, dir: &Path, next: u64) -> Arc<ValueLog> {
    let options = ValueLogOptions {
        dir: dir.to_path_buf(),
        max_segment_size: 1 << 20,
        write_queues: 2,
        codec: Codec::Lz4,
        ..options()
    };
    ValueLog::open(env.clone(), options, Arc::new(AtomicU64::new(next))).unwrap()
}

/// Values of all classes, so that those of one segment stand apart in the log.
fn write(env: &Arc<dyn Env>, dir: &Path, random: &mut Random) -> Written {
    let log = open(env, dir, 1);
    log.set_live(1 << 20, 1000);
    let mut written = Vec::new();
    for _ in 0..300 {
        let key = format!("key{}", random.below(60)).into_bytes();
        let len = match random.below(60) {
            0 => 600_000,
            1..=9 => 30_000,
            _ => random.below(2000) as usize,
        };
        let (pointer, _) = log.append(7, &key, &random.bytes(len)).unwrap();
        written.push((key, pointer));
    }
    written
}

fn damage(env: &Arc<dyn Env>, dir: &Path, written: &Written, random: &mut Random) {
    for _ in 0..random.below(6) {
        let (_, pointer) = &written[random.below(written.len() as u64) as usize];
        let path = path_of(dir, FileKind::Segment(pointer.segment));
        if !env.exists(&path) {
            continue;
        }
        match random.below(8) {
            0 => env.remove_file(&path).unwrap(),
            1 => env.open(&path, OpenMode::ReadWrite).unwrap().truncate(pointer.end() - 1).unwrap(),
            _ => {
                let file = env.open(&path, OpenMode::ReadWrite).unwrap();
                let at = pointer.offset + random.below(u64::from(pointer.record_len));
                let mut byte = [0];
                if file.read_at(at, &mut byte).unwrap() == 1 {
                    file.write_at(at, &[IoSlice::new(&[byte[0] ^ 1])]).unwrap();
                }
            }
        }
    }
}

fn check(env: &Arc<dyn Env>, dir: &Path, seed: u64) {
    let mut random = Random(seed);
    let written = write(env, dir, &mut random);
    damage(env, dir, &written, &mut random);
    let plain = open(env, dir, 1000);
    let expected: Vec<bool> =
        written.iter().map(|(key, pointer)| plain.verify(pointer, 7, key).unwrap()).collect();
    let log = open(env, dir, 1000);
    let mut ahead = VerifyAhead::new(&log);
    let place =
        |at: usize| LogPlace { log: 1 + at as u64 / 100, offset: at as u64 / 3, record: at as u32 % 3 };
    let (mut pushed, pushes_all) = (0, random.below(2) == 0);
    for (at, (key, pointer)) in written.iter().enumerate() {
        while pushed < written.len() && ahead.has_room() && random.below(20) > 0 {
            if pushed >= at && (pushes_all || random.below(10) > 0) {
                ahead.push(place(pushed), &written[pushed].1, 7, &written[pushed].0);
            }
            pushed += 1;
        }
        if pushes_all || random.below(10) > 0 {
            let got = ahead.verify(place(at), pointer, 7, key).unwrap();
            assert_eq!(got, expected[at], "seed {seed}, record {at} at {pointer:?}");
        }
        if at % 3 == 2 {
            let place = LogPlace { record: 10, ..place(at) };
            let other = [key, &b"x"[..]].concat();
            assert!(!ahead.verify(place, pointer, 7, &other).unwrap(), "seed {seed}: another key");
        }
        if random.below(500) == 0 {
            break;
        }
    }
}

#[test]
fn verdicts_are_the_same_without_threads() {
    for seed in 1..=20 {
        check(&(SimEnv::new(seed) as Arc<dyn Env>), Path::new("/db/vlog"), seed * 7919);
    }
    for seed in 21..=25 {
        check(&(TestEnv::new() as Arc<dyn Env>), Path::new("/db/vlog"), seed * 7919);
    }
}

#[test]
fn verdicts_are_the_same_with_threads() {
    for seed in 1..=10 {
        let dir = std::env::temp_dir().join(format!("auradb-verify-{}-{seed}", std::process::id()));
        check(&PosixEnv::shared(), &dir, seed * 104_729);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_segment_is_synced_before_its_values_are_read_and_only_when_one_is_asked_for() {
    let env = SimEnv::new(4);
    let dir = Path::new("/db/vlog");
    let shared: Arc<dyn Env> = env.clone();
    let written = write(&shared, dir, &mut Random(9));
    let log = open(&shared, dir, 1000);
    let mut ahead = VerifyAhead::new(&log);
    let place = |at: usize| LogPlace { log: 1, offset: at as u64, record: 0 };
    for (at, (key, pointer)) in written.iter().enumerate() {
        ahead.push(place(at), pointer, 7, key);
    }
    let before = env.journal_len();
    assert_eq!(log.stats().syncs, 0);
    let (key, first) = &written[0];
    assert!(ahead.verify(place(0), first, 7, key).unwrap());
    assert_eq!((log.stats().syncs, env.journal_len() - before), (1, 1));
    assert_eq!(log.durable_marks().iter().map(|(segment, _)| *segment).collect::<Vec<_>>(), [first.segment]);
}

#[test]
fn what_waits_is_bounded() {
    let env: Arc<dyn Env> = SimEnv::new(5);
    let dir = Path::new("/db/vlog");
    let log = open(&env, dir, 1);
    let (pointer, _held) = log.append(7, b"key", b"value").unwrap();
    let mut ahead = VerifyAhead::new(&log);
    let mut pushed = 0;
    while ahead.has_room() {
        ahead.push(LogPlace { log: 1, offset: pushed, record: 0 }, &pointer, 7, b"key");
        pushed += 1;
    }
    assert_eq!(pushed, 1 << 15);
    for offset in 0..pushed {
        assert!(ahead.verify(LogPlace { log: 1, offset, record: 0 }, &pointer, 7, b"key").unwrap());
    }
    assert!(ahead.has_room());
}
