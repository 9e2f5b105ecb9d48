//! CRC-32 over one or several pieces, and a cheap way to bind a checksum to a place.
//!
//! A record's checksum is the CRC of its bytes combined with where it stands (file number and offset), so that
//! bytes that were valid elsewhere (a recycled block, a misdirected write) never pass. `bind` can be applied
//! after the CRC was computed, outside the lock that assigns the place.

/// CRC-32 (IEEE) of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 of the pieces as if they stood in one buffer.
pub fn crc32_of(pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}

/// Ties `crc` to a place. For a fixed place this is a bijection on `crc`, so no detection strength is lost.
pub fn bind(crc: u32, file_number: u64, offset: u64) -> u32 {
    let mut mixed =
        file_number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    // The constant keeps a zero checksum over zero bytes at place (0, 0) from passing.
    crc ^ ((mixed >> 32) as u32) ^ 0xa282_ead8
}

/// 64 bits of a place in a file that held other records before: `salt` was drawn when its bytes began anew. Those of
/// two salts have nothing to do with each other, and who does not know the salt cannot foresee them.
pub fn salted_place(salt: u64, file_number: u64, offset: u64) -> u64 {
    let place = file_number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let mut mixed = salt ^ place;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// What was bound: `unbind(bind(crc, n, o), n, o)` is `crc`.
pub fn unbind(bound: u32, file_number: u64, offset: u64) -> u32 {
    // Binding is an exclusive or with a number of the place.
    bind(bound, file_number, offset)
}

/// A 64-bit hash of `bytes` for filters and shards. Stable: it is part of the table format.
pub fn hash64(bytes: &[u8], seed: u64) -> u64 {
    const K: u64 = 0x9ddf_ea08_eb38_2d69;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(K);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks_exact gives 8 bytes"));
        hash = (hash ^ mix(word)).wrapping_mul(K).rotate_left(29);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash = (hash ^ mix(short_word(bytes, rest))).wrapping_mul(K).rotate_left(29);
    }
    mix(hash)
}

/// The up to seven bytes that `bytes` end with, `rest`, as a number. Read straight into a register where there are
/// eight: what is copied together first has to be waited for.
#[inline]
fn short_word(bytes: &[u8], rest: &[u8]) -> u64 {
    match bytes.last_chunk::<8>() {
        Some(end) => u64::from_le_bytes(*end) >> (8 * (8 - rest.len())),
        None => {
            let mut word = [0u8; 8];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(word)
        }
    }
}

#[inline]
fn mix(mut word: u64) -> u64 {
    word ^= word >> 32;
    word = word.wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^= word >> 32;
    word = word.wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_equal_the_whole() {
        assert_eq!(crc32_of(&[b"ab", b"", b"cdef"]), crc32(b"abcdef"));
    }

    #[test]
    fn a_place_changes_the_checksum() {
        let crc = crc32(b"record");
        assert_ne!(bind(crc, 1, 0), bind(crc, 1, 16));
        assert_ne!(bind(crc, 1, 0), bind(crc, 2, 0));
        assert_ne!(bind(0, 0, 0), 0);
        assert_eq!(unbind(bind(crc, 7, 99), 7, 99), crc);
    }

    #[test]
    fn salted_places_differ_in_every_part() {
        let place = salted_place(1, 2, 3);
        assert_eq!(place, salted_place(1, 2, 3));
        for other in [salted_place(0, 2, 3), salted_place(1, 3, 3), salted_place(1, 2, 4)] {
            assert!(place as u32 != other as u32 && place >> 32 != other >> 32);
        }
        assert_eq!(salted_place(7, 12, 65), 0xf670_edf2_cd59_8c5a, "part of the log's format");
    }

    #[test]
    fn hashes_are_stable_and_spread() {
        let hashes: std::collections::HashSet<u64> =
            (0..10_000u32).map(|n| hash64(format!("key{n}").as_bytes(), 0)).collect();
        assert_eq!(hashes.len(), 10_000);
        assert_ne!(hash64(b"a", 0), hash64(b"a\0", 0));
        assert_eq!(hash64(b"auradb", 7), hash64(b"auradb", 7));
    }
}
