//! The value log and the write-ahead log together, crashed at every operation.
//!
//! A small engine writes values to the value log, one or a batch, then a frame with their pointers; some writes are
//! synced, the segments before the log (W1), and later frames carry what is durable. After every crash replay must show
//! a prefix that holds everything acknowledged as durable, and every value shown must be right.

use super::*;
use crate::base::coding::{Decoder, put_varint};
use crate::base::file_name::{FileKind, path_of};
use crate::env::OpenMode;
use crate::env::direct::DirectIo;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::record::test_env::Random;
use crate::wal::{
    DurableMark, RecoveryMode, ReplayReport, WalFile, WalHeader, WalPosition, WalWriter, WalWriterOptions,
    replay,
};
use std::ops::ControlFlow;
use std::path::Path;

const DATABASE: [u8; 16] = *b"a database's id.";

fn wal_dir() -> &'static Path {
    Path::new("/db/wal")
}

fn value(n: u64) -> Vec<u8> {
    format!("value {n} ").into_bytes().repeat(10 + (n % 90) as usize)
}

/// As little of an engine as can keep W1.
struct Engine {
    env: Arc<dyn Env>,
    values: Arc<ValueLog>,
    numbers: Arc<AtomicU64>,
    wal: WalWriter,
    written: u64,
    mark: DurableMark,
    held: Vec<SegmentRef>,
}

impl Engine {
    fn create(env: Arc<dyn Env>, from: u64, previous: Option<WalPosition>, written: u64) -> Result<Engine> {
        env.create_dir_all(wal_dir())?;
        let numbers = Arc::new(AtomicU64::new(from));
        let values = open_values(&env, numbers.clone())?;
        let wal = new_wal(&env, &numbers, previous)?;
        Ok(Engine { env, values, numbers, wal, written, mark: DurableMark::default(), held: Vec::new() })
    }

    fn write(&mut self, with_mark: bool) -> Result<()> {
        let n = self.written;
        let (pointer, handle) = self.values.append(1, &n.to_le_bytes(), &value(n))?;
        self.held.push(handle);
        self.log(&[pointer], with_mark)
    }

    /// So many values, which stand in several segments perhaps.
    fn write_batch(&mut self, count: u64, with_mark: bool) -> Result<()> {
        let numbers = self.written..self.written + count;
        let values: Vec<_> = numbers.map(|n| (n.to_le_bytes(), value(n))).collect();
        let mut group = ValueGroup::new(2);
        values.iter().try_for_each(|(key, value)| group.push(&self.values, 1, key, value))?;
        group.append(&self.values, &mut |handle| self.held.push(handle))?;
        let pointers: Vec<_> = (0..values.len()).map(|index| group.pointer(index)).collect();
        self.log(&pointers, with_mark)
    }

    fn log(&mut self, pointers: &[ValuePointer], with_mark: bool) -> Result<()> {
        let mut frame = Vec::new();
        put_varint(&mut frame, self.written);
        for pointer in pointers {
            frame.push(pointer.to_bytes().len() as u8);
            pointer.encode(&mut frame);
        }
        self.wal.append(&[&frame[..1], &frame[1..]], with_mark.then_some(&self.mark))?;
        self.written += pointers.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.values.sync(None)?; // W1
        self.wal.syncer().sync()?;
        self.mark = DurableMark { wal: self.wal.position(), segments: self.values.durable_marks() };
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let old = self.wal.syncer();
        let next = new_wal(&self.env, &self.numbers, Some(self.wal.position()))?;
        std::mem::replace(&mut self.wal, next).finish()?;
        // Before anything of the new log is called durable, the old one is.
        self.values.sync(None)?;
        old.sync()
    }
}

fn open_values(env: &Arc<dyn Env>, numbers: Arc<AtomicU64>) -> Result<Arc<ValueLog>> {
    let options = ValueLogOptions {
        dir: "/db/vlog".into(),
        database: DATABASE,
        max_segment_size: 3000,
        write_queues: 2,
        codec: Codec::Lz4,
        cache: None,
        cache_owner: 0,
        direct: DirectIo::new(true, true),
    };
    ValueLog::open(env.clone(), options, numbers)
}

fn new_wal(env: &Arc<dyn Env>, numbers: &AtomicU64, previous: Option<WalPosition>) -> Result<WalWriter> {
    let number = numbers.fetch_add(1, Ordering::Relaxed);
    let options = WalWriterOptions { mapped: number.is_multiple_of(2), capacity: 4096, buffer_size: 1024 };
    WalWriter::create(
        &**env,
        wal_dir(),
        &WalHeader { database: DATABASE, number, previous: previous.into() },
        options,
    )
}

/// The writes found, in order, each with the right value.
fn recover(env: &Arc<dyn Env>) -> Result<(u64, ReplayReport, Vec<u64>)> {
    let mut files: Vec<WalFile> = match env.exists(wal_dir()) {
        true => env.list(wal_dir())?,
        false => Vec::new(),
    }
    .iter()
    .filter_map(|name| crate::base::file_name::parse(name))
    .filter_map(|kind| match kind {
        FileKind::Wal(number) => Some(WalFile { number, path: path_of(wal_dir(), kind), sealed_len: None }),
        _ => None,
    })
    .collect();
    files.sort_by_key(|file| file.number);
    let values = open_values(env, Arc::new(AtomicU64::new(1 << 20)))?;
    let mut next = 0;
    let report = replay(&**env, &files, DATABASE, RecoveryMode::PointInTime, &mut |frame| {
        let mut decoder = Decoder::new(frame.payload);
        let first = decoder.varint().expect("a number");
        assert_eq!(first, next);
        let mut pointers = Vec::new();
        while !decoder.is_empty() {
            let len = decoder.u8().expect("a length");
            let bytes = decoder.bytes(len.into()).expect("a pointer");
            pointers.push(ValuePointer::decode(bytes).expect("a pointer"));
        }
        for (n, pointer) in (first..).zip(&pointers) {
            let durable =
                frame.durable.segments.iter().any(|&(s, to)| s == pointer.segment && pointer.end() <= to);
            if !durable && !values.verify(pointer, 1, &n.to_le_bytes())? {
                return Ok(ControlFlow::Break("its value is torn".into()));
            }
        }
        for pointer in &pointers {
            let read = values.read(pointer, 1, &next.to_le_bytes(), false, true)?;
            assert_eq!(read.as_slice(), &value(next)[..]);
            next += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((next, report, files.iter().map(|file| file.number).collect()))
}

/// Runs a workload until it ends or fails; notes (journal length, durable writes) at each acknowledged sync.
fn run(engine: &mut Engine, random: &mut Random, steps: u64, mut acknowledge: impl FnMut(u64)) -> Result<()> {
    for _ in 0..steps {
        match random.below(10) {
            0..5 => engine.write(random.below(3) == 0)?,
            5 | 6 => engine.write_batch(1 + random.below(12), random.below(3) == 0)?,
            7 | 8 => {
                engine.sync()?;
                acknowledge(engine.written);
            }
            _ => engine.rotate()?,
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_with_everything_acknowledged() {
    let mut longest_tear = 0;
    for seed in 1..7 {
        let mut random = Random(seed * 104_729);
        let sim = SimEnv::new(seed);
        sim.refuse_mapping(seed % 3 == 0);
        let mut engine = Engine::create(sim.clone(), 1, None, 0).unwrap();
        let mut acknowledged = vec![(0, 0)];
        run(&mut engine, &mut random, 40, |written| acknowledged.push((sim.journal_len(), written))).unwrap();
        for at in 0..=sim.journal_len() {
            let durable = acknowledged.iter().rev().find(|&&(len, _)| len <= at).unwrap().1;
            for kind in ImageKind::ALL {
                let image = sim.crash_image(at, kind, seed + at as u64);
                let env: Arc<dyn Env> = image.clone();
                let place = || format!("seed {seed}, crash at {at}, {kind:?}\n{}", image.dump());
                let (found, report, _) = recover(&env).unwrap_or_else(|error| panic!("{error}\n{}", place()));
                assert!(found >= durable, "found {found}, acknowledged {durable}, {report:?}\n{}", place());
                assert!(found <= engine.written);
                longest_tear = report.dropped_bytes.max(longest_tear);
            }
        }
    }
    assert!(longest_tear > 100, "the images say too little");
}

/// After a crash an open continues the log where it accepted its end, with new files; then it crashes as well.
#[test]
fn a_second_crash_finds_what_the_first_recovery_accepted() {
    for seed in 1..40 {
        let mut random = Random(seed * 7907);
        let sim = SimEnv::new(seed);
        let mut engine = Engine::create(sim.clone(), 1, None, 0).unwrap();
        run(&mut engine, &mut random, 25, |_| {}).unwrap();
        let pick = |random: &mut Random| ImageKind::ALL[random.below(ImageKind::ALL.len() as u64) as usize];
        let at = random.below(sim.journal_len() as u64 + 1) as usize;
        let kind = pick(&mut random);
        let second = sim.crash_image(at, kind, seed);
        let env: Arc<dyn Env> = second.clone();
        let (accepted, report, files) = recover(&env).unwrap();
        // What was replayed is durable before the open returns, and stays accepted.
        let next = files.last().map_or(1, |last| last + 100);
        let mut engine = Engine::create(env, next, report.end, accepted).unwrap();
        let opened = (second.journal_len(), accepted);
        let mut acknowledged = vec![opened];
        run(&mut engine, &mut random, 15, |written| acknowledged.push((second.journal_len(), written)))
            .unwrap();
        for at in opened.0..=second.journal_len() {
            let durable = acknowledged.iter().rev().find(|&&(len, _)| len <= at).unwrap().1;
            let kind = pick(&mut random);
            let image: Arc<dyn Env> = second.crash_image(at, kind, seed);
            let place = || format!("seed {seed}, second crash at {at}, {kind:?}, had accepted {accepted}");
            let (found, ..) = recover(&image).unwrap_or_else(|error| panic!("{error}\n{}", place()));
            assert!(found >= durable && found <= engine.written, "found {found} of {durable}, {}", place());
        }
    }
}

#[test]
fn any_operation_may_fail_and_what_was_acknowledged_stays() {
    for seed in 1..5 {
        let mutating = Selection::mutating();
        for nth in 0.. {
            let mut random = Random(seed * 31_337);
            let sim = SimEnv::new(seed);
            let faulty = FaultyEnv::new(sim.clone());
            let failure = if nth % 2 == 0 { Failure::BROKEN } else { Failure::ShortWrite(libc::ENOSPC) };
            faulty.plan().arm(Fault { selection: mutating.clone(), nth, failure, lasting: false });
            let mut durable = 0;
            let result = Engine::create(faulty.clone(), 1, None, 0).and_then(|mut engine| {
                run(&mut engine, &mut random, 30, |written| durable = written)?;
                Ok(engine)
            });
            if faulty.plan().fired() == 0 {
                assert!(nth > 20 && result.is_ok());
                break;
            }
            for kind in ImageKind::ALL {
                let image: Arc<dyn Env> = sim.crash_image(sim.journal_len(), kind, nth);
                let place = || format!("seed {seed}, operation {nth}, {kind:?}");
                let (found, ..) = recover(&image).unwrap_or_else(|error| panic!("{error}\n{}", place()));
                assert!(found >= durable, "found {found}, acknowledged {durable}, {}", place());
            }
        }
    }
}

/// A flush in the midst of a replay syncs the segments that it needs, of which later frames name values too.
#[test]
fn a_sync_before_a_check_hides_nothing_that_a_failed_sync_lost() {
    let sim = SimEnv::new(3);
    let env: Arc<dyn Env> = sim.clone();
    let log = open_values(&env, Arc::new(AtomicU64::new(1))).unwrap();
    let (kept, _one) = log.append(1, b"kept", &value(1)).unwrap();
    log.sync(None).unwrap();
    let (lost, _other) = log.append(1, b"lost", &value(2)).unwrap();
    let path = path_of(Path::new("/db/vlog"), FileKind::Segment(lost.segment));
    assert_eq!(kept.segment, lost.segment);
    // What a sync that the device refuses leaves: bytes in the page cache that count as written.
    env.open(&path, OpenMode::ReadWrite).unwrap().lose_unsynced();
    let again = open_values(&env, Arc::new(AtomicU64::new(100))).unwrap();
    again.sync(Some(&[lost.segment])).unwrap();
    assert!(again.verify(&kept, 1, b"kept").unwrap());
    assert!(!again.verify(&lost, 1, b"lost").unwrap(), "it is not on the device");
}

/// An fsync that fails once and then would succeed (as on Linux) never makes a lost write look durable.
#[test]
fn a_failed_sync_never_becomes_an_acknowledgement() {
    for nth in 0..12 {
        let mut random = Random(77);
        let sim = SimEnv::new(7);
        let faulty = FaultyEnv::new(sim.clone());
        let mut engine = Engine::create(faulty.clone(), 1, None, 0).unwrap();
        let selection = Selection::of(&[OperationClass::Sync]);
        faulty.plan().arm(Fault { selection, nth, failure: Failure::BROKEN, lasting: false });
        let mut durable = 0;
        for _ in 0..60 {
            // The caller goes on in spite of errors, as one who does not look would.
            let _ = engine.write(random.below(2) == 0);
            if random.below(4) == 0 && engine.sync().is_ok() {
                durable = engine.written;
            }
        }
        assert_eq!(faulty.plan().fired(), 1);
        let image: Arc<dyn Env> = sim.crash_image(sim.journal_len(), ImageKind::SyncedOnly, nth);
        let (found, ..) = recover(&image).unwrap();
        assert!(found >= durable, "sync {nth}: found {found}, acknowledged {durable}");
    }
}
