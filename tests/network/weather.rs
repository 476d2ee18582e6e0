//! What the network does in a run, drawn from its die.

use std::time::Duration;

use super::dice::Dice;
use super::wire::{Fault, Link, Way, When};

/// Pieces that bytes come in.
const PIECES: [usize; 6] = [1, 7, 536, 1460, 16_384, 65_536];

/// Waits before a piece, in milliseconds.
const PAUSES: [u64; 6] = [0, 0, 0, 1, 3, 8];

/// Before a small one.
const SHORT_PAUSES: [u64; 4] = [0, 0, 0, 1];

/// The moods of the network.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Where they come from.
    seed: u64,
    /// How many links have been asked for.
    links: u64,
    /// How many of a hundred links fail.
    pub(crate) faults: usize,
}

impl Weather {
    /// Of a seed: with `faults` links of a hundred that fail.
    pub(crate) const fn new(seed: u64, faults: usize) -> Self {
        Self {
            seed,
            links: 0,
            faults,
        }
    }

    /// Another one, of its own.
    pub(crate) const fn branch(&self, number: usize) -> Self {
        Self::new(
            self.seed.wrapping_mul(1_000_003) ^ ((number as u64) << 24),
            self.faults,
        )
    }

    /// The die of the next link.
    fn dice(&mut self) -> Dice {
        self.links += 1;
        Dice::of_seed(self.seed ^ self.links.wrapping_mul(0x9E37_79B9))
    }

    /// A control connection. One that is to be `secured` brings thousands of bytes before it
    /// says anything.
    pub(crate) fn control(&mut self, secured: bool) -> Link {
        let mut dice = self.dice();
        let (pieces, longest) = if secured {
            (&PIECES[2..], 8_000)
        } else {
            (&PIECES[..], 400)
        };
        let mut link = Link {
            there: way(&mut dice, pieces),
            back: way(&mut dice, pieces),
            ..Link::FINE
        };
        if dice.chance(self.faults) {
            let faults = [Fault::End, Fault::Reset, Fault::Silence, Fault::Silence];
            let fault = dice.pick(&faults);
            let when = when(&mut dice, longest, 300);
            strike(&mut link, &mut dice, &when, fault);
        }
        link
    }

    /// A data connection; towards the gateway is `there` or back. Away from it no end is made up:
    /// nobody could tell.
    pub(crate) fn data(&mut self, gateway_is_dialled: bool) -> Link {
        let mut dice = self.dice();
        // A million bytes one by one would be a test of patience.
        let pieces = &PIECES[3..];
        let mut link = Link {
            there: way(&mut dice, pieces),
            back: way(&mut dice, pieces),
            ..Link::FINE
        };
        if dice.chance(25) {
            for way in [&mut link.there, &mut link.back] {
                way.piece = 20 + dice.below(300);
                way.pause = Duration::ZERO;
            }
        }
        if dice.chance(self.faults) {
            let longest = dice.pick(&[1, 200, 6_000, 400_000]);
            let when = when(&mut dice, longest, 60);
            match dice.below(6) {
                0 => link.lost = true,
                1 => {
                    let towards = if gateway_is_dialled {
                        &mut link.there
                    } else {
                        &mut link.back
                    };
                    towards.fault = Some((when, Fault::End));
                }
                2 | 3 => strike(&mut link, &mut dice, &when, Fault::Reset),
                _ => strike(&mut link, &mut dice, &when, Fault::Silence),
            }
        }
        link
    }
}

/// One way without a fault.
fn way(dice: &mut Dice, pieces: &[usize]) -> Way {
    let piece = dice.pick(pieces);
    let pauses: &[u64] = if piece < 16_384 {
        &SHORT_PAUSES
    } else {
        &PAUSES
    };
    Way {
        piece,
        pause: Duration::from_millis(dice.pick(pauses)),
        fault: None,
    }
}

/// At a byte or at a moment.
fn when(dice: &mut Dice, bytes: usize, milliseconds: usize) -> When {
    if dice.chance(60) {
        When::Byte(dice.below(bytes) as u64)
    } else {
        When::Moment(Duration::from_millis(dice.below(milliseconds) as u64))
    }
}

/// Lets it happen one way, or the other, or both.
fn strike(link: &mut Link, dice: &mut Dice, when: &When, fault: Fault) {
    let which = dice.below(3);
    if which != 0 {
        link.there.fault = Some((when.clone(), fault));
    }
    if which != 1 {
        link.back.fault = Some((when.clone(), fault));
    }
}
