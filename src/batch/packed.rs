//! Packed operations: a flat buffer that any language fills with a few appends, for callers whose calls are expensive.
//!
//! operations := operation*
//! operation  := kind:u8 | family:u24 | key_len:u32 | value_len:u32 | key | value          (little-endian)
//!
//! `kind` and `family` make one 32-bit number, `kind + 256 * family`, so that an operation is three numbers, a key and
//! a value, back to back without padding. `family` is an index that the caller's array of families resolves.
//!
//! | kind | operation     | key         | value              |
//! |------|---------------|-------------|--------------------|
//! | 1    | put           | the key     | the value          |
//! | 2    | delete        | the key     | empty              |
//! | 3    | single delete | the key     | empty              |
//! | 4    | merge         | the key     | the operand        |
//! | 5    | range delete  | first key   | first key not deleted |
//! | 6    | log data      | the bytes   | empty; `family` is 0 |
//!
//! No kind is 0: zeroed memory is no operation. An error names the operation, from 0, and the byte it starts at.

use super::{Record, check_lengths};
use crate::base::{Error, Result};

/// Bytes before the key of an operation.
const HEAD_LEN: usize = 12;

/// What an operation does. The numbers are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PackedKind {
    /// Store a value.
    Put = 1,
    /// Delete a key.
    Delete = 2,
    /// Delete a key written once.
    SingleDelete = 3,
    /// Add a merge operand.
    Merge = 4,
    /// Delete a range of keys.
    DeleteRange = 5,
    /// Bytes for the log alone.
    LogData = 6,
}

impl PackedKind {
    fn of(number: u8) -> Option<PackedKind> {
        Some(match number {
            1 => PackedKind::Put,
            2 => PackedKind::Delete,
            3 => PackedKind::SingleDelete,
            4 => PackedKind::Merge,
            5 => PackedKind::DeleteRange,
            6 => PackedKind::LogData,
            _ => return None,
        })
    }
}

/// Finds the id of the column family that an index means, or says why there is none.
pub type FamilyAt<'a> = &'a dyn Fn(usize) -> Result<u32>;

/// The operations of a buffer; the first malformed one is an `Err` and the last item.
#[derive(Clone)]
pub struct PackedOperations<'a> {
    data: &'a [u8],
    family_at: FamilyAt<'a>,
    /// Where the next operation starts.
    at: usize,
    /// How many came before it.
    number: usize,
    /// The family of the operation before, and its id.
    last: Option<(usize, u32)>,
}

impl<'a> PackedOperations<'a> {
    /// Over the operations in `data`.
    pub fn new(data: &'a [u8], family_at: FamilyAt<'a>) -> PackedOperations<'a> {
        PackedOperations { data, family_at, at: 0, number: 0, last: None }
    }

    /// The bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// An operation by its number and the byte it starts at, for messages.
    pub fn describe(number: usize, start: usize) -> String {
        format!("packed operations: operation {number} at byte {start}")
    }

    /// How many operations came so far.
    #[inline]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The byte at which the next operation starts.
    #[inline]
    pub fn offset(&self) -> usize {
        self.at
    }

    #[inline]
    fn decode(&mut self) -> Result<(Record<'a>, usize)> {
        let rest = &self.data[self.at..];
        let Some((head, body)) = rest.split_first_chunk::<HEAD_LEN>() else {
            return Err(cut_short("head", HEAD_LEN, rest.len()));
        };
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (kind, family) = (head[0], (number(0) >> 8) as usize);
        let (key_len, value_len) = (number(4) as usize, number(8) as usize);
        let kind = PackedKind::of(kind).ok_or_else(|| unknown_kind(kind))?;
        check_lengths(key_len, value_len)?;
        let Some((key, value)) = body.split_at_checked(key_len) else {
            return Err(cut_short("key", key_len, body.len()));
        };
        let Some(value) = value.get(..value_len) else {
            return Err(cut_short("value", value_len, value.len()));
        };
        let has_value = matches!(kind, PackedKind::Put | PackedKind::Merge | PackedKind::DeleteRange);
        if !has_value && value_len > 0 {
            return Err(Error::invalid_argument(format!(
                "a {kind:?} with a value of {value_len} bytes; its value length must be 0"
            )));
        }
        let record = self.record(kind, family, key, value)?;
        Ok((record, self.at + HEAD_LEN + key_len + value_len))
    }

    #[inline]
    fn record(
        &mut self,
        kind: PackedKind,
        family: usize,
        key: &'a [u8],
        value: &'a [u8],
    ) -> Result<Record<'a>> {
        if kind == PackedKind::LogData {
            if family != 0 {
                return Err(Error::invalid_argument(format!(
                    "log data with the family {family}; it must be 0"
                )));
            }
            return Ok(Record::LogData(key));
        }
        let column_family = match self.last {
            Some((last, id)) if last == family => id,
            _ => (self.family_at)(family)?,
        };
        self.last = Some((family, column_family));
        Ok(match kind {
            PackedKind::Put => Record::Put { column_family, key, value },
            PackedKind::Delete => Record::Delete { column_family, key },
            PackedKind::SingleDelete => Record::SingleDelete { column_family, key },
            PackedKind::Merge => Record::Merge { column_family, key, operand: value },
            PackedKind::DeleteRange => Record::RangeDelete { column_family, start: key, end: value },
            PackedKind::LogData => Record::LogData(key),
        })
    }
}

impl<'a> Iterator for PackedOperations<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Record<'a>>> {
        if self.at == self.data.len() {
            return None;
        }
        match self.decode() {
            Ok((record, end)) => {
                self.at = end;
                self.number += 1;
                Some(Ok(record))
            }
            Err(error) => {
                let error = error.context(PackedOperations::describe(self.number, self.at));
                (self.data, self.at) = (&[], 0);
                Some(Err(error))
            }
        }
    }
}

#[cold]
fn cut_short(what: &str, expected: usize, got: usize) -> Error {
    Error::invalid_argument(format!("its {what} is cut short: got {got} bytes, expected {expected}"))
}

#[cold]
fn unknown_kind(kind: u8) -> Error {
    Error::invalid_argument(format!("its kind is {kind}; kinds are 1 (put) to 6 (log data)"))
}
