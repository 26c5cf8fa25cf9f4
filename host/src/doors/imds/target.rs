//! The lifecycle actions behind a target state: Auto Scaling is asked about each state once, and again while the instance is
//! between two.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Membership;
use super::notices::wait;
use crate::event::Event;
use crate::event::imds::{Identity, Member, Standing, standing};
use crate::ports::{InstanceId, PortError, PortErrorKind};

/// For Auto Scaling to answer, with the retries of the port.
const ANSWER: Duration = Duration::from_secs(60);

/// The target state, and what is known of it.
#[derive(Default)]
pub(super) struct Target {
    /// None when the instance is told none, and once all is known of it.
    open: Option<Open>,
    /// The question under way, if any.
    asking: JoinSet<Result<Option<Member>, PortError>>,
}

struct Open {
    state: String,
    ask_at: Instant,
    /// Questions so far.
    asked: u32,
    /// Whether it was said that there is no answer.
    said: bool,
}

impl Target {
    /// The instance is told another state, or none.
    pub(super) fn set(&mut self, state: Option<&str>) {
        let open = |state: &str| Open { state: state.to_owned(), ask_at: Instant::now(), asked: 0, said: false };
        self.open = state.map(open);
        // Nobody waits any more for what is known of another state.
        self.asking = JoinSet::new();
    }

    /// Asks about the state if that is due, without waiting for the answer.
    pub(super) fn ask(&mut self, membership: &Arc<dyn Membership>, instance: &InstanceId) {
        let Some(open) = self.open.as_mut().filter(|open| open.ask_at <= Instant::now()) else { return };
        if !self.asking.is_empty() {
            return;
        }
        open.ask_at = Instant::now() + wait(open.asked);
        open.asked = open.asked.saturating_add(1);
        let (membership, instance) = (Arc::clone(membership), instance.clone());
        self.asking.spawn(async move {
            timeout(ANSWER, membership.member(&instance)).await.unwrap_or_else(|_| {
                let message = format!("Auto Scaling did not say within {ANSWER:?} what it knows of {instance}");
                Err(PortError::new(PortErrorKind::Timeout, message))
            })
        });
    }

    /// Waits for the answer, if there is one to wait for. Some: all is known, and these are the lifecycle actions.
    pub(super) async fn answer(&mut self, instance: &Identity, now: Timestamp) -> Option<Vec<Event>> {
        loop {
            let answer = self.asking.join_next().await?;
            let open = self.open.as_mut()?;
            let known = match answer {
                Ok(Ok(member)) => {
                    standing(&open.state, member.as_ref(), instance, now).map_err(|error| error.to_string())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(panic) => Err(format!("a fault of this host: {panic}")),
            };
            match known {
                Ok(Standing::Held(actions)) => {
                    self.open = None;
                    return Some(actions);
                }
                Ok(Standing::Arrived) => {
                    self.open = None;
                    return Some(Vec::new());
                }
                Ok(Standing::Moving) => {}
                Err(error) if !open.said => {
                    open.said = true;
                    tracing::error!(
                        error,
                        state = open.state,
                        "cannot tell which lifecycle actions hold this instance back; asking again until it is known"
                    );
                }
                Err(_) => {}
            }
        }
    }
}
