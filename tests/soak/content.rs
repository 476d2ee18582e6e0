//! Files that are known by their names: `f<seed>-<bytes>`. Who sends one and who gets it make its
//! bytes each for themselves.

use std::sync::LazyLock;

use crate::dice::Dice;

/// How long the bytes are that all files are cut from: no multiple of any buffer.
const BLOCK_BYTES: usize = 1_000_003;

/// The bytes that all files are cut from.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dice = Dice::of_seed(0);
    (0..BLOCK_BYTES)
        .map(|_| u8::try_from(dice.below(256)).unwrap())
        .collect()
});

/// A file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct File {
    /// Which bytes.
    pub(crate) seed: usize,
    /// How many.
    pub(crate) bytes: usize,
}

impl File {
    /// The file that the last component of `path` names.
    pub(crate) fn named(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?.strip_prefix('f')?;
        let (seed, bytes) = name.split_once('-')?;
        Some(Self {
            seed: seed.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> String {
        format!("f{}-{}", self.seed, self.bytes)
    }

    /// Its bytes from `offset` on, at least one and at most `most`; none at its end.
    pub(crate) fn part(self, offset: usize, most: usize) -> &'static [u8] {
        let begin = (self.seed * 7919 + offset) % BLOCK_BYTES;
        let length = most
            .min(self.bytes.saturating_sub(offset))
            .min(BLOCK_BYTES - begin);
        &BLOCK[begin..begin + length]
    }

    /// Whether it has `bytes` at `offset`.
    pub(crate) fn has(self, mut offset: usize, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let part = self.part(offset, bytes.len());
            if part.is_empty() || !bytes.starts_with(part) {
                return false;
            }
            offset += part.len();
            bytes = &bytes[part.len()..];
        }
        true
    }
}

/// What LIST sends.
pub(crate) const LISTING: File = File {
    seed: 1,
    bytes: 3000,
};
