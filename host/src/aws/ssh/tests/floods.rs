//! A node that sends more than anybody asked for, or less than anybody can trust.

use std::borrow::Cow;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::testing::{alone, peak_memory};

/// Says `first`, and then `again` for ever, to whoever connects; until they have gone.
async fn endless(first: &'static [u8], again: Vec<u8>) -> (u16, tokio::task::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = 0;
        let mut part = first.to_vec();
        while stream.write_all(&part).await.is_ok() {
            said += part.len() as u64;
            part.clone_from(&again);
        }
        said
    });
    (port, said)
}

/// A packet of SSH as it goes before there is a key, with rubbish for padding.
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (5 + payload.len()) % 8 + 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend_from_slice(payload);
    packet.resize(4 + length as usize, 0);
    packet
}

#[tokio::test]
async fn whatever_a_node_floods_us_with_before_it_has_proved_itself_comes_to_an_end() {
    let banner = b"SSH-2.0-OpenSSH_9.9\r\n";
    let ignored = [&[2, 0, 0, 4, 0][..], &[0; 1024]].concat();
    let mut told = Vec::new();
    // How long to wait: for ever, in effect, where it is found out, and not for long where it may go on.
    let (found_out, goes_on) = (PATIENCE, Duration::from_millis(300));
    for (name, limit, first, again) in [
        ("lines before the banner", found_out, &b""[..], b"not yet\r\n".repeat(100)),
        ("a banner without an end", found_out, b"SSH-2.0-", vec![b'x'; 4096]),
        ("zeros", found_out, banner, vec![0; 4096]),
        ("lengths of gigabytes", found_out, banner, vec![0xff; 4096]),
        ("packets to be ignored", goes_on, banner, packet(&ignored)),
        ("debug messages", goes_on, banner, packet(&[4, 1, 0, 0, 0, 1, b'x', 0, 0, 0, 0])),
        ("messages that there are not", goes_on, banner, packet(&[255; 100])),
        ("channel data", goes_on, banner, packet(&[&[94, 0, 0, 0, 0, 0, 0, 4, 0][..], &[0; 1024]].concat())),
    ] {
        let fixture = Fixture::new();
        let (port, said) = endless(first, again).await;
        let mut request = fixture.request(port, &["x"]);
        request.connect_timeout = limit;
        let ended = timeout(2 * PATIENCE, fixture.port.exec(request)).await;
        let error = ended.unwrap_or_else(|_| panic!("{name} does not end")).unwrap_err();
        assert!(matches!(error.kind, PortErrorKind::Unavailable | PortErrorKind::Timeout), "{name}: {error}");
        // We have gone, so that it has nobody to talk to.
        timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{name}: the socket is not closed")).unwrap();
        told.push(format!("{name}: {}", fixture.told(&error)));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    lines before the banner: i-0123456789abcdef0 at ADDRESS does not speak SSH; is this sshd's port?
    a banner without an end: i-0123456789abcdef0 at ADDRESS does not speak SSH; is this sshd's port?
    zeros: i-0123456789abcdef0 at ADDRESS dropped the connection during the handshake; sshd does so when it is starting, stopping or full
    lengths of gigabytes: i-0123456789abcdef0 at ADDRESS dropped the connection during the handshake; sshd does so when it is starting, stopping or full
    packets to be ignored: i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 300ms; if it is only slow, raise connect-timeout
    debug messages: i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 300ms; if it is only slow, raise connect-timeout
    messages that there are not: i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 300ms; if it is only slow, raise connect-timeout
    channel data: i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 300ms; if it is only slow, raise connect-timeout
    ");
}

#[tokio::test]
async fn whatever_a_node_floods_us_with_during_a_command_ends_with_the_commands_time() {
    for (script, ends) in
        [(Script::Flood, None), (Script::FloodChannels, None), (Script::FloodAfterExit, Some(0)), (Script::Hang, None)]
    {
        let fixture = Fixture::new();
        let server = fixture.server(script.clone()).await;
        let mut request = fixture.request(server.port, &["x"]);
        request.command_timeout = Duration::from_millis(300);
        let result = timeout(PATIENCE, fixture.port.exec(request)).await;
        let result = result.unwrap_or_else(|_| panic!("{script:?} does not end"));
        match (result, ends) {
            (Ok(output), Some(status)) => {
                assert_eq!(
                    (output.exit_status, output.stdout.len(), output.stdout_truncated),
                    (Some(status), 1000, true)
                );
            }
            (Err(error), None) => assert_eq!(error.kind, PortErrorKind::Timeout, "{script:?}: {error}"),
            (result, _) => panic!("{script:?} came to {result:?}"),
        }
        server.until("gone").await;
    }
}

/// Keepalives are questions, and each is answered: they must not keep a command alive.
#[tokio::test]
async fn a_node_that_asks_whether_we_are_there_all_the_time_does_not_outlast_the_commands_time() {
    let fixture = Fixture::new();
    let configure = |config: &mut russh::server::Config| {
        config.keepalive_interval = Some(Duration::from_millis(1));
        config.keepalive_max = usize::MAX;
    };
    let server = fixture.server_with(Script::Hang, configure).await;
    let mut request = fixture.request(server.port, &["x"]);
    request.command_timeout = Duration::from_millis(300);
    assert_eq!(fixture.port.exec(request).await.unwrap_err().kind, PortErrorKind::Timeout);
    server.until("gone").await;
}

#[tokio::test]
async fn a_node_that_offers_only_what_is_weak_is_refused() {
    use russh::{cipher, kex, mac};
    type Weaken = fn(&mut russh::server::Config);
    let weak: [(&str, Weaken); 5] = [
        ("SHA-1 over a group of 1024 bits", |config| config.preferred.kex = Cow::Borrowed(&[kex::DH_G1_SHA1])),
        ("SHA-1 over a group of 2048 bits", |config| config.preferred.kex = Cow::Borrowed(&[kex::DH_G14_SHA1])),
        ("CBC", |config| config.preferred.cipher = Cow::Borrowed(&[cipher::AES_128_CBC, cipher::AES_256_CBC])),
        ("no cipher at all", |config| config.preferred.cipher = Cow::Borrowed(&[cipher::CLEAR])),
        ("checksums over SHA-1", |config| {
            config.preferred.cipher = Cow::Borrowed(&[cipher::AES_256_CTR]);
            config.preferred.mac = Cow::Borrowed(&[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1]);
        }),
    ];
    let mut told = Vec::new();
    for (name, weaken) in weak {
        let fixture = Fixture::new();
        let server = fixture.server_with(Script::Echo, weaken).await;
        let error = fixture.port.exec(fixture.request(server.port, &["x"])).await.expect_err(name);
        assert!(server.seen().is_empty(), "{name}: {:?}", server.seen());
        told.push(format!("{name}: {}: {}", error.kind.as_str(), fixture.told(&error)));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    SHA-1 over a group of 1024 bits: other: i-0123456789abcdef0 at ADDRESS has no Kex algorithm we accept, only diffie-hellman-group1-sha1; update its sshd
    SHA-1 over a group of 2048 bits: other: i-0123456789abcdef0 at ADDRESS has no Kex algorithm we accept, only diffie-hellman-group14-sha1; update its sshd
    CBC: other: i-0123456789abcdef0 at ADDRESS has no Cipher algorithm we accept, only aes128-cbc, aes256-cbc; update its sshd
    no cipher at all: other: i-0123456789abcdef0 at ADDRESS has no Cipher algorithm we accept, only clear; update its sshd
    checksums over SHA-1: other: i-0123456789abcdef0 at ADDRESS has no Mac algorithm we accept, only hmac-sha1-etm@openssh.com, hmac-sha1; update its sshd
    ");
}

/// What the command writes in all, in bytes.
const FLOOD: usize = 256 << 20;

/// What the process may have had in memory at most, beyond what it had before, in bytes: both sides of the connection are in it.
const LITTLE: u64 = 48 << 20;

#[test]
fn a_flood_leaves_little_in_memory() {
    alone(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            let server = fixture.server(Script::Pour(1 << 20)).await;
            fixture.port.exec(fixture.request(server.port, &["x"])).await.unwrap();
            let before = peak_memory();
            let server = fixture.server(Script::Pour(FLOOD)).await;
            let mut request = fixture.request(server.port, &["x"]);
            request.command_timeout = 10 * PATIENCE;
            let output = fixture.port.exec(request).await.unwrap();
            assert_eq!((output.stdout.len(), output.stderr.len(), output.exit_status), (1000, 1000, Some(0)));
            let more = peak_memory() - before;
            assert!(more < LITTLE, "{FLOOD} bytes left {more} bytes in memory");
        });
    });
}
