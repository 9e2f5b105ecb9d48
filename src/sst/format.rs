//! The bytes of a table file. All integers are little-endian; `varint` and `slice` are those of
//! `base::coding`.
//!
//! ```text
//! table      := data block* | filter? | model? | fence index | range tombstones? | properties | footer
//!               nothing between them: every byte of the file belongs to exactly one of them
//! section    := stored | codec:u8 | checksum:u32            (data blocks and all sections but the footer)
//! stored     := contents                                    where codec = 0 (none)
//!             | contents_len:u32 | compressed contents      where codec is another of `base::compression`
//! checksum   := bind(crc32(stored | codec), file number, offset of the section)
//!
//! data block := see block/format.rs          filter     := see filter/bloom.rs
//! model      := see learned_index/format.rs  fence index := see fence_index.rs
//! properties := see properties.rs
//! range tombstones := count:varint | (start:slice | end:slice | sequence:varint){count}, in order of arrival
//!
//! footer (104 bytes, at the end of the file) :=
//!     (offset:u64 | stored_len:u64) of filter, model, fence index, range tombstones and properties;
//!         an absent section is (0, 0)
//!   | file number:u64 | version:u32
//!   | checksum:u32 = bind(crc32(all of the footer before it), file number, offset of the footer)
//!   | magic:u64 = "AURASST\0"
//! ```
//!
//! `contents_len` is at most 16 MiB or 256 times the compressed length, whichever is more (the builder stores
//! raw where that would not hold), so that a hostile length cannot make the reader allocate without limit. A
//! checksum is tied to file number and offset: a renamed, swapped or misdirected block never passes.

use crate::base::checksum::{bind, crc32};
use crate::base::coding::{Decoder, put_slice, put_u32, put_u64, put_varint};
use crate::base::compression::{Compressor, decompress_into};
use crate::base::error::Subcode;
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Codec, Error, Result};
use std::path::Path;

/// The last eight bytes of every table.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AURASST\0");
/// The version this build writes, and the newest it reads.
pub const TABLE_VERSION: u32 = 2;
/// The oldest it reads. Version 2 came with entries that expire; without them the bytes are the same.
const OLDEST_VERSION: u32 = 1;
/// Bytes after the stored bytes of a section: codec and checksum.
pub const SECTION_TRAILER_LEN: usize = 1 + 4;
/// Bytes of the footer.
pub const FOOTER_LEN: usize = HANDLES * HANDLE_LEN + 8 + 4 + 4 + 8;

const HANDLES: usize = 5;
const HANDLE_LEN: usize = 16;
const CHECKSUM_AT: usize = HANDLES * HANDLE_LEN + 8 + 4;
const _: () = assert!(FOOTER_LEN == 104); // On disk: changing this is a new format version.

/// Contents of any length up to this may be compressed as well as they can.
const UNRATED_CONTENTS_LEN: usize = 16 << 20;
/// Longer contents may be at most this many times their compressed length.
const MAX_RATIO: usize = 256;

/// Where a section stands: offset, and bytes without its trailer. `(0, 0)` in the footer means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handle {
    /// Offset of the first stored byte.
    pub offset: u64,
    /// Stored bytes, without codec and checksum.
    pub stored_len: u64,
}

impl Handle {
    /// Whether there is such a section.
    pub fn is_present(self) -> bool {
        self != Handle::default()
    }
    /// The first byte after the section and its trailer; `None` if it overflows.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.stored_len)?.checked_add(SECTION_TRAILER_LEN as u64)
    }
}

/// The end of the file: where everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// The Bloom filter, if there is one.
    pub filter: Handle,
    /// The learned index, if there is one.
    pub model: Handle,
    /// The fence index.
    pub fence: Handle,
    /// The range tombstones, if there are any.
    pub tombstones: Handle,
    /// The properties.
    pub properties: Handle,
}

impl Footer {
    fn handles(&self) -> [Handle; HANDLES] {
        [self.filter, self.model, self.fence, self.tombstones, self.properties]
    }

    /// Appends the footer of file `number`, which starts at `offset`.
    pub fn encode(&self, out: &mut Vec<u8>, number: u64, offset: u64) {
        let from = out.len();
        for handle in self.handles() {
            put_u64(out, handle.offset);
            put_u64(out, handle.stored_len);
        }
        put_u64(out, number);
        put_u32(out, TABLE_VERSION);
        let crc = crc32(&out[from..]);
        put_u32(out, bind(crc, number, offset));
        put_u64(out, MAGIC);
        debug_assert_eq!(out.len() - from, FOOTER_LEN);
    }

    /// Reads and checks the footer of file `number`, which starts at `offset`.
    pub fn decode(bytes: &[u8; FOOTER_LEN], path: &Path, number: u64, offset: u64) -> Result<Footer> {
        let corrupt = |what: String| Err(Error::corruption(path, offset, what));
        let mut decoder = Decoder::new(bytes);
        let mut handles = [Handle::default(); HANDLES];
        let fields = (|| {
            for handle in &mut handles {
                *handle = Handle { offset: decoder.u64()?, stored_len: decoder.u64()? };
            }
            Some((decoder.u64()?, decoder.u32()?, decoder.u32()?, decoder.u64()?))
        })();
        let (stored_number, version, checksum, magic) = fields.expect("the footer has its fixed length");
        if magic != MAGIC {
            return corrupt(format!(
                "not a table: magic {magic:016x}, expected {MAGIC:016x}; restore the file"
            ));
        }
        let crc = crc32(&bytes[..CHECKSUM_AT]);
        if checksum != bind(crc, number, offset) {
            if stored_number != number && checksum == bind(crc, stored_number, offset) {
                return corrupt(format!(
                    "the file is table {stored_number}, expected {number}: renamed or swapped; restore it"
                ));
            }
            let expected = bind(crc, number, offset);
            return corrupt(format!(
                "footer checksum: got {checksum:08x}, expected {expected:08x}; restore the file from a backup"
            ));
        }
        if stored_number != number {
            return corrupt(format!(
                "the footer names table {stored_number}, expected {number}; restore the file"
            ));
        }
        if !(OLDEST_VERSION..=TABLE_VERSION).contains(&version) {
            let message = format!(
                "table version {version}, this build reads {OLDEST_VERSION} to {TABLE_VERSION}; use a newer build"
            );
            return Err(Error::not_implemented(message).with_subcode(Subcode::NewerFormat).in_file(path));
        }
        let [filter, model, fence, tombstones, properties] = handles;
        let footer = Footer { filter, model, fence, tombstones, properties };
        footer.check_tiling(path, offset)?;
        Ok(footer)
    }

    /// Sections must follow each other without a gap up to the footer.
    fn check_tiling(&self, path: &Path, footer_offset: u64) -> Result<()> {
        let mut at = self.data_end();
        for handle in self.handles().into_iter().filter(|handle| handle.is_present()) {
            if handle.offset != at {
                let message =
                    format!("a section starts at {}, expected {at}; restore the file", handle.offset);
                return Err(Error::corruption(path, footer_offset, message));
            }
            at = handle.end().filter(|&end| end <= footer_offset).ok_or_else(|| {
                Error::corruption(path, footer_offset, "a section ends beyond the footer; restore the file")
            })?;
        }
        if at != footer_offset || !self.fence.is_present() || !self.properties.is_present() {
            return Err(Error::corruption(path, footer_offset, "a section is missing; restore the file"));
        }
        Ok(())
    }

    /// Where data blocks end: the first of the other sections.
    pub fn data_end(&self) -> u64 {
        self.handles().into_iter().find(|handle| handle.is_present()).map_or(0, |handle| handle.offset)
    }
}

fn length_is_sane(contents_len: usize, stored_len: usize) -> bool {
    contents_len <= UNRATED_CONTENTS_LEN.max(stored_len.saturating_mul(MAX_RATIO))
}

/// Appends `contents` as a section that will stand at `offset` of file `number`, compressed by `codec` where
/// that pays. Returns the stored length.
pub fn append_section(
    out: &mut Vec<u8>,
    contents: &[u8],
    (codec, compressor): (Codec, &mut Compressor),
    number: u64,
    offset: u64,
) -> u64 {
    let from = out.len();
    match compressor.compress(codec, contents).filter(|small| length_is_sane(contents.len(), small.len())) {
        Some(small) => {
            put_u32(out, u32::try_from(contents.len()).expect("the builder bounds blocks to 32 bits"));
            out.extend_from_slice(small);
            seal_section(out, from, codec, number, offset)
        }
        None => {
            out.extend_from_slice(contents);
            seal_section(out, from, Codec::None, number, offset)
        }
    }
}

/// Ends a section whose stored bytes are `out[from..]`. Returns the stored length.
pub fn seal_section(out: &mut Vec<u8>, from: usize, codec: Codec, number: u64, offset: u64) -> u64 {
    let stored_len = out.len() - from;
    out.push(codec as u8);
    let crc = crc32(&out[from..]);
    put_u32(out, bind(crc, number, offset));
    stored_len as u64
}

/// Checks a section read from `offset` of file `number`, trailer included, and gives its codec and stored
/// bytes.
pub fn check_section<'a>(
    section: &'a [u8],
    path: &Path,
    number: u64,
    offset: u64,
) -> Result<(Codec, &'a [u8])> {
    let Some((covered, checksum)) = section.split_last_chunk::<4>() else {
        return Err(Error::corruption(path, offset, "section shorter than its checksum; restore the file"));
    };
    let got = u32::from_le_bytes(*checksum);
    let expected = bind(crc32(covered), number, offset);
    if got != expected {
        let message =
            format!("block checksum: got {got:08x}, expected {expected:08x}; restore the file from a backup");
        return Err(Error::corruption(path, offset, message));
    }
    let Some((&tag, stored)) = covered.split_last() else {
        return Err(Error::corruption(path, offset, "section without a codec; restore the file"));
    };
    match Codec::from_tag(tag) {
        Some(codec) => Ok((codec, stored)),
        None => Err(Error::corruption(path, offset, format!("codec {tag} is unknown; restore the file"))),
    }
}

/// Puts the contents of a checked section into `output`, replacing what was there.
pub fn decode_section(
    codec: Codec,
    stored: &[u8],
    output: &mut Vec<u8>,
    path: &Path,
    offset: u64,
) -> Result<()> {
    if codec == Codec::None {
        output.clear();
        output.extend_from_slice(stored);
        return Ok(());
    }
    let corrupt =
        |what: &str| Error::corruption(path, offset, format!("{what}; restore the file from a backup"));
    let (len, compressed) =
        stored.split_first_chunk::<4>().ok_or_else(|| corrupt("compressed block too short"))?;
    let len = u32::from_le_bytes(*len) as usize;
    if !length_is_sane(len, compressed.len()) {
        let message = format!("{} compressed bytes claim to be {len}", compressed.len());
        return Err(corrupt(&message));
    }
    output.resize(len, 0);
    if decompress_into(codec, compressed, output) {
        Ok(())
    } else {
        Err(corrupt("block does not decompress"))
    }
}

/// Appends the contents of the range tombstone section.
pub fn encode_tombstones(tombstones: &[RangeTombstone], out: &mut Vec<u8>) {
    put_varint(out, tombstones.len() as u64);
    for tombstone in tombstones {
        put_slice(out, &tombstone.start);
        put_slice(out, &tombstone.end);
        put_varint(out, tombstone.sequence);
    }
}

/// Reads the contents of the range tombstone section; `None` if malformed.
pub fn decode_tombstones(contents: &[u8]) -> Option<Vec<RangeTombstone>> {
    let mut decoder = Decoder::new(contents);
    let count = decoder.varint()?;
    let mut tombstones = Vec::new();
    for _ in 0..count {
        tombstones.push(RangeTombstone {
            start: decoder.slice()?.to_vec(),
            end: decoder.slice()?.to_vec(),
            sequence: decoder.varint().filter(|&sequence| sequence <= crate::base::key::MAX_SEQUENCE)?,
        });
    }
    decoder.is_empty().then_some(tombstones)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_footer() -> (Footer, u64) {
        let handle = |offset, stored_len| Handle { offset, stored_len };
        let fence = handle(100, 20);
        let properties = handle(125, 30);
        (Footer { fence, properties, ..Footer::default() }, 160)
    }

    #[test]
    fn a_footer_round_trips_and_every_flipped_bit_is_seen() {
        let (footer, offset) = sample_footer();
        let mut bytes = Vec::new();
        footer.encode(&mut bytes, 7, offset);
        let bytes: [u8; FOOTER_LEN] = bytes.try_into().unwrap();
        let path = Path::new("000007.sst");
        assert_eq!(Footer::decode(&bytes, path, 7, offset).unwrap(), footer);
        assert_eq!(footer.data_end(), 100);
        for at in 0..FOOTER_LEN {
            for bit in 0..8 {
                let mut bad = bytes;
                bad[at] ^= 1 << bit;
                assert!(Footer::decode(&bad, path, 7, offset).unwrap_err().is_corruption());
            }
        }
        let swapped = Footer::decode(&bytes, path, 8, offset).unwrap_err();
        assert!(swapped.is_corruption() && swapped.to_string().contains("000007.sst"), "{swapped}");
        assert!(swapped.message().contains("is table 7, expected 8"), "{swapped}");
    }

    #[test]
    fn older_versions_are_read_and_newer_ones_refused() {
        let (footer, offset) = sample_footer();
        let mut bytes = Vec::new();
        footer.encode(&mut bytes, 7, offset);
        let mut bytes: [u8; FOOTER_LEN] = bytes.try_into().unwrap();
        for (version, known) in [(0u32, false), (1, true), (TABLE_VERSION, true), (TABLE_VERSION + 1, false)]
        {
            bytes[CHECKSUM_AT - 4..CHECKSUM_AT].copy_from_slice(&version.to_le_bytes());
            let checksum = bind(crc32(&bytes[..CHECKSUM_AT]), 7, offset);
            bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
            let decoded = Footer::decode(&bytes, Path::new("000007.sst"), 7, offset);
            let refused = decoded.err().map(|error| error.subcode());
            assert_eq!(refused, (!known).then_some(Subcode::NewerFormat), "version {version}");
        }
    }

    #[test]
    fn gaps_between_sections_are_refused() {
        let (footer, offset) = sample_footer();
        let mut bad = footer;
        bad.properties.offset += 1;
        bad.properties.stored_len -= 1;
        let mut absent = footer;
        absent.properties = Handle::default();
        let mut huge = footer;
        huge.properties.stored_len = u64::MAX;
        for footer in [bad, absent, huge] {
            let mut bytes = Vec::new();
            footer.encode(&mut bytes, 7, offset);
            let bytes: [u8; FOOTER_LEN] = bytes.try_into().unwrap();
            assert!(Footer::decode(&bytes, Path::new("x"), 7, offset).unwrap_err().is_corruption());
        }
    }

    #[test]
    fn sections_round_trip_and_are_bound_to_their_place() {
        let text: Vec<u8> = (0..3000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let path = Path::new("t");
        for codec in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut out = Vec::new();
            let stored_len = append_section(&mut out, &text, (codec, &mut Compressor::default()), 3, 4096);
            assert_eq!(stored_len as usize + SECTION_TRAILER_LEN, out.len());
            let (stored_codec, stored) = check_section(&out, path, 3, 4096).unwrap();
            assert_eq!(stored_codec, codec);
            let mut contents = vec![1, 2, 3];
            decode_section(stored_codec, stored, &mut contents, path, 4096).unwrap();
            assert_eq!(contents, text);
            assert!(check_section(&out, path, 3, 4097).is_err());
            assert!(check_section(&out, path, 4, 4096).is_err());
        }
        for len in 0..SECTION_TRAILER_LEN {
            assert!(check_section(&text[..len], path, 0, 0).is_err());
        }
    }

    #[test]
    fn a_hostile_length_is_refused_before_it_is_allocated() {
        let mut stored = u32::MAX.to_le_bytes().to_vec();
        stored.extend_from_slice(&[0; 100]);
        let mut output = Vec::new();
        for codec in [Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(
                decode_section(codec, &stored, &mut output, Path::new("t"), 0).unwrap_err().is_corruption()
            );
            assert_eq!(output.capacity(), 0);
            assert!(decode_section(codec, &stored[..3], &mut output, Path::new("t"), 0).is_err());
        }
    }

    #[test]
    fn tombstones_round_trip_and_malformed_ones_are_none() {
        let tombstones: Vec<RangeTombstone> = (0..5u8)
            .map(|n| RangeTombstone { start: vec![n; n.into()], end: vec![n + 1], sequence: n.into() })
            .collect();
        let mut bytes = Vec::new();
        encode_tombstones(&tombstones, &mut bytes);
        assert_eq!(decode_tombstones(&bytes), Some(tombstones));
        for len in 0..bytes.len() {
            assert_eq!(decode_tombstones(&bytes[..len]), None);
        }
        assert_eq!(decode_tombstones(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
    }
}
