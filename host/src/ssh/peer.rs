//! Our side of the events of a connection: judge the host key, refuse everything the node might want of us, and remember
//! how it ended.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Disconnect, Error};

use super::trust::Trust;
use crate::ports::PortError;

/// How much of what a node says as it disconnects is kept.
const FAREWELL_CHARS: usize = 200;

/// What became of a connection, for whoever holds its other end.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Why the host key was refused.
    pub(super) refusal: OnceLock<PortError>,
    /// What the node said as it disconnected, when it said something.
    pub(super) farewell: OnceLock<Farewell>,
}

/// An SSH_MSG_DISCONNECT.
#[derive(Debug)]
pub(super) struct Farewell {
    /// Whether it is about this connection, rather than about the node being busy or going away.
    pub(super) personal: bool,
    /// The node's words, cut and escaped.
    pub(super) words: String,
}

/// The handler of one connection.
pub(super) struct Peer {
    pub(super) trust: Trust,
    pub(super) report: Arc<Report>,
}

/// Refuses a channel the node opens: dropping the reply says so. By default russh would accept it, and keep it.
macro_rules! refuse {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(async fn $name(
            &mut self,
            _channel: Channel<Msg>,
            $($argument: $type,)*
            _reply: ChannelOpenHandle,
            _session: &mut Session,
        ) -> Result<(), Error> {
            Ok(())
        })*
    };
}

impl Handler for Peer {
    type Error = Error;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Error> {
        match self.trust.verify(presented, Timestamp::now()) {
            Ok(()) => Ok(true),
            Err(refusal) => {
                // Kept aside: what russh makes of a refusal may be lost with the socket.
                let _ = self.report.refusal.set(refusal);
                Ok(false)
            }
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                let personal = !matches!(
                    said.reason_code,
                    Disconnect::ServiceNotAvailable | Disconnect::ConnectionLost | Disconnect::TooManyConnections
                );
                let words = said.message.chars().take(FAREWELL_CHARS).collect::<String>().escape_debug().to_string();
                let _ = self.report.farewell.set(Farewell { personal, words });
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }

    refuse! {
        server_channel_open_forwarded_tcpip(_to: &str, _to_port: u32, _from: &str, _from_port: u32);
        server_channel_open_forwarded_streamlocal(_path: &str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(_to: &str, _to_port: u32, _from: &str, _from_port: u32);
        server_channel_open_direct_streamlocal(_path: &str);
        server_channel_open_x11(_from: &str, _from_port: u32);
    }
}
