//! The recording of what an event comes to.

use super::{DispatchError, End};
use crate::event::Event;
use crate::recording::Recorder;

/// Where it is recorded what an event comes to, from the first step on that works on it.
pub(super) struct Tape {
    one_step: bool,
    recorder: Option<Recorder>,
}

impl Tape {
    pub(super) fn new(one_step: bool) -> Self {
        Self { one_step, recorder: None }
    }

    /// The recorder, which `begin` makes the first time.
    pub(super) fn begin(&mut self, begin: impl FnOnce(bool) -> Recorder) -> Recorder {
        self.recorder.get_or_insert_with(|| begin(self.one_step)).clone()
    }

    /// The recorder, or one that records nothing.
    pub(super) fn recorder(&self) -> Recorder {
        self.recorder.clone().unwrap_or_else(Recorder::off)
    }
}

/// Says what could not be brought to its end, and lets go of the recording.
pub(super) async fn close(event: &Event, tape: Tape, ended: &Result<End, DispatchError>) {
    match ended {
        Ok(_) | Err(DispatchError::Waits { .. }) => {}
        Err(error) => {
            let (kind, instance) = (event.kind.as_str(), event.instance.as_ref().map(|instance| instance.as_str()));
            tracing::error!(event = event.id, kind, instance, %error, "not brought to its end");
        }
    }
    tape.recorder().end(ended).await;
}
