//! The order of publication under a scheduler that decides which thread takes the next step.
//!
//! `publish` is compiled a second time here, with a ring of two places, so that three writers fill it. Each scene runs
//! very often, in another order of steps each time, from fixed seeds; a failure prints its schedule. All orderings are
//! obeyed as if sequentially consistent: what is explored is every order of operations.
//!
//! Writers sleep and are woken as `Durability` does it, so a move of `visible` that nobody is told of ends in a
//! deadlock, which the scheduler reports.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, Runner, thread};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[allow(dead_code, reason = "scenes do not use all of it")]
#[expect(clippy::duplicate_mod, reason = "the same code over a scheduler's atomics")]
#[path = "publish.rs"]
mod publish;

/// The scheduler's versions of `super::sync`.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(super) use shuttle::thread::{yield_now, yield_now as spin_loop};

    pub(super) const PLACES: usize = 2;
}

/// Orders tried by each scheduler.
const RUNS: usize = 1500;
/// Switches that a bug may need for the second scheduler to look for it.
const SWITCHES: usize = 4;
/// Groups of a scene at most.
const GROUPS: usize = 8;

fn explore(scene: impl Fn() + Copy + Send + Sync + 'static) {
    run(RandomScheduler::new_from_seed(1, RUNS), scene);
    run(PctScheduler::new_from_seed(2, SWITCHES, RUNS), scene);
}

fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 128 << 10;
    Runner::new(scheduler, config).run(scene);
}

/// What `Committer` and `Durability` have around the publisher.
struct Database {
    publisher: publish::Publisher,
    /// The last sequence number handed out.
    commit: Mutex<usize>,
    /// Which groups are in the memtables.
    whole: [AtomicBool; GROUPS + 1],
    /// Whether the second group was synced, where it asks for it.
    synced: AtomicBool,
    gate: Mutex<()>,
    moved: Condvar,
    waiting: AtomicUsize,
}

impl Database {
    fn new() -> Arc<Database> {
        Arc::new(Database {
            publisher: publish::Publisher::new(0),
            commit: Mutex::new(0),
            whole: Default::default(),
            synced: AtomicBool::new(true),
            gate: Mutex::new(()),
            moved: Condvar::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// A group of one write. Where `synced` is false, the second asks for durability.
    fn write(&self) {
        let (ticket, number) = {
            let mut last = self.commit.lock().unwrap();
            *last += 1;
            if *last == 2 && !self.synced.load(SeqCst) {
                self.publisher.set_barrier(Some(2));
            }
            (self.publisher.ticket(*last as u64), *last)
        };
        self.whole[number].store(true, SeqCst);
        let done = self.publisher.done(ticket);
        self.wake_if(done.moved);
        if number == 2 && !self.synced.swap(true, SeqCst) {
            self.publisher.set_barrier(None);
            self.wake_if(self.publisher.republish());
        }
        if !done.visible {
            self.wait(number as u64);
        }
        assert!(self.publisher.visible() >= number as u64, "{number} was acknowledged");
        self.check();
    }

    fn wake_if(&self, moved: bool) {
        if moved && self.waiting.load(SeqCst) > 0 {
            let _gate = self.gate.lock().unwrap();
            self.moved.notify_all();
        }
    }

    fn wait(&self, sequence: u64) {
        let mut gate = self.gate.lock().unwrap();
        self.waiting.fetch_add(1, SeqCst);
        while self.publisher.visible() < sequence {
            gate = self.moved.wait(gate).unwrap();
        }
        self.waiting.fetch_sub(1, SeqCst);
    }

    /// P1 and P2.
    fn check(&self) {
        let visible = self.publisher.visible() as usize;
        for number in 1..=visible {
            assert!(self.whole[number].load(SeqCst), "{number} is visible and not in the memtables");
        }
        assert!(visible < 2 || self.synced.load(SeqCst), "the second is visible and not durable");
    }

    /// P3.
    fn check_end(&self) {
        let last = *self.commit.lock().unwrap() as u64;
        assert_eq!((self.publisher.inserted(), self.publisher.visible()), (last, last));
    }
}

/// Starts writers of so many groups each, runs `beside`, and checks what there is at the end.
fn with_writers(database: &Arc<Database>, groups: &[usize], beside: impl FnOnce()) {
    let write = |groups: usize| {
        let database = Arc::clone(database);
        thread::spawn(move || (0..groups).for_each(|_| database.write()))
    };
    let writers: Vec<_> = groups.iter().copied().map(write).collect();
    beside();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    database.check_end();
}

/// P1, P3 and P4, where the ring is full at times.
#[test]
fn every_group_becomes_visible_and_every_writer_wakes() {
    explore(|| {
        let database = Database::new();
        with_writers(&database, &[3, 2, 2], || (0..3).for_each(|_| database.check()));
    });
}

/// P2 and P4.
#[test]
fn what_waits_behind_a_barrier_wakes_with_it() {
    explore(|| {
        let database = Database::new();
        database.synced.store(false, SeqCst);
        with_writers(&database, &[2, 2, 2], || (0..3).for_each(|_| database.check()));
    });
}

/// Whoever takes the commit lock and drains finds nothing half inserted, and takes no wake-up from anybody.
#[test]
fn a_drain_under_the_commit_lock_finds_everything_inserted() {
    explore(|| {
        let database = Database::new();
        // Few groups: nobody comes after the drain who would wake whom it left asleep.
        with_writers(&database, &[1, 1], || {
            for _ in 0..3 {
                let last = database.commit.lock().unwrap();
                database.wake_if(database.publisher.drain());
                assert_eq!(database.publisher.inserted(), *last as u64);
                assert!((1..=*last).all(|number| database.whole[number].load(SeqCst)));
            }
        });
    });
}
