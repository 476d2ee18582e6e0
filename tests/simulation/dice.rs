//! Where a run's choices come from: a seed, or the bytes that a fuzzer made.

/// Something to draw choices from.
#[derive(Debug)]
pub(crate) enum Dice {
    /// `SplitMix64` over a seed: without end.
    Seed(u64),
    /// One byte for a choice; zeros behind the last one.
    Bytes(Vec<u8>, usize),
}

impl Dice {
    /// Those of a seed.
    pub(crate) const fn of_seed(seed: u64) -> Self {
        Self::Seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    /// Those of bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec(), 0)
    }

    /// Whether nothing is left to be chosen.
    pub(crate) const fn is_spent(&self) -> bool {
        match self {
            Self::Seed(_) => false,
            Self::Bytes(bytes, at) => *at >= bytes.len(),
        }
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        match self {
            Self::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                mixed ^= mixed >> 31;
                usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
            }
            Self::Bytes(bytes, at) => {
                let mut drawn = 0;
                // Two bytes where one has too few values.
                for _ in 0..=usize::from(bound > 256) {
                    drawn = drawn * 256 + bytes.get(*at).copied().map_or(0, usize::from);
                    *at += 1;
                }
                drawn % bound
            }
        }
    }

    /// True so many times of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which are some.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
