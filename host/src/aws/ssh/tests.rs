//! The port against servers of our own, on loopback: what a node can do, and what it can do wrong.

mod client_keys;
mod commands;
mod connections;
mod floods;
mod host_keys;
mod server;
mod steps;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};

use self::server::{Script, Server, raw};
use super::secret::Secret;
use super::*;
use crate::policy::{ClientKey, HostKeys};
use crate::ports::InstanceId;

const INSTANCE: &str = "i-0123456789abcdef0";

/// Long enough for anything that works, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough to see that nothing happens.
const IMPATIENCE: Duration = Duration::from_millis(80);

/// AWS, as far as a test writes it.
#[derive(Default)]
struct FakeCloud {
    /// What the console shows at each call, the last for ever.
    consoles: Mutex<VecDeque<Option<String>>>,
    /// What the secret is at each call, the last for ever.
    secrets: Mutex<VecDeque<String>>,
    /// Public keys pushed: instance, zone, user, key. The server takes them as authorised.
    pushed: server::Authorized,
    calls: Mutex<Vec<String>>,
}

fn next<T: Clone>(answers: &Mutex<VecDeque<T>>) -> Option<T> {
    let mut answers = answers.lock().unwrap();
    if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
}

#[async_trait]
impl Cloud for FakeCloud {
    async fn console_output(&self, instance: &InstanceId, latest: bool) -> Result<Option<String>, PortError> {
        self.calls.lock().unwrap().push(format!("console {instance} latest={latest}"));
        Ok(next(&self.consoles).flatten())
    }

    async fn push_key(&self, instance: &InstanceId, zone: &str, user: &str, public_key: &str) -> Result<(), PortError> {
        self.calls.lock().unwrap().push(format!("push {instance} {zone} {user}"));
        self.pushed.lock().unwrap().push(russh::keys::PublicKey::from_openssh(public_key).unwrap().key_data().clone());
        Ok(())
    }

    async fn secret(&self, id: &str) -> Result<Secret, PortError> {
        self.calls.lock().unwrap().push(format!("secret {id}"));
        Ok(Secret::new(next(&self.secrets).unwrap()))
    }
}

/// A policy's files, our key among them, and a port.
struct Fixture {
    folder: tempfile::TempDir,
    key: PrivateKey,
    cloud: Arc<FakeCloud>,
    port: SshPort,
}

fn fresh() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let (folder, key, cloud) = (tempfile::tempdir().unwrap(), fresh(), Arc::new(FakeCloud::default()));
        std::fs::write(folder.path().join("key"), key.to_openssh(LineEnding::LF).unwrap()).unwrap();
        Self { folder, key, port: SshPort::over(Arc::<FakeCloud>::clone(&cloud)), cloud }
    }

    /// A server that takes our key.
    async fn server(&self, script: Script) -> Server {
        self.server_with(script, |_| {}).await
    }

    async fn server_with(&self, script: Script, configure: impl FnOnce(&mut russh::server::Config)) -> Server {
        self.cloud.pushed.lock().unwrap().push(self.key.public_key().key_data().clone());
        Server::start(script, Arc::clone(&self.cloud.pushed), configure).await
    }

    /// `command` to whatever listens on `port`, patiently, with our key and no check of theirs.
    fn request(&self, port: u16, command: &[&str]) -> Exec {
        Exec {
            instance: InstanceId::parse(INSTANCE).unwrap(),
            address: [127, 0, 0, 1].into(),
            availability_zone: "eu-central-1a".to_owned(),
            port,
            user: "ec2-user".to_owned(),
            key: ClientKey::File(self.folder.path().join("key")),
            host_keys: HostKeys::InsecureAcceptAny,
            command: command.iter().map(|argument| (*argument).to_owned()).collect(),
            stdin: None,
            connect_timeout: PATIENCE,
            command_timeout: PATIENCE,
            max_output: 1000,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Messages without what differs from run to run.
    fn told(&self, error: &PortError) -> String {
        let mut told = error.message.replace(self.folder.path().to_str().unwrap(), "DIR");
        if let Some(at) = told.find("127.0.0.1:") {
            let port: String = told[at + 10..].chars().take_while(char::is_ascii_digit).collect();
            told = told.replace(&format!("127.0.0.1:{port}"), "ADDRESS");
        }
        while let Some(at) = told.find("it is 2") {
            told.replace_range(at..at + "it is 2000-01-01T00:00:00Z".len(), "it is NOW");
        }
        while let Some(at) = told.find("SHA256:") {
            told.replace_range(at..at + "SHA256:".len() + 43, "PRINT");
        }
        told
    }
}

fn print(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}
