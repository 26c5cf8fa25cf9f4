//! The port against servers of our own, on loopback: what a node can do, and what it can do wrong.

mod server;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PrivateKey};
use zeroize::Zeroizing;

use self::server::{Script, Server, raw};
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

    async fn secret(&self, id: &str) -> Result<Zeroizing<String>, PortError> {
        self.calls.lock().unwrap().push(format!("secret {id}"));
        Ok(Zeroizing::new(next(&self.secrets).unwrap()))
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

mod commands {
    use super::*;

    #[tokio::test]
    async fn a_command_gives_both_streams_and_its_status() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Write { stdout: 5, stderr: 3, status: 3 }).await;
        let output = fixture.port.exec(fixture.request(server.port, &["systemctl", "stop", "it's"])).await.unwrap();
        let expected = CommandOutput {
            exit_status: Some(3),
            stdout: b"ooooo".to_vec(),
            stderr: b"eee".to_vec(),
            ..CommandOutput::default()
        };
        assert_eq!(output, expected);
        assert_eq!(server.seen()[..2], ["login ec2-user", r"exec 'systemctl' 'stop' 'it'\''s'"]);
    }

    #[tokio::test]
    async fn a_signal_is_told_by_its_name() {
        let fixture = Fixture::new();
        for (signal, name) in [(russh::Sig::TERM, "TERM"), (russh::Sig::Custom("STOP".to_owned()), "STOP")] {
            let server = fixture.server(Script::Killed(signal)).await;
            let output = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap();
            assert_eq!((output.exit_status, output.signal.as_deref()), (None, Some(name)));
        }
    }

    #[tokio::test]
    async fn each_stream_is_cut_at_its_cap_and_says_so() {
        let fixture = Fixture::new();
        // More than the window: it has to be read to its end all the same.
        let server = fixture.server(Script::Write { stdout: 3_000_000, stderr: 1000, status: 0 }).await;
        let output = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap();
        assert_eq!((output.stdout.len(), output.stdout_truncated), (1000, true));
        assert_eq!((output.stderr.len(), output.stderr_truncated), (1000, false), "exactly as much as fits is not cut");
        assert_eq!(output.exit_status, Some(0));
    }

    #[tokio::test]
    async fn standard_input_arrives_whole_and_ends() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let stdin: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut request = fixture.request(server.port, &["tee"]);
        (request.stdin, request.max_output) = (Some(stdin.clone()), stdin.len());
        let output = fixture.port.exec(request).await.unwrap();
        assert!(output.stdout == stdin && !output.stdout_truncated);

        let output = fixture.port.exec(fixture.request(server.port, &["tee"])).await.unwrap();
        assert_eq!((output.stdout.len(), output.exit_status), (0, Some(0)), "no input is an end at once");
    }

    #[tokio::test]
    async fn a_command_need_not_read_its_input() {
        let fixture = Fixture::new();
        let server = fixture.server_with(Script::Deaf, |config| config.window_size = 1000).await;
        let mut request = fixture.request(server.port, &["true"]);
        request.stdin = Some(vec![0; 1_000_000]);
        assert_eq!(fixture.port.exec(request).await.unwrap().exit_status, Some(0));
    }

    #[tokio::test]
    async fn a_stream_held_open_by_what_the_command_left_behind_is_not_waited_for() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::LeaveOpen).await;
        let output = fixture.port.exec(fixture.request(server.port, &["daemon"])).await.unwrap();
        assert_eq!((output.exit_status, output.stdout.as_slice()), (Some(0), b"o".as_slice()));
        assert!(output.stdout_truncated && output.stderr_truncated, "there may be more");
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_told_to_and_times_out() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Hang).await;
        let mut request = fixture.request(server.port, &["sleep", "inf"]);
        request.command_timeout = IMPATIENCE;
        let error = fixture.port.exec(request).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Timeout);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS did not finish the command (it was sent TERM, and may be running still) within 80ms");
        server.until("gone").await;
        assert!(server.seen().contains(&"signal TERM".to_owned()), "{:?}", server.seen());
    }

    #[tokio::test]
    async fn a_flood_times_out() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Flood).await;
        let mut request = fixture.request(server.port, &["yes"]);
        request.command_timeout = IMPATIENCE;
        let error = fixture.port.exec(request).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Timeout, "{error}");
        server.until("gone").await;
    }

    #[tokio::test]
    async fn an_end_that_is_not_told_is_a_dropped_connection() {
        let fixture = Fixture::new();
        for script in [Script::Drop, Script::CloseChannel] {
            let server = fixture.server(script).await;
            let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Unavailable);
            insta::allow_duplicates! { insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS dropped the connection before it told how the command ended, which may have run or not"); }
        }
    }

    #[tokio::test]
    async fn what_a_node_says_as_it_goes_is_quoted() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Farewell("going down\u{1b}[31m")).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
        insta::assert_snapshot!(fixture.told(&error), @r#"i-0123456789abcdef0 at ADDRESS ended the connection before it told how the command ended, which may have run or not, saying "going down\u{1b}[31m""#);
    }

    #[tokio::test]
    async fn a_node_may_refuse_sessions_and_commands() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::RefuseSession).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS opens no session for commands: Administratively prohibited");
        let server = fixture.server(Script::RefuseExec).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS refuses to run commands for this user; see ForceCommand, and restrict in authorized_keys");
    }

    #[tokio::test]
    async fn a_node_that_opens_channels_to_us_is_refused_them() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::ReachBack).await;
        let output = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap();
        assert_eq!(output.exit_status, Some(0));
        assert!(server.seen().contains(&"refused".to_owned()), "{:?}", server.seen());
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_sent_reaches_nobody() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let error = fixture.port.exec(fixture.request(server.port, &["tee", "a\0b"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Invalid);
        assert!(server.seen().is_empty());
    }
}

mod connections {
    use super::*;

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unavailable() {
        let fixture = Fixture::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = fixture.port.exec(fixture.request(free, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 cannot be reached at ADDRESS: Connection refused (os error 111); nothing listens there: is sshd running, and is this its port?");
    }

    #[tokio::test]
    async fn silence_times_out_and_the_socket_is_given_up() {
        let fixture = Fixture::new();
        for banner in ["", "SSH-2.0-OpenSSH_9.9\r\n"] {
            let (port, gone) = raw(banner, true).await;
            let mut request = fixture.request(port, &["x"]);
            request.connect_timeout = IMPATIENCE;
            let error = fixture.port.exec(request).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Timeout);
            insta::allow_duplicates! { insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 80ms; if it is only slow, raise connect-timeout"); }
            gone.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_gives_its_socket_up() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Hang).await;
        let exec = fixture.port.exec(fixture.request(server.port, &["x"]));
        tokio::select! {
            result = exec => panic!("a hanging command ended: {result:?}"),
            () = server.until("eof") => {}
        }
        server.until("gone").await;
    }

    #[tokio::test]
    async fn whoever_closes_early_or_speaks_no_ssh_is_unavailable() {
        let fixture = Fixture::new();
        let mut told = Vec::new();
        for banner in ["", "SSH-2.0-OpenSSH_9.9\r\n", &"HTTP/1.1 400 Bad Request\r\n".repeat(100)] {
            let (port, _gone) = raw(banner, false).await;
            let error = fixture.port.exec(fixture.request(port, &["x"])).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Unavailable);
            told.push(fixture.told(&error));
        }
        insta::assert_snapshot!(told.join("\n"), @r"i-0123456789abcdef0 at ADDRESS dropped the connection during the handshake; sshd does so when it is starting, stopping or full
i-0123456789abcdef0 at ADDRESS dropped the connection during the handshake; sshd does so when it is starting, stopping or full
i-0123456789abcdef0 at ADDRESS does not speak SSH; is this sshd's port?");
    }

    #[tokio::test]
    async fn a_node_without_a_common_algorithm_is_told_so() {
        let fixture = Fixture::new();
        let configure = |config: &mut russh::server::Config| {
            config.preferred.cipher = vec![russh::cipher::AES_256_CBC].into();
        };
        let server = fixture.server_with(Script::Echo, configure).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Other);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS has no Cipher algorithm we accept, only aes256-cbc; update its sshd");
    }
}

mod client_keys {
    use super::*;

    #[tokio::test]
    async fn a_key_the_node_does_not_know_is_denied() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        fixture.cloud.pushed.lock().unwrap().clear();
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.message.contains(&print(&fixture.key)), "{error}");
        insta::assert_snapshot!(fixture.told(&error), @r#"i-0123456789abcdef0 at ADDRESS refuses the key file:DIR/key (PRINT) for "ec2-user"; put its public half into that user's authorized_keys, or correct `user` or `key` in the grant"#);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_during_the_login_is_unavailable() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::DropAtLogin).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 at ADDRESS dropped the connection during the login");
    }

    #[tokio::test]
    async fn a_login_that_is_not_answered_times_out() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::HangAtLogin).await;
        let mut request = fixture.request(server.port, &["x"]);
        request.connect_timeout = Duration::from_millis(400);
        let error = fixture.port.exec(request).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Timeout, "{error}");
    }

    #[tokio::test]
    async fn instance_connect_pushes_a_fresh_key_each_time() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        fixture.cloud.pushed.lock().unwrap().clear();
        for _ in 0..2 {
            let mut request = fixture.request(server.port, &["x"]);
            request.key = ClientKey::InstanceConnect;
            fixture.port.exec(request).await.unwrap();
        }
        let pushed = fixture.cloud.pushed.lock().unwrap().clone();
        assert!(pushed.len() == 2 && pushed[0] != pushed[1], "{pushed:?}");
        let call = format!("push {INSTANCE} eu-central-1a ec2-user");
        assert_eq!(*fixture.cloud.calls.lock().unwrap(), [call.clone(), call]);
    }

    #[tokio::test]
    async fn a_node_of_the_wrong_key_is_pushed_nothing() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let mut request = fixture.request(server.port, &["x"]);
        request.key = ClientKey::InstanceConnect;
        request.host_keys = HostKeys::KnownHosts(fixture.file("known_hosts", ""));
        assert_eq!(fixture.port.exec(request).await.unwrap_err().kind, PortErrorKind::Denied);
        assert!(fixture.cloud.calls.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_secret_is_fetched_once_until_a_node_refuses_it() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let text = |key: &PrivateKey| key.to_openssh(LineEnding::LF).unwrap().to_string();
        // The second is one the node does not know; then it is rotated back.
        *fixture.cloud.secrets.lock().unwrap() = [text(&fresh()), text(&fixture.key)].into();
        let mut results = Vec::new();
        for _ in 0..3 {
            let mut request = fixture.request(server.port, &["x"]);
            request.key = ClientKey::SecretsManager("nuproj/ssh".to_owned());
            results.push(fixture.port.exec(request).await.map(|output| output.exit_status).map_err(|error| error.kind));
        }
        assert_eq!(results, [Err(PortErrorKind::Denied), Ok(Some(0)), Ok(Some(0))]);
        assert_eq!(*fixture.cloud.calls.lock().unwrap(), ["secret nuproj/ssh", "secret nuproj/ssh"]);
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_is_named() {
        let fixture = Fixture::new();
        let mut told = Vec::new();
        let big = fixture.file("big", &"x".repeat(65 * 1024));
        for key in [
            ClientKey::File(fixture.folder.path().join("absent")),
            ClientKey::File(fixture.folder.path().to_owned()),
            ClientKey::File(big),
            ClientKey::Env("HOSTLER_TEST_NO_SUCH_VARIABLE".to_owned()),
        ] {
            let mut request = fixture.request(1, &["x"]);
            request.key = key;
            let error = fixture.port.exec(request).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Other);
            told.push(fixture.told(&error));
        }
        insta::assert_snapshot!(told.join("\n"), @r"file:DIR/absent in the policy cannot be used: there is no such file
file:DIR in the policy cannot be used: it is not a file
file:DIR/big in the policy cannot be used: it has 66560 bytes and 65536 are read at most
env:HOSTLER_TEST_NO_SUCH_VARIABLE in the policy cannot be used: the host has no such environment variable");
    }
}

mod host_keys {
    use super::*;

    async fn exec(fixture: &Fixture, server: &Server, host_keys: HostKeys) -> Result<CommandOutput, PortError> {
        let mut request = fixture.request(server.port, &["x"]);
        request.host_keys = host_keys;
        fixture.port.exec(request).await
    }

    #[tokio::test]
    async fn a_known_key_is_accepted_and_any_other_is_not() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let known = |key: &PrivateKey| fixture.file("known_hosts", &format!("{INSTANCE} {}\n", public(key)));
        assert!(exec(&fixture, &server, HostKeys::KnownHosts(known(&server.key))).await.is_ok());

        let mut told = Vec::new();
        for text in [
            String::new(),
            format!("{INSTANCE} {}\n", public(&fresh())),
            format!("127.0.0.1 {}\n", public(&server.key)),
            format!("{INSTANCE} {key}\n@revoked * {key}\n", key = public(&server.key)),
        ] {
            let error =
                exec(&fixture, &server, HostKeys::KnownHosts(fixture.file("known_hosts", &text))).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Denied);
            assert!(error.message.contains(&print(&server.key)), "{error}");
            told.push(fixture.told(&error));
        }
        insta::assert_snapshot!(told.join("\n"), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has no key for i-0123456789abcdef0; if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has other keys for i-0123456789abcdef0 (PRINT); if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has no key for i-0123456789abcdef0; if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts revokes that key; give the node a new one");
        assert!(!server.seen().iter().skip(3).any(|seen| seen.starts_with("login")), "{:?}", server.seen());
    }

    #[tokio::test]
    async fn of_several_keys_the_node_presents_the_one_we_know() {
        let fixture = Fixture::new();
        let ecdsa = PrivateKey::random(&mut safe_rng(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }).unwrap();
        let server = fixture.server_with(Script::Echo, |config| config.keys.push(ecdsa.clone())).await;
        let path = fixture.file("known_hosts", &format!("{INSTANCE} {}\n", public(&ecdsa)));
        assert!(exec(&fixture, &server, HostKeys::KnownHosts(path)).await.is_ok());
    }

    /// A certificate for the server's key, as good as `change` leaves it.
    fn certificate(
        subject: &PrivateKey,
        ca: &PrivateKey,
        valid: std::ops::Range<u64>,
        change: impl FnOnce(&mut Builder),
    ) -> Certificate {
        let mut builder =
            Builder::new_with_random_nonce(&mut safe_rng(), subject.public_key(), valid.start, valid.end).unwrap();
        builder.key_id("node").unwrap();
        change(&mut builder);
        builder.sign(ca).unwrap()
    }

    fn good(builder: &mut Builder) {
        builder.cert_type(CertType::Host).unwrap().valid_principal("web-1").unwrap().valid_principal(INSTANCE).unwrap();
    }

    const ALWAYS: std::ops::Range<u64> = 0..u64::MAX;

    async fn server_with_certificate(fixture: &Fixture, certify: impl FnOnce(&PrivateKey) -> Certificate) -> Server {
        fixture.server_with(Script::Echo, |config| config.certificates = vec![certify(&config.keys[0])]).await
    }

    #[tokio::test]
    async fn a_certificate_of_the_ca_for_the_instance_id_is_accepted() {
        let (fixture, ca) = (Fixture::new(), fresh());
        let path = fixture.file("ca.pub", &format!("# ours\n{}\n\n{}\n", public(&fresh()), public(&ca)));
        let server = server_with_certificate(&fixture, |key| certificate(key, &ca, ALWAYS, good)).await;
        assert!(exec(&fixture, &server, HostKeys::Ca(path)).await.is_ok());

        let path = fixture.file("known_hosts", &format!("@cert-authority i-* {}\n", public(&ca)));
        assert!(exec(&fixture, &server, HostKeys::KnownHosts(path)).await.is_ok());

        let path = fixture.file(
            "known_hosts",
            &format!("@cert-authority i-* {}\n{INSTANCE} {}", public(&fresh()), public(&server.key)),
        );
        let known = exec(&fixture, &server, HostKeys::KnownHosts(path)).await;
        assert!(known.is_ok(), "a certificate of somebody else's is no worse than the plain key: {known:?}");
    }

    #[tokio::test]
    async fn any_other_certificate_is_refused_with_what_is_wrong_with_it() {
        let (fixture, ca) = (Fixture::new(), fresh());
        let path = fixture.file("ca.pub", &public(&ca));
        let mut told = Vec::new();
        let principal = |builder: &mut Builder, name: &str| {
            builder.cert_type(CertType::Host).unwrap().valid_principal(name).unwrap();
        };
        type Certify<'a> = Box<dyn FnOnce(&PrivateKey) -> Certificate + 'a>;
        let wrong: [Certify<'_>; 8] = [
            Box::new(|key| certificate(key, &fresh(), ALWAYS, good)),
            Box::new(|key| certificate(key, &ca, 0..1_000_000_000, good)),
            Box::new(|key| certificate(key, &ca, 4_000_000_000..u64::MAX, good)),
            Box::new(|key| certificate(key, &ca, ALWAYS, |builder| principal(builder, "i-0aaaaaaaaaaaaaaa0"))),
            Box::new(|key| certificate(key, &ca, ALWAYS, |builder| principal(builder, "i-*"))),
            Box::new(|key| {
                certificate(key, &ca, ALWAYS, |builder| {
                    builder.cert_type(CertType::Host).unwrap().all_principals_valid().unwrap();
                })
            }),
            Box::new(|key| {
                certificate(key, &ca, ALWAYS, |builder| {
                    builder.valid_principal(INSTANCE).unwrap();
                })
            }),
            Box::new(|key| {
                certificate(key, &ca, ALWAYS, |builder| {
                    good(builder);
                    builder.critical_option("force-command", "x").unwrap();
                })
            }),
        ];
        for certify in wrong {
            let server = server_with_certificate(&fixture, certify).await;
            let error = exec(&fixture, &server, HostKeys::Ca(path.clone())).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Denied);
            assert!(error.message.contains(&print(&server.key)), "{error}");
            told.push(fixture.told(&error));
        }
        let server = fixture.server(Script::Echo).await;
        told.push(fixture.told(&exec(&fixture, &server, HostKeys::Ca(path)).await.unwrap_err()));
        insta::assert_snapshot!(told.join("\n"), @r#"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is signed by PRINT, which is no authority in ca:DIR/ca.pub; sign the node's host key with that CA (ssh-keygen -s CA -h -n INSTANCE-ID) and name the certificate in its sshd_config as HostCertificate
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is good from 1970-01-01T00:00:00Z to 2001-09-09T01:46:40Z and it is NOW; sign its key again
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is good from 2096-10-02T07:06:40Z to forever and it is NOW; sign its key again
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for "i-0aaaaaaaaaaaaaaa0"; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for "i-*"; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for nobody in particular; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is one for users; sign its key with ssh-keygen -h
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate has the critical option "force-command", which means nothing for a host
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but it has no certificate, and ca:DIR/ca.pub takes only certificates; sign the node's host key with that CA (ssh-keygen -s CA -h -n INSTANCE-ID) and name the certificate in its sshd_config as HostCertificate"#);
    }

    #[tokio::test]
    async fn a_signature_that_is_not_the_cas_is_refused() {
        let (fixture, ca) = (Fixture::new(), fresh());
        let path = fixture.file("ca.pub", &public(&ca));
        // The principal is part of what was signed: change a byte of it afterwards.
        let forge = |key: &PrivateKey| {
            let honest = certificate(key, &ca, ALWAYS, |builder| {
                builder.cert_type(CertType::Host).unwrap().valid_principal("i-0123456789abcdef1").unwrap();
            });
            let mut bytes = honest.to_bytes().unwrap();
            let at = bytes.windows(19).position(|window| window == b"i-0123456789abcdef1").unwrap();
            bytes[at + 18] = b'0';
            Certificate::from_bytes(&bytes).unwrap()
        };
        let server = server_with_certificate(&fixture, forge).await;
        let error = exec(&fixture, &server, HostKeys::Ca(path)).await.unwrap_err();
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but the signature on its certificate is not that of the authority in ca:DIR/ca.pub");
    }

    fn printed(key: &PrivateKey) -> Option<String> {
        Some(format!("-----BEGIN SSH HOST KEY KEYS-----\n{}\n-----END SSH HOST KEY KEYS-----\n", public(key)))
    }

    #[tokio::test]
    async fn what_the_console_shows_is_accepted_and_asked_for_once() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        // Not in the latest output, which has scrolled on; then in the one kept from the boot.
        *fixture.cloud.consoles.lock().unwrap() = [Some("login:".to_owned()), printed(&server.key)].into();
        for _ in 0..2 {
            assert!(exec(&fixture, &server, HostKeys::Console).await.is_ok());
        }
        let calls = fixture.cloud.calls.lock().unwrap().clone();
        assert_eq!(calls, [format!("console {INSTANCE} latest=true"), format!("console {INSTANCE} latest=false")]);
    }

    #[tokio::test]
    async fn a_console_that_shows_nothing_yet_is_unavailable() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let mut told = Vec::new();
        for console in [None, Some("booting".to_owned())] {
            *fixture.cloud.consoles.lock().unwrap() = [console].into();
            let error = exec(&fixture, &server, HostKeys::Console).await.unwrap_err();
            assert!(error.kind == PortErrorKind::Unavailable && error.retryable());
            told.push(fixture.told(&error));
        }
        insta::assert_snapshot!(told.join("\n"), @r"i-0123456789abcdef0 has no console output yet, so its host key cannot be checked; it appears some minutes after the boot: try again
the console output of i-0123456789abcdef0 shows no SHA256 fingerprint of a host key: either cloud-init is not done booting, or its module keys_to_console is off, or what it printed has scrolled away; try again in a minute, or use ca: or known-hosts: in host-keys");
        assert!(server.seen().is_empty(), "nobody was connected to");
    }

    #[tokio::test]
    async fn a_console_that_shows_another_key_is_asked_again_next_time() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        *fixture.cloud.consoles.lock().unwrap() = [printed(&fresh()), printed(&server.key)].into();
        let error = exec(&fixture, &server, HostKeys::Console).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its console has other keys for i-0123456789abcdef0 (PRINT); its keys were changed after it was launched, or something else answers at its address");
        assert!(exec(&fixture, &server, HostKeys::Console).await.is_ok());
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let fixture = Fixture::new();
        let server = fixture.server(Script::Echo).await;
        let dir: &Path = fixture.folder.path();
        let mut told = Vec::new();
        for host_keys in [
            HostKeys::Ca(dir.join("absent")),
            HostKeys::Ca(fixture.file("empty", "# nothing\n")),
            HostKeys::Ca(fixture.file("private", "\n-----BEGIN OPENSSH PRIVATE KEY-----\n")),
            HostKeys::KnownHosts(dir.to_owned()),
            HostKeys::KnownHosts(fixture.file("bad", &format!("{INSTANCE} ssh-ed25519 x\n"))),
        ] {
            let error = exec(&fixture, &server, host_keys).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Other);
            told.push(fixture.told(&error));
        }
        insta::assert_snapshot!(told.join("\n"), @r"ca:DIR/absent in the policy cannot be used: there is no such file
ca:DIR/empty in the policy cannot be used: it holds no public key; put the CA's .pub file there
ca:DIR/private in the policy cannot be used: line 2 is not a public key (such as ssh-ed25519 AAAA… name)
known-hosts:DIR in the policy cannot be used: it is not a file
known-hosts:DIR/bad in the policy cannot be used: line 1 names i-0123456789abcdef0 and is not of the form [@MARKER] NAMES KEY-TYPE BASE64-KEY");
    }
}
