//! The bytes of a manifest. Records are framed and checksummed by `record`; these are the payloads.
//!
//! header  := magic:u64 | format:u32 | database:16 bytes | manifest number:u64 | flags:u8 (1 = of a new database)
//! changes := count:varint | count x slice(edit)
//! edit    := { tag:varint | fields } until the slice ends; an unknown tag is corruption, for a reader that skips
//!            what it does not know would lose tables. A new tag is a new `FormatVersion`.
//! added   := level | run | number | slice(properties);  properties := the varints in the order below, then
//!            slice(smallest) | slice(largest) | segments:varint x (segment | bytes | values | end)
//!            | (expiring | latest expiry | half expired at)?        where there are entries that expire
//! CURRENT := manifest name | ' ' | crc32 of the name as 8 hex digits | '\n'

use super::edit::{NewFile, VersionEdit};
use super::{MAX_LEVELS, file_meta::FileMeta};
use crate::base::checksum::crc32;
use crate::base::coding::{Decoder, put_slice, put_u32, put_u64, put_varint};
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::format_version::{CURRENT_FORMAT, FormatVersion};
use crate::base::key::ParsedKey;
use crate::sst::{SegmentUse, TableProperties};
use std::path::Path;

/// `kind` of the first record.
pub(super) const HEADER_RECORD: u8 = 1;
/// `kind` of every other record.
pub(super) const CHANGES_RECORD: u8 = 2;
/// Longest CURRENT that can be right.
pub(super) const MAX_CURRENT_LEN: u64 = 64;

const MAGIC: u64 = 0x7473_6566_696e_616d; // "manifest"
const FLAG_NEW_DATABASE: u8 = 1;

mod tag {
    pub(super) const COLUMN_FAMILY: u64 = 1;
    pub(super) const ADDED: u64 = 2;
    pub(super) const REMOVED: u64 = 3;
    pub(super) const FLUSHED_SEQUENCE: u64 = 4;
    pub(super) const CREATE: u64 = 5;
    pub(super) const DROP: u64 = 6;
    pub(super) const LAST_SEQUENCE: u64 = 7;
    pub(super) const MIN_WAL: u64 = 8;
    pub(super) const SEALED_WAL: u64 = 9;
    pub(super) const NEXT_FILE_NUMBER: u64 = 10;
    pub(super) const NEXT_COLUMN_FAMILY: u64 = 11;
    pub(super) const STARTED_WAL: u64 = 12;
}

/// The first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) database: [u8; 16],
    pub(super) number: u64,
    /// Written by `create`: counts as a database only once another record follows the first changes.
    pub(super) new_database: bool,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(37);
        put_u64(&mut out, MAGIC);
        put_u32(&mut out, CURRENT_FORMAT as u32);
        out.extend_from_slice(&self.database);
        put_u64(&mut out, self.number);
        out.push(if self.new_database { FLAG_NEW_DATABASE } else { 0 });
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        let mut decoder = Decoder::new(bytes);
        let malformed = || HeaderError::Malformed;
        if decoder.u64() != Some(MAGIC) {
            return Err(HeaderError::Malformed);
        }
        // Before anything else of the header: a newer format may have changed the rest.
        let format = decoder.u32().ok_or_else(malformed)?;
        if FormatVersion::from_number(format).is_none() {
            return Err(if format == 0 { HeaderError::Malformed } else { HeaderError::Newer(format) });
        }
        let database = decoder.bytes(16).and_then(|id| id.try_into().ok()).ok_or_else(malformed)?;
        let number = decoder.u64().ok_or_else(malformed)?;
        let flags = decoder.u8().ok_or_else(malformed)?;
        if !decoder.is_empty() || flags > FLAG_NEW_DATABASE {
            return Err(HeaderError::Malformed);
        }
        Ok(Header { database, number, new_database: flags == FLAG_NEW_DATABASE })
    }
}

/// Why a header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Malformed,
    Newer(u32),
}

/// All edits of one record, and the counters as they were when it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) edits: Vec<VersionEdit>,
    pub(super) next_file_number: Option<u64>,
    pub(super) next_column_family: Option<u32>,
}

impl Changes {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.edits.len() as u64 + 1);
        let mut counters = Vec::new();
        put_optional(&mut counters, tag::NEXT_FILE_NUMBER, self.next_file_number);
        put_optional(&mut counters, tag::NEXT_COLUMN_FAMILY, self.next_column_family.map(u64::from));
        put_slice(&mut out, &counters);
        for edit in &self.edits {
            put_slice(&mut out, &encode_edit(edit));
        }
        out
    }

    /// `Err` tells what is malformed.
    pub(super) fn decode(bytes: &[u8]) -> Result<Changes, String> {
        let mut decoder = Decoder::new(bytes);
        let count = decoder.varint().ok_or("the number of edits is cut off")?;
        let mut changes = Changes::default();
        for at in 0..count {
            let edit = decoder.slice().ok_or_else(|| format!("edit {at} of {count} is cut off"))?;
            let edit = changes.decode_edit(edit).map_err(|what| format!("edit {at} of {count}: {what}"))?;
            if at > 0 {
                changes.edits.push(edit);
            } else if edit != VersionEdit::default() {
                return Err("edit 0 holds more than counters".into());
            }
        }
        if !decoder.is_empty() {
            return Err(format!("{} bytes too many", decoder.rest().len()));
        }
        Ok(changes)
    }

    fn decode_edit(&mut self, bytes: &[u8]) -> Result<VersionEdit, String> {
        let mut decoder = Decoder::new(bytes);
        let mut edit = VersionEdit::default();
        while !decoder.is_empty() {
            let tag = decoder.varint().ok_or("a tag is cut off")?;
            self.decode_field(tag, &mut decoder, &mut edit)
                .ok_or_else(|| format!("field with tag {tag} is unknown or malformed"))?;
        }
        Ok(edit)
    }

    fn decode_field(&mut self, tag: u64, from: &mut Decoder<'_>, edit: &mut VersionEdit) -> Option<()> {
        match tag {
            tag::COLUMN_FAMILY => edit.column_family = from.varint32()?,
            tag::ADDED => edit.added.push(decode_added(from)?),
            tag::REMOVED => edit.removed.push((level(from)?, from.varint()?)),
            tag::FLUSHED_SEQUENCE => edit.flushed_sequence = Some(from.varint()?),
            tag::CREATE => edit.create = Some((text(from)?, text(from)?)),
            tag::DROP => edit.drop = true,
            tag::LAST_SEQUENCE => edit.last_sequence = Some(from.varint()?),
            tag::MIN_WAL => edit.min_wal = Some(from.varint()?),
            tag::SEALED_WAL => edit.sealed_wals.push((from.varint()?, from.varint()?)),
            tag::STARTED_WAL => edit.started_wal = Some(from.varint()?),
            tag::NEXT_FILE_NUMBER => self.next_file_number = Some(from.varint()?),
            tag::NEXT_COLUMN_FAMILY => self.next_column_family = Some(from.varint32()?),
            _ => return None,
        }
        Some(())
    }
}

fn text(from: &mut Decoder<'_>) -> Option<String> {
    String::from_utf8(from.slice()?.to_vec()).ok()
}

fn level(from: &mut Decoder<'_>) -> Option<u32> {
    from.varint32().filter(|&level| level < MAX_LEVELS)
}

fn put_optional(out: &mut Vec<u8>, tag: u64, value: Option<u64>) {
    if let Some(value) = value {
        put_varint(out, tag);
        put_varint(out, value);
    }
}

fn encode_edit(edit: &VersionEdit) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, tag::COLUMN_FAMILY);
    put_varint(&mut out, edit.column_family.into());
    if let Some((name, comparator)) = &edit.create {
        put_varint(&mut out, tag::CREATE);
        put_slice(&mut out, name.as_bytes());
        put_slice(&mut out, comparator.as_bytes());
    }
    if edit.drop {
        put_varint(&mut out, tag::DROP);
    }
    for &(level, number) in &edit.removed {
        put_varint(&mut out, tag::REMOVED);
        put_varint(&mut out, level.into());
        put_varint(&mut out, number);
    }
    for file in &edit.added {
        put_varint(&mut out, tag::ADDED);
        put_varint(&mut out, file.level.into());
        put_varint(&mut out, file.run);
        put_varint(&mut out, file.number);
        put_slice(&mut out, &encode_properties(&file.properties));
    }
    put_optional(&mut out, tag::FLUSHED_SEQUENCE, edit.flushed_sequence);
    put_optional(&mut out, tag::LAST_SEQUENCE, edit.last_sequence);
    put_optional(&mut out, tag::MIN_WAL, edit.min_wal);
    put_optional(&mut out, tag::STARTED_WAL, edit.started_wal);
    for &(number, len) in &edit.sealed_wals {
        put_varint(&mut out, tag::SEALED_WAL);
        put_varint(&mut out, number);
        put_varint(&mut out, len);
    }
    out
}

fn decode_added(from: &mut Decoder<'_>) -> Option<NewFile> {
    let level = level(from)?;
    let (run, number) = (from.varint()?, from.varint()?);
    let properties = decode_properties(from.slice()?)?;
    Some(NewFile { level, run, number, properties })
}

fn encode_properties(properties: &TableProperties) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for value in [
        properties.file_size,
        properties.entries,
        properties.deletions,
        properties.merges,
        properties.range_tombstones,
        properties.raw_key_bytes,
        properties.raw_value_bytes,
        properties.data_blocks,
        properties.data_bytes,
        properties.index_bytes,
        properties.filter_bytes,
        properties.model_bytes,
        properties.model_segments,
        properties.model_error,
        properties.smallest_sequence,
        properties.largest_sequence,
    ] {
        put_varint(&mut out, value);
    }
    put_slice(&mut out, &properties.smallest);
    put_slice(&mut out, &properties.largest);
    put_varint(&mut out, properties.segments.len() as u64);
    for used in &properties.segments {
        for value in [used.segment, used.bytes, used.values, used.end] {
            put_varint(&mut out, value);
        }
    }
    if properties.expiring > 0 {
        for value in [properties.expiring, properties.latest_expiry, properties.half_expired] {
            put_varint(&mut out, value);
        }
    }
    out
}

fn decode_properties(bytes: &[u8]) -> Option<TableProperties> {
    let mut from = Decoder::new(bytes);
    let mut properties = TableProperties {
        file_size: from.varint()?,
        entries: from.varint()?,
        deletions: from.varint()?,
        merges: from.varint()?,
        range_tombstones: from.varint()?,
        raw_key_bytes: from.varint()?,
        raw_value_bytes: from.varint()?,
        data_blocks: from.varint()?,
        data_bytes: from.varint()?,
        index_bytes: from.varint()?,
        filter_bytes: from.varint()?,
        model_bytes: from.varint()?,
        model_segments: from.varint()?,
        model_error: from.varint()?,
        smallest_sequence: from.varint()?,
        largest_sequence: from.varint()?,
        smallest: from.slice()?.to_vec(),
        largest: from.slice()?.to_vec(),
        ..TableProperties::default()
    };
    // The bounds are compared as internal keys from here on.
    ParsedKey::parse(&properties.smallest)?;
    ParsedKey::parse(&properties.largest)?;
    let count = from.varint()?;
    if count > from.rest().len() as u64 {
        return None;
    }
    for _ in 0..count {
        properties.segments.push(SegmentUse {
            segment: from.varint()?,
            bytes: from.varint()?,
            values: from.varint()?,
            end: from.varint()?,
        });
    }
    if !from.is_empty() {
        properties.expiring = from.varint().filter(|&expiring| expiring > 0)?;
        (properties.latest_expiry, properties.half_expired) = (from.varint()?, from.varint()?);
    }
    from.is_empty().then_some(properties)
}

/// The edit field for a table that is there, for a manifest written whole.
pub(super) fn describe(level: usize, file: &FileMeta) -> NewFile {
    NewFile { level: level as u32, run: file.run, number: file.number, properties: file.properties.clone() }
}

/// What CURRENT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Current {
    /// The live manifest.
    pub(super) number: u64,
    /// Its length, where the database was closed cleanly: then not a byte may be missing.
    pub(super) sealed_len: Option<u64>,
}

impl Current {
    /// `MANIFEST-NNNNNN [length] checksum\n`; the checksum is the CRC-32 of what stands before it.
    pub(super) fn encode(&self) -> String {
        let path = path_of(Path::new(""), FileKind::Manifest(self.number));
        let mut text = path.to_str().expect("manifest names are ASCII").to_string();
        if let Some(len) = self.sealed_len {
            text.push_str(&format!(" {len}"));
        }
        let checksum = crc32(text.as_bytes());
        format!("{text} {checksum:08x}\n")
    }

    /// `None` if malformed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Current> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let Some(FileKind::Manifest(number)) = parse(words.next()?) else { return None };
        let second = words.next()?;
        let sealed_len = words.next().and_then(|_| second.parse().ok());
        let current = Current { number, sealed_len };
        // One spelling only: whatever differs from what would be written is damage.
        (current.encode().as_bytes() == bytes).then_some(current)
    }
}
