//! Commits of many threads, with syncs, failing logs and callbacks.

use super::super::FamilyTarget;
use super::*;
use crate::base::InternalComparator;
use crate::batch::WriteBatch;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use crate::memtable::Structure;
use crate::memtable::write_buffer::WriteBuffer;
use crate::write::testing;

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
    fn has_log_helper(&self) -> bool {
        false
    }
    fn keep_memory_within_limit(&self, _state: &mut CommitState) -> Result<()> {
        Ok(())
    }
    fn check_writable(&self) -> Result<()> {
        Ok(())
    }
}

fn committer(env: Arc<dyn Env>) -> Committer {
    let value_log = testing::value_log(env.clone());
    let settings = WalSettings {
        env: env.clone(),
        dir: "/db".into(),
        database: [1; 16],
        max_file_size: 1 << 16,
        mapped: true,
        buffer_size: 4096,
        recycled_files: 1,
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
        user_bytes: batch.data().len(),
    }
}

fn commit(committer: &Committer, key: &[u8], sync: bool) -> Result<SequenceNumber> {
    let options = CommitOptions { sync, disable_wal: false };
    committer.commit(&prepared(&batch(key)), options, &Engine(AtomicU64::new(1)))
}

#[test]
fn a_synced_write_stays_durable_when_a_later_one_fails() {
    let faulty = FaultyEnv::new(SimEnv::without_mapping(1));
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
    let faulty = FaultyEnv::new(SimEnv::without_mapping(3));
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
    let committer = &committer(SimEnv::without_mapping(2));
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
        let committer = &committer(SimEnv::without_mapping(4));
        let durability = &committer.durability;
        std::thread::scope(|scope| {
            let log_thread = scope.spawn(move || durability.run_log_thread(None, pipelined, &|_| ()));
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
    let committer = &committer(SimEnv::without_mapping(5));
    let durability = &committer.durability;
    let called = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let log_thread = scope.spawn(move || durability.run_log_thread(None, true, &|_| ()));
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
    let faulty = FaultyEnv::new(SimEnv::without_mapping(6));
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
    durability.run_log_thread(None, true, &|_| ());
    assert_eq!(errors.lock().len(), 1);
    assert_eq!(errors.lock()[0].subcode(), Subcode::SyncUnknown);
    assert_eq!(durability.visible(), 2, "it was readable at once and stays so");
}

/// Numbers of the log files there are.
fn logs(env: &SimEnv) -> Vec<String> {
    let names = env.list_all().into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_string()));
    names.filter(|name| name.ends_with(".log") || name.ends_with(".tmp")).collect()
}

/// Commits until the log is over its half.
fn fill_half(committer: &Committer, owner: &Engine, round: u64) {
    let value = vec![7; 8 << 10];
    for part in 0..5u64 {
        let mut batch = WriteBatch::new();
        batch.put(0, &(round * 100 + part).to_be_bytes(), &value).unwrap();
        committer.commit(&prepared(&batch), CommitOptions::default(), owner).unwrap();
    }
}

#[test]
fn the_next_log_is_made_ahead_and_taken() {
    for mapped in [false, true] {
        let env = SimEnv::new(7);
        env.refuse_mapping(!mapped);
        let committer = committer(env.clone());
        let owner = Engine(AtomicU64::new(1));
        fill_half(&committer, &owner, 0);
        assert_eq!(logs(&env), ["000001.log", "000002.log"]);
        assert_eq!(committer.lock().wals.len(), 1, "it holds nothing yet");
        fill_half(&committer, &owner, 1);
        assert_eq!(logs(&env), ["000001.log", "000002.log"]);
        let live: Vec<u64> = committer.lock().wals.iter().map(|wal| wal.number).collect();
        assert_eq!(live, [1, 2]);
        fill_half(&committer, &owner, 2);
        assert_eq!(logs(&env).len(), 3);
        if !mapped {
            continue; // A plain file takes a batch of any size.
        }
        fill_half(&committer, &owner, 3);
        assert_eq!(logs(&env).len(), 4);
        // A batch that does not fit into it makes a file of its own.
        let mut large = WriteBatch::new();
        large.put(0, b"large", &vec![1; 1 << 17]).unwrap();
        committer.commit(&prepared(&large), CommitOptions::default(), &owner).unwrap();
        let live: Vec<u64> = committer.lock().wals.iter().map(|wal| wal.number).collect();
        assert_eq!(live, [1, 2, 3, 5]);
        assert_eq!(
            committer.retire_logs(&mut committer.lock(), 5),
            [1, 2, 3, 4],
            "the unused one goes with them"
        );
    }
}

#[test]
fn a_log_that_is_not_needed_gives_its_file_to_a_later_one() {
    let env = SimEnv::new(11);
    let committer = committer(env.clone());
    let owner = Engine(AtomicU64::new(1));
    (0..3).for_each(|round| fill_half(&committer, &owner, round));
    assert_eq!(logs(&env), ["000001.log", "000002.log", "000003.log"]);
    assert_eq!(committer.retire_logs(&mut committer.lock(), 2), [1]);
    assert!(committer.recycles(1));
    assert!(!committer.recycles(1) && !committer.recycles(2) && !committer.recycles(77));
    assert_eq!(logs(&env), ["000001.tmp", "000002.log", "000003.log"]);
    fill_half(&committer, &owner, 3);
    assert_eq!(logs(&env), ["000002.log", "000003.log", "000004.log"]);
    assert_eq!(committer.stats.recycled_logs.load(Ordering::Relaxed), 1);
    (4..6).for_each(|round| fill_half(&committer, &owner, round));
    committer.durability.sync().unwrap();
    assert_eq!(committer.durability.durable(), 30);
    assert_eq!(committer.retire_logs(&mut committer.lock(), 4), [2, 3]);
    assert!(committer.recycles(2));
    assert!(!committer.recycles(3), "one is kept");
    committer.remove_spare_logs();
    assert!(!logs(&env).contains(&"000002.tmp".to_string()));
    // Of another length than others: not of use to them.
    let mut large = WriteBatch::new();
    large.put(0, b"large", &vec![1; 1 << 17]).unwrap();
    committer.commit(&prepared(&large), CommitOptions::default(), &owner).unwrap();
    (6..9).for_each(|round| fill_half(&committer, &owner, round));
    let large = committer.lock().wals.iter().find(|wal| wal.len > 1 << 17).map(|wal| wal.number).unwrap();
    let retired = committer.retire_logs(&mut committer.lock(), large + 1);
    assert!(retired.contains(&large) && !committer.recycles(large));
}

/// Whatever fails while the next log is made, no write hears of it; the writer makes one itself.
#[test]
fn a_next_log_that_cannot_be_made_ahead_is_made_when_it_is_needed() {
    use OperationClass::{Create, Rename, Sync, SyncDir, Write};
    for class in [Create, Write, Sync, Rename, SyncDir] {
        for failure in [Failure::FULL, Failure::BROKEN] {
            let machine = SimEnv::without_mapping(8);
            let faulty = FaultyEnv::new(machine.clone());
            let committer = committer(faulty.clone());
            let owner = Engine(AtomicU64::new(1));
            commit_with(&committer, &owner, 100);
            let selection = Selection::of(&[class]).named(if class == SyncDir { "db" } else { "000002" });
            faulty.plan().arm(Fault { selection, nth: 0, failure, lasting: true });
            fill_half(&committer, &owner, 0);
            assert!(faulty.plan().fired() > 0, "{class:?}");
            assert_eq!(logs(&machine), ["000001.log"], "{class:?}: what was begun is gone");
            faulty.plan().heal();
            fill_half(&committer, &owner, 1);
            fill_half(&committer, &owner, 2);
            assert_eq!(committer.durability.visible(), 16);
            committer.durability.sync().unwrap();
            assert_eq!(committer.durability.durable(), 16);
        }
    }
}

fn commit_with(committer: &Committer, owner: &Engine, len: usize) {
    let mut batch = WriteBatch::new();
    batch.put(0, b"first", &vec![1; len]).unwrap();
    committer.commit(&prepared(&batch), CommitOptions::default(), owner).unwrap();
}

/// Who gives up the logs gives up the one made ahead too, and never uses it for a history of its own.
#[test]
fn a_log_made_ahead_is_given_up_with_the_others() {
    let env = SimEnv::without_mapping(9);
    let committer = committer(env.clone());
    let owner = Engine(AtomicU64::new(1));
    fill_half(&committer, &owner, 0);
    let mut state = committer.lock();
    committer.abandon_log(&mut state);
    assert_eq!(committer.forget_logs(&mut state), [1, 2]);
    drop(state);
    fill_half(&committer, &owner, 1);
    let live: Vec<u64> = committer.lock().wals.iter().map(|wal| wal.number).collect();
    assert_eq!(live, [3]);
    let sealed = committer.finish_log(&mut committer.lock()).unwrap();
    assert_eq!(sealed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3]);
    assert_eq!(committer.retire_logs(&mut committer.lock(), u64::MAX), Vec::<u64>::new());
}

/// Beside a helper thread: rotations one after the other, every file closed when nothing needs it.
#[test]
fn a_helper_makes_what_many_writers_need() {
    let env = SimEnv::new(10);
    let committer = &committer(env);
    struct Helped<'a>(&'a Engine);
    impl Owner for Helped<'_> {
        fn seal(&self, _: &mut CommitState, _: u32) -> Result<()> {
            Ok(())
        }
        fn next_log_number(&self) -> Result<u64> {
            self.0.next_log_number()
        }
        fn log_started(&self, _: u64) -> Result<()> {
            Ok(())
        }
        fn has_log_helper(&self) -> bool {
            true
        }
        fn keep_memory_within_limit(&self, _: &mut CommitState) -> Result<()> {
            Ok(())
        }
        fn check_writable(&self) -> Result<()> {
            Ok(())
        }
    }
    let engine = &Engine(AtomicU64::new(1));
    let value = &vec![3; 4 << 10];
    std::thread::scope(|scope| {
        let helper = scope.spawn(|| committer.help_log(&Helped(engine)));
        let writers: Vec<_> = (0..3u64)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..400u64 {
                        let mut batch = WriteBatch::new();
                        batch.put(0, &[thread.to_be_bytes(), round.to_be_bytes()].concat(), value).unwrap();
                        let options = CommitOptions { sync: round % 50 == 0, disable_wal: false };
                        committer.commit(&prepared(&batch), options, &Helped(engine)).unwrap();
                        if round % 100 == 99 {
                            let newest = committer.lock().wals.back().unwrap().number;
                            let retired = committer.retire_logs(&mut committer.lock(), newest);
                            committer.close_logs_below(retired.last().map_or(0, |last| last + 1));
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        committer.stop_log_helper();
        helper.join().unwrap();
    });
    assert_eq!(committer.durability.visible(), 1200);
    let state = committer.lock();
    assert!(state.wals.iter().map(|wal| wal.number).is_sorted());
    assert!(state.wals.back().unwrap().number > 50, "it went on from file to file");
}

/// Log data counts no record, yet a sync and those behind it go by sequence numbers.
#[test]
fn a_synced_batch_of_log_data_holds_nobody_back() {
    let committer = committer(SimEnv::without_mapping(7));
    commit(&committer, b"a", true).unwrap();
    let mut batch = WriteBatch::new();
    batch.put_log_data(b"blob").unwrap();
    let options = CommitOptions { sync: true, disable_wal: false };
    committer.commit(&prepared(&batch), options, &Engine(AtomicU64::new(1))).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        commit(&committer, b"b", false).unwrap();
        sender.send((committer.durability.visible(), committer.durability.durable())).unwrap();
    });
    let ends = receiver.recv_timeout(Duration::from_secs(20)).expect("the write ends");
    assert_eq!(ends, (3, 2));
}

#[test]
fn a_write_that_is_in_no_log_is_known_before_it_is_inserted() {
    let committer = committer(SimEnv::without_mapping(8));
    let options = CommitOptions { sync: false, disable_wal: true };
    let batch = batch(b"a");
    let logged = committer.log(&prepared(&batch), options, false, &Engine(AtomicU64::new(1))).unwrap();
    let unlogged = committer.state.lock().families.get(0).unwrap().active.first_unlogged();
    assert_eq!(unlogged, Some(logged.first));
    assert!(committer.insert(&prepared(&batch), &logged).unwrap());
}

/// After a group stayed half inserted nothing is logged any more, and nobody waits for it.
#[test]
fn after_a_group_was_given_up_writes_are_refused() {
    let committer = committer(SimEnv::without_mapping(9));
    let batch = batch(b"a");
    let logged = committer
        .log(&prepared(&batch), CommitOptions::default(), false, &Engine(AtomicU64::new(1)))
        .unwrap();
    drop(GiveUpUnlessWhole(&committer.durability));
    assert!(committer.durability.is_broken());
    for sync in [false, true] {
        assert_eq!(commit(&committer, b"b", sync).unwrap_err().subcode(), Subcode::Panic);
    }
    assert_eq!((committer.lock().last_sequence, committer.durability.visible()), (logged.last, 0));
}
