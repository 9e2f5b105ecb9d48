//! Named threads.

use super::{Joinable, action};
use crate::base::{Error, Result};
use std::path::Path;
use std::thread::{Builder, JoinHandle};

/// The kernel keeps 15 bytes of a thread's name.
const MAX_NAME: usize = 15;

/// A thread of the process.
struct PosixThread(JoinHandle<()>);

impl Joinable for PosixThread {
    fn join(self: Box<Self>) {
        // A panic was reported by whoever runs the body; there is nobody here to tell.
        let _ = self.0.join();
    }
}

/// Starts a thread.
pub(super) fn spawn(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    match Builder::new().name(name[..end].to_string()).spawn(body) {
        Ok(handle) => Ok(Box::new(PosixThread(handle))),
        Err(error) => Err(Error::io(Path::new(name), action::SPAWN, &error)),
    }
}
