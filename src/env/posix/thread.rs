//! Named threads, and how far they stand back behind others.

use super::{Joinable, action};
use crate::base::{Error, Result};
use std::cell::Cell;
use std::path::Path;
use std::thread::{Builder, JoinHandle};

/// The kernel keeps 15 bytes of a thread's name.
const MAX_NAME: usize = 15;

/// A turn of a thread that stands back; others have 1 to 3 ms. With 20, readers beside a writer are a fifth quicker.
#[cfg(target_os = "linux")]
const TURN_NANOS: u64 = 20_000_000;

thread_local! {
    /// How many levels this thread stands back already.
    static LEVELS: Cell<u8> = const { Cell::new(0) };
}

/// A thread of the process.
struct PosixThread(JoinHandle<()>);

impl Joinable for PosixThread {
    fn join(self: Box<Self>) {
        // A panic was reported by whoever runs the body; there is nobody here to tell.
        let _ = self.0.join();
    }
}

/// Starts a thread.
pub(super) fn spawn(name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    // A thread begins with the priority of the one that starts it.
    let already = LEVELS.get();
    let body = move || {
        stand_back(nice.saturating_sub(already));
        LEVELS.set(nice.max(already));
        body();
    };
    match Builder::new().name(name[..end].to_string()).spawn(body) {
        Ok(handle) => Ok(Box::new(PosixThread(handle))),
        Err(error) => Err(Error::io(Path::new(name), action::SPAWN, &error)),
    }
}

/// Lowers the priority of the calling thread, and has it make way for those that wake up.
#[cfg(target_os = "linux")]
fn stand_back(nice: u8) {
    if nice == 0 {
        return;
    }
    // Linux takes the number 0 for the calling thread, not for the process. A priority may always be lowered, and
    // beyond the lowest it stays there.
    // SAFETY: takes and gives numbers only.
    let now = unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, now + i32::from(nice));
        libc::getpriority(libc::PRIO_PROCESS, 0)
    };
    take_long_turns(now);
}

/// Asks for turns longer than those of other threads, at the priority `now`: since Linux 6.12 a thread that wakes up
/// need not wait for the rest of a longer turn than its own, unless it has had more than its share. The shares stay the
/// same.
#[cfg(target_os = "linux")]
fn take_long_turns(now: libc::c_int) {
    // SAFETY: takes and gives numbers only.
    if unsafe { libc::sched_getscheduler(0) } != libc::SCHED_OTHER {
        return; // somebody has decided otherwise for the process
    }
    // SAFETY: zeros are a valid value of the struct, which is plain numbers.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    wanted.size = size_of::<libc::sched_attr>() as u32;
    wanted.sched_policy = libc::SCHED_OTHER as u32;
    wanted.sched_nice = now;
    wanted.sched_runtime = TURN_NANOS;
    // An older kernel takes no notice of it, or refuses: nothing depends on it.
    // SAFETY: the struct is as long as it says and lives until the call returns.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

/// Elsewhere a priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn stand_back(_nice: u8) {}
