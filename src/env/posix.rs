//! The operating system.
use super::Env;
use std::sync::Arc;
/// The operating system's environment.
pub struct PosixEnv;
impl PosixEnv {
    /// The one of the process.
    pub fn shared() -> Arc<dyn Env> {
        todo!()
    }
}
