//! The information log: the file `LOG` in the database directory, a line an event.

use crate::base::Result;
use crate::base::extension::{LogLevel, Logger};
use crate::base::file_name::{FileKind, path_of};
use crate::env::{Env, File, OpenMode};
use parking_lot::Mutex;
use std::fmt;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

/// A log longer than this at open starts again.
const KEEP_BYTES: u64 = 1 << 20;

/// Appends lines to a file. A line that cannot be written is lost: the log is for people, the engine goes on.
pub(super) struct FileLogger {
    env: Arc<dyn Env>,
    file: Arc<dyn File>,
    end: Mutex<u64>,
}

impl FileLogger {
    pub(super) fn open(env: &Arc<dyn Env>, db_dir: &Path) -> Result<FileLogger> {
        let path = path_of(db_dir, FileKind::InfoLog);
        let keep = env.exists(&path) && env.file_len(&path)? <= KEEP_BYTES;
        let file = env.open(&path, if keep { OpenMode::ReadWrite } else { OpenMode::Create })?;
        let end = Mutex::new(file.len()?);
        Ok(FileLogger { env: Arc::clone(env), file, end })
    }
}

impl Logger for FileLogger {
    fn level(&self) -> LogLevel {
        LogLevel::Info
    }

    fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        let text = format!("{} [{level:?}] {line}\n", timestamp(self.env.unix_seconds()));
        let mut end = self.end.lock();
        if self.file.write_at(*end, &[IoSlice::new(text.as_bytes())]).is_ok() {
            *end += text.len() as u64;
        }
    }
}

/// Drops every line.
pub(super) struct NoLogger;

impl Logger for NoLogger {
    fn level(&self) -> LogLevel {
        LogLevel::Header
    }
    fn log(&self, _level: LogLevel, _line: fmt::Arguments<'_>) {}
}

/// `2026-11-23 06:30:00` in UTC.
fn timestamp(unix_seconds: u64) -> String {
    let (days, seconds) = ((unix_seconds / 86_400) as i64, unix_seconds % 86_400);
    // Civil date from days since 1970, by 400-year eras of 146,097 days that start on 1 March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_are_civil() {
        assert_eq!(super::timestamp(0), "1970-01-01 00:00:00");
        assert_eq!(super::timestamp(951_827_696), "2000-02-29 12:34:56");
        assert_eq!(super::timestamp(1_795_415_400), "2026-11-23 06:30:00");
    }
}
