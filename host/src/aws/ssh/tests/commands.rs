//! What becomes of a command.

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
