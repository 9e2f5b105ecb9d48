//! Damaged files: every byte flipped in turn, truncations, lost, emptied, swapped and partly zeroed files.
//!
//! A small database with every kind of file is closed cleanly. One thing is damaged; then opening it, each get and
//! scans both ways must give exactly the right answer or an error that tells of the damage: never a wrong answer,
//! never a missing one, never a panic. Damage to the information log and the lock file must not matter at all.
//! `AURADB_CORRUPTION_STEP=n` flips each n-th byte only.

use crate::support::reference::{Bytes, Change, FamilyState, show};
use crate::support::settings::{family, options, tiny};
use crate::support::{Random, check, guarded, on_two_threads, setting};
use auradb::base::Error;
use auradb::config::Config;
use auradb::db::{ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, ReadOptions, WriteOptions};
use auradb::env::Env;
use auradb::env::simulated::SimEnv;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PATH: &str = "/db";
const NAMES: [&str; 2] = ["default", "one"];

struct Sample {
    env: Arc<SimEnv>,
    config: Config,
    states: Vec<FamilyState>,
    keys: Vec<Bytes>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

#[derive(Default)]
struct Counts {
    detected: AtomicUsize,
    harmless: AtomicUsize,
}

fn knobs() -> Config {
    let mut config = tiny();
    config.value_log.separation_threshold = 100;
    config.memtable.max_size = 256 << 10;
    config.wal.max_file_size = 4 << 10;
    config.value_log.max_segment_size = 8 << 10;
    config
}

fn family_options(config: &Config) -> ColumnFamilyOptions {
    ColumnFamilyOptions { disable_auto_compactions: true, ..family(config) }
}

fn open(env: &Arc<SimEnv>, config: &Config) -> Result<(Db, Vec<ColumnFamily>), Error> {
    let names = NAMES.map(|name| (name.to_string(), family_options(config)));
    Db::open_column_families(&options(Some(env.clone()), config), Path::new(PATH), &names)
}

struct Builder {
    db: Db,
    handles: Vec<ColumnFamily>,
    states: Vec<FamilyState>,
    random: Random,
}

impl Builder {
    fn apply(&mut self, change: Change) {
        let (which, how) = (change.family(), WriteOptions::default());
        let family = &self.handles[which];
        match &change {
            Change::Put { key, value, .. } => self.db.put(family, key, value, &how),
            Change::PutWithTtl { key, value, ttl, .. } => {
                self.db.put_with_ttl(family, key, value, *ttl, &how)
            }
            Change::Delete { key, .. } | Change::SingleDelete { key, .. } => {
                self.db.delete(family, key, &how)
            }
            Change::DeleteRange { start, end, .. } => self.db.delete_range(family, start, end, &how),
            Change::Merge { key, operand, .. } => self.db.merge(family, key, operand, &how),
        }
        .expect("the write succeeds");
        self.states[which].apply(&change);
    }

    fn put(&mut self, family: usize, number: usize, len: usize) {
        let word = self.random.next().to_le_bytes();
        let value =
            (0..len).map(|at| if at % 3 == 0 { self.random.next() as u8 } else { word[at % 8] }).collect();
        self.apply(Change::Put { family, key: key(number), value });
    }

    fn delete_range(&mut self, family: usize, start: usize, end: usize) {
        self.apply(Change::DeleteRange { family, start: key(start), end: key(end) });
    }

    fn flush(&self) {
        self.db.flush(&self.handles.iter().collect::<Vec<_>>(), true).expect("the flush succeeds");
    }
}

fn key(number: usize) -> Bytes {
    format!("key-{number:04}").into_bytes().into()
}

/// Tables with range deletions on level 0 and below, values in tables, segments and logs.
fn build() -> Sample {
    let (env, config) = (SimEnv::new(1), knobs());
    let (db, handles) = open(&env, &config).expect("the database opens");
    let states = vec![FamilyState::default(); NAMES.len()];
    let mut builder = Builder { db, handles, states, random: Random::new(1) };
    for round in 0..3 {
        for number in 0..70 {
            let len = if number % 7 == round { 300 } else { 20 + number % 40 };
            builder.put(0, number * (round + 1), len);
        }
        builder.delete_range(0, 10 * round + 5, 10 * round + 9);
        builder.put(1, round, 150);
        builder.put(1, 10 + round, 15);
        if round < 2 {
            builder.apply(Change::Merge { family: 1, key: key(10), operand: (*b"+operand").into() });
            builder.flush();
        }
        if round == 0 {
            let how = CompactRangeOptions { force_bottommost: true };
            builder.db.compact_range(&builder.handles[0], None, None, &how).expect("the compaction succeeds");
        }
    }
    builder.db.close().expect("the database closes");
    let keys = (0..215).map(key).collect();
    let states = builder.states.clone();
    drop(builder);
    let files: Vec<_> = env.list_all().into_iter().map(|path| (path.clone(), env.read_raw(&path))).collect();
    Sample { env, config, states, keys, files }
}

fn kind_of(path: &Path) -> String {
    let name = path.file_name().expect("files have names").to_string_lossy().into_owned();
    match name.split_once('.') {
        Some((_, extension)) => extension.to_string(),
        None => name.split('-').next().unwrap_or_default().to_string(),
    }
}

/// Nothing depends on what is in these.
fn is_advisory(path: &Path) -> bool {
    matches!(kind_of(path).as_str(), "LOG" | "LOCK")
}

/// An error that tells of damage: corruption, or one that names the file.
fn tells(error: &Error) -> Result<(), String> {
    if error.is_corruption() || error.file().is_some() {
        return Ok(());
    }
    Err(format!("an error that names neither corruption nor a file: {error}"))
}

fn scan(db: &Db, family: &ColumnFamily, state: &FamilyState, back: bool) -> Result<bool, String> {
    let mut iterator = match db.iterator(family, &ReadOptions::default()) {
        Ok(iterator) => iterator,
        Err(error) => return tells(&error).map(|()| true),
    };
    let entries: Vec<_> = state.entries.iter().collect();
    if back {
        iterator.seek_to_last()
    } else {
        iterator.seek_to_first()
    };
    let mut seen = 0;
    while iterator.valid() {
        let found = iterator.key().to_vec();
        let value = iterator.value().to_vec();
        if !iterator.valid() {
            break;
        }
        let at = if back { entries.len().checked_sub(seen + 1) } else { Some(seen) };
        let expected = at.and_then(|at| entries.get(at));
        if expected.is_none_or(|(key, other)| *key.bytes != found[..] || ***other != value[..]) {
            return Err(format!(
                "scan (back: {back}) shows {} = {} as entry {seen}",
                show(&found),
                show(&value)
            ));
        }
        seen += 1;
        if back {
            iterator.prev()
        } else {
            iterator.next()
        };
    }
    match iterator.status() {
        Err(error) => tells(&error).map(|()| true),
        Ok(()) if seen == entries.len() => Ok(false),
        Ok(()) => Err(format!(
            "scan (back: {back}) ends after {seen} of {} entries without an error",
            entries.len()
        )),
    }
}

/// Reads everything; whether damage was met.
fn read_all(sample: &Sample, db: &Db, handles: &[ColumnFamily]) -> Result<bool, String> {
    let mut detected = false;
    for (handle, state) in handles.iter().zip(&sample.states) {
        for key in &sample.keys {
            match db.get(handle, key, &ReadOptions::default()) {
                Ok(found) => check::equal(key, found.as_deref(), state.get(key).map(|value| &**value))?,
                Err(error) => {
                    tells(&error)?;
                    detected = true;
                }
            }
        }
        detected |= scan(db, handle, state, false)?;
        detected |= scan(db, handle, state, true)?;
    }
    Ok(detected)
}

/// Whether the damage was noticed; an error if an answer was wrong. `compact`: also rewrite all, and read again.
fn judge(sample: &Sample, env: &Arc<SimEnv>, compact: bool) -> Result<bool, String> {
    let (db, handles) = match open(env, &sample.config) {
        Ok(opened) => opened,
        Err(error) => return tells(&error).map(|()| true),
    };
    let mut detected = read_all(sample, &db, &handles)?;
    if compact {
        for handle in &handles {
            let how = CompactRangeOptions { force_bottommost: true };
            if let Err(error) = db.compact_range(handle, None, None, &how) {
                tells(&error)?;
                detected = true;
            }
        }
        detected |= read_all(sample, &db, &handles).map_err(|what| format!("after a compaction: {what}"))?;
    }
    Ok(detected)
}

/// Judges one damage and counts.
fn damage(
    sample: &Sample,
    counts: &Counts,
    compact: bool,
    what: impl Fn() -> String,
    change: impl FnOnce(&SimEnv),
) -> Result<bool, String> {
    let env = sample.env.clone_all_durable();
    change(&env);
    let detected =
        guarded(|| judge(sample, &env, compact)).map_err(|wrong| format!("{}: {wrong}", what()))?;
    let counter = if detected { &counts.detected } else { &counts.harmless };
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(detected)
}

fn report(what: &str, counts: &Counts) {
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!("{what}: {} detected, {} harmless", count(&counts.detected), count(&counts.harmless));
}

#[test]
fn the_sample_has_every_kind_of_file() {
    let sample = build();
    let kinds: Vec<String> = sample.files.iter().map(|(path, _)| kind_of(path)).collect();
    for (kind, least) in [("log", 2), ("vlog", 2), ("sst", 3), ("MANIFEST", 1), ("CURRENT", 1), ("LOG", 1)] {
        let count = kinds.iter().filter(|other| *other == kind).count();
        assert!(count >= least, "{count} files of kind {kind} in {}", sample.env.dump());
    }
    let (db, handles) = open(&sample.env.clone_all_durable(), &sample.config).unwrap();
    let levels: Vec<_> = (0..7)
        .filter(|level| db.property_int(&handles[0], &format!("rocksdb.num-files-at-level{level}")) > Some(0))
        .collect();
    assert!(levels.len() >= 2, "tables on levels {levels:?}");
    assert_eq!(read_all(&sample, &db, &handles), Ok(false));
}

#[test]
fn every_flipped_byte_gives_an_error_or_the_right_answer() {
    let sample = build();
    let step = setting("AURADB_CORRUPTION_STEP", 1) as usize;
    let counts = Counts::default();
    let places: Vec<(usize, usize)> = sample
        .files
        .iter()
        .enumerate()
        .flat_map(|(file, (_, bytes))| (0..bytes.len()).step_by(step).map(move |at| (file, at)))
        .collect();
    on_two_threads(&places, |&(file, at)| {
        let (path, bytes) = &sample.files[file];
        // Small files: two damages a byte.
        let masks: &[u8] = if bytes.len() <= 1024 { &[1, 0xff] } else { &[0] };
        for mask in masks {
            let mask = if *mask == 0 { 1 << (at % 8) } else { *mask };
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let what = || format!("byte {at} of {} ({} bytes) ^ {mask:#x}", path.display(), bytes.len());
            let detected = damage(&sample, &counts, at % 61 == 0, what, |env| env.write_raw(path, &damaged))?;
            if detected && is_advisory(path) {
                return Err(format!("{}: must not matter", what()));
            }
        }
        Ok(())
    });
    report("flipped bytes", &counts);
}

#[test]
fn every_truncation_gives_an_error_or_the_right_answer() {
    let sample = build();
    let counts = Counts::default();
    on_two_threads(&sample.files, |(path, bytes)| {
        let step = if bytes.len() <= 1024 { 1 } else { 64 };
        let lengths = (0..bytes.len()).step_by(step).chain(bytes.len().checked_sub(1));
        let mut wrong = Vec::new();
        for len in lengths {
            let what = || format!("{} cut from {} to {len} bytes", path.display(), bytes.len());
            let outcome = damage(&sample, &counts, false, what, |env| env.write_raw(path, &bytes[..len]));
            wrong.extend(outcome.err());
        }
        if !wrong.is_empty() {
            return Err(format!(
                "{} lengths go wrong, from {} on to {}",
                wrong.len(),
                wrong[0],
                wrong[wrong.len() - 1]
            ));
        }
        let longer = [&bytes[..], &[0; 100]].concat();
        let what = || format!("{} with 100 zeros more", path.display());
        damage(&sample, &counts, false, what, |env| env.write_raw(path, &longer)).map(|_| ())
    });
    report("truncations", &counts);
}

#[test]
fn every_zeroed_sector_gives_an_error_or_the_right_answer() {
    let sample = build();
    let counts = Counts::default();
    on_two_threads(&sample.files, |(path, bytes)| {
        for start in (0..bytes.len()).step_by(512) {
            let mut damaged = bytes.clone();
            let end = (start + 512).min(bytes.len());
            damaged[start..end].fill(0);
            let what = || format!("{} zeroed from {start} to {end}", path.display());
            damage(&sample, &counts, false, what, |env| env.write_raw(path, &damaged))?;
        }
        Ok(())
    });
    report("zeroed sectors", &counts);
}

#[test]
fn every_lost_file_gives_an_error_or_the_right_answer() {
    let sample = build();
    let counts = Counts::default();
    on_two_threads(&sample.files, |(path, _)| {
        let what = || format!("{} is lost", path.display());
        let detected = damage(&sample, &counts, false, what, |env| {
            env.remove_file(path).expect("it can be removed");
        })?;
        let needed = matches!(kind_of(path).as_str(), "log" | "vlog" | "sst" | "MANIFEST" | "CURRENT");
        if needed && !detected {
            return Err(format!("{}, and nothing tells", what()));
        }
        Ok(())
    });
    report("lost files", &counts);
}

#[test]
fn every_swap_of_two_files_gives_an_error_or_the_right_answer() {
    let sample = build();
    let counts = Counts::default();
    let pairs: Vec<(usize, usize)> = (0..sample.files.len())
        .flat_map(|one| (0..one).map(move |other| (one, other)))
        .filter(|(one, other)| kind_of(&sample.files[*one].0) == kind_of(&sample.files[*other].0))
        .collect();
    assert!(pairs.len() >= 3, "too few files to swap");
    on_two_threads(&pairs, |&(one, other)| {
        let ((one, first), (other, second)) = (&sample.files[one], &sample.files[other]);
        let what = || format!("{} and {} swapped", one.display(), other.display());
        damage(&sample, &counts, false, what, |env| {
            env.write_raw(one, second);
            env.write_raw(other, first);
        })?;
        let what = || format!("{} is a copy of {}", one.display(), other.display());
        damage(&sample, &counts, false, what, |env| env.write_raw(one, second)).map(|_| ())
    });
    report("swapped files", &counts);
}
