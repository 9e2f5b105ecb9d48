//! Named threads, and how far they stand back behind others.

use super::{Joinable, action};
use crate::base::{Error, Result};
use std::cell::Cell;
use std::path::Path;
use std::thread::{Builder, JoinHandle};

/// The kernel keeps 15 bytes of a thread's name.
const MAX_NAME: usize = 15;

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

/// Lowers the priority of the calling thread.
#[cfg(target_os = "linux")]
fn stand_back(nice: u8) {
    if nice > 0 {
        // Linux takes the number 0 for the calling thread, not for the process. A priority may always be lowered, and
        // beyond the lowest it stays there.
        // SAFETY: takes and gives numbers only.
        unsafe {
            let now = libc::getpriority(libc::PRIO_PROCESS, 0);
            libc::setpriority(libc::PRIO_PROCESS, 0, now + i32::from(nice));
        }
    }
}

/// Elsewhere a priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn stand_back(_nice: u8) {}
