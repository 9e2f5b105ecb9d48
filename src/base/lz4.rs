//! Restores LZ4 blocks that consist of long runs.
//!
//! The decoder of `lz4_flex` is made for short sequences: a match that overlaps or nearly touches its copy is written
//! byte by byte, however long it is. Here runs are copied 32 bytes at a time, or as a whole. Measured on 64 KiB:
//! values of 50 random and 50 repeated bytes take 7.1 us instead of 9.6, a long literal with a long match 1.4 instead
//! of 8.6; but text, whose sequences are short, 15 instead of 10. So this decoder gives up early where it loses.
//!
//! No input can make it panic or write outside of the output: every copy is of checked slices.

/// Bytes copied at once.
const CHUNK: usize = 32;
/// A run of at most so many bytes is copied in chunks, which may write beyond it what is written again later.
const CHUNKED: usize = 8 * CHUNK;
const MINIMUM_MATCH: usize = 4;
/// A length of so much in a token goes on in the bytes that follow.
const LENGTH_GOES_ON: usize = 15;
/// After so many sequences it is decided whether they are long.
const SEQUENCES_TRIED: u32 = 32;
/// Mean output of a sequence below which `lz4_flex` is faster.
const LONG_SEQUENCE: usize = 48;

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The output holds so many bytes.
    Restored(usize),
    /// Not a block, or of more bytes than the output takes.
    Malformed,
    /// Its sequences are short: the other decoder is faster. The output holds anything.
    ShortSequences,
}

/// Restores the block `input` into `output`, unless its sequences are short.
pub(super) fn restore_runs(input: &[u8], output: &mut [u8]) -> Outcome {
    let mut place = Place { from: 0, to: 0 };
    for _ in 0..SEQUENCES_TRIED {
        match place.sequence(input, output) {
            Some(true) => {}
            Some(false) => return Outcome::Restored(place.to),
            None => return Outcome::Malformed,
        }
    }
    if place.to < SEQUENCES_TRIED as usize * LONG_SEQUENCE {
        return Outcome::ShortSequences;
    }
    loop {
        match place.sequence(input, output) {
            Some(true) => {}
            Some(false) => return Outcome::Restored(place.to),
            None => return Outcome::Malformed,
        }
    }
}

/// Where the next sequence is read and written.
struct Place {
    from: usize,
    to: usize,
}

impl Place {
    /// Restores one sequence: literals, then a match. False at the end of the block, which has no match; `None` if it
    /// is malformed.
    #[inline(always)]
    fn sequence(&mut self, input: &[u8], output: &mut [u8]) -> Option<bool> {
        let token = usize::from(*input.get(self.from)?);
        self.from += 1;
        let literals = self.length(input, token >> 4)?;
        if literals <= CHUNK
            && let Some(source) = input.get(self.from..).and_then(|rest| rest.first_chunk::<CHUNK>())
            && let Some(target) = output.get_mut(self.to..).and_then(|rest| rest.first_chunk_mut::<CHUNK>())
        {
            *target = *source;
        } else {
            copy_literals(input.get(self.from..)?, output.get_mut(self.to..)?, literals)?;
        }
        self.from += literals;
        self.to += literals;
        if self.from == input.len() {
            return Some(false);
        }
        let offset = usize::from(u16::from_le_bytes(*input.get(self.from..)?.first_chunk()?));
        self.from += 2;
        let length = self.length(input, token & LENGTH_GOES_ON)? + MINIMUM_MATCH;
        if offset == 0 {
            return None;
        }
        let start = self.to.checked_sub(offset)?;
        if offset >= CHUNK && output.len() - self.to >= CHUNK && length <= CHUNK {
            let chunk: [u8; CHUNK] = *output[start..].first_chunk()?;
            *output[self.to..].first_chunk_mut()? = chunk;
        } else {
            copy_match(output, start, self.to, length)?;
        }
        self.to += length;
        Some(true)
    }

    /// A length of which the token has `first`.
    #[inline(always)]
    fn length(&mut self, input: &[u8], first: usize) -> Option<usize> {
        let mut length = first;
        if first == LENGTH_GOES_ON {
            loop {
                // The sum stays below 255 times the input's length.
                let byte = *input.get(self.from)?;
                self.from += 1;
                length += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
        }
        Some(length)
    }
}

#[inline]
fn copy_literals(source: &[u8], target: &mut [u8], length: usize) -> Option<()> {
    if length <= CHUNKED && source.len() >= length + CHUNK && target.len() >= length + CHUNK {
        let chunks = length.next_multiple_of(CHUNK);
        let pairs = source[..chunks].chunks_exact(CHUNK).zip(target[..chunks].chunks_exact_mut(CHUNK));
        for (source, target) in pairs {
            target.copy_from_slice(source);
        }
    } else {
        target.get_mut(..length)?.copy_from_slice(source.get(..length)?);
    }
    Some(())
}

/// Copies `length` bytes that begin at `start` to `to`, which is behind it and may be among them.
#[inline]
fn copy_match(output: &mut [u8], start: usize, to: usize, length: usize) -> Option<()> {
    let offset = to - start;
    if offset >= CHUNK && length <= CHUNKED && output.len() - to >= length + CHUNK {
        let window = &mut output[start..to + length + CHUNK];
        let mut done = 0;
        while done < length {
            let chunk: [u8; CHUNK] = *window[done..].first_chunk()?;
            *window[offset + done..].first_chunk_mut()? = chunk;
            done += CHUNK;
        }
        return Some(());
    }
    repeat(output.get_mut(start..to.checked_add(length)?)?, offset);
    Some(())
}

/// Repeats the first `period` bytes through the window.
fn repeat(window: &mut [u8], period: usize) {
    if window.len() - period <= CHUNK {
        for at in period..window.len() {
            window[at] = window[at - period];
        }
        return;
    }
    let mut known = period;
    while known < window.len() {
        let more = known.min(window.len() - known);
        window.copy_within(..more, known);
        known += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((self.0 >> 33) as usize) % bound
        }
    }

    /// Runs of noise and repetitions, of lengths up to `longest`.
    fn text(random: &mut Random, len: usize, longest: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len + longest);
        while text.len() < len {
            let run = 1 + random.below(longest);
            let longest_period = if random.below(2) == 0 { 40 } else { 60_000 };
            let period = 1 + random.below(longest_period);
            for _ in 0..run {
                text.push(random.below(256) as u8);
            }
            for _ in 0..random.below(longest) + 4 {
                let from = text.len().saturating_sub(period);
                text.push(text[from]);
            }
        }
        text.truncate(len);
        text
    }

    #[test]
    fn blocks_are_restored_as_the_other_decoder_does() {
        for seed in 0..60 {
            let mut random = Random(seed);
            let (len, longest) = (random.below(100_000), 1 + random.below(2000));
            let text = text(&mut random, len, longest);
            let block = lz4_flex::block::compress(&text);
            let mut output = vec![1; text.len()];
            match restore_runs(&block, &mut output) {
                Outcome::Restored(got) => assert_eq!((got, &output), (text.len(), &text), "seed {seed}"),
                Outcome::ShortSequences => assert!(longest < 200, "seed {seed}"),
                Outcome::Malformed => panic!("seed {seed}"),
            }
            if text.len() > 1 {
                let short = &mut output[..text.len() - 1];
                assert!(!matches!(restore_runs(&block, short), Outcome::Restored(_)), "seed {seed}");
            }
        }
    }

    #[test]
    fn damage_is_refused_as_the_other_decoder_does() {
        for seed in 0..3000 {
            let mut random = Random(seed);
            let text = text(&mut random, 3000, 300);
            let mut block = lz4_flex::block::compress(&text);
            for _ in 0..=random.below(3) {
                let at = random.below(block.len());
                match random.below(3) {
                    0 => block.truncate(at),
                    1 => block[at] = 255,
                    _ => block[at] ^= 1 << random.below(8),
                }
                if block.is_empty() {
                    block.push(0);
                }
            }
            let (mut output, mut expected) = (vec![0; text.len()], vec![0; text.len()]);
            let got = restore_runs(&block, &mut output);
            match lz4_flex::block::decompress_into(&block, &mut expected) {
                Ok(len) if got != Outcome::ShortSequences => {
                    assert_eq!(
                        (got, &output[..len]),
                        (Outcome::Restored(len), &expected[..len]),
                        "seed {seed}"
                    );
                }
                Ok(_) => {}
                Err(_) => assert!(!matches!(got, Outcome::Restored(_)), "seed {seed}: {got:?}"),
            }
        }
    }

    #[test]
    fn no_input_does_harm() {
        for input in [&[][..], &[0xff; 3], &[0x0f, 0, 0], &[0x10], &[0x1f, 7, 1, 0], &[0xf0, 255, 255]] {
            assert!(!matches!(restore_runs(input, &mut [0; 10]), Outcome::Restored(_)), "{input:?}");
        }
        assert_eq!(restore_runs(&[0], &mut []), Outcome::Restored(0));
    }
}
