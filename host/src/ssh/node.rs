//! One connection to one node: connect, log in, run a command, close. Each within its time.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle, Msg};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{AlgorithmKind, ChannelOpenFailure, ChannelWriteHalf, Disconnect, Error, Sig, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::cut::{self, Cut};
use super::output::{End, Output};
use super::peer::{Peer, Report};
use super::trust::Trust;
use crate::policy::Exec;
use crate::ports::{CommandOutput, InstanceId, PortError, PortErrorKind};

/// How much a node may send before we have read it, in bytes; with the packets queued within russh this bounds what a flood holds.
const WINDOW: u32 = 512 * 1024;

/// How many packets russh queues for us before it stops reading from the socket: at 32 KiB each, as much as the window.
const QUEUED_PACKETS: usize = 16;

/// How long a farewell may take, to a node that may not be listening.
const CLOSING: Duration = Duration::from_secs(1);

/// A connection whose host key has been found good.
pub(crate) struct Node {
    instance: InstanceId,
    address: SocketAddr,
    handle: Handle<Peer>,
    report: Arc<Report>,
    /// Declared last, so that it falls last: after a farewell, or instead of one. None over what is no socket.
    _cut: Option<Cut>,
}

impl Node {
    /// Connects, and has the node prove itself; until `deadline`.
    pub(crate) async fn connect(request: &Exec, trust: Trust, deadline: Instant) -> Result<Self, PortError> {
        let (instance, address) = (request.instance.clone(), SocketAddr::new(request.address, request.port));
        let unreachable = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::TimedOut => PortErrorKind::Timeout,
                _ => PortErrorKind::Unavailable,
            };
            let hint = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: is sshd running, and is this its port?"
                }
                _ => "see its security group, its subnet's routes, and whether it still runs",
            };
            PortError::new(kind, format!("{instance} cannot be reached at {address}: {error}; {hint}"))
        };
        // An address and never a name: nothing that answers for names has a say in who gets the command.
        let stream = timeout_at(deadline, TcpStream::connect(address))
            .await
            .map_err(|_| late(request, "did not answer (a security group that drops packets looks like this)"))?
            .map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        let (stream, cut) = cut::cuttable(stream).map_err(unreachable)?;
        Self::over(stream, Some(cut), request, trust, deadline).await
    }

    /// Has whoever is at the other end of `stream` prove itself; until `deadline`.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        cut: Option<Cut>,
        request: &Exec,
        trust: Trust,
        deadline: Instant,
    ) -> Result<Self, PortError> {
        let (instance, address) = (request.instance.clone(), SocketAddr::new(request.address, request.port));
        let report = Arc::new(Report::default());
        let config = Config {
            client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-hostler_", env!("CARGO_PKG_VERSION")))),
            window_size: WINDOW,
            channel_buffer_size: QUEUED_PACKETS,
            preferred: trust.preferred(),
            ..Config::default()
        };
        let peer = Peer { trust, report: Arc::clone(&report) };
        let connected = timeout_at(deadline, russh::client::connect_stream(Arc::new(config), stream, peer)).await;
        let handle = connected
            .map_err(|_| late(request, "took the connection but did not finish the SSH handshake"))?
            .map_err(|error| handshake_failed(&instance, address, &report, &error))?;
        Ok(Self { instance, address, handle, report, _cut: cut })
    }

    /// Logs in; until `deadline`.
    pub(crate) async fn log_in(
        &mut self,
        request: &Exec,
        key: Arc<PrivateKey>,
        deadline: Instant,
    ) -> Result<(), PortError> {
        match timeout_at(deadline, self.authenticate(request, key)).await {
            Ok(result) => result,
            Err(_) => {
                let limit = humantime::format_duration(request.connect_timeout);
                Err(self.error(PortErrorKind::Timeout, format_args!("did not finish the login within {limit}")))
            }
        }
    }

    async fn authenticate(&mut self, request: &Exec, key: Arc<PrivateKey>) -> Result<(), PortError> {
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256);
        let (user, source) = (&request.user, &request.key);
        let hash = if key.algorithm().is_rsa() { self.rsa_hash(request).await? } else { None };
        let key = PrivateKeyWithHashAlg::new(key, hash);
        match self.handle.authenticate_publickey(user.as_str(), key).await {
            Ok(AuthResult::Success) => Ok(()),
            Ok(AuthResult::Failure { partial_success: true, .. }) => Err(self.error(
                PortErrorKind::Denied,
                format_args!(
                    "takes the key {source} for {user:?} but asks for a second proof, which the host does not have"
                ),
            )),
            // An empty list and a dead connection is how russh tells that it broke.
            Ok(AuthResult::Failure { remaining_methods, .. })
                if remaining_methods.is_empty() && self.handle.is_closed() =>
            {
                Err(self.shut_out(request))
            }
            Ok(AuthResult::Failure { .. }) => {
                let remedy = match request.key {
                    crate::policy::ClientKey::InstanceConnect => {
                        "the node needs the package ec2-instance-connect, and the user must exist"
                    }
                    _ => {
                        "put its public half into that user's authorized_keys, or correct `user` or `key` in the grant"
                    }
                };
                Err(self.error(
                    PortErrorKind::Denied,
                    format_args!("refuses the key {source} ({fingerprint}) for {user:?}; {remedy}"),
                ))
            }
            Err(_) => Err(self.shut_out(request)),
        }
    }

    /// What to sign with an RSA key: SHA-512 unless the node says that it takes only less.
    async fn rsa_hash(&self, request: &Exec) -> Result<Option<HashAlg>, PortError> {
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Ok(Some(hash)),
            Ok(None) => Ok(Some(HashAlg::Sha512)),
            Ok(Some(None)) => Err(self.error(
                PortErrorKind::Denied,
                format_args!("takes RSA keys over SHA-1 only, which proves nothing any more; use an ed25519 key"),
            )),
            Err(_) => Err(self.shut_out(request)),
        }
    }

    /// Runs a line of shell and waits for its end, for as long as the request allows. A command that does not end is sent
    /// TERM, and may be running still.
    pub(crate) async fn run(
        &mut self,
        line: String,
        stdin: Option<Vec<u8>>,
        max_output: usize,
        command_timeout: Duration,
    ) -> Result<CommandOutput, PortError> {
        let deadline = Instant::now() + command_timeout;
        let late = |node: &Self, what| {
            let limit = humantime::format_duration(command_timeout);
            node.error(PortErrorKind::Timeout, format_args!("{what} within {limit}"))
        };
        let channel = match timeout_at(deadline, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(Error::ChannelOpenFailure(reason))) => {
                let kind = match reason {
                    ChannelOpenFailure::AdministrativelyProhibited => PortErrorKind::Denied,
                    _ => PortErrorKind::Unavailable,
                };
                let why = reason.description().escape_debug().to_string();
                return Err(self.error(kind, format_args!("opens no session for commands: {why}")));
            }
            Ok(Err(_)) => return Err(self.dropped("before the command was sent")),
            Err(_) => return Err(late(self, "opened no session for commands")),
        };
        let (mut from, to) = channel.split();

        let mut output = Output::new(max_output);
        let ended = tokio::select! {
            ended = timeout_at(deadline, output.collect(&mut from)) => ended,
            never = feed(&to, line, stdin) => match never {},
        };
        match ended {
            Ok(End::Refused) => Err(self.error(
                PortErrorKind::Denied,
                format_args!(
                    "refuses to run commands for this user; see ForceCommand, and restrict in authorized_keys"
                ),
            )),
            _ if output.ended() => Ok(output.into_command_output()),
            Ok(End::Closed) => Err(self.dropped("before it told how the command ended, which may have run or not")),
            Err(_) => {
                self.interrupt(&to).await;
                Err(late(self, "did not finish the command (it was sent TERM, and may be running still)"))
            }
        }
    }

    /// Asks the node to end a command, if it listens.
    async fn interrupt(&self, channel: &ChannelWriteHalf<Msg>) {
        let asked = async {
            let _ = channel.signal(Sig::TERM).await;
            let _ = channel.close().await;
        };
        let _ = timeout(CLOSING, asked).await;
    }

    /// Says farewell, if the node listens, and ends the connection.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "done", "").await;
            let _ = (&mut self.handle).await;
        };
        let _ = timeout(CLOSING, farewell).await;
    }

    /// The connection broke during the login. A node that has had enough refuses a key with a farewell.
    fn shut_out(&self, request: &Exec) -> PortError {
        let mut error = self.dropped("during the login");
        if self.report.farewell.get().is_some_and(|farewell| farewell.personal) {
            let (user, source) = (&request.user, &request.key);
            error.kind = PortErrorKind::Denied;
            error.message += &format!("; see whether {user:?} exists there and takes the key {source}");
        }
        error
    }

    /// The connection broke, for a reason the node may have told.
    fn dropped(&self, when: &str) -> PortError {
        match self.report.farewell.get() {
            Some(farewell) => self.error(
                PortErrorKind::Unavailable,
                format_args!("ended the connection {when}, saying \"{}\"", farewell.words),
            ),
            None => self.error(PortErrorKind::Unavailable, format_args!("dropped the connection {when}")),
        }
    }

    fn error(&self, kind: PortErrorKind, what: std::fmt::Arguments<'_>) -> PortError {
        PortError::new(kind, format!("{} at {} {what}", self.instance, self.address))
    }
}

/// A step of connecting was not done in time.
fn late(request: &Exec, what: &str) -> PortError {
    let (instance, address) = (&request.instance, SocketAddr::new(request.address, request.port));
    let limit = humantime::format_duration(request.connect_timeout);
    let message = format!("{instance} at {address} {what} within {limit}; if it is only slow, raise connect-timeout");
    PortError::new(PortErrorKind::Timeout, message)
}

fn handshake_failed(instance: &InstanceId, address: SocketAddr, report: &Report, error: &Error) -> PortError {
    if let Some(refusal) = report.refusal.get() {
        return refusal.clone();
    }
    let (kind, what) = match error {
        Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. } => (
            PortErrorKind::Denied,
            format!("offers no host key of a kind we accept, only {}; give it an ed25519 one", list(theirs)),
        ),
        Error::NoCommonAlgo { kind, theirs, .. } => (
            PortErrorKind::Other,
            format!("has no {kind:?} algorithm we accept, only {}; update its sshd", list(theirs)),
        ),
        Error::WrongServerSig | Error::Signature(_) => {
            (PortErrorKind::Denied, "does not hold the private half of the host key it presents".to_owned())
        }
        Error::Version => (PortErrorKind::Unavailable, "does not speak SSH; is this sshd's port?".to_owned()),
        _ => match report.farewell.get() {
            Some(farewell) => (PortErrorKind::Unavailable, format!("ended the handshake, saying {}", farewell.words)),
            None => (
                PortErrorKind::Unavailable,
                "dropped the connection during the handshake; sshd does so when it is starting, stopping or full"
                    .to_owned(),
            ),
        },
    };
    PortError::new(kind, format!("{instance} at {address} {what}"))
}

/// A few names the node chose, cut and escaped.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(8).map(|name| name.chars().take(40).collect::<String>().escape_debug().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

/// Sends the command, all of its standard input, and the end of it. Never returns: it is the answer that ends a command,
/// which may well not read what it was sent.
async fn feed(to: &ChannelWriteHalf<Msg>, line: String, stdin: Option<Vec<u8>>) -> std::convert::Infallible {
    let sent = async {
        to.exec(true, line).await?;
        to.data_bytes(stdin.unwrap_or_default()).await?;
        to.eof().await
    };
    // A failure means that the connection is gone, and the reading side tells that too.
    let _ = sent.await;
    std::future::pending().await
}
