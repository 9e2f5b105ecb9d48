//! Compresses values into buffers that each thread keeps, so that appending allocates nothing.
//!
//! A large value is tried on a sample first: what does not compress costs a few microseconds, not milliseconds.

use crate::base::Codec;
use std::cell::RefCell;

/// Values of at least so many bytes are tried on a sample.
const SAMPLED_LEN: usize = 16 << 10;
/// Bytes of the sample, from the middle: beginnings are often headers unlike the rest.
const SAMPLE_LEN: usize = 4 << 10;
/// A thread keeps a buffer of at most so many bytes.
const KEPT_LEN: usize = 4 << 20;
const ZSTD_LEVEL: i32 = 3;

/// A codec's tables.
struct Compressor {
    lz4: lz4_flex::block::CompressTable,
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

thread_local! {
    static COMPRESSOR: RefCell<(Compressor, Vec<u8>)> = RefCell::new((Compressor::new(), Vec::new()));
}

/// Calls `use_it` with the bytes to store and their codec: `value` compressed, or as it is where compressing
/// saves less than an eighth.
pub(super) fn with_compressed<R>(codec: Codec, value: &[u8], use_it: impl FnOnce(&[u8], Codec) -> R) -> R {
    if codec == Codec::None {
        return use_it(value, Codec::None);
    }
    COMPRESSOR.with_borrow_mut(|(compressor, output)| {
        let len = compressor.compress(codec, value, output, 0);
        let result = match len {
            Some(len) => use_it(&output[..len], codec),
            None => use_it(value, Codec::None),
        };
        if output.len() > KEPT_LEN {
            *output = Vec::new();
        }
        result
    })
}

/// Compresses `value` into `output` from `at` on, which grows if it has to; the length there. `None` where that saves
/// less than an eighth: what is there then means nothing.
pub(super) fn compress_at(codec: Codec, value: &[u8], output: &mut Vec<u8>, at: usize) -> Option<usize> {
    if codec == Codec::None {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|(compressor, _)| compressor.compress(codec, value, output, at))
}

fn pays(compressed: usize, original: usize) -> bool {
    compressed + original / 8 < original
}

impl Compressor {
    fn new() -> Compressor {
        let (lz4, snappy) = (lz4_flex::block::CompressTable::default(), snap::raw::Encoder::new());
        Compressor { lz4, snappy, zstd: None }
    }

    /// Compresses into `output` from `at` on; the length there, or `None` where it does not pay.
    fn compress(&mut self, codec: Codec, value: &[u8], output: &mut Vec<u8>, at: usize) -> Option<usize> {
        if value.len() >= SAMPLED_LEN {
            let from = (value.len() - SAMPLE_LEN) / 2;
            let sampled = self.run(codec, &value[from..from + SAMPLE_LEN], output, at)?;
            if !pays(sampled, SAMPLE_LEN) {
                return None;
            }
        }
        self.run(codec, value, output, at).filter(|&len| pays(len, value.len()))
    }

    fn run(&mut self, codec: Codec, input: &[u8], output: &mut Vec<u8>, at: usize) -> Option<usize> {
        let bound = match codec {
            Codec::None => return None,
            Codec::Snappy => snap::raw::max_compress_len(input.len()),
            Codec::Lz4 => lz4_flex::block::get_maximum_output_size(input.len()),
            Codec::Zstd => zstd::zstd_safe::compress_bound(input.len()),
        };
        if output.len() < at + bound {
            output.resize(at + bound, 0);
        }
        let output = &mut output[at..];
        match codec {
            Codec::None => None,
            Codec::Snappy => self.snappy.compress(input, output).ok(),
            Codec::Lz4 => lz4_flex::block::compress_into_with_table(input, output, &mut self.lz4).ok(),
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                self.zstd.as_mut()?.compress_to_buffer(input, output).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::compression::decompress;
    use crate::record::test_env::Random;

    #[test]
    fn what_is_stored_can_be_restored_by_every_codec_at_every_size() {
        let mut random = Random(3);
        for len in [0, 1, 100, 4096, SAMPLED_LEN - 1, SAMPLED_LEN, 70_000, KEPT_LEN + 5] {
            let text: Vec<u8> = (0..len).map(|n| b"a value that repeats, "[n % 22]).collect();
            let noise = random.bytes(len);
            for codec in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                for (value, small) in [(&text, codec != Codec::None && len >= 100), (&noise, false)] {
                    with_compressed(codec, value, |stored, used| {
                        assert_eq!(used != Codec::None, small, "{codec:?} {len}");
                        assert_eq!(decompress(used, stored, len).as_ref(), Some(value), "{codec:?} {len}");
                        assert!(!small || stored.len() < len - len / 8);
                    });
                }
            }
        }
        COMPRESSOR.with_borrow(|(_, output)| assert!(output.len() <= KEPT_LEN));
    }
}
