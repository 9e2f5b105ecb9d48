//! What the files of a database are called, and what a name says.
//!
//! One counter numbers all files, so a number is never reused between kinds.
//! `NNNNNN.log` WAL, `NNNNNN.vlog` value-log segment, `NNNNNN.sst` table, `MANIFEST-NNNNNN`, `CURRENT`, `LOCK`,
//! `LOG` (info log), `IDENTITY`, `OPTIONS-NNNNNN`, `NNNNNN.tmp` (being written; removed at open).

use std::path::{Path, PathBuf};

/// What a file in a database directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// A write-ahead log.
    Wal(u64),
    /// A value-log segment.
    Segment(u64),
    /// A table.
    Table(u64),
    /// A manifest.
    Manifest(u64),
    /// The options the database was opened with.
    Options(u64),
    /// Being written when the process died; never read.
    Temporary(u64),
    /// Names the live manifest.
    Current,
    /// Held while the database is open.
    Lock,
    /// The information log.
    InfoLog,
    /// The database's identity.
    Identity,
}

/// The path of a file of `kind` in `dir`.
pub fn path_of(dir: &Path, kind: FileKind) -> PathBuf {
    dir.join(match kind {
        FileKind::Wal(number) => format!("{number:06}.log"),
        FileKind::Segment(number) => format!("{number:06}.vlog"),
        FileKind::Table(number) => format!("{number:06}.sst"),
        FileKind::Temporary(number) => format!("{number:06}.tmp"),
        FileKind::Manifest(number) => format!("MANIFEST-{number:06}"),
        FileKind::Options(number) => format!("OPTIONS-{number:06}"),
        FileKind::Current => "CURRENT".into(),
        FileKind::Lock => "LOCK".into(),
        FileKind::InfoLog => "LOG".into(),
        FileKind::Identity => "IDENTITY".into(),
    })
}

/// What a file of this name is; `None` for names the engine does not make (they are left alone).
pub fn parse(name: &str) -> Option<FileKind> {
    match name {
        "CURRENT" => return Some(FileKind::Current),
        "LOCK" => return Some(FileKind::Lock),
        "LOG" => return Some(FileKind::InfoLog),
        "IDENTITY" => return Some(FileKind::Identity),
        _ => {}
    }
    if let Some(digits) = name.strip_prefix("MANIFEST-") {
        return number(digits).map(FileKind::Manifest);
    }
    if let Some(digits) = name.strip_prefix("OPTIONS-") {
        return number(digits).map(FileKind::Options);
    }
    let (digits, extension) = name.split_once('.')?;
    let number = number(digits)?;
    match extension {
        "log" => Some(FileKind::Wal(number)),
        "vlog" => Some(FileKind::Segment(number)),
        "sst" => Some(FileKind::Table(number)),
        "tmp" => Some(FileKind::Temporary(number)),
        _ => None,
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in [
            FileKind::Wal(1),
            FileKind::Segment(22),
            FileKind::Table(1_234_567),
            FileKind::Manifest(5),
            FileKind::Options(7),
            FileKind::Temporary(9),
            FileKind::Current,
            FileKind::Lock,
            FileKind::InfoLog,
            FileKind::Identity,
        ] {
            let path = path_of(Path::new("db"), kind);
            assert_eq!(parse(path.file_name().unwrap().to_str().unwrap()), Some(kind));
        }
        for foreign in ["x.sst", "12.sst", "000012.sstx", "MANIFEST-", "000001.sst.bak", "+00001.log"] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
