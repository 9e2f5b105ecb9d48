//! Packed keys: what to read, in one flat buffer. As packed operations, with less to say.
//!
//! keys := key*
//! key  := family:u32 | key_len:u32 | key          (little-endian)

use crate::base::{Error, Result};

/// Bytes before a key.
const HEAD_LEN: usize = 8;

/// The keys of a buffer, each with the index of its column family; the first malformed one is an `Err` and the last.
#[derive(Clone)]
pub struct PackedKeys<'a> {
    data: &'a [u8],
    at: usize,
    number: usize,
}

impl<'a> PackedKeys<'a> {
    /// Over the keys in `data`.
    pub fn new(data: &'a [u8]) -> PackedKeys<'a> {
        PackedKeys { data, at: 0, number: 0 }
    }

    #[cold]
    fn cut_short(&mut self, what: &str, expected: usize, got: usize) -> Error {
        let error = Error::invalid_argument(format!(
            "packed keys: key {} at byte {}: its {what} is cut short: got {got} bytes, expected {expected}",
            self.number, self.at
        ));
        (self.data, self.at) = (&[], 0);
        error
    }
}

impl<'a> Iterator for PackedKeys<'a> {
    type Item = Result<(usize, &'a [u8])>;

    fn next(&mut self) -> Option<Result<(usize, &'a [u8])>> {
        let rest = &self.data[self.at..];
        if rest.is_empty() {
            return None;
        }
        let Some((head, body)) = rest.split_first_chunk::<HEAD_LEN>() else {
            return Some(Err(self.cut_short("head", HEAD_LEN, rest.len())));
        };
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (family, len) = (number(0), number(4));
        let Some(key) = body.get(..len) else {
            return Some(Err(self.cut_short("key", len, body.len())));
        };
        self.at += HEAD_LEN + len;
        self.number += 1;
        Some(Ok((family, key)))
    }
}
