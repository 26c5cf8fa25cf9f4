//! A node that stops answering, or goes, after any part of what it has to say: from the first byte of its banner to its last.
//!
//! Time is virtual and the connection is in memory, so that minutes of waiting take none and nothing depends on the machine.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::*;

/// What a node does once it has said its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing, for ever; it still reads.
    Stalls,
    /// It closes the connection.
    Closes,
}

/// The node's end of a connection, through which only so many bytes go.
struct Narrow {
    inner: DuplexStream,
    left: usize,
    then: Then,
    /// How many bytes had gone out after each write.
    written: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.left == 0 {
            return match self.then {
                // Nobody will wake it.
                Then::Stalls => Poll::Pending,
                Then::Closes => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
            };
        }
        let part = &bytes[..bytes.len().min(self.left)];
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(context, part))?;
        self.left -= written;
        let mut ends = self.written.lock().unwrap();
        let end = ends.last().copied().unwrap_or_default() + written;
        ends.push(end);
        drop(ends);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// As long as the policy allows by default.
const CONNECT: Duration = Duration::from_secs(10);
const COMMAND: Duration = Duration::from_secs(60);

/// What comes of a command on a node that says only so many bytes; how long that took; and the ends of what it said.
async fn exec(script: Script, left: usize, then: Then) -> (Result<CommandOutput, PortError>, Duration, Vec<usize>) {
    let fixture = Fixture::new();
    fixture.cloud.pushed.lock().unwrap().push(fixture.key.public_key().key_data().clone());
    let (ours, theirs) = duplex(1 << 20);
    let written = Arc::<Mutex<Vec<usize>>>::default();
    let node = Narrow { inner: theirs, left, then, written: Arc::clone(&written) };
    tokio::spawn(Server::serve(script, Arc::clone(&fixture.cloud.pushed), node, |_| {}));

    let mut request = fixture.request(22, &["uptime"]);
    (request.connect_timeout, request.command_timeout) = (CONNECT, COMMAND);
    let began = Instant::now();
    let deadline = began + CONNECT;
    // Not from its file: reading that is no virtual matter, and the clock must not run on meanwhile.
    let key = Arc::new(fixture.key.clone());
    let trust = fixture.port.host_keys.trust(&request).await.unwrap();
    let line = command_line(&request.command).unwrap();
    let result = match Node::over(ours, None, &request, trust, deadline).await {
        Ok(node) => fixture.port.command(node, request, key, line, deadline).await,
        Err(error) => Err(error),
    };
    let told = result.map_err(|error| PortError::new(error.kind, fixture.told(&error)));
    let ends = written.lock().unwrap().clone();
    (told, began.elapsed(), ends)
}

/// What comes of each place to stop at: the outcomes as they follow each other, each once.
async fn outcomes(then: Then) -> Vec<String> {
    let script = Script::Write { stdout: 5, stderr: 3, status: 0 };
    let (whole, _, ends) = exec(script.clone(), usize::MAX, then).await;
    assert_eq!(whole.unwrap().stdout, b"ooooo");
    assert!(ends.len() >= 6, "there is less to it than steps: {ends:?}");
    // Before, at and after the end of each write, and within it.
    let starts = [0].into_iter().chain(ends.iter().copied());
    let mut cuts: Vec<usize> =
        starts.zip(&ends).flat_map(|(from, to)| [from, from + 1, usize::midpoint(from, *to), to - 1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut outcomes = Vec::new();
    for cut in cuts {
        let (result, took, _) = exec(script.clone(), cut, then).await;
        // The farewell, and the silence after an end, have a time of their own.
        assert!(took <= CONNECT + COMMAND + Duration::from_secs(5), "after {cut} bytes it took {took:?}");
        let outcome = match result {
            Ok(output) => format!("status {:?}, cut {}", output.exit_status, output.stdout_truncated),
            Err(error) => format!("{}: {}", error.kind.as_str(), error.message),
        };
        if outcomes.last() != Some(&outcome) {
            outcomes.push(outcome);
        }
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stalls_at_any_step_times_out() {
    insta::assert_snapshot!(outcomes(Then::Stalls).await.join("\n"), @"
    timeout: i-0123456789abcdef0 at ADDRESS took the connection but did not finish the SSH handshake within 10s; if it is only slow, raise connect-timeout
    timeout: i-0123456789abcdef0 at ADDRESS did not finish the login within 10s
    timeout: i-0123456789abcdef0 at ADDRESS opened no session for commands within 1m
    timeout: i-0123456789abcdef0 at ADDRESS did not finish the command (it was sent TERM, and may be running still) within 1m
    status Some(0), cut false
    ");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_at_any_step_is_unavailable() {
    insta::assert_snapshot!(outcomes(Then::Closes).await.join("\n"), @"
    unavailable: i-0123456789abcdef0 at ADDRESS dropped the connection during the handshake; sshd does so when it is starting, stopping or full
    unavailable: i-0123456789abcdef0 at ADDRESS dropped the connection during the login
    unavailable: i-0123456789abcdef0 at ADDRESS dropped the connection before the command was sent
    unavailable: i-0123456789abcdef0 at ADDRESS dropped the connection before it told how the command ended, which may have run or not
    status Some(0), cut false
    ");
}
