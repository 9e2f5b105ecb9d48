//! What an allocation really takes, so that the sizes shown to users are those the system sees.

/// Bytes that the C library's allocator sets aside for `len` bytes: its header of one word, rounded up to 16, and 32
/// at least. Nothing is allocated for 0 bytes.
pub const fn allocation(len: usize) -> usize {
    if len == 0 {
        return 0;
    }
    let with_header = (len + size_of::<usize>()).next_multiple_of(16);
    if with_header < 32 { 32 } else { with_header }
}

#[cfg(test)]
mod tests {
    use super::allocation;

    #[test]
    fn sizes_are_those_of_the_allocator() {
        for (len, taken) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64), (1000, 1008)] {
            assert_eq!(allocation(len), taken, "{len} bytes");
        }
    }
}
