//! The end of a process that is at work: no further attempt is begun, and in the end those under way are cut short, so that what they
//! came to is written down and their leases are given back. A process that ends without it leaves them to run out.

use tokio::sync::watch;

/// How far the end of the process has come. Clones are of one process.
#[derive(Debug, Clone, Default)]
pub struct Closing(watch::Sender<Phase>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Phase {
    /// It goes on.
    #[default]
    Open,
    /// No further attempt is begun, and nobody waits for one.
    Begun,
    /// Attempts under way are cut short.
    Cut,
}

impl Closing {
    /// Lets no further attempt be begun. Those under way go on.
    pub fn begin(&self) {
        self.advance(Phase::Begun);
    }

    /// Cuts the attempts short that are under way.
    pub fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// Whether no further attempt is begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Begun
    }

    /// Ends when no further attempt is begun any more.
    pub async fn begun(&self) {
        self.reached(Phase::Begun).await;
    }

    /// Whether attempts are cut short.
    pub(super) fn has_cut(&self) -> bool {
        *self.0.borrow() == Phase::Cut
    }

    /// Ends when attempts are cut short.
    pub(super) async fn at_cut(&self) {
        self.reached(Phase::Cut).await;
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| std::mem::replace(phase, (*phase).max(to)) < to);
    }

    async fn reached(&self, wanted: Phase) {
        // The sender is ours, so that it is never dropped meanwhile.
        let _ = self.0.subscribe().wait_for(|phase| *phase >= wanted).await;
    }
}
