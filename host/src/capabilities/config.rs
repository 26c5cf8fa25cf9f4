//! `hostler:handler/config`: the handler's settings.

use crate::bindings::hostler::handler::config as wit;
use crate::sandbox::Attempt;

impl wit::Host for Attempt {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.budget.begin_call("config.get", key.len())?;
        let handler = &self.task.handler;
        let value = handler.config.get(&key).cloned();
        if value.is_some() {
            let (handler, event, attempt) = (handler.name.as_str(), self.task.event.id.as_str(), self.task.attempt);
            tracing::debug!(handler, event, attempt, key, "setting read");
        }
        self.budget.end_call()?;
        Ok(value)
    }
}
