//! Nodes on loopback: an SSH server that follows a script, and sockets that speak no SSH.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::public::KeyData;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect, Error, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// The keys a server takes.
pub(super) type Authorized = Arc<Mutex<Vec<KeyData>>>;

/// What a server does with a command, or before there is one.
#[derive(Debug, Clone)]
pub(super) enum Script {
    /// Writes so much, and exits.
    Write {
        stdout: usize,
        stderr: usize,
        status: u32,
    },
    /// Writes what it reads, and exits with 0.
    Echo,
    /// Exits with 0 at once, whatever is still being sent.
    Deaf,
    /// Is ended by a signal.
    Killed(Sig),
    /// Exits with 0 and leaves its streams open.
    LeaveOpen,
    /// Does not end.
    Hang,
    /// Writes for ever.
    Flood,
    /// Writes so much to standard error and to standard output, in turn, and exits with 0.
    Pour(usize),
    /// Exits with 0, and writes for ever after.
    FloodAfterExit,
    /// Opens channels to the client for ever.
    FloodChannels,
    /// Drops the connection.
    Drop,
    /// Disconnects, with a word.
    Farewell(&'static str),
    /// Closes the channel and tells no status.
    CloseChannel,
    /// Opens a channel to the client, and exits with 0 when that is refused.
    ReachBack,
    RefuseSession,
    RefuseExec,
    DropAtLogin,
    HangAtLogin,
}

/// A running server.
pub(super) struct Server {
    pub(super) port: u16,
    /// Its first host key.
    pub(super) key: PrivateKey,
    seen: watch::Receiver<Vec<String>>,
}

impl Server {
    pub(super) async fn start(script: Script, authorized: Authorized, configure: impl FnOnce(&mut Config)) -> Self {
        let key = super::fresh();
        let mut config = Config {
            keys: vec![key.clone()],
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            ..Config::default()
        };
        configure(&mut config);
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (config, seen) = (Arc::clone(&config), sender.clone());
                let node = Node {
                    script: script.clone(),
                    authorized: Arc::clone(&authorized),
                    seen: seen.clone(),
                    read: Vec::new(),
                };
                tokio::spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, stream, node).await {
                        let _ = session.await;
                    }
                    seen.send_modify(|seen| seen.push("gone".to_owned()));
                });
            }
        });
        Self { port, key, seen }
    }

    /// Serves one connection over `stream`, which need not be a socket, until it ends.
    pub(super) async fn serve(
        script: Script,
        authorized: Authorized,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        configure: impl FnOnce(&mut Config),
    ) {
        let mut config = Config {
            keys: vec![super::fresh()],
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            ..Config::default()
        };
        configure(&mut config);
        let (seen, _) = watch::channel(Vec::new());
        let node = Node { script, authorized, seen, read: Vec::new() };
        if let Ok(session) = russh::server::run_stream(Arc::new(config), stream, node).await {
            let _ = session.await;
        }
    }

    /// What it has seen, ends of connections aside.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.borrow().iter().filter(|seen| *seen != "gone").cloned().collect()
    }

    /// Waits until it has seen `what`.
    pub(super) async fn until(&self, what: &str) {
        let mut seen = self.seen.clone();
        let seen = seen.wait_for(|seen| seen.iter().any(|line| line == what));
        let _ = tokio::time::timeout(super::PATIENCE, seen).await.expect("the server sees it").unwrap();
    }
}

/// The server's side of one connection.
struct Node {
    script: Script,
    authorized: Authorized,
    seen: watch::Sender<Vec<String>>,
    read: Vec<u8>,
}

impl Node {
    fn see(&self, what: impl Into<String>) {
        self.seen.send_modify(|seen| seen.push(what.into()));
    }
}

impl Handler for Node {
    type Error = Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        match self.script {
            Script::DropAtLogin => return Err(Error::Disconnect),
            Script::HangAtLogin => std::future::pending().await,
            _ => {}
        }
        if !self.authorized.lock().unwrap().contains(key.public_key.key_data()) {
            return Ok(Auth::reject());
        }
        self.see(format!("login {user}"));
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        if !matches!(self.script, Script::RefuseSession) {
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Error> {
        self.see(format!("exec {}", String::from_utf8_lossy(line)));
        if matches!(self.script, Script::RefuseExec) {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        match self.script.clone() {
            Script::Write { stdout, stderr, status } => {
                session.data(channel, vec![b'o'; stdout])?;
                session.extended_data(channel, 1, vec![b'e'; stderr])?;
                session.exit_status_request(channel, status)?;
                session.eof(channel)?;
                session.close(channel)?;
            }
            Script::Deaf => {
                session.exit_status_request(channel, 0)?;
                session.close(channel)?;
            }
            Script::Killed(signal) => {
                session.exit_signal_request(channel, signal, false, "", "")?;
                session.close(channel)?;
            }
            Script::LeaveOpen => {
                session.data(channel, vec![b'o'])?;
                session.exit_status_request(channel, 0)?;
            }
            Script::Flood => {
                let handle = session.handle();
                tokio::spawn(async move { while handle.data(channel, vec![b'y'; 32 * 1024]).await.is_ok() {} });
            }
            Script::Pour(bytes) => {
                let handle = session.handle();
                tokio::spawn(async move {
                    let block = bytes::Bytes::from(vec![b'y'; 32 * 1024]);
                    for _ in 0..bytes / block.len() / 2 {
                        let _ = handle.extended_data(channel, 1, block.clone()).await;
                        let _ = handle.data(channel, block.clone()).await;
                    }
                    let _ = handle.exit_status_request(channel, 0).await;
                    let _ = handle.eof(channel).await;
                    let _ = handle.close(channel).await;
                });
            }
            Script::FloodAfterExit => {
                session.exit_status_request(channel, 0)?;
                let handle = session.handle();
                tokio::spawn(async move { while handle.data(channel, vec![b'y'; 32 * 1024]).await.is_ok() {} });
            }
            Script::FloodChannels => {
                let handle = session.handle();
                // Ends when the connection does: an answer, a refusal among them, is no end.
                tokio::spawn(async move {
                    while !matches!(
                        handle.channel_open_forwarded_tcpip("a", 1, "b", 2).await,
                        Err(Error::SendError | Error::Disconnect)
                    ) {}
                });
            }
            Script::Farewell(words) => session.disconnect(Disconnect::ServiceNotAvailable, words, "")?,
            Script::Drop => return Err(Error::Disconnect),
            Script::CloseChannel => session.close(channel)?,
            Script::ReachBack => {
                let (handle, seen) = (session.handle(), self.seen.clone());
                tokio::spawn(async move {
                    let refused = handle.channel_open_agent().await.is_err()
                        && handle.channel_open_forwarded_tcpip("a", 1, "b", 2).await.is_err()
                        && handle.channel_open_session().await.is_err();
                    if refused {
                        seen.send_modify(|seen| seen.push("refused".to_owned()));
                    }
                    let _ = handle.exit_status_request(channel, 0).await;
                    let _ = handle.close(channel).await;
                });
            }
            _ => {}
        }
        Ok(())
    }

    async fn data(&mut self, _channel: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Error> {
        self.read.extend_from_slice(data);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.see("eof");
        if matches!(self.script, Script::Echo) {
            session.data(channel, std::mem::take(&mut self.read))?;
            session.exit_status_request(channel, 0)?;
            session.eof(channel)?;
            session.close(channel)?;
        }
        Ok(())
    }

    async fn signal(&mut self, _channel: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), Error> {
        self.see(format!("signal {signal:?}"));
        Ok(())
    }
}

/// A socket that says `banner` and then nothing, or closes; and when the other side has closed it.
pub(super) async fn raw(banner: &str, stay: bool) -> (u16, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (gone, when_gone) = oneshot::channel();
    let banner = banner.to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(banner.as_bytes()).await;
        if stay {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        let _ = gone.send(());
    });
    (port, when_gone)
}
