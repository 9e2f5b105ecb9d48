//! The four codecs, for table blocks and for values in the value log.
//!
//! `Compressor` keeps what codecs need between inputs: a table's blocks are compressed without an allocation each.
//! It returns `None` where compressing does not pay (saves less than an eighth): the bytes are then stored raw.
//! `decompress` needs the original length, which every format stores and bounds, so corrupt input can neither
//! allocate without limit nor panic. Codec numbers reach disk: never renumber them.

use serde::{Deserialize, Serialize};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Codec {
    /// Stored as they are.
    None = 0,
    /// Snappy: old, fast, everywhere.
    Snappy = 1,
    /// LZ4: the fastest here, and the default.
    Lz4 = 4,
    /// Zstandard level 3: the smallest.
    Zstd = 7,
}

impl Codec {
    /// The codec with this number.
    pub fn from_tag(tag: u8) -> Option<Codec> {
        Some(match tag {
            0 => Codec::None,
            1 => Codec::Snappy,
            4 => Codec::Lz4,
            7 => Codec::Zstd,
            _ => return None,
        })
    }
}

/// The level zstd is used at.
const ZSTD_LEVEL: i32 = 3;

/// Whether `compressed` bytes in place of `original` save at least an eighth.
#[inline]
pub fn pays(compressed: usize, original: usize) -> bool {
    compressed + original / 8 < original
}

/// Compresses one input after the other. Tables, contexts and the output buffer are made once and used again.
#[derive(Default)]
pub struct Compressor {
    lz4: Option<lz4_flex::block::CompressTable>,
    snappy: Option<snap::raw::Encoder>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    output: Vec<u8>,
}

impl Compressor {
    /// `input` compressed, up to the next call; `None` if the codec is `None` or saves less than an eighth.
    pub fn compress(&mut self, codec: Codec, input: &[u8]) -> Option<&[u8]> {
        let bound = match codec {
            Codec::None => return None,
            Codec::Snappy => snap::raw::max_compress_len(input.len()),
            Codec::Lz4 => lz4_flex::block::get_maximum_output_size(input.len()),
            Codec::Zstd => zstd::zstd_safe::compress_bound(input.len()),
        };
        if self.output.len() < bound {
            self.output.resize(bound, 0);
        }
        let output = &mut self.output[..];
        let len = match codec {
            Codec::None => return None,
            Codec::Snappy => {
                let encoder = self.snappy.get_or_insert_with(snap::raw::Encoder::new);
                encoder.compress(input, output).ok()?
            }
            Codec::Lz4 => {
                let table = self.lz4.get_or_insert_default();
                lz4_flex::block::compress_into_with_table(input, output, table).ok()?
            }
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                self.zstd.as_mut()?.compress_to_buffer(input, output).ok()?
            }
        };
        pays(len, input.len()).then_some(&self.output[..len])
    }
}

/// Compresses `input`, or `None` if the codec is `None` or saves less than an eighth.
pub fn compress(codec: Codec, input: &[u8]) -> Option<Vec<u8>> {
    Compressor::default().compress(codec, input).map(<[u8]>::to_vec)
}

/// Restores `output.len()` bytes from `input` into `output`. False if the bytes are not what `compress` made.
pub fn decompress_into(codec: Codec, input: &[u8], output: &mut [u8]) -> bool {
    let expected = output.len();
    match codec {
        Codec::None => {
            if input.len() != expected {
                return false;
            }
            output.copy_from_slice(input);
            true
        }
        Codec::Snappy => {
            snap::raw::decompress_len(input).is_ok_and(|len| len == expected)
                && snap::raw::Decoder::new().decompress(input, output).is_ok_and(|len| len == expected)
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(input, output).is_ok_and(|len| len == expected),
        Codec::Zstd => zstd::bulk::decompress_to_buffer(input, output).is_ok_and(|len| len == expected),
    }
}

/// Restores `original_len` bytes from `input`; `None` if the bytes are not what `compress` made.
/// The caller has bounded `original_len`.
pub fn decompress(codec: Codec, input: &[u8], original_len: usize) -> Option<Vec<u8>> {
    let mut output = vec![0; original_len];
    decompress_into(codec, input, &mut output).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_round_trips_and_refuses_damage_quietly() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| format!("entry {} ", n % 97).into_bytes()).collect();
        for codec in [Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let small = compress(codec, &text).unwrap();
            assert!(small.len() < text.len() / 2);
            assert_eq!(decompress(codec, &small, text.len()).unwrap(), text);
            assert!(decompress(codec, &small, text.len() + 1).is_none());
            assert!(decompress(codec, &small[..small.len() / 2], text.len()).is_none());
            for at in (0..small.len()).step_by(11) {
                let mut bad = small.clone();
                bad[at] ^= 0x55;
                decompress(codec, &bad, text.len()); // must return, whatever it says
            }
        }
        assert!(compress(Codec::None, &text).is_none());
    }

    #[test]
    fn noise_is_left_raw() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..4096)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        for codec in [Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(compress(codec, &noise).is_none());
        }
    }
}
