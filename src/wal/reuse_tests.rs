//! Logs in files that held other logs: whatever stands there of those, none of it is shown, and none of it is called a
//! loss. The environment draws the same salt every time, so that the number alone tells one log from the other.

use super::format::FIRST_FRAME;
use super::tests::{DATABASE, dir, files, path, point_in_time, replay_files};
use super::*;
use crate::base::Result;
use crate::base::file_name::{FileKind, path_of};
use crate::env::{Env, File, OpenMode};
use crate::record::test_env::{Random, TestEnv};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CAPACITY: u64 = 8192;

fn header(number: u64) -> WalHeader {
    WalHeader { database: DATABASE, number, previous: Previous::ToldLater }
}

fn fresh(env: &dyn Env, number: u64) -> WalWriter {
    let options = WalWriterOptions { mapped: true, capacity: CAPACITY, buffer_size: 1024 };
    WalWriter::create(env, dir(), &header(number), options).unwrap()
}

/// The file of `old` as log `number`.
fn reused(env: &dyn Env, number: u64, mut old: WalWriter) -> WalWriter {
    old.put_by(env, dir()).unwrap();
    WalWriter::create_in(env, dir(), &header(number), old).unwrap()
}

/// All of one length, so that frames of all logs stand at the same places.
fn payload(log: u64, n: usize) -> Vec<u8> {
    format!("frame {n:04} of log {log:04} ").into_bytes().repeat(4)
}

/// Says that it continues a log that is not needed any more, and appends; where frames start, and the end.
fn fill(writer: &mut WalWriter, frames: usize) -> Vec<u64> {
    let log = writer.position().log;
    writer.continue_from(WalPosition { log: 1, offset: FIRST_FRAME }).unwrap();
    let mut places = vec![writer.position().offset];
    for n in 0..frames {
        // The log before it claims durability for everything: if its marks counted, every tear would be rot.
        let mark = DurableMark { wal: writer.position(), segments: vec![] };
        places.push(writer.append(&[&payload(log, n)], (n % 3 == 0).then_some(&mark)).unwrap().offset);
    }
    places
}

fn all(log: u64, frames: usize) -> Vec<Vec<u8>> {
    (0..frames).map(|n| payload(log, n)).collect()
}

const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TolerateCorruptedTail,
    RecoveryMode::AbsoluteConsistency,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipCorrupted,
];

#[test]
fn of_the_log_before_nothing_is_shown_and_nothing_called_lost() {
    for frames in 0..30 {
        let env = TestEnv::new();
        let mut old = fresh(&*env, 4);
        fill(&mut old, 40);
        let mut middle = reused(&*env, 6, old);
        fill(&mut middle, 35);
        let mut writer = reused(&*env, 9, middle);
        for mode in MODES {
            let (shown, report) = replay_files(&env, &files(&[9]), mode).unwrap();
            assert_eq!((shown.len(), report.dropped_bytes, report.ended_early), (0, 0, None), "{mode:?}");
        }
        fill(&mut writer, frames);
        for mode in MODES {
            let (shown, report) = replay_files(&env, &files(&[9]), mode).unwrap();
            assert_eq!(shown, all(9, frames), "{mode:?}");
            assert_eq!((report.dropped_bytes, report.ended_early), (0, None), "{mode:?}");
            assert_eq!(report.end, (frames > 0).then_some(writer.position()));
        }
        assert_eq!(env.bytes(&path(9)).len() as u64, CAPACITY);
        let end = writer.finish().unwrap();
        assert_eq!(env.bytes(&path(9)).len() as u64, end.offset, "cut at a close as any other");
        assert_eq!(env.list(dir()).unwrap(), ["000009.log"]);
    }
}

/// Writes that never came to the device leave the log before, whose frames stand at the same places and are whole.
#[test]
fn whole_frames_of_the_log_before_are_a_torn_tail() {
    let env = TestEnv::new();
    let mut old = fresh(&*env, 4);
    fill(&mut old, 40);
    let before = env.bytes(&path(4));
    let mut writer = reused(&*env, 6, old);
    let places = fill(&mut writer, 30);
    let after = env.bytes(&path(6));
    for from in (FIRST_FRAME as usize..places[30] as usize).step_by(3) {
        for to in [from + 512, after.len()] {
            let mut bytes = after.clone();
            let to = to.min(bytes.len());
            bytes[from..to].copy_from_slice(&before[from..to]);
            env.put(&path(6), bytes);
            let is_there = |from: u64, to: u64| {
                let range = from as usize..to as usize;
                env.bytes(&path(6))[range.clone()] == after[range]
            };
            let frames: Vec<bool> = (0..30).map(|n| is_there(places[n], places[n + 1])).collect();
            let whole = if is_there(FIRST_FRAME, places[0]) {
                frames.iter().position(|there| !there)
            } else {
                assert!(from < places[0] as usize);
                Some(0)
            };
            let whole = whole.unwrap_or(30);
            let bad = if is_there(FIRST_FRAME, places[0]) { places[whole] } else { FIRST_FRAME };
            // A mark of a later frame that is there says that this part had been synced: then it is no tear.
            let known = (0..30).filter(|n| n % 3 == 0 && frames[*n]).map(|n| places[n]).max().unwrap_or(0);
            let result = point_in_time(&env, &[6]);
            if known > bad {
                assert!(result.unwrap_err().is_corruption(), "{from}..{to}");
                continue;
            }
            let (shown, report) = result.unwrap_or_else(|error| panic!("{from}..{to}: {error}"));
            assert_eq!(shown, all(6, whole), "{from}..{to}");
            assert!(report.dropped_bytes <= places[30] - bad, "{from}..{to}");
        }
    }
}

/// A value may be anything, also a frame for the place where it will stand, of a log that is yet to come.
#[test]
fn a_frame_forged_in_a_value_of_the_log_before_is_none() {
    let env = TestEnv::new();
    let mut old = fresh(&*env, 4);
    old.continue_from(WalPosition { log: 1, offset: FIRST_FRAME }).unwrap();
    let first = old.position().offset;
    // As the log would be with no salt, which the writer of values cannot know.
    let forged_env = TestEnv::new();
    let mut forged = fresh(&*forged_env, 6);
    forged.continue_from(WalPosition { log: 1, offset: FIRST_FRAME }).unwrap();
    forged.append(&[&vec![0; 500]], None).unwrap();
    let place = forged.append(&[b"forged"], None).unwrap().offset;
    let value = forged_env.bytes(&path(6))[first as usize + 12..place as usize].to_vec();
    old.append(&[&value], None).unwrap();
    let before = env.bytes(&path(4));
    assert_eq!(before[first as usize + 12..place as usize], value[..]);
    let mut writer = reused(&*env, 6, old);
    writer.continue_from(WalPosition { log: 1, offset: FIRST_FRAME }).unwrap();
    let end = writer.append(&[&vec![1; 500]], None).unwrap().offset as usize;
    let mut bytes = env.bytes(&path(6));
    bytes[end..].copy_from_slice(&before[end..]);
    env.put(&path(6), bytes);
    assert_eq!(point_in_time(&env, &[6]).unwrap().0, [vec![1; 500]]);
}

/// Sectors of this log, of the two before it, zeros and rubbish in any order: a prefix, with what was synced.
#[test]
fn any_mix_of_lives_is_a_prefix_with_everything_that_was_synced() {
    for seed in 1..400 {
        let mut random = Random(seed * 104_729);
        let env = TestEnv::new();
        let mut writer = fresh(&*env, 4);
        let mut lives = Vec::new();
        for number in [6, 8] {
            fill(&mut writer, random.below(45) as usize);
            lives.push(env.bytes(writer.path()));
            writer = reused(&*env, number, writer);
        }
        let synced = random.below(30) as usize;
        writer.continue_from(WalPosition { log: 1, offset: FIRST_FRAME }).unwrap();
        let mut places = vec![writer.position().offset];
        for n in 0..40 {
            let durable = places[n.min(synced)];
            let mark = DurableMark { wal: WalPosition { log: 8, offset: durable }, segments: vec![] };
            let mark = (random.below(4) == 0).then_some(&mark);
            let for_sync = random.below(2) == 0;
            places.push(writer.append_frame(&[&payload(8, n)], mark, for_sync).unwrap().offset);
        }
        let mut bytes = env.bytes(&path(8));
        let durable = places[synced] as usize;
        for (at, piece) in bytes[durable..].chunks_mut(64).enumerate() {
            let from = durable + at * 64;
            match random.below(6) {
                0 => piece.fill(0),
                1 => piece.copy_from_slice(&random.bytes(piece.len())),
                2 => piece.copy_from_slice(&lives[0][from..from + piece.len()]),
                3 => piece.copy_from_slice(&lives[1][from..from + piece.len()]),
                _ => {}
            }
        }
        env.put(&path(8), bytes);
        let (shown, report) =
            point_in_time(&env, &[8]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(shown.len() >= synced, "seed {seed}");
        assert_eq!(shown, all(8, shown.len()), "seed {seed}");
        // A log without a frame may be passed over.
        if !shown.is_empty() || report.end.is_some() {
            assert_eq!(report.end, Some(WalPosition { log: 8, offset: places[shown.len()] }), "seed {seed}");
        }
        // Rot in what a mark that is there covers is no tear.
        let mut known = 0;
        replay(&*env, &files(&[8]), DATABASE, RecoveryMode::SkipCorrupted, &mut |frame| {
            known = frame.durable.wal.offset;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        if known > places[0] {
            let mut bytes = env.bytes(&path(8));
            bytes[places[0] as usize + 20] ^= 4;
            env.put(&path(8), bytes);
            let rotten = point_in_time(&env, &[8]);
            assert!(rotten.is_err_and(|error| error.is_corruption()), "seed {seed}");
        }
    }
}

#[test]
fn a_file_in_use_or_that_failed_to_sync_is_not_free() {
    let env = TestEnv::new();
    let mut writer = fresh(&*env, 4);
    assert!(writer.is_free());
    let (syncer, pages) = (writer.syncer(), writer.pages());
    assert!(!writer.is_free());
    drop(pages);
    writer.append(&[b"x"], None).unwrap();
    env.faults.fail_next_sync.store(true, Ordering::SeqCst);
    assert!(syncer.sync().is_err());
    drop(syncer);
    assert!(!writer.is_free(), "what its pages are nobody knows");
}

#[test]
fn what_fails_leaves_neither_the_old_file_nor_the_new_one() {
    let env = TestEnv::new();
    for way in 0..3 {
        let mut old = fresh(&*env, 4);
        fill(&mut old, 3);
        old.put_by(&*env, dir()).unwrap();
        assert_eq!(env.list(dir()).unwrap(), ["000004.tmp"]);
        match way {
            0 => *env.faults.tear_next_write.lock() = Some(20),
            1 => env.faults.fail_next_sync.store(true, Ordering::SeqCst),
            _ => env.faults.fail_next_dir_sync.store(true, Ordering::SeqCst),
        }
        assert!(WalWriter::create_in(&*env, dir(), &header(6), old).is_err());
        assert!(env.list(dir()).unwrap().is_empty(), "way {way}");
    }
}

/// Puts a log's file to another use when the log is opened, or after so many reads of it.
struct Overtaken {
    inner: Arc<TestEnv>,
    spare: parking_lot::Mutex<Option<WalWriter>>,
    at_open: AtomicBool,
}

struct OvertakenFile(Arc<dyn File>, Arc<Overtaken>);

impl Overtaken {
    fn overtake(&self) {
        if let Some(old) = self.spare.lock().take() {
            fill(&mut reused(&*self.inner, 6, old), 10);
        }
    }
}

impl File for OvertakenFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        // The first half is of the one log, the rest of the other.
        let half = buf.len() / 2;
        let got = self.0.read_at(offset, &mut buf[..half])?;
        self.1.overtake();
        Ok(got + self.0.read_at(offset + got as u64, &mut buf[half..])?)
    }
    fn write_at(&self, _: u64, _: &[std::io::IoSlice<'_>]) -> Result<()> {
        unreachable!("who reads does not write")
    }
    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
    fn truncate(&self, _: u64) -> Result<()> {
        unreachable!("who reads does not write")
    }
    fn len(&self) -> Result<u64> {
        self.0.len()
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[test]
fn who_reads_a_log_whose_file_is_put_to_another_use_notices() {
    for at_open in [true, false] {
        let inner = TestEnv::new();
        let mut old = fresh(&*inner, 4);
        fill(&mut old, 40);
        let overtaken = Arc::new(Overtaken {
            inner: inner.clone(),
            spare: parking_lot::Mutex::new(Some(old)),
            at_open: AtomicBool::new(at_open),
        });
        let reader = Reader(overtaken);
        let error = replay(&reader, &files(&[4]), DATABASE, RecoveryMode::PointInTime, &mut |_| {
            panic!("a part of a log is shown as if it were all of it")
        })
        .unwrap_err();
        assert_eq!(error.kind(), crate::base::ErrorKind::TryAgain, "{error}");
        assert!(error.to_string().contains("open again"), "{error}");
        assert!(inner.exists(&path_of(dir(), FileKind::Wal(6))));
    }
}

/// An environment of which only reading is used.
struct Reader(Arc<Overtaken>);

impl Env for Reader {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let file = self.0.inner.open(path, mode)?;
        if self.0.at_open.load(Ordering::SeqCst) {
            self.0.overtake();
        }
        Ok(Arc::new(OvertakenFile(file, self.0.clone())))
    }
    fn exists(&self, path: &Path) -> bool {
        self.0.inner.exists(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.0.inner.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.0.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.0.inner.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.0.inner.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.0.inner.sync_dir(path)
    }
    fn file_len(&self, path: &Path) -> Result<u64> {
        self.0.inner.file_len(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn crate::env::FileLock>> {
        self.0.inner.lock(path)
    }
    fn space(&self, dir: &Path) -> Result<crate::env::Space> {
        self.0.inner.space(dir)
    }
    fn now(&self) -> std::time::Duration {
        self.0.inner.now()
    }
    fn unix_seconds(&self) -> u64 {
        self.0.inner.unix_seconds()
    }
    fn sleep(&self, _: std::time::Duration) {}
    fn random(&self) -> u64 {
        self.0.inner.random()
    }
    fn spawn(
        &self,
        name: &str,
        nice: u8,
        body: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn crate::env::Joinable>> {
        self.0.inner.spawn(name, nice, body)
    }
}
