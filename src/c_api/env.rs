//! The environment: the operating system, seen from the engine.

use super::boundary::{change, destroy, give, look, quiet};
use crate::env::{Env, default_env};
use libc::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// The outside world. There is one in a process; handles are references to it, usable from any thread.
pub struct auradb_env_t {
    /// The engine's.
    pub env: Arc<dyn Env>,
}

static BACKGROUND_THREADS: AtomicI32 = AtomicI32::new(1);

/// Gives a handle of the process's environment, for `auradb_env_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_default_env() -> *mut auradb_env_t {
    quiet(|| Ok(give(auradb_env_t { env: default_env() })))
}

/// Sets the number of background threads, for the whole process. This engine needs no shared pool: each database
/// has as many threads as `auradb_options_set_max_background_jobs` says. The number is kept and read back only.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_env_set_background_threads(env: Option<&mut auradb_env_t>, n: c_int) {
    change(env, |_| BACKGROUND_THREADS.store(n.max(0), Ordering::Relaxed));
}

/// The number that `auradb_env_set_background_threads` set; 1 at first.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_env_get_background_threads(env: Option<&auradb_env_t>) -> c_int {
    look(env, |_| BACKGROUND_THREADS.load(Ordering::Relaxed))
}

/// Destroys a handle; the environment stays. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_env_destroy(env: Option<Box<auradb_env_t>>) {
    destroy(env);
}
