//! Who may sign plugins: for all handlers, and for those of one module.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Trust;
use super::super::file::HandlerSection;
use super::super::texts::PublicKey;
use super::Seen;
use crate::reading::{At, Reading, Tables};

type Keys = Option<At<Vec<At<PublicKey>>>>;

/// Whether each handler says whom it trusts.
pub(super) fn is_named_by_all(handlers: Option<&Tables<HandlerSection>>) -> bool {
    handlers.is_some_and(|handlers| handlers.0.iter().all(|handler| handler.value.0.trusted_keys.is_some()))
}

/// Who may sign the plugins of the handlers that do not say it themselves; `named` says whether all do.
pub(super) fn of_all(
    reading: &mut Reading<'_>,
    at: usize,
    (trusted, revoked): (Keys, Keys),
    unsigned: Option<At<bool>>,
    named: bool,
) -> Option<Trust> {
    let lost = trusted.as_ref().is_some_and(|keys| reading.lost_part(keys.at));
    let keys_at = trusted.as_ref().map_or(at, |keys| keys.at);
    let trusted = trusted.map(|keys| keys.value).unwrap_or_default();
    let revoked = revoked.map(|keys| keys.value).unwrap_or_default();
    for key in &trusted {
        if let Some(revoked) = revoked.iter().find(|revoked| revoked.value.0 == key.value.0) {
            let message = format!("the key on line {} is trusted: remove it there", reading.findings.line(key.at));
            reading.findings.mistake(revoked.at, message);
        }
    }
    let trust = Trust {
        keys: texts(trusted),
        of_modules: BTreeMap::new(),
        revoked: texts(revoked),
        unsigned: unsigned.as_ref().is_some_and(|unsigned| unsigned.value),
    };
    match unsigned {
        Some(At { value: true, at }) if !trust.keys.is_empty() => {
            let message = "a plugin without a signature is taken from whoever can write to the source: whoever is no signer \
                           leaves it out, so remove this line once all plugins are signed";
            reading.findings.warn(at, message);
        }
        Some(At { value: true, .. }) => {}
        _ if lost => return None,
        _ if trust.keys.is_empty() && !named => {
            let message = "no plugin can be accepted: name who may sign them, trusted-keys = [\"RW…\"] (`hostler keygen` makes a \
                           key), or write allow-unsigned = true to take them from whoever can write to the source";
            reading.findings.mistake(keys_at, message);
            return None;
        }
        _ => {}
    }
    Some(trust)
}

/// Notes who may sign `module`, for the handler at `at`.
pub(super) fn of_handler(reading: &mut Reading<'_>, at: usize, module: &str, trusted: Keys, seen: &mut Seen) {
    let keys_at = trusted.as_ref().map_or(at, |keys| keys.at);
    if let Some(keys) = &trusted {
        if keys.value.is_empty() && !reading.lost_part(keys.at) {
            let message = "nobody could sign this plugin: name at least one key, or leave trusted-keys out to trust those of [modules]";
            reading.findings.mistake(keys.at, message);
        }
        for key in keys.value.iter().filter(|key| seen.revoked.contains(&key.value.0)) {
            reading.findings.mistake(key.at, "this key is in revoked-keys of [modules]: name another");
        }
    }
    let keys = trusted.map(|keys| texts(keys.value));
    let line = reading.findings.line(at);
    let (first, others) = seen.trusted.entry(module.to_owned()).or_insert_with(|| (line, keys.clone()));
    let set = |keys: &Vec<String>| keys.iter().cloned().collect::<BTreeSet<_>>();
    if others.as_ref().map(set) != keys.as_ref().map(set) {
        let message = format!(
            "the handler on line {first} runs {module} too, and has other trusted-keys: who may sign a module is the same for all its \
             handlers"
        );
        reading.findings.mistake(keys_at, message);
    }
}

/// Who may sign which module, where its handlers say it.
pub(super) fn of_modules(seen: BTreeMap<String, (usize, Option<Vec<String>>)>) -> BTreeMap<String, Vec<String>> {
    seen.into_iter().filter_map(|(module, (_, keys))| Some((module, keys?))).collect()
}

fn texts(keys: Vec<At<PublicKey>>) -> Vec<String> {
    keys.into_iter().map(|key| key.value.0).collect()
}
