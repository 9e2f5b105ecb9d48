//! Loggers: to stderr, or to a C function.

use super::super::boundary::{destroy, give, quiet, text};
use super::required;
use crate::base::extension::{LogLevel, Logger};
use libc::{c_char, c_int, c_uint, c_void};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

/// Receives the log lines of databases. May be used from any thread.
pub struct auradb_logger_t {
    /// The engine's side.
    pub shared: Arc<dyn Logger>,
}

/// RocksDB's numbers: 0 debug, 1 info, 2 warn, 3 error, 4 fatal, 5 header.
fn level_of(number: c_int) -> LogLevel {
    match number {
        i32::MIN..=0 => LogLevel::Debug,
        1 => LogLevel::Info,
        2 => LogLevel::Warn,
        3 => LogLevel::Error,
        4 => LogLevel::Fatal,
        _ => LogLevel::Header,
    }
}

struct StderrLogger {
    level: LogLevel,
    prefix: String,
}

impl Logger for StderrLogger {
    fn level(&self) -> LogLevel {
        self.level
    }
    fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        let level = format!("{level:?}").to_uppercase();
        let space = if self.prefix.is_empty() { "" } else { " " };
        let text = format!("{}{space}[{level}] {line}\n", self.prefix);
        // Where stderr is closed there is nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

type Callback = unsafe extern "C" fn(*mut c_void, c_uint, *mut c_char, usize);

struct CallbackLogger {
    level: LogLevel,
    callback: Callback,
    private: *mut c_void,
}

// SAFETY: C4: the caller promises that its state may be used from any thread.
unsafe impl Send for CallbackLogger {}
// SAFETY: C4: and from several at once.
unsafe impl Sync for CallbackLogger {}

impl Logger for CallbackLogger {
    fn level(&self) -> LogLevel {
        self.level
    }
    fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        let mut terminated = line.to_string().into_bytes();
        let len = terminated.len();
        terminated.push(0);
        // SAFETY: C4; the line is readable (and the callback's to change) for the call.
        unsafe { (self.callback)(self.private, level as c_uint, terminated.as_mut_ptr().cast(), len) };
    }
}

/// Gives a logger that writes lines of at least `log_level` (0 debug, 1 info, 2 warn, 3 error, 4 fatal, 5 header) to
/// stderr, each after `prefix`, which may be NULL and is copied. For `auradb_logger_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_logger_create_stderr_logger(
    log_level: c_int,
    prefix: *const c_char,
) -> *mut auradb_logger_t {
    quiet(|| {
        // SAFETY: C1.
        let prefix = if prefix.is_null() { "" } else { unsafe { text(prefix) }? };
        let logger = StderrLogger { level: level_of(log_level), prefix: prefix.to_string() };
        Ok(give(auradb_logger_t { shared: Arc::new(logger) }))
    })
}

/// Gives a logger that calls `callback` with `priv_` for each line of at least `log_level` (numbers as above): `msg`
/// has `len` bytes without a newline, and a NUL after them. It is called from several threads at once, while a
/// database that uses the logger is open and not after it is closed. For `auradb_logger_destroy`; NULL if the
/// callback is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_logger_create_callback_logger(
    log_level: c_int,
    callback: Option<unsafe extern "C" fn(priv_: *mut c_void, lev: c_uint, msg: *mut c_char, len: usize)>,
    priv_: *mut c_void,
) -> *mut auradb_logger_t {
    quiet(|| {
        let callback = required(callback, "log")?;
        let logger = CallbackLogger { level: level_of(log_level), callback, private: priv_ };
        Ok(give(auradb_logger_t { shared: Arc::new(logger) }))
    })
}

/// Destroys a handle. Takes it; NULL is fine. Databases that use the logger keep it until they are closed.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_logger_destroy(logger: Option<Box<auradb_logger_t>>) {
    destroy(logger);
}
