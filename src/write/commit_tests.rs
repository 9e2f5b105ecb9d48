//! Commits of many threads, with syncs, failing logs and callbacks.

use super::super::FamilyTarget;
use super::*;
use crate::base::{Codec, InternalComparator};
use crate::batch::WriteBatch;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::memtable::Structure;
use crate::memtable::write_buffer::WriteBuffer;
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

fn batch(key: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(0, key, b"value").unwrap();
    batch
}

fn prepared(batch: &WriteBatch) -> Prepared<'_> {
    Prepared {
        bytes: batch.data(),
        families: crate::write::Few::One(0),
        holds: Default::default(),
        count: batch.count(),
    }
}

fn commit(committer: &Committer, key: &[u8], sync: bool) -> Result<SequenceNumber> {
    let options = CommitOptions { sync, disable_wal: false };
    committer.commit(&prepared(&batch(key)), options, &Engine(AtomicU64::new(1)))
}

fn simulated(seed: u64) -> Arc<SimEnv> {
    let simulated = SimEnv::new(seed);
    simulated.refuse_mapping(true);
    simulated
}

#[test]
fn a_synced_write_stays_durable_when_a_later_one_fails() {
    let faulty = FaultyEnv::new(simulated(1));
    let committer = committer(faulty.clone());
    assert_eq!(commit(&committer, b"a", false).unwrap(), 1);
    assert_eq!((committer.durability.durable(), committer.durability.visible()), (0, 1));
    assert_eq!(commit(&committer, b"b", true).unwrap(), 2);
    let selection = Selection::of(&[OperationClass::Write]);
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::FULL, lasting: false });
    assert!(commit(&committer, b"c", false).is_err());
    assert_eq!((committer.durability.durable(), committer.durability.visible()), (2, 2));
}

/// What a failed sync left in doubt is never seen, and neither is what came after it.
#[test]
fn nothing_from_a_failed_sync_on_becomes_visible() {
    let faulty = FaultyEnv::new(simulated(3));
    let committer = committer(faulty.clone());
    commit(&committer, b"a", true).unwrap();
    let selection = Selection::of(&[OperationClass::Sync]);
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
    let error = commit(&committer, b"b", true).unwrap_err();
    assert_eq!(error.subcode(), Subcode::SyncUnknown);
    assert!(commit(&committer, b"c", false).is_err());
    assert!(commit(&committer, b"d", true).is_err());
    assert_eq!((committer.durability.durable(), committer.durability.visible()), (1, 1));
}

/// A flush waits for entries that another thread is about to insert: nobody syncs for it.
#[test]
fn whoever_waits_for_a_write_hears_of_it_without_a_sync() {
    let committer = &committer(simulated(2));
    std::thread::scope(|scope| {
        for round in 1..=200u64 {
            let flush = scope.spawn(move || committer.durability.wait(round));
            // Let the waiting thread come to its wait in most rounds.
            std::thread::yield_now();
            std::thread::sleep(Duration::from_micros(50));
            commit(committer, &round.to_le_bytes(), false).unwrap();
            flush.join().unwrap().unwrap();
        }
    });
}

/// Writers that sync and writers that do not, beside a log thread: every acknowledged write is visible, every synced
/// one durable, and syncs are shared.
#[test]
fn many_threads_get_what_they_asked_for() {
    for pipelined in [false, true] {
        let committer = &committer(simulated(4));
        let durability = &committer.durability;
        std::thread::scope(|scope| {
            let log_thread = scope.spawn(move || durability.run_log_thread(None, pipelined));
            let writers: Vec<_> = (0..6u64)
                .map(|thread| {
                    scope.spawn(move || {
                        for round in 0..400u64 {
                            let sync = (thread + round) % 3 == 0;
                            let key = [thread.to_be_bytes(), round.to_be_bytes()].concat();
                            let last = commit(committer, &key, sync).unwrap();
                            assert!(durability.visible() >= last, "acknowledged and not visible");
                            assert!(!sync || durability.durable() >= last, "acknowledged and not durable");
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            durability.stop();
            log_thread.join().unwrap();
        });
        assert_eq!(durability.visible(), 6 * 400);
        assert_eq!(committer.lock().families.get(0).unwrap().active.entries(), 6 * 400);
    }
}

/// Every asynchronous write is called back once, in order, when it is durable.
#[test]
fn asynchronous_writes_are_called_back_in_order() {
    let committer = &committer(simulated(5));
    let durability = &committer.durability;
    let called = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let log_thread = scope.spawn(move || durability.run_log_thread(None, true));
        for round in 1..=300u64 {
            let (called, key) = (Arc::clone(&called), round.to_be_bytes());
            let callback = move |outcome: Result<()>| {
                outcome.unwrap();
                called.lock().push(round);
            };
            let owner = Engine(AtomicU64::new(1));
            let batch = batch(&key);
            let last =
                committer.commit_asynchronously(&prepared(&batch), &owner, Box::new(callback)).unwrap();
            assert_eq!((last, durability.visible()), (round, round), "readable at once");
        }
        durability.stop();
        log_thread.join().unwrap();
    });
    assert_eq!(*called.lock(), (1..=300).collect::<Vec<_>>());
    assert_eq!(durability.durable(), 300);
    assert!(durability.syncs() <= 300);
}

#[test]
fn an_asynchronous_write_is_told_of_a_failed_sync_and_of_the_end() {
    let faulty = FaultyEnv::new(simulated(6));
    let committer = &committer(faulty.clone());
    let durability = &committer.durability;
    commit(committer, b"a", true).unwrap();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let write = |key: &[u8]| {
        let errors = Arc::clone(&errors);
        let callback = move |outcome: Result<()>| errors.lock().push(outcome.unwrap_err());
        let owner = Engine(AtomicU64::new(1));
        committer.commit_asynchronously(&prepared(&batch(key)), &owner, Box::new(callback)).unwrap()
    };
    let selection = Selection::of(&[OperationClass::Sync]);
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
    write(b"b");
    durability.stop();
    durability.run_log_thread(None, true);
    assert_eq!(errors.lock().len(), 1);
    assert_eq!(errors.lock()[0].subcode(), Subcode::SyncUnknown);
    assert_eq!(durability.visible(), 2, "it was readable at once and stays so");
}
