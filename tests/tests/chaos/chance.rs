//! Chance by a seed (the generator SplitMix64).

pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number from 0 up to `end`, without it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        (drawn % end as u64) as usize
    }
}
