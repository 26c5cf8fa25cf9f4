//! The plugins of a policy, as hosts have told each other of them.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::json;

use super::{PARTLY, READ};
use crate::commands::desk::{short, write_lines};
use crate::commands::policy::counted;
use crate::ledger::{LedgerError, Store};
use crate::modules::signature::Signers;
use crate::modules::{self, Record, Told, Version};
use crate::policy::{Handler, Policy};
use crate::telemetry::visible_json;

/// Those of all handlers.
pub(super) struct Plugins<'p> {
    policy: &'p Policy,
    signers: Signers,
    plugins: Vec<Plugin<'p>>,
}

/// A module, the handlers that run it, and what hosts know of it.
struct Plugin<'p> {
    module: &'p str,
    handlers: Vec<&'p Handler>,
    record: Result<Record, LedgerError>,
}

impl<'p> Plugins<'p> {
    /// Reads what hosts have told of them.
    pub(super) async fn read(policy: &'p Policy, store: &Arc<dyn Store>) -> Self {
        let mut plugins: Vec<Plugin<'p>> = Vec::new();
        for handler in &policy.handlers {
            match plugins.iter_mut().find(|plugin| plugin.module == handler.module) {
                Some(plugin) => plugin.handlers.push(handler),
                None => {
                    let record = modules::recorded(store, &policy.modules.source, &handler.module).await;
                    plugins.push(Plugin { module: &handler.module, handlers: vec![&**handler], record });
                }
            }
        }
        Self { policy, signers: Signers::new(&policy.modules.trust), plugins }
    }

    /// Tells all of it.
    pub(super) fn tell(&self, out: &mut dyn Write, json: bool) -> io::Result<u8> {
        for (index, plugin) in self.plugins.iter().enumerate() {
            if json {
                writeln!(out, "{}", visible_json(&self.as_json(plugin)))?;
                continue;
            }
            if index > 0 {
                writeln!(out)?;
            }
            write_lines(out, self.lines(plugin).iter().map(String::as_str))?;
        }
        Ok(self.code())
    }

    /// Says which of them runs an older version than was uploaded, since the last that hosts came to know was given up.
    pub(super) fn warn(&self, out: &mut dyn Write) -> io::Result<u8> {
        let given_up = |plugin: &&Plugin<'_>| {
            let Ok(record) = &plugin.record else { return false };
            let Some(last) = record.digests.last().filter(|told| told.given_up.is_some()) else { return false };
            // What had worked before may have been signed again, with a higher one.
            let outdone = self
                .newest(plugin.module, record)
                .is_some_and(|(newest, _)| last.accepted.values().all(|accepted| accepted.version < *newest));
            !outdone
        };
        for plugin in self.plugins.iter().filter(given_up) {
            let module = plugin.module;
            write_lines(
                out,
                ["", &*format!("the last new version of {module} was given up: `hostler status --plugins` says why")],
            )?;
        }
        for (module, error) in
            self.plugins.iter().filter_map(|plugin| Some((plugin.module, plugin.record.as_ref().err()?)))
        {
            write_lines(out, ["", &*format!("what hosts know of {module} cannot be read: {error}")])?;
        }
        Ok(self.code())
    }

    fn code(&self) -> u8 {
        if self.plugins.iter().all(|plugin| plugin.record.is_ok()) { READ } else { PARTLY }
    }

    fn newest<'r>(&self, module: &str, record: &'r Record) -> Option<(&'r Version, &'r str)> {
        record.newest(|by| self.signers.trusts(module, by))
    }

    fn as_json(&self, plugin: &Plugin<'_>) -> serde_json::Value {
        let Plugin { module, handlers, record } = plugin;
        let record = match record {
            Ok(record) => record,
            Err(error) => return json!({ "module": module, "error": error.to_string() }),
        };
        let newest = self.newest(module, record);
        json!({
            "module": module,
            "place": self.policy.modules.source.locate(module),
            "handlers": handlers.iter().map(|handler| &handler.name).collect::<Vec<_>>(),
            "newest": newest.map(|(version, digest)| json!({ "version": version, "digest": digest })),
            "digests": record.digests,
        })
    }

    fn lines(&self, plugin: &Plugin<'_>) -> Vec<String> {
        let Plugin { module, handlers, record } = plugin;
        let names: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
        let place = self.policy.modules.source.locate(module);
        let mut lines = vec![format!("{place}, for {}: {}", counted(names.len(), "handler"), names.join(", "))];
        let pinned = handlers.iter().filter_map(|handler| Some((&handler.name, handler.pin.as_ref()?)));
        lines.extend(pinned.map(|(name, pin)| format!("  {name} is pinned to {pin}")));
        match record {
            Ok(record) if record.digests.is_empty() => {
                lines.push(
                    "  hosts have told nothing of it yet: they do when it is accepted, ends an event or crashes"
                        .to_owned(),
                );
            }
            Ok(record) => lines.extend(record.digests.iter().rev().map(|told| self.line(plugin, record, told))),
            Err(error) => lines.push(format!("  what hosts know of it cannot be read: {error}")),
        }
        lines
    }

    fn line(&self, Plugin { module, handlers, .. }: &Plugin<'_>, record: &Record, told: &Told) -> String {
        let Told { digest, accepted, pinned, worked, crashes, given_up, .. } = told;
        let newest = self.newest(module, record);
        let mut words = Vec::new();
        for (by, accepted) in accepted {
            let version = &accepted.version;
            let counts = if !self.signers.trusts(module, by) {
                ", which is not trusted"
            } else if newest == Some((version, digest)) {
                ", the newest"
            } else {
                ""
            };
            words.push(format!("version {version} by key {by}{counts}"));
        }
        if let Some(why) = given_up {
            words.push(format!("given up: {why}"));
            return format!("  {} {}", short(digest), words.join("; "));
        }
        if *pinned {
            words.push("a handler was pinned to it".to_owned());
        }
        let names = handlers.iter().filter(|handler| handler.pin.is_none()).map(|handler| handler.name.as_str());
        let on_trial: Vec<&str> = names.filter(|name| record.is_on_trial(digest, name)).collect();
        let is_accepted = !*pinned || !accepted.is_empty();
        if is_accepted && !on_trial.is_empty() && self.signers.take(module, accepted.keys().map(String::as_str)) {
            words.push(format!("on trial for {}", on_trial.join(", ")));
        }
        if !worked.is_empty() {
            words.push(format!("has worked for {}", worked.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
        }
        words.extend(crashes.iter().map(|(handler, crashes)| format!("crashes in a row for {handler}: {crashes}")));
        format!("  {} {}", short(digest), words.join("; "))
    }
}

#[cfg(test)]
mod tests;
