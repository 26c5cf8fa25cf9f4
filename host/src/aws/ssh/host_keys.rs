//! From `host-keys` in the policy to what a node may prove itself with.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::PublicKey;
use russh::keys::ssh_key::public::KeyData;

use super::cloud::Cloud;
use super::{file, unusable};
use crate::policy::{Exec, HostKeys};
use crate::ports::{InstanceId, PortError, PortErrorKind};
use crate::ssh::{HostKey, Trust, console, known_hosts};

/// The largest CA file, in bytes: some hundred keys.
const LARGEST_CA_FILE: u64 = 64 * 1024;

/// The largest known_hosts file, in bytes: some ten thousand instances with three keys each.
const LARGEST_KNOWN_HOSTS_FILE: u64 = 8 * 1024 * 1024;

/// How many instances' console keys are remembered.
const REMEMBERED_INSTANCES: usize = 256;

/// Finds out what a node may prove itself with.
pub(super) struct HostKeyring {
    cloud: Arc<dyn Cloud>,
    /// What instances printed to their consoles. That does not change while an instance lives, and it scrolls away.
    printed: Mutex<HashMap<InstanceId, Vec<HostKey>>>,
}

impl HostKeyring {
    pub(super) fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self { cloud, printed: Mutex::default() }
    }

    /// What the instance of `request` may prove itself with.
    pub(super) async fn trust(&self, request: &Exec) -> Result<Trust, PortError> {
        let mut trust = Trust {
            instance: request.instance.clone(),
            source: String::new(),
            remedy: "",
            keys: Vec::new(),
            authorities: Vec::new(),
            revoked: Vec::new(),
            any: false,
        };
        match &request.host_keys {
            HostKeys::Ca(path) => {
                trust.source = format!("ca:{}", path.display());
                trust.remedy = "sign the node's host key with that CA (ssh-keygen -s CA -h -n INSTANCE-ID) and name the \
                                certificate in its sshd_config as HostCertificate";
                trust.authorities = authorities(&trust.source, path).await?;
            }
            HostKeys::KnownHosts(path) => {
                trust.source = format!("known-hosts:{}", path.display());
                trust.remedy =
                    "if that is the node's own key, which its console shows, add it there under the instance id";
                let text = file::read(&trust.source, path, LARGEST_KNOWN_HOSTS_FILE).await?;
                let known = known_hosts::read(&String::from_utf8_lossy(&text), &request.instance, request.port)
                    .map_err(|why| unusable(&trust.source, why))?;
                trust.keys = known.keys.iter().map(HostKey::from).collect();
                trust.authorities = known.authorities;
                trust.revoked = known.revoked;
            }
            HostKeys::Console => {
                "its console".clone_into(&mut trust.source);
                trust.remedy = "its keys were changed after it was launched, or something else answers at its address";
                trust.keys = self.printed(&request.instance).await?;
            }
            HostKeys::InsecureAcceptAny => {
                "insecure-accept-any".clone_into(&mut trust.source);
                trust.any = true;
            }
        }
        Ok(trust)
    }

    /// Asks the console again next time: a node was refused by what it said before.
    pub(super) fn forget(&self, instance: &InstanceId) {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
    }

    async fn printed(&self, instance: &InstanceId) -> Result<Vec<HostKey>, PortError> {
        if let Some(keys) = self.printed.lock().unwrap_or_else(PoisonError::into_inner).get(instance) {
            return Ok(keys.clone());
        }
        let mut any_output = false;
        // The latest output has the keys of a node that has just booted; of one that has since printed much, only the
        // output kept from the boot has them.
        for latest in [true, false] {
            let Some(output) = self.cloud.console_output(instance, latest).await? else { continue };
            any_output = true;
            let keys = console::host_keys(&output);
            if !keys.is_empty() {
                self.remember(instance, &keys);
                return Ok(keys);
            }
        }
        let message = if any_output {
            format!(
                "the console output of {instance} shows no SHA256 fingerprint of a host key: either cloud-init is not done \
                 booting, or its module keys_to_console is off, or what it printed has scrolled away; try again in a \
                 minute, or use ca: or known-hosts: in host-keys"
            )
        } else {
            format!(
                "{instance} has no console output yet, so its host key cannot be checked; it appears some minutes after \
                 the boot: try again"
            )
        };
        Err(PortError::new(PortErrorKind::Unavailable, message))
    }

    fn remember(&self, instance: &InstanceId, keys: &[HostKey]) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.len() >= REMEMBERED_INSTANCES {
            // Any will do: a forgotten one costs a call to EC2.
            let victim = printed.keys().next().cloned();
            victim.and_then(|victim| printed.remove(&victim));
        }
        printed.insert(instance.clone(), keys.to_vec());
    }
}

/// The public keys in a CA file: one a line, blank lines and `#` comments aside.
async fn authorities(source: &str, path: &Path) -> Result<Vec<KeyData>, PortError> {
    let text = file::read(source, path, LARGEST_CA_FILE).await?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(String::from_utf8_lossy(&text).lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = PublicKey::from_openssh(line).map_err(|_| {
            unusable(source, format!("line {number} is not a public key (such as ssh-ed25519 AAAA… name)"))
        })?;
        keys.push(key.key_data().clone());
    }
    if keys.is_empty() {
        return Err(unusable(source, "it holds no public key; put the CA's .pub file there"));
    }
    Ok(keys)
}
