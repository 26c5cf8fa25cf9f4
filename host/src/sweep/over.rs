//! Which lifecycle actions are over: Auto Scaling has said so, and need not be asked again at each round.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long it is believed. An instance that comes back to the same hook has to be seen then.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How many are remembered: a few hooks of each of thousands of instances. What finds no room is asked again.
const MOST: usize = 16_384;

/// The actions that are over, by the ids of their work items: each is one hook's hold on one instance.
#[derive(Debug, Default)]
pub(super) struct Over(Mutex<HashMap<String, Instant>>);

impl Over {
    /// Whether that was said lately.
    pub(super) fn knows(&self, id: &str) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(id).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// It was said now.
    pub(super) fn remember(&self, id: String) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST {
            said.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if said.len() < MOST {
            said.insert(id, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_remembered_for_a_time_and_not_without_number() {
        let over = Over::default();
        for number in 0..MOST + 1 {
            over.remember(number.to_string());
        }
        assert!(over.knows("0") && !over.knows(&MOST.to_string()));
        tokio::time::advance(REMEMBERED).await;
        assert!(!over.knows("0"));
        over.remember("new".to_owned());
        assert!(over.knows("new"));
        assert_eq!(over.0.lock().unwrap().len(), 1);
    }
}
