//! Behaviour that can be said in a few lines each: what is pinned stays, what is refused says why, and every knob
//! does what its name says.

mod compaction;
mod knobs;
mod memory;
mod memtables;
mod opening;
mod pins;
mod scans;
mod threads;

use crate::support::settings::{family, options, tiny};
use auradb::config::Config;
use auradb::db::{ColumnFamily, ColumnFamilyOptions, Db, ReadOptions, WriteOptions};
use auradb::env::simulated::SimEnv;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "/db";

/// A database in a simulated machine, with its default family.
struct Fixture {
    env: Arc<SimEnv>,
    db: Db,
    family: ColumnFamily,
}

impl Fixture {
    fn new(config: &Config) -> Fixture {
        Fixture::with(SimEnv::new(1), config, &family(config))
    }

    fn tiny() -> Fixture {
        Fixture::new(&tiny())
    }

    fn with(env: Arc<SimEnv>, config: &Config, family: &ColumnFamilyOptions) -> Fixture {
        let options = options(Some(env.clone()), config);
        let db = Db::open(&options, Path::new(PATH), family).expect("the database opens");
        let family = db.default_column_family();
        Fixture { env, db, family }
    }

    /// The same database with other settings.
    fn reopened(self, config: &Config) -> Fixture {
        let env = self.env.clone();
        self.db.close().expect("the database closes");
        drop(self);
        Fixture::with(env, config, &family(config))
    }

    fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let how = WriteOptions::default();
        self.db.put(&self.family, key.as_ref(), value.as_ref(), &how).expect("the put succeeds");
    }

    fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let found = self.db.get(&self.family, key.as_ref(), &ReadOptions::default());
        found.expect("the get succeeds").map(|value| value.to_vec())
    }

    fn flush(&self) {
        self.db.flush(&[&self.family], true).expect("the flush succeeds");
    }

    fn compact(&self) {
        let how = auradb::db::CompactRangeOptions { force_bottommost: true };
        self.db.compact_range(&self.family, None, None, &how).expect("the compaction succeeds");
    }

    fn number(&self, property: &str) -> u64 {
        let number = self.db.property_int(&self.family, property);
        number.unwrap_or_else(|| panic!("there is no property {property}"))
    }

    /// Files whose names end so.
    fn count(&self, suffix: &str) -> usize {
        self.env.list_all().iter().filter(|path| path.to_string_lossy().ends_with(suffix)).count()
    }
}

/// `count` keys in order.
fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("key-{number:05}"))
}

/// Bytes that do not compress, the same for the same number.
fn noise(number: usize, len: usize) -> Vec<u8> {
    let mut random = crate::support::Random::new(number as u64);
    (0..len).map(|_| random.next() as u8).collect()
}
