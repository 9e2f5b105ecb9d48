//! The manifest file: a header, everything there is as one record, then one record a change. CURRENT names the
//! live one.
//!
//! Reading: 1. CURRENT. 2. The header. 3. Changes until the end. A bad last record was never acknowledged (every
//! append is synced before it counts), so it is cut; a bad record with a valid one after it is rot.
//! Switching (R7): a new manifest is written whole and synced, its directory entry too; then CURRENT is replaced
//! atomically. Until that, a crash finds the old one.
//! A first manifest without CURRENT is either what a crash left of `create` or a database that lost its CURRENT.
//! `create` tells them apart: after CURRENT is durable it appends one more record.

use super::format::{self, CHANGES_RECORD, Changes, Current, HEADER_RECORD, Header, HeaderError};
use super::replay::ManifestState;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::format_version::CURRENT_FORMAT;
use crate::base::{Error, ErrorKind, Result};
use crate::env::{Env, OpenMode, read_file, write_file_atomically};
use crate::record::{ReadOutcome, RecordReader, RecordWriter};
use std::path::{Path, PathBuf};

const RESTORE: &str = "restore the database from a backup";

/// The live manifest, open for appending.
pub(super) struct ManifestWriter {
    writer: RecordWriter,
    number: u64,
    /// Bytes when it was just written whole.
    whole_len: u64,
}

impl ManifestWriter {
    /// Writes a new manifest file and makes it durable. CURRENT does not name it yet. On failure it is removed.
    pub(super) fn create(env: &dyn Env, dir: &Path, header: &Header, whole: &Changes) -> Result<Self> {
        let path = path_of(dir, FileKind::Manifest(header.number));
        let written = ManifestWriter::write(env, dir, &path, header, whole);
        if written.is_err() {
            // CURRENT never named it; what cannot be removed now is swept as an orphan later.
            let _ = env.remove_file(&path_of(dir, FileKind::Temporary(header.number)));
            let _ = env.remove_file(&path);
        }
        written
    }

    fn write(env: &dyn Env, dir: &Path, path: &Path, header: &Header, whole: &Changes) -> Result<Self> {
        // It gets its name when it is durable: a file of the name is whole, whenever a crash comes.
        let temporary = path_of(dir, FileKind::Temporary(header.number));
        let file = env.open(&temporary, OpenMode::Create)?;
        let mut writer = RecordWriter::new(file, header.number, 0);
        writer.append(HEADER_RECORD, &[&header.encode()])?;
        let whole_len = writer.append(CHANGES_RECORD, &[&whole.encode()])?;
        writer.sync()?;
        env.rename(&temporary, path)?;
        env.sync_dir(dir)?;
        // Under its own name, for messages.
        let writer = RecordWriter::new(env.open(path, OpenMode::ReadWrite)?, header.number, writer.offset());
        Ok(ManifestWriter { writer, number: header.number, whole_len })
    }

    /// Bytes of its records.
    pub(super) fn len(&self) -> u64 {
        self.writer.offset()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Appends one record and makes it durable.
    pub(super) fn append(&mut self, changes: &Changes) -> Result<()> {
        self.writer.append(CHANGES_RECORD, &[&changes.encode()])?;
        self.writer.sync()
    }

    /// Whether it has grown so much that a new one, written whole, is due.
    pub(super) fn is_long(&self, least: u64) -> bool {
        self.writer.offset() > least && self.writer.offset() > 4 * self.whole_len
    }
}

/// Makes CURRENT name manifest `number`. After a failure it may name either.
pub(super) fn switch_current(env: &dyn Env, dir: &Path, current: Current, temporary: u64) -> Result<()> {
    let temporary: PathBuf = path_of(dir, FileKind::Temporary(temporary));
    let current = current.encode();
    write_file_atomically(env, &path_of(dir, FileKind::Current), &temporary, current.as_bytes())
}

/// Reads CURRENT and the manifest it names.
pub(super) fn read(env: &dyn Env, dir: &Path) -> Result<ManifestState> {
    let current = path_of(dir, FileKind::Current);
    if !env.exists(&current) {
        return Err(no_current(env, dir, &current));
    }
    // What is relied on from here must be what a power loss would leave (R5).
    env.sync_dir(dir)?;
    let bytes = read_file(env, &current, format::MAX_CURRENT_LEN)?;
    let Current { number, sealed_len } = Current::decode(&bytes).ok_or_else(|| {
        let got = String::from_utf8_lossy(&bytes).into_owned();
        Error::corruption(
            &current,
            0,
            format!("got {got:?}, expected a manifest's name and checksum; {RESTORE}"),
        )
    })?;
    let state = read_numbered(env, dir, number)?;
    match sealed_len {
        Some(len) if len != state.manifest_len => {
            let path = path_of(dir, FileKind::Manifest(number));
            let got = state.manifest_len;
            let message =
                format!("its valid records end at {got}, at the close it had {len} bytes; {RESTORE}");
            Err(Error::corruption(&path, got, message))
        }
        _ => Ok(state),
    }
}

/// Reads the manifest of this number.
pub(super) fn read_numbered(env: &dyn Env, dir: &Path, number: u64) -> Result<ManifestState> {
    let path = path_of(dir, FileKind::Manifest(number));
    if !env.exists(&path) {
        let message = format!("the manifest that CURRENT names is missing; {RESTORE}");
        return Err(Error::corruption(&path, 0, message).with_subcode(Subcode::MissingFile));
    }
    let contents = scan(env, &path, number)?;
    if contents.header.is_none() || contents.changes == 0 {
        return Err(Error::corruption(
            &path,
            contents.end,
            format!("its first records are cut off; {RESTORE}"),
        ));
    }
    Ok(contents.state)
}

/// What a manifest file holds.
struct Contents {
    header: Option<Header>,
    /// Change records read.
    changes: usize,
    /// Where the valid records end.
    end: u64,
    state: ManifestState,
}

fn scan(env: &dyn Env, path: &Path, number: u64) -> Result<Contents> {
    let mut reader = RecordReader::open(env, path, number, 0, None)?;
    let mut contents = Contents { header: None, changes: 0, end: 0, state: ManifestState::default() };
    contents.state.manifest_number = number;
    contents.state.next_file_number = number.saturating_add(1);
    let (tail, reason) = loop {
        match reader.next() {
            ReadOutcome::Record { offset, end, kind, payload } => {
                take_record(&mut contents, kind, payload, number).map_err(|error| error.at(path, offset))?;
                contents.end = end;
            }
            ReadOutcome::End { offset } => break (offset, "zeros".to_string()),
            ReadOutcome::Bad { offset, reason } => break (offset, reason),
        }
    };
    if let Some(valid) = reader.next_valid_after(tail) {
        let message = format!("{reason}, but a valid record follows at {valid}: not a torn end; {RESTORE}");
        return Err(Error::corruption(path, tail, message));
    }
    contents.state.manifest_len = contents.end;
    contents.state.torn_bytes = reader.non_zero_bytes_after(tail);
    contents.state.finish();
    Ok(contents)
}

fn take_record(contents: &mut Contents, kind: u8, payload: &[u8], number: u64) -> Result<()> {
    let corrupt = |what: String| Error::new(ErrorKind::Corruption, format!("{what}; {RESTORE}"));
    match (kind, &contents.header) {
        (HEADER_RECORD, None) => {
            let header = Header::decode(payload).map_err(|error| match error {
                HeaderError::Malformed => corrupt("the header is malformed".into()),
                HeaderError::Newer(format) => newer_format(format),
            })?;
            if header.number != number {
                return Err(corrupt(format!("header's number: got {}, expected {number}", header.number)));
            }
            contents.state.database = header.database;
            contents.header = Some(header);
        }
        (CHANGES_RECORD, Some(_)) => {
            let changes = Changes::decode(payload).map_err(corrupt)?;
            contents.state.replay(changes).map_err(corrupt)?;
            contents.changes += 1;
        }
        _ => return Err(corrupt(format!("a record of kind {kind} is out of place"))),
    }
    Ok(())
}

fn newer_format(format: u32) -> Error {
    let known = CURRENT_FORMAT as u32;
    let message =
        format!("the database has format {format}, this library knows up to {known}; use a newer one");
    Error::new(ErrorKind::NotImplemented, message).with_subcode(Subcode::NewerFormat)
}

/// CURRENT is not there: is there no database, or has one lost it?
fn no_current(env: &dyn Env, dir: &Path, current: &Path) -> Error {
    let none =
        || Error::not_found("there is no database here").in_file(current).with_subcode(Subcode::MissingFile);
    let names = match env.list(dir) {
        Ok(names) => names,
        Err(error) if error.subcode() == Subcode::MissingFile => return none(),
        Err(error) => return error,
    };
    for name in names {
        let Some(FileKind::Manifest(number)) = parse(&name) else { continue };
        match is_left_of_create(env, &path_of(dir, FileKind::Manifest(number)), number) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("missing, but {name} shows that a database is here; {RESTORE}");
                return Error::corruption(current, 0, message).with_subcode(Subcode::MissingFile);
            }
            Err(error) => return error.context("CURRENT is missing, and the manifest there is unreadable"),
        }
    }
    none()
}

/// Whether a crash during `create` left this manifest, so that it holds nothing of anybody's.
fn is_left_of_create(env: &dyn Env, path: &Path, number: u64) -> Result<bool> {
    let contents = scan(env, path, number)?;
    Ok(contents.header.is_none_or(|header| header.new_database && contents.changes <= 1))
}
