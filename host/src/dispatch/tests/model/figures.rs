//! What runs came to, in figures.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// What runs came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) runs: u32,
    pub(super) operations: u32,
    pub(super) struck: u32,
    pub(super) kills: u32,
    pub(super) attempts: u32,
    pub(super) overtaken: u32,
    pub(super) completed: u32,
    pub(super) timed_out: u32,
    pub(super) adopted: u32,
    pub(super) longest_gap: Duration,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.operations += other.operations;
        self.struck += other.struck;
        self.kills += other.kills;
        self.attempts += other.attempts;
        self.overtaken += other.overtaken;
        self.completed += other.completed;
        self.timed_out += other.timed_out;
        self.adopted += other.adopted;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, operations, struck, kills, attempts, overtaken, completed, timed_out, adopted, longest_gap } =
            self;
        write!(
            f,
            "{runs} runs with {operations} operations, of which {struck} went wrong, {kills} by a kill; {attempts} attempts, \
             {overtaken} of them overtaken while their hosts were frozen; {completed} actions completed, each once, and {timed_out} \
             timed out; {adopted} adopted by the sweep; the longest without a sign of life {longest_gap:.0?}"
        )
    }
}
