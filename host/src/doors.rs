//! Where events come in.
//!
//! A door knows how its events are delivered, how long there is for them, and how an end or a failure is answered. It
//! knows nothing of what is done about an event.

#[cfg(feature = "live")]
pub mod health;
pub mod imds;
pub mod in_process;
#[cfg(feature = "live")]
pub mod lambda;
pub mod ledger_watch;
pub mod queue;
pub mod sweeper;
pub mod vitals;
