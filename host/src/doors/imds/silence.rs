//! The service not answering: said once when it lasts, and once when it is over.

use std::time::Duration;

use tokio::time::Instant;

use super::LONGEST_PAUSE;
use crate::doors::vitals::Readiness;
use crate::ports::PortError;

/// So many rounds in a row have to fail before it is worth a line: the service drops a packet now and then, and says so when
/// it is asked too often.
const PATIENCE: u32 = 3;

#[derive(Default)]
pub(super) struct Silence {
    /// Rounds in a row with a question that was not answered.
    failures: u32,
    /// Whether the last round had no answer at all.
    complete: bool,
    /// Since when, once it has been said.
    said: Option<Instant>,
}

impl Silence {
    /// A round of `asked` questions is over, and these were not answered.
    pub(super) fn heard(&mut self, failed: &[&PortError], asked: usize, readiness: &Readiness) {
        self.complete = failed.len() == asked;
        let Some(error) = failed.first() else {
            self.failures = 0;
            readiness.ready();
            if let Some(since) = self.said.take() {
                tracing::info!(after = ?since.elapsed(), "the instance metadata service answers again");
            }
            return;
        };
        self.failures = self.failures.saturating_add(1);
        if self.failures < PATIENCE {
            tracing::debug!(%error, "the instance metadata service does not answer");
            return;
        }
        readiness.not_ready(error.to_string());
        if self.said.is_none() {
            self.said = Some(Instant::now());
            tracing::error!(
                %error,
                "the instance metadata service does not answer: what it announces is not noticed until it does"
            );
        }
    }

    /// The pause from one round to the next: longer and longer while there is no answer at all.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        let doublings = self.failures.saturating_sub(PATIENCE - 1);
        if self.complete && doublings > 0 {
            every.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE.max(every))
        } else {
            every
        }
    }
}
