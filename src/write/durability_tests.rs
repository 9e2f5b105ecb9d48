//! Waits that meet in ways no load makes often.

use super::*;
use crate::env::simulated::SimEnv;
use crate::write::testing;

fn durability() -> Arc<Durability> {
    let env = SimEnv::new(1);
    Durability::new(env.clone(), testing::value_log(env), 0)
}

/// A writer that leads because the log thread runs a callback waits for others first. When the callback ends meanwhile
/// the log thread finds nobody waiting and sleeps; then the writer leaves the sync to it again, and has to say so.
#[test]
fn who_leaves_a_sync_to_the_log_thread_wakes_it() {
    for round in 0..20 {
        let durability = durability();
        durability.pipelined.store(true, Ordering::Relaxed);
        durability.ticket(1);
        durability.state.lock().syncing = true;
        let (sender, ended) = std::sync::mpsc::channel();
        let writer = Arc::clone(&durability);
        std::thread::spawn(move || sender.send(writer.sync_until(1)));
        let until = |reached: &dyn Fn(&State) -> bool| {
            while !reached(&durability.state.lock()) {
                std::thread::yield_now();
            }
        };
        until(&|state| state.sync_waiters == 1);
        {
            let mut state = durability.state.lock();
            state.syncing = false;
            state.calling = true;
            state.gathering.synced(Duration::from_secs(1), 1, 1);
            durability.moved.notify_all();
        }
        until(&|state| state.sync_waiters == 0);
        durability.state.lock().calling = false;
        let log_thread = Arc::clone(&durability);
        let log_thread = std::thread::spawn(move || log_thread.run_log_thread(None, true, &|_| {}));
        let outcome = ended.recv_timeout(Duration::from_secs(20));
        outcome.unwrap_or_else(|_| panic!("round {round}: the writer waits for ever")).unwrap();
        assert_eq!(durability.durable(), 1);
        durability.stop();
        log_thread.join().unwrap();
    }
}
