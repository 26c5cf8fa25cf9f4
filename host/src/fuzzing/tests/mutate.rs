//! What a fuzzer does that sees nothing: the same from run to run.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// No input becomes longer, in bytes.
const LONGEST: usize = 64 << 10;

/// Ends, beginnings and extremes of what the targets read.
const WORDS: [&[u8]; 36] = [
    b"\0",
    b"\xff",
    b"\n",
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"1e308",
    b"-0.0",
    b"\\u0000",
    b"\\ud800",
    b"\x1b[2J",
    "\u{202e}".as_bytes(),
    "\u{130}".as_bytes(),
    b"9999-12-30T22:00:00.999999999Z",
    b"-009999-01-02T01:59:59Z",
    b"i-0123456789abcdef0",
    b"\n---\n",
    b"*",
    b"**",
    b"$or",
    b"exists",
    b"[[handler]]",
    b"\x7f\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\r\n",
];

/// Makes one input after the other of some seeds.
pub(super) struct Mutator<'s> {
    seeds: &'s [Vec<u8>],
    random: ChaCha8Rng,
}

impl<'s> Mutator<'s> {
    pub(super) fn new(seeds: &'s [Vec<u8>]) -> Self {
        Self { seeds, random: ChaCha8Rng::seed_from_u64(0x6f73_746c_6572) }
    }

    /// A seed, changed in up to six places.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seed().to_vec();
        for _ in 0..self.random.random_range(1..=6) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn seed(&mut self) -> &'s [u8] {
        &self.seeds[self.random.random_range(0..self.seeds.len())]
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.span(bytes.len());
        match self.random.random_range(0..9) {
            0 => bytes.truncate(from),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let again = bytes[from..to].to_vec();
                let at = self.random.random_range(0..=bytes.len());
                bytes.splice(at..at, again);
            }
            3 | 4 => {
                let other = self.seed();
                let (start, end) = self.span(other.len());
                bytes.splice(from..to, other[start..end].iter().copied());
            }
            5 | 6 => {
                let word = WORDS[self.random.random_range(0..WORDS.len())];
                let to = if self.random.random() { from } else { to };
                bytes.splice(from..to, word.iter().copied());
            }
            7 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte = self.random.random()),
            _ => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << self.random.random_range(0..8)),
        }
    }

    /// A part of `length` bytes; mostly a small one.
    fn span(&mut self, length: usize) -> (usize, usize) {
        let from = self.random.random_range(0..=length);
        let most = if self.random.random_range(0..4) == 0 { length - from } else { (length - from).min(16) };
        (from, from + self.random.random_range(0..=most))
    }
}
