//! `hostler:handler/config`: the handler's settings.

use crate::bindings::hostler::handler::config as wit;
use crate::sandbox::Attempt;

impl wit::Host for Attempt {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.budget.begin_call("config.get")?;
        self.budget.end_call();
        Ok(self.task.handler.config.get(&key).cloned())
    }
}
