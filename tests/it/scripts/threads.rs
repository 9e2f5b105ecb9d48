//! Several threads on the operating system, with background work going on.

use super::noise;
use crate::support::TemporaryDirectory;
use crate::support::settings::{WRITE_PATHS, family, options, tiny};
use auradb::batch::WriteBatch;
use auradb::config::SyncPolicy;
use auradb::db::{ColumnFamily, Db, ReadOptions, WriteOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const WRITERS: usize = 3;
const WRITES: usize = 300;

fn write(db: &Db, family: &ColumnFamily, writer: usize, acknowledged: &AtomicU64) {
    for number in 0..WRITES {
        let mut batch = WriteBatch::new();
        // The same in two keys: a reader must never see them apart.
        let value = [&(number as u64).to_le_bytes()[..], &noise(number, number % 100)].concat();
        batch.put(family.id(), format!("left-{writer}").as_bytes(), &value).unwrap();
        batch.put(family.id(), format!("right-{writer}").as_bytes(), &value).unwrap();
        batch.put(family.id(), format!("all-{writer}-{number:04}").as_bytes(), &value).unwrap();
        let how = WriteOptions { sync: number % 50 == 0, ..WriteOptions::default() };
        db.write(&batch, &how).unwrap();
        acknowledged.store(number as u64 + 1, Ordering::Release);
    }
}

fn number_in(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

fn read(db: &Db, family: &ColumnFamily, acknowledged: &[AtomicU64], stop: &AtomicBool) -> u64 {
    let mut rounds = 0;
    let mut seen = [0u64; WRITERS];
    while !stop.load(Ordering::Acquire) {
        for writer in 0..WRITERS {
            let least = acknowledged[writer].load(Ordering::Acquire);
            let (left, right) = (format!("left-{writer}"), format!("right-{writer}"));
            let found = db
                .multi_get(&[(family, left.as_bytes()), (family, right.as_bytes())], &ReadOptions::default());
            let found: Vec<_> =
                found.into_iter().map(|value| value.unwrap().map(|value| value.to_vec())).collect();
            assert_eq!(found[0], found[1], "one half of a batch of writer {writer}");
            let count = found[0].as_deref().map_or(0, |value| number_in(value) + 1);
            assert!(count >= least, "writer {writer}: {least} writes acknowledged, {count} seen");
            assert!(count >= seen[writer], "writer {writer}: time runs backwards");
            seen[writer] = count;
        }
        let snapshot = db.snapshot();
        let then = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
        let mut iterator = db.iterator(family, &then).unwrap();
        let mut count = 0;
        iterator.seek(b"all-");
        while iterator.valid() && iterator.key().starts_with(b"all-") {
            count += 1;
            iterator.next();
        }
        iterator.status().unwrap();
        let expected: u64 = (0..WRITERS)
            .filter_map(|writer| db.get(family, format!("left-{writer}").as_bytes(), &then).unwrap())
            .map(|value| number_in(&value) + 1)
            .sum();
        assert_eq!(count, expected, "a snapshot shows {count} entries of {expected}");
        rounds += 1;
    }
    rounds
}

#[test]
fn readers_see_whole_batches_in_order_while_threads_write() {
    for (number, path) in WRITE_PATHS.iter().enumerate() {
        let directory = TemporaryDirectory::new("threads");
        let mut config = tiny();
        println!("{}", path.name);
        path.choose(&mut config);
        config.wal.sync_policy =
            [SyncPolicy::Manual, SyncPolicy::EveryNWrites(20)][(number + number / 4) % 2];
        config.memtable.max_size = 32 << 10;
        let db = Db::open(&options(None, &config), &directory.0.join("db"), &family(&config)).unwrap();
        let handle = db.default_column_family();
        let acknowledged: [AtomicU64; WRITERS] = Default::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&db, &handle, &acknowledged, &stop));
            let (db, handle) = (&db, &handle);
            let writers: Vec<_> = acknowledged
                .iter()
                .enumerate()
                .map(|(writer, acknowledged)| scope.spawn(move || write(db, handle, writer, acknowledged)))
                .collect();
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            stop.store(true, Ordering::Release);
            assert!(reader.join().expect("the reader lives") > 0);
            assert!(outcomes.iter().all(Result::is_ok), "a writer failed");
        });
        db.wait_for_background_work().unwrap();
        for writer in 0..WRITERS {
            for number in 0..WRITES {
                let key = format!("all-{writer}-{number:04}");
                let value = db.get(&handle, key.as_bytes(), &ReadOptions::default()).unwrap();
                assert_eq!(value.map(|value| number_in(&value)), Some(number as u64), "{key}");
            }
        }
        db.close().unwrap();
    }
}
