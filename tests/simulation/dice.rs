//! Where a run's choices come from: a seed, or the bytes that a fuzzer made.

/// Something to draw choices from.
#[derive(Debug)]
pub(crate) enum Dice {
    /// `SplitMix64` over a seed: without end.
    Seed(u64),
    /// One byte for a choice; zeros behind the last one.
    Bytes(Vec<u8>, usize),
}

/// Spreads what differs between two states over all bits.
const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

impl Dice {
    /// Those of a seed.
    pub(crate) const fn of_seed(seed: u64) -> Self {
        // Neighbours must not be one stream, a step apart.
        Self::Seed(mix(seed ^ 0x5851_F42D_4C95_7F2D))
    }

    /// Those of bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec(), 0)
    }

    /// From now on every choice comes up in the end: bytes may be all the same.
    pub(crate) fn play_fair(&mut self) {
        if let Self::Bytes(bytes, at) = self {
            *self = Self::of_seed(u64::try_from(bytes.len().wrapping_add(*at)).unwrap());
        }
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
                usize::try_from(mix(*state) % u64::try_from(bound).unwrap()).unwrap()
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
