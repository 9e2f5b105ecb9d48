//! Commits of whole groups, with a failing log.

use super::*;
use crate::base::Codec;
use crate::batch::WriteBatch;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::memtable::Structure;
use crate::value_log::{ValueLog, ValueLogOptions};
use std::path::Path;

struct Engine(AtomicU64);

impl Owner for Engine {
    fn seal(&self, _state: &mut CommitState, _family: u32) -> Result<()> {
        Ok(())
    }
    fn next_log_number(&self) -> Result<u64> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn log_started(&self, _number: u64) -> Result<()> {
        Ok(())
    }
    fn keep_memory_within_limit(&self, _state: &mut CommitState) -> Result<()> {
        Ok(())
    }
    fn check_writable(&self) -> Result<()> {
        Ok(())
    }
}

fn committer(env: Arc<dyn Env>) -> Committer {
    env.create_dir_all(Path::new("/db")).unwrap();
    let options = ValueLogOptions {
        dir: "/db".into(),
        database: [1; 16],
        max_segment_size: 1 << 20,
        write_queues: 1,
        codec: Codec::None,
        cache: None,
        cache_owner: 0,
    };
    let value_log = ValueLog::open(env.clone(), options, Arc::new(AtomicU64::new(100))).unwrap();
    let settings = WalSettings {
        env: env.clone(),
        dir: "/db".into(),
        database: [1; 16],
        max_file_size: 1 << 16,
        mapped: false,
        buffer_size: 4096,
        policy: SyncPolicy::Manual,
        log_thread: false,
        max_total_size: AtomicU64::new(0),
    };
    let committer = Committer::new(settings, Durability::new(env, value_log, 0), 0);
    let order = InternalComparator::default();
    let active = WriteBuffer::new(Structure::SkipList, &order);
    let target = FamilyTarget { active, seal_at: u64::MAX, order, can_merge: false };
    committer.lock().families.insert(0, target);
    committer
}

fn request(key: &[u8], sync: bool) -> Arc<Request> {
    let mut batch = WriteBatch::new();
    batch.put(0, key, b"value").unwrap();
    Arc::new(Request {
        bytes: batch.data().to_vec(),
        families: vec![0],
        holds: Vec::new(),
        count: 1,
        options: CommitOptions { sync, disable_wal: false },
        done: AtomicBool::new(false),
        outcome: Mutex::new(None),
    })
}

#[test]
fn a_synced_write_is_durable_though_a_later_one_of_its_group_failed() {
    let simulated = SimEnv::new(1);
    simulated.refuse_mapping(true);
    let faulty = FaultyEnv::new(simulated);
    let committer = committer(faulty.clone());
    let owner = Engine(AtomicU64::new(1));
    let first = [request(b"a", false)];
    committer.commit_group(&mut committer.lock(), &first, &owner);
    assert_eq!(committer.durability.durable(), 0);
    let selection = Selection::of(&[OperationClass::Write]);
    faulty.plan().arm(Fault { selection, nth: 1, failure: Failure::FULL, lasting: false });
    let group = [request(b"b", true), request(b"c", false)];
    committer.commit_group(&mut committer.lock(), &group, &owner);
    let outcomes: Vec<_> = group.iter().map(|request| request.outcome.lock().take().unwrap()).collect();
    assert_eq!(outcomes[0].as_ref().unwrap().last, 2);
    assert!(outcomes[1].is_err());
    assert_eq!(committer.durability.durable(), 2, "acknowledged as durable");
    assert_eq!(committer.durability.visible(), 2);
}

/// A flush waits for the entries of a memtable that a later batch of the same group sealed: nobody syncs for it.
#[test]
fn whoever_waits_for_a_group_hears_of_it_without_a_sync() {
    let simulated = SimEnv::new(2);
    simulated.refuse_mapping(true);
    let committer = &committer(simulated);
    let owner = Engine(AtomicU64::new(1));
    std::thread::scope(|scope| {
        for round in 1..=200u64 {
            let flush = scope.spawn(move || committer.durability.wait(round));
            // Let the waiting thread come to its wait in most rounds.
            std::thread::yield_now();
            std::thread::sleep(Duration::from_micros(50));
            let group = [request(&round.to_le_bytes(), false)];
            committer.commit_group(&mut committer.lock(), &group, &owner);
            flush.join().unwrap().unwrap();
        }
    });
}
