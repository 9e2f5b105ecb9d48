//! What several tests of the write path start from.

use crate::base::Codec;
use crate::env::Env;
use crate::value_log::{ValueLog, ValueLogOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// An empty value log in "/db", whose segments have numbers from 100 on.
pub(super) fn value_log(env: Arc<dyn Env>) -> Arc<ValueLog> {
    env.create_dir_all(Path::new("/db")).unwrap();
    let options = ValueLogOptions {
        dir: "/db".into(),
        database: [1; 16],
        max_segment_size: 1 << 20,
        write_queues: 1,
        codec: Codec::None,
        cache: None,
        cache_owner: 0,
        direct: Arc::default(),
    };
    ValueLog::open(env, options, Arc::new(AtomicU64::new(100))).unwrap()
}
