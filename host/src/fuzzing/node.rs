//! What a node says to the host that connects to it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use russh::{ChannelMsg, Sig};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::time::Instant;

use super::{INSTANCE, in_virtual_time, parts};
use crate::policy::{ClientKey, Exec, HostKeys};
use crate::ports::{InstanceId, PortError};
use crate::ssh::{End, Node, Output, Trust};
use crate::telemetry::is_obeyed;

/// How long a node has to prove itself.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a message about a node can become, in bytes, with all that it quotes of the node.
const LONGEST_MESSAGE: usize = 4096;

/// What a node says as soon as somebody connects; and behind `---`, while a command runs there.
///
/// It proves nothing with that, and is told of in time and in few words that no terminal obeys. Of what a command prints, the beginning
/// is kept, as much as there is room for, and whether that is all.
pub fn node(bytes: &[u8]) {
    let (greeting, messages) = parts(bytes);
    for stays in [false, true] {
        in_virtual_time(connects(greeting, stays));
    }
    runs(messages);
}

/// Connects to a node that says `greeting`, and then nothing; it `stays`, or closes the connection.
async fn connects(greeting: &[u8], stays: bool) {
    let (ours, mut theirs) = duplex(64 << 10);
    let greeting = greeting.to_vec();
    tokio::spawn(async move {
        // Fails when we have hung up before it has said all.
        let _ = theirs.write_all(&greeting).await;
        if !stays {
            let _ = theirs.shutdown().await;
        }
        let _ = tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await;
    });
    let began = Instant::now();
    let Err(error) = Node::over(ours, None, &request(), trust(), began + CONNECT).await else {
        panic!("a node has proved itself without any key")
    };
    assert!(began.elapsed() <= CONNECT, "it took {:?}", began.elapsed());
    let PortError { message, .. } = &error;
    assert!(message.len() <= LONGEST_MESSAGE && !message.contains(is_obeyed), "{message:?}");
}

/// The command whose output is about to come, for a node that is not there.
fn request() -> Exec {
    Exec {
        instance: InstanceId::parse(INSTANCE).expect("an instance"),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
        availability_zone: "eu-central-1a".to_owned(),
        port: 22,
        user: "ec2-user".to_owned(),
        key: ClientKey::InstanceConnect,
        host_keys: HostKeys::Console,
        command: vec!["uptime".to_owned()],
        stdin: None,
        connect_timeout: CONNECT,
        command_timeout: CONNECT,
        max_output: 0,
    }
}

/// No key is the instance's.
fn trust() -> Trust {
    Trust {
        instance: InstanceId::parse(INSTANCE).expect("an instance"),
        source: "its console".to_owned(),
        remedy: "there is none",
        keys: Vec::new(),
        authorities: Vec::new(),
        revoked: Vec::new(),
        any: false,
    }
}

/// Hears a command on a node out: a byte says how much is kept of each stream, and then there is a message for each kind, length and
/// as many bytes.
fn runs(bytes: &[u8]) {
    let Some((&max, mut bytes)) = bytes.split_first() else { return };
    let max = usize::from(max);
    let mut output = Output::new(max);
    let (mut stdout, mut stderr, mut complete) = (Vec::new(), Vec::new(), false);
    let (mut status, mut signal) = (None, None);
    let mut end = None;
    while let [kind, length, rest @ ..] = bytes
        && end.is_none()
    {
        let (data, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let (message, ends) = match kind % 8 {
            0 => {
                stdout.extend_from_slice(data);
                (ChannelMsg::Data { data: data.to_vec().into() }, None)
            }
            1 => {
                stderr.extend_from_slice(data);
                (ChannelMsg::ExtendedData { data: data.to_vec().into(), ext: 1 }, None)
            }
            // A stream that there is not.
            2 => (ChannelMsg::ExtendedData { data: data.to_vec().into(), ext: u32::from(*length) + 2 }, None),
            3 => {
                status = Some(u32::from(*length));
                (ChannelMsg::ExitStatus { exit_status: u32::from(*length) }, None)
            }
            4 => {
                let name = String::from_utf8_lossy(data).into_owned();
                signal = Some(name.chars().take(32).collect::<String>());
                (killed(name), None)
            }
            5 => {
                complete = true;
                (ChannelMsg::Eof, None)
            }
            6 if *length == 0 => (ChannelMsg::Failure, Some(End::Refused)),
            6 => (ChannelMsg::WindowAdjusted { new_size: u32::from(*length) << 24 }, None),
            _ => {
                complete = true;
                (ChannelMsg::Close, Some(End::Closed))
            }
        };
        end = output.take(message);
        assert_eq!(end, ends);
    }
    let ended = output.ended();
    let kept = output.into_command_output();
    assert_eq!(ended, status.is_some() || signal.is_some());
    assert_eq!((kept.exit_status, kept.signal), (status, signal));
    for (kept, truncated, said) in
        [(kept.stdout, kept.stdout_truncated, stdout), (kept.stderr, kept.stderr_truncated, stderr)]
    {
        assert_eq!(kept, said[..said.len().min(max)]);
        assert_eq!(truncated, said.len() > max || !complete);
    }
}

/// A command that a signal of this name has ended.
fn killed(name: String) -> ChannelMsg {
    let signal_name = if name == "KILL" { Sig::KILL } else { Sig::Custom(name) };
    let (error_message, lang_tag) = ("killed".to_owned(), "en".to_owned());
    ChannelMsg::ExitSignal { signal_name, core_dumped: false, error_message, lang_tag }
}
