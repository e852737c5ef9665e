//! What things take on the heap: the bounds of the caches count this, not bytes of text.

/// An allocation of so many bytes, with the allocator's header, its rounding, and an eighth for
/// what lies idle between.
pub(crate) const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + bytes / 8 + 16).next_multiple_of(16) }
}

/// The nodes of a B-tree of so many entries: eleven slots each, two thirds of them full.
pub(crate) const fn tree<K, V>(entries: usize) -> usize {
    if entries == 0 {
        return 0;
    }
    let nodes = entries.div_ceil(7);
    nodes * block(11 * (size_of::<K>() + size_of::<V>()) + 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_things_take_more_than_their_bytes() {
        assert_eq!((block(0), block(1), block(36)), (0, 32, 64));
        assert_eq!(tree::<u64, u64>(0), 0);
        assert!(tree::<u64, u64>(1) > 11 * 16 && tree::<u64, u64>(70) >= 10 * 11 * 16);
    }
}
