//! The bound of the value log holds at all times while everything is overwritten again and again.
//!
//! Load once, then overwrite five times as much, uniformly or by a Zipf law. From the end of the load on the segments
//! must take at most `max_space_amp` times the bytes of what is alive, and four segments, at all times: the writer
//! looks after each few writes, a thread beside it all the time (also while background work drains), and now and then
//! at what the files really take on the device. What was written to keep it so is printed (`--nocapture`).
//! `AURADB_SPACE_SCALE=n` makes database and segments n times as large, `AURADB_SPACE_SEGMENTS=n` the segments n times
//! as many for it.

mod threads;

use crate::support::{Random, TemporaryDirectory, setting};
use auradb::config::{CompactionConfig, Config, SyncPolicy, ValueLogConfig, WalConfig};
use auradb::db::{ColumnFamily, ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a record before key and value.
const RECORD_HEADER: u64 = 24;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Law {
    Uniform,
    Zipf,
}

struct Case {
    value_len: usize,
    law: Law,
    live_bytes: u64,
    segment: u64,
    factor: f64,
    /// Column families that the keys are spread over.
    families: usize,
}

/// What a run has shown.
#[derive(Debug)]
struct Seen {
    /// The most bytes that the segments took.
    most: u64,
    /// Bytes of keys and values.
    live: u64,
    /// Bytes that garbage collection wrote.
    copied: u64,
    /// Bytes written in all for each byte put while overwriting.
    written: f64,
    /// The property that tells of each segment and class.
    segments: String,
}

impl Case {
    /// Bytes of a record in the value log.
    fn record(&self) -> u64 {
        RECORD_HEADER + 16 + self.value_len as u64
    }
}

fn config(case: &Case) -> Config {
    Config::default()
        .with_wal(WalConfig::default().with_sync_policy(SyncPolicy::Manual))
        .with_value_log(
            ValueLogConfig::default()
                .with_max_segment_size(case.segment)
                .with_max_space_amp(case.factor)
                .with_write_queues(2usize)
                .with_compress_values(false),
        )
        .with_compaction(CompactionConfig::default().with_io_rate_limit(None))
}

/// Draws numbers below `count`, small ones often: the inverse of a Zipf law of exponent 0.99, scattered.
struct Zipf {
    cumulative: Vec<f64>,
    scatter: u64,
}

impl Zipf {
    fn new(count: u64) -> Zipf {
        let mut sum = 0.0;
        let cumulative = (1..=count)
            .map(|rank| {
                sum += 1.0 / (rank as f64).powf(0.99);
                sum
            })
            .collect();
        Zipf { cumulative, scatter: 0x9e37_79b9 }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let count = self.cumulative.len();
        let total = self.cumulative[count - 1];
        let at = random.next() as f64 / u64::MAX as f64 * total;
        let rank = self.cumulative.partition_point(|sum| *sum < at).min(count - 1) as u64;
        rank.wrapping_mul(self.scatter) % count as u64
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key{number:013}").into_bytes()
}

fn number(db: &Db, family: &ColumnFamily, name: &str) -> u64 {
    db.property_int(family, &format!("auradb.{name}")).expect(name)
}

/// What no compression makes smaller, different each time.
fn fill(value: &mut [u8], random: &mut Random) {
    for chunk in value.chunks_mut(64) {
        let word = random.next().to_le_bytes();
        let len = chunk.len().min(8);
        chunk[..len].copy_from_slice(&word[..len]);
    }
}

/// What files of segments take on the device. Those that go meanwhile count for nothing.
fn allocated(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory.join("vlog")).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
}

/// Samples of the space that segments take, by the engine's count and by the file system's.
#[derive(Default)]
struct Sampler {
    ends: AtomicBool,
    samples: AtomicU64,
    most: AtomicU64,
    most_allocated: AtomicU64,
}

impl Sampler {
    fn look(&self, db: &Db, family: &ColumnFamily) -> u64 {
        let bytes = number(db, family, "value-log-bytes");
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(bytes, Ordering::Relaxed);
        bytes
    }

    fn run(&self, db: &Db, family: &ColumnFamily, directory: &Path) {
        while !self.ends.load(Ordering::Acquire) {
            self.most_allocated.fetch_max(allocated(directory), Ordering::Relaxed);
            for _ in 0..20 {
                self.look(db, family);
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    }
}

/// A case under way.
struct Run<'a> {
    case: &'a Case,
    directory: &'a Path,
    db: Db,
    families: Vec<ColumnFamily>,
    count: u64,
    random: Random,
    zipf: Zipf,
    value: Vec<u8>,
    /// The first bytes of the newest value of each key.
    versions: Vec<u64>,
}

impl Run<'_> {
    fn open<'a>(case: &'a Case, directory: &'a Path) -> Result<Run<'a>, String> {
        let options = Options { config: config(case), create_if_missing: true, ..Options::default() };
        let of_family = ColumnFamilyOptions::from_config(&options.config);
        let db = Db::open(&options, directory, &of_family).map_err(|error| error.to_string())?;
        let mut families = vec![db.default_column_family()];
        for number in 1..case.families {
            let name = format!("family{number}");
            let family = db.create_column_family(&of_family, &name);
            families.push(family.map_err(|error| error.to_string())?);
        }
        let count = case.live_bytes / case.record();
        Ok(Run {
            case,
            directory,
            db,
            families,
            count,
            random: Random::new(case.value_len as u64),
            zipf: Zipf::new(count),
            value: vec![0; case.value_len],
            versions: vec![0; count as usize],
        })
    }

    fn family(&self, at: u64) -> &ColumnFamily {
        &self.families[at as usize % self.families.len()]
    }

    fn live(&self) -> u64 {
        self.count * self.case.record()
    }

    fn bound(&self) -> u64 {
        (self.live() as f64 * self.case.factor) as u64 + 4 * self.case.segment
    }

    fn put(&mut self, at: u64) -> Result<(), String> {
        fill(&mut self.value, &mut self.random);
        self.versions[at as usize] = u64::from_le_bytes(self.value[..8].try_into().unwrap());
        let written = self.db.put(self.family(at), &key(at), &self.value, &WriteOptions::default());
        written.map_err(|error| error.to_string())
    }

    fn overwrite(&mut self, rounds: u64, sampler: &Sampler) -> Result<(), String> {
        for write in 0..rounds * self.count {
            let at = match self.case.law {
                Law::Uniform => self.random.below(self.count as usize) as u64,
                Law::Zipf => self.zipf.draw(&mut self.random),
            };
            self.put(at)?;
            if write % 8 == 0 {
                let bytes = sampler.look(&self.db, &self.families[0]);
                self.check("the segments have", bytes, write)?;
            }
        }
        Ok(())
    }

    fn check(&self, what: &str, bytes: u64, write: u64) -> Result<(), String> {
        let bound = self.bound();
        if bytes <= bound {
            return Ok(());
        }
        let family = &self.families[0];
        let mut seen = self.db.property(family, "auradb.summary").unwrap_or_default();
        seen += &self.db.property(family, "auradb.write-pressure").unwrap_or_default();
        seen += &std::fs::read_to_string(self.directory.join("LOG")).unwrap_or_default();
        let (law, len) = (self.case.law, self.case.value_len);
        Err(format!(
            "{law:?} {len} bytes: after {write} writes {what} {bytes} bytes, the bound is {bound}\n{seen}"
        ))
    }

    fn check_values(&self) -> Result<(), String> {
        for (at, version) in self.versions.iter().enumerate() {
            let found = self.db.get(self.family(at as u64), &key(at as u64), &ReadOptions::default());
            let found =
                found.map_err(|error| error.to_string())?.ok_or_else(|| format!("key {at} is gone"))?;
            if found.len() != self.case.value_len || found[..8] != version.to_le_bytes() {
                return Err(format!("key {at} has another value"));
            }
        }
        Ok(())
    }

    /// Bytes written so far: of values, of copies, of tables.
    fn written(&self) -> [u64; 3] {
        let get = |name: &str| number(&self.db, &self.families[0], name);
        let tables =
            get("flush-bytes") + get("compaction-bytes-written") + get("value-log-gc-table-bytes-written");
        [get("value-log-bytes-written"), get("value-log-gc-bytes-written"), tables]
    }
}

fn run(case: &Case) -> Result<Seen, String> {
    let directory = TemporaryDirectory::new("space");
    let mut run = Run::open(case, &directory.0)?;
    (0..run.count).try_for_each(|at| run.put(at))?;
    let loaded = run.written();
    let sampler = Sampler::default();
    let (db, family) = (run.db.clone(), run.families[0].clone());
    std::thread::scope(|scope| {
        let sampling = scope.spawn(|| sampler.run(&db, &family, &directory.0));
        let outcome = run
            .overwrite(5, &sampler)
            .and_then(|()| run.db.wait_for_background_work().map_err(|error| error.to_string()));
        sampler.ends.store(true, Ordering::Release);
        sampling.join().map_err(|_| "the sampler has panicked".to_string()).and(outcome)
    })?;
    let most = sampler.most.load(Ordering::Relaxed);
    run.check("the segments had", most, 5 * run.count)?;
    // A listing takes time, in which a segment comes for one that goes; and each may end with part of a block.
    let inexact = case.segment + run.bound() / case.segment * 4096;
    let allocated = sampler.most_allocated.load(Ordering::Relaxed);
    run.check("the files took", allocated.saturating_sub(inexact), 5 * run.count)?;
    let written = report(&run, &sampler, &loaded);
    run.check_values()?;
    let segments = run.db.property(&run.families[0], "auradb.value-log-segments").unwrap_or_default();
    Ok(Seen {
        most,
        live: run.live(),
        copied: number(&run.db, &run.families[0], "value-log-gc-bytes-written"),
        written,
        segments,
    })
}

/// Prints what was seen. Gives the bytes written for each byte put while overwriting.
fn report(run: &Run<'_>, sampler: &Sampler, loaded: &[u64; 3]) -> f64 {
    let (case, live) = (run.case, run.live() as f64);
    let get = |name: &str| number(&run.db, &run.families[0], name);
    let user = (run.count * (case.value_len as u64 + 16)) as f64;
    let all = run.written();
    let per_byte = |written: [f64; 3], user: f64| {
        let [values, copies, tables] = written.map(|bytes| bytes / user);
        (
            format!("{values:.3} + {copies:.3} + {tables:.3} = {:.3}", values + copies + tables),
            values + copies + tables,
        )
    };
    let (whole, _) = per_byte(all.map(|bytes| bytes as f64), 6.0 * user);
    let later = [0, 1, 2].map(|part| (all[part] - loaded[part]) as f64);
    let (later, written) = per_byte(later, 5.0 * user);
    let share = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed) as f64 / live;
    println!(
        "{:?} {:>6}: live {live}, most {:.3} of it (allocated {:.3}, {} samples), drained {:.3}; written per byte \
         (values + copies + tables): {whole}, without the load {later}; {} stops, {} delays, {:.1} s stalled",
        case.law,
        case.value_len,
        share(&sampler.most),
        share(&sampler.most_allocated),
        sampler.samples.load(Ordering::Relaxed),
        get("value-log-bytes") as f64 / live,
        get("write-stops"),
        get("write-delays"),
        get("write-stall-micros") as f64 / 1e6,
    );
    written
}

fn cases(law: Law) -> Vec<Case> {
    let scale = setting("AURADB_SPACE_SCALE", 1);
    let segments = setting("AURADB_SPACE_SEGMENTS", 1);
    let sizes = [1 << 10, 4 << 10, 16 << 10, 64 << 10];
    sizes
        .into_iter()
        .map(|value_len: usize| Case {
            value_len,
            law,
            live_bytes: scale * (if value_len < 8 << 10 { 8 << 20 } else { 32 << 20 }),
            segment: scale * (if value_len < 8 << 10 { 256 << 10 } else { 1 << 20 }) / segments,
            factor: 1.4,
            families: 1,
        })
        .collect()
}

fn held_bound(case: &Case) -> Seen {
    run(case).unwrap_or_else(|what| panic!("{what}"))
}

/// Overwrites by `law`. Written for each byte, at each size, there may be `most`: some more than ever seen on a busy
/// machine, where work that comes late copies more.
fn overwrite_by(law: Law, most: [f64; 4]) {
    for (case, most) in cases(law).iter().zip(most) {
        let seen = held_bound(case);
        assert!(seen.written <= most, "{law:?} {}: {seen:?}, at most {most} were expected", case.value_len);
        // There are enough segments for classes.
        let classes = ["warm", "hot", "hottest", "copies", "old copies", "older copies", "oldest copies"];
        let known = classes.iter().filter(|class| seen.segments.contains(&format!("\n{class:13} ")));
        assert!(known.count() >= 4, "{}", seen.segments);
    }
}

#[test]
fn uniform_overwriting_stays_within_the_bound() {
    overwrite_by(Law::Uniform, [3.3, 2.6, 2.4, 2.3]);
}

#[test]
fn skewed_overwriting_stays_within_the_bound() {
    overwrite_by(Law::Zipf, [2.4, 2.0, 1.8, 2.0]);
}

#[test]
fn the_bound_is_the_one_that_was_set() {
    let seen = [1.1, 2.0, 4.0].map(|factor| {
        let (live_bytes, segment) = (8 << 20, 128 << 10);
        held_bound(&Case { value_len: 4 << 10, law: Law::Uniform, live_bytes, segment, factor, families: 1 })
    });
    let [tight, middle, loose] = &seen;
    // Less space costs more copying, and what may be used is used.
    assert!(tight.copied > 2 * middle.copied && middle.copied > 2 * loose.copied, "{seen:?}");
    assert!(middle.most > tight.most && loose.most > 3 * loose.live, "{seen:?}");
}

#[test]
fn the_bound_holds_over_several_families() {
    let (live_bytes, segment) = (16 << 20, 512 << 10);
    let case = Case { value_len: 4 << 10, law: Law::Uniform, live_bytes, segment, factor: 1.4, families: 8 };
    held_bound(&case);
}

#[test]
fn what_a_reader_keeps_is_told_with_its_age() {
    let directory = TemporaryDirectory::new("space");
    let (live_bytes, segment) = (0, 64 << 10);
    let case = Case { value_len: 4 << 10, law: Law::Uniform, live_bytes, segment, factor: 1.4, families: 1 };
    let options = Options { config: config(&case), create_if_missing: true, ..Options::default() };
    let db = Db::open(&options, &directory.0, &ColumnFamilyOptions::from_config(&options.config)).unwrap();
    let family = db.default_column_family();
    let write = |byte| {
        for at in 0..100 {
            db.put(&family, &key(at), &[byte; 4 << 10], &WriteOptions::default()).unwrap();
        }
    };
    write(1);
    db.flush(&[&family], true).unwrap();
    let mut reader = db.iterator(&family, &ReadOptions::default()).unwrap();
    write(2);
    db.collect_garbage(0.0).unwrap();
    let text = |name: &str| db.property(&family, name).unwrap();
    let pinned = || {
        (number(&db, &family, "value-log-pinned-segments"), number(&db, &family, "value-log-pinned-bytes"))
    };
    let (segments, bytes) = pinned();
    assert!(segments >= 6 && bytes >= 100 * (4 << 10), "{segments} segments of {bytes} bytes");
    assert!(number(&db, &family, "value-log-oldest-pinned-seconds") < 3600);
    let list = text("auradb.value-log-segments");
    assert_eq!(list.matches("pinned by readers").count() as u64, segments, "{list}");
    reader.seek_to_first();
    assert_eq!(reader.value(), [1; 4 << 10]);
    drop(reader);
    db.wait_for_background_work().unwrap();
    db.collect_garbage(0.0).unwrap();
    assert_eq!(pinned(), (0, 0), "{}", text("auradb.value-log-segments"));
}

#[test]
fn nothing_is_collected_where_that_is_not_wanted_or_gains_nothing() {
    for (collects, rounds) in [(true, 1), (false, 4)] {
        let directory = TemporaryDirectory::new("space");
        let case = Case {
            value_len: 4 << 10,
            law: Law::Uniform,
            live_bytes: 0,
            segment: 64 << 10,
            factor: 1.1,
            families: 1,
        };
        let mut config = config(&case);
        config.value_log.garbage_collection = collects;
        let options = Options { config, create_if_missing: true, ..Options::default() };
        let of_family = ColumnFamilyOptions::from_config(&options.config);
        let db = Db::open(&options, &directory.0, &of_family).unwrap();
        let family = db.default_column_family();
        for round in 0..rounds {
            // Later, every other value: no segment dies as a whole.
            for at in (0..200).step_by(1 + usize::from(round > 0)) {
                db.put(&family, &key(at), &[7; 4 << 10], &WriteOptions::default()).unwrap();
            }
            db.flush(&[&family], true).unwrap();
        }
        db.wait_for_background_work().unwrap();
        assert_eq!(number(&db, &family, "value-log-gc-relocations"), 0, "collects: {collects}");
        assert_eq!(number(&db, &family, "value-log-gc-pending"), 0, "collects: {collects}");
        if !collects {
            // By hand it works all the same.
            assert!(db.collect_garbage(0.0).unwrap() > 0);
            let total = number(&db, &family, "value-log-bytes");
            assert!(total < 200 * (5 << 10), "{total} bytes are left");
        }
    }
}
