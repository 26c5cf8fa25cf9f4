//! What becomes of a connection.

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
        tokio::time::timeout(PATIENCE, gone).await.expect("the socket is closed").unwrap();
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
