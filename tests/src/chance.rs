//! Chance by a seed (the generator SplitMix64).

/// What it decides of which call depends on the order in which calls come.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed decides the same, in the same order.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 up to `end`, without it.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }

    /// Whether something happens that does with this probability.
    pub fn strikes(&mut self, probability: f64) -> bool {
        // The upper 53 bits are what a fraction holds.
        ((self.draw() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }
}
