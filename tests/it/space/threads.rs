//! Garbage is collected, by itself and by hand, beside threads that write, delete, read, scan and keep snapshots.
//!
//! Each writer owns its keys and knows what they hold. Every value names its key and its version, so that whoever reads
//! one, however old, can tell whether it is whole and belongs there. At the end everything is compared, the live bytes
//! are what the values add up to, and a reopen finds the same.

use super::number;
use crate::support::check::scan;
use crate::support::{Random, TemporaryDirectory, chosen_seed, setting};
use auradb::batch::WriteBatch;
use auradb::config::{CompactionConfig, Config, MemtableConfig, SyncPolicy, ValueLogConfig, WalConfig};
use auradb::db::{ColumnFamily, ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const KEYS: usize = 80;
const THRESHOLD: usize = 100;
const RECORD_HEADER: usize = 24;

type Held = BTreeMap<(usize, Vec<u8>), Vec<u8>>;
type Outcome = Result<(), String>;

fn config() -> Config {
    Config::default()
        .with_wal(WalConfig::default().with_sync_policy(SyncPolicy::Manual))
        .with_value_log(
            ValueLogConfig::default()
                .with_separation_threshold(THRESHOLD as u64)
                .with_max_segment_size(64u64 << 10)
                .with_max_space_amp(1.1)
                .with_write_queues(2usize)
                .with_compress_values(false),
        )
        .with_memtable(MemtableConfig::default().with_max_size(64u64 << 10))
        .with_compaction(CompactionConfig::default().with_io_rate_limit(None))
}

fn key(writer: usize, index: usize) -> Vec<u8> {
    format!("w{writer}-{index:03}").into_bytes()
}

fn value(key: &[u8], version: u64, len: usize) -> Vec<u8> {
    let mut value = format!("{}:{version}:", key.escape_ascii()).into_bytes();
    let mut random = Random::new(version);
    let len = value.len() + len;
    while value.len() < len {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(len);
    value
}

/// Whether `found` is a value that was once written for `key`.
fn check_value(key: &[u8], found: &[u8]) -> Outcome {
    let wrong = || format!("key {} has {} strange bytes", key.escape_ascii(), found.len());
    let mut parts = found.splitn(3, |byte| *byte == b':');
    let (of, version, rest) = (parts.next(), parts.next(), parts.next());
    let version = version.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let (Some(version), Some(rest)) = (version, rest) else { return Err(wrong()) };
    if of == Some(key) && value(key, version, rest.len()) == found { Ok(()) } else { Err(wrong()) }
}

struct Shared {
    db: Db,
    families: Vec<ColumnFamily>,
    seed: u64,
    writing: AtomicUsize,
}

fn said(error: auradb::base::Error) -> String {
    error.to_string()
}

impl Shared {
    fn write(&self, writer: usize, operations: u64) -> Result<Held, String> {
        let mut random = Random::new(self.seed * 100 + writer as u64);
        let mut held = Held::new();
        for version in 0..operations {
            self.write_one(writer, version, &mut random, &mut held)?;
        }
        Ok(held)
    }

    fn write_one(&self, writer: usize, version: u64, random: &mut Random, held: &mut Held) -> Outcome {
        let how = WriteOptions { sync: random.one_in(200), ..WriteOptions::default() };
        let (which, index) = (random.below(2), random.below(KEYS));
        let (family, key_of) = (&self.families[which], key(writer, index));
        match random.below(20) {
            0..=11 => {
                let value = value(&key_of, version, random.below(6000));
                self.db.put(family, &key_of, &value, &how).map_err(said)?;
                held.insert((which, key_of), value);
            }
            12..=14 => {
                self.db.delete(family, &key_of, &how).map_err(said)?;
                held.remove(&(which, key_of));
            }
            15..=16 => self.write_batch(writer, version, random, held)?,
            17 => {
                let end = key(writer, (index + 5).min(KEYS));
                self.db.delete_range(family, &key_of, &end, &how).map_err(said)?;
                held.retain(|(of, key), _| *of != which || *key < key_of || *key >= end);
            }
            18 if random.one_in(10) => self.db.flush(&[family], false).map_err(said)?,
            _ => {
                let found = self.db.get(family, &key_of, &ReadOptions::default()).map_err(said)?;
                if found.as_deref() != held.get(&(which, key_of.clone())).map(Vec::as_slice) {
                    return Err(format!("key {} is not as its writer left it", key_of.escape_ascii()));
                }
            }
        }
        Ok(())
    }

    fn write_batch(&self, writer: usize, version: u64, random: &mut Random, held: &mut Held) -> Outcome {
        let mut batch = WriteBatch::new();
        for _ in 0..4 {
            let (which, key) = (random.below(2), key(writer, random.below(KEYS)));
            if random.one_in(3) {
                batch.delete(self.families[which].id(), &key).map_err(said)?;
                held.remove(&(which, key));
            } else {
                let value = value(&key, version, random.below(3000));
                batch.put(self.families[which].id(), &key, &value).map_err(said)?;
                held.insert((which, key), value);
            }
        }
        self.db.write(&batch, &WriteOptions::default()).map_err(said)
    }

    /// Reads again and again what a snapshot, an iterator and pinned values keep.
    fn read(&self) -> Outcome {
        let mut random = Random::new(self.seed * 100 + 50);
        while self.writing.load(Ordering::Acquire) > 0 {
            let family = &self.families[random.below(2)];
            let snapshot = self.db.snapshot();
            let at = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
            let mut kept = self.db.iterator(family, &at).map_err(said)?;
            let before = scan(&self.db, family, &at)?;
            before.iter().try_for_each(|(key, value)| check_value(key, value))?;
            let mut pinned = Vec::new();
            for (key, value) in before.iter().step_by(7) {
                let found =
                    self.db.get(family, key, &at).map_err(said)?.ok_or("a key of the snapshot is gone")?;
                pinned.push((found, value));
            }
            for _ in 0..random.below(4) {
                if scan(&self.db, family, &at)? != before {
                    return Err("a snapshot shows two states".into());
                }
            }
            kept.seek_to_first();
            for (key, value) in &before {
                if !kept.valid() || kept.key() != key || kept.value() != value {
                    return Err(format!("an iterator has lost key {}", key.escape_ascii()));
                }
                kept.next();
            }
            kept.status().map_err(said)?;
            if pinned.iter().any(|(found, value)| **found != value[..]) {
                return Err("a pinned value has changed".into());
            }
        }
        Ok(())
    }

    fn collect(&self) -> Outcome {
        let mut random = Random::new(self.seed * 100 + 51);
        while self.writing.load(Ordering::Acquire) > 0 {
            self.db.collect_garbage(random.below(4) as f64 / 4.0).map_err(said)?;
            self.db.verify_value_log().map_err(said)?;
        }
        Ok(())
    }
}

fn compare(db: &Db, families: &[ColumnFamily], held: &Held) -> Outcome {
    for (which, family) in families.iter().enumerate() {
        let found = scan(db, family, &ReadOptions::default())?;
        let expected: Vec<_> = held.iter().filter(|((of, _), _)| *of == which).collect();
        if found.len() != expected.len() {
            return Err(format!("family {which} has {} keys, expected {}", found.len(), expected.len()));
        }
        for ((key, value), ((_, expected_key), expected_value)) in found.iter().zip(expected) {
            if key != expected_key || value != expected_value {
                return Err(format!("key {} is not as it was left", expected_key.escape_ascii()));
            }
        }
    }
    Ok(())
}

fn run(seed: u64) -> Outcome {
    let directory = TemporaryDirectory::new("space-threads");
    let options = Options {
        config: config(),
        create_if_missing: true,
        create_missing_column_families: true,
        ..Options::default()
    };
    let of_family = ColumnFamilyOptions::from_config(&options.config);
    let names = [("default".to_string(), of_family.clone()), ("other".to_string(), of_family)];
    let open = || Db::open_column_families(&options, &directory.0, &names).map_err(said);
    let (db, families) = open()?;
    let shared = Shared { db, families, seed, writing: AtomicUsize::new(2) };
    let operations = setting("AURADB_SPACE_OPERATIONS", 3000);
    let mut held = Held::new();
    std::thread::scope(|scope| {
        let write = |writer: usize| {
            let outcome = crate::support::guarded(|| shared.write(writer, operations));
            shared.writing.fetch_sub(1, Ordering::Release);
            outcome
        };
        let writers: Vec<_> = (0..2).map(|writer| scope.spawn(move || write(writer))).collect();
        let others = [scope.spawn(|| shared.read()), scope.spawn(|| shared.collect())];
        for writer in writers {
            held.append(&mut writer.join().expect("panics are caught")?);
        }
        others.into_iter().try_for_each(|other| other.join().expect("nothing panics here"))
    })?;
    let Shared { db, families, .. } = shared;
    db.collect_garbage(0.0).map_err(said)?;
    compare(&db, &families, &held)?;
    let separated = held.iter().filter(|(_, value)| value.len() >= THRESHOLD);
    let live: usize = separated.map(|((_, key), value)| RECORD_HEADER + key.len() + value.len()).sum();
    let count = |db: &Db, name: &str| number(db, &families[0], name);
    let counts = (count(&db, "value-log-live-bytes"), count(&db, "value-log-dead-bytes"));
    if counts.0 != live as u64 {
        return Err(format!("{} live bytes are counted, there are {live}", counts.0));
    }
    if count(&db, "value-log-gc-values-moved") == 0 {
        return Err("nothing was ever relocated".into());
    }
    db.close().map_err(said)?;
    drop((db, families));
    let (db, families) = open()?;
    compare(&db, &families, &held)?;
    db.verify_value_log().map_err(said)?;
    let reopened = number(&db, &families[0], "value-log-live-bytes");
    if reopened != live as u64 {
        return Err(format!("{reopened} live bytes are counted after a reopen, there are {live}"));
    }
    Ok(())
}

#[test]
fn readers_and_writers_never_notice_garbage_collection() {
    let seeds = chosen_seed().map_or(1..=2, |seed| seed..=seed);
    for seed in seeds {
        run(seed).unwrap_or_else(|what| panic!("SEED={seed}: {what}"));
    }
}
