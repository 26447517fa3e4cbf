//! Slightly mutated inputs for parsers.

use std::time::{Duration, Instant};

/// A cheap random source with the same sequence in each run.
#[derive(Clone, Debug)]
pub struct Mutations(u64);

impl Mutations {
    /// The start of the sequence.
    #[must_use]
    pub fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    /// The number of inputs from the environment variable `INPUTS`. Default: 40,000.
    ///
    /// # Panics
    ///
    /// If `INPUTS` is not a number.
    #[must_use]
    pub fn wanted() -> usize {
        let wanted = std::env::var("INPUTS");
        wanted.map_or(40_000, |inputs| inputs.parse().expect("a number"))
    }

    /// Feeds a parser with mutations of a valid input. Returns how long the slowest took.
    pub fn feed(&mut self, seed: &[u8], inputs: usize, parse: impl Fn(&[u8])) -> Duration {
        let mut longest = Duration::ZERO;
        let mut bytes = seed.to_vec();
        for number in 0..inputs {
            if number % 8 == 0 {
                bytes = seed.to_vec();
            }
            self.mutate(&mut bytes);
            let began = Instant::now();
            parse(&bytes);
            longest = longest.max(began.elapsed());
        }
        longest
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        const USUAL: &[u8] = b"\0\xff{}[]\":,0123456789-_=; \x7f\x80";
        match self.below(2) {
            0 => USUAL[self.below(USUAL.len())],
            _ => u8::try_from(self.below(256)).unwrap_or_default(),
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let (at, byte) = (self.below(bytes.len() + 1), self.byte());
            match self.below(6) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                3 if bytes.len() < 4096 => {
                    let part = bytes[at..].to_vec();
                    bytes.extend(part);
                }
                _ if at < bytes.len() => bytes[at] = byte,
                _ => bytes.push(byte),
            }
        }
    }
}

impl Default for Mutations {
    fn default() -> Self {
        Self::new()
    }
}
