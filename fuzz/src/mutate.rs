//! Inputs out of other inputs.

use crate::dice::Dice;

/// What servers, clients and files are made of.
const WORDS: [&[u8]; 48] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\xFF\xFF",
    b"\xFF\xF4\xFF\xF2",
    b"\xFF\xFD\x01",
    b"-",
    b"USER ann\r\n",
    b"PASS x\r\n",
    b"SITE CHMOD 777 x",
    b"SITE ",
    b"DELE ",
    b"RETR /a",
    b"STOR ",
    b"LIST -la",
    b"NOOP\r\n",
    b"ABOR\r\n",
    b"TYPE A",
    b"REST 5",
    b"PORT 1,2,3,4,5,6",
    b"EPRT |1|1.2.3.4|5000|",
    b"EPSV ALL",
    b"150 ",
    b"226 ",
    b"226-",
    b"421 ",
    b"227 (1,2,3,4,5,6)",
    b"229 (|||5000|)",
    b"257 \"/\"",
    b"331 ",
    b"230 ",
    b"../",
    b"/./",
    b"//",
    b"~",
    b"*",
    b"?",
    b"{a,b}",
    b"\\",
    b"::$DATA",
    b"'",
    b"\"",
    b"[policies.p]\n",
    b"allow = [\"RETR\"]\n",
    b"65536",
];

/// The longest input.
const LENGTH: usize = 4096;

/// A mutant of one of `inputs`, which are some.
pub(crate) fn mutate(dice: &mut Dice, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs[dice.below(inputs.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(input.len() + 1);
        let end = at + dice.below((input.len() - at).min(32) + 1);
        let byte = u8::try_from(dice.below(256)).expect("a byte");
        match dice.below(9) {
            0 => input.insert(at, byte),
            1 if at < input.len() => input[at] = byte,
            2 if at < input.len() => input[at] ^= 1 << dice.below(8),
            3 => drop(input.drain(at..end)),
            4 => {
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            5 | 6 => {
                let word = WORDS[dice.below(WORDS.len())].iter().copied();
                input.splice(at..at, word);
            }
            7 => {
                let other = &inputs[dice.below(inputs.len())];
                let from = dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let count = dice.below(600);
                input.splice(at..at, std::iter::repeat_n(byte, count));
            }
        }
    }
    input.truncate(LENGTH);
    input
}
