//! What several tests of the write path start from.

use crate::env::Env;
use crate::value_log::{ValueLog, ValueLogOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// An empty value log in "/db", whose segments have numbers from 100 on.
pub(super) fn value_log(env: Arc<dyn Env>) -> Arc<ValueLog> {
    env.create_dir_all(Path::new("/db")).unwrap();
    let options = ValueLogOptions::plain("/db", [1; 16], 1 << 20);
    ValueLog::open(env, options, Arc::new(AtomicU64::new(100))).unwrap()
}
