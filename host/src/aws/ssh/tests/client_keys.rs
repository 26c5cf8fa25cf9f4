//! How we prove ourselves.

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
