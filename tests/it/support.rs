//! What the randomised tests share: random numbers from seeds, the reference model, small settings, comparisons.

pub mod check;
pub mod reference;
pub mod settings;

use auradb::env::simulated::SimEnv;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A deterministic generator (SplitMix64): one seed, one sequence.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// A number from the environment, or its default.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")),
        Err(_) => default,
    }
}

/// `SEED=n`: only this one.
pub fn chosen_seed() -> Option<u64> {
    std::env::var("SEED").is_ok().then(|| setting("SEED", 0))
}

/// Runs `work` for all of `items` on two threads, until one fails; panics with its message.
pub fn on_two_threads<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<String>> = Mutex::new(None);
    let run = || {
        while failure.lock().unwrap().is_none() {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(message) = guarded(|| work(item)) {
                failure.lock().unwrap().get_or_insert(message);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        run();
    });
    if let Some(message) = failure.into_inner().unwrap() {
        panic!("{message}");
    }
}

/// A panic is a failure like others, with its message.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// The first operation since point `from` of the journal that changed something. Syncing what others wrote is not
/// one: what is read must be on the device.
pub fn written(env: &SimEnv, from: usize) -> Option<String> {
    let operations = (from..env.journal_len()).map(|at| env.describe_operation(at));
    operations.into_iter().find(|operation| !operation.starts_with("sync "))
}

/// A directory of the operating system that goes when dropped.
pub struct TemporaryDirectory(pub std::path::PathBuf);

impl TemporaryDirectory {
    pub fn new(name: &str) -> TemporaryDirectory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("auradb-it-{}-{number}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary directory can be made");
        TemporaryDirectory(path)
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
