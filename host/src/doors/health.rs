//! Whether the agent is alive and ready, over HTTP: `/livez` and `/readyz`, for probes and for people.
//!
//! On the loopback interface only, and small: it answers what [`Vitals`] says, one request on each connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::vitals::Vitals;

/// For a connection, from its first byte to its last: probes wait a second.
const CONNECTION: Duration = Duration::from_secs(5);

/// Connections at a time. More wait until they are accepted.
const CONNECTIONS: usize = 16;

/// The longest head of a request, in bytes: the least that hyper takes.
const MAX_HEAD: usize = 8 << 10;

/// The pause after a connection that could not be accepted, as when there are no file descriptors left.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Why nobody can be told how the agent is.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is one that others can reach.
    #[error("agent.listen is {0}, which other machines can reach: write an address of the loopback interface, such as 127.0.0.1:{port}", port = .0.port())]
    NotLoopback(SocketAddr),
    /// Somebody else is there.
    #[error(
        "agent.listen is {0}, which another process listens on: stop that, perhaps another agent, or write another port"
    )]
    InUse(SocketAddr),
    /// The system does not let us listen.
    #[error("cannot listen on {address} (agent.listen)")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Begins to listen on `agent.listen`.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        _ => ListenError::Refused { address, source },
    })
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, vitals: Arc<Vitals>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(timeout(CONNECTION, converse(stream, Arc::clone(&vitals))));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection that asks whether the agent is alive or ready");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One request and its answer. What goes wrong is the other side's affair.
async fn converse(stream: TcpStream, vitals: Arc<Vitals>) {
    let service = service_fn(|request: Request<_>| {
        let answer = answer(&request, &vitals);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(CONNECTION).max_buf_size(MAX_HEAD).keep_alive(false);
    if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection that asked how the agent is");
    }
}

fn answer<B: Body>(request: &Request<B>, vitals: &Vitals) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => verdict("alive", "not alive", &vitals.stopped()),
        (&Method::GET | &Method::HEAD, "/readyz") => verdict("ready", "not ready", &vitals.unready()),
        (_, "/livez" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is /livez and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn verdict(good: &str, bad: &str, complaints: &[String]) -> (StatusCode, String) {
    match complaints {
        [] => (StatusCode::OK, format!("{good}\n")),
        _ => {
            let lines: Vec<_> = complaints.iter().map(|line| crate::telemetry::visible(line)).collect();
            (StatusCode::SERVICE_UNAVAILABLE, format!("{bad}\n{}\n", lines.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What is answered to `request`, sent as it is, without the date.
    async fn asked(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let lines = answer.lines().filter(|line| !line.starts_with("date: "));
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        asked(address, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// Serves at a free port.
    async fn served(vitals: Vitals) -> SocketAddr {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(vitals)));
        address
    }

    #[tokio::test]
    async fn an_agent_that_is_well_says_so() {
        let mut vitals = Vitals::default();
        let _pulse = vitals.pulse("imds", Duration::from_secs(60));
        vitals.readiness("ledger").ready();
        let address = served(vitals).await;
        insta::assert_snapshot!(get(address, "/livez").await, @r"
        HTTP/1.1 200 OK
        content-type: text/plain; charset=utf-8
        connection: close
        content-length: 6

        alive
        ");
        insta::assert_snapshot!(get(address, "/readyz?verbose").await, @r"
        HTTP/1.1 200 OK
        content-type: text/plain; charset=utf-8
        connection: close
        content-length: 6

        ready
        ");
    }

    #[tokio::test]
    async fn a_loop_that_stopped_and_a_part_that_is_not_ready_are_named() {
        let mut vitals = Vitals::default();
        let _pulse = vitals.pulse("queue", Duration::ZERO);
        let ledger = vitals.readiness("ledger");
        ledger.not_ready("/var/lib/hostler: no space left on device\u{1b}");
        let _queue = vitals.readiness("queue");
        let address = served(vitals).await;
        assert!(get(address, "/livez").await.contains("503 Service Unavailable"));
        assert!(get(address, "/livez").await.contains("\nnot alive\nqueue: its loop last turned "));
        insta::assert_snapshot!(get(address, "/readyz").await, @r"
        HTTP/1.1 503 Service Unavailable
        content-type: text/plain; charset=utf-8
        connection: close
        content-length: 110

        not ready
        ledger: /var/lib/hostler: no space left on device\u{1b}
        queue: it has not said yet that it is ready
        ");
        ledger.ready();
        assert!(!get(address, "/readyz").await.contains("ledger"));
    }

    #[tokio::test]
    async fn it_answers_nothing_else() {
        let address = served(Vitals::default()).await;
        insta::assert_snapshot!(get(address, "/metrics").await, @r"
        HTTP/1.1 404 Not Found
        content-type: text/plain; charset=utf-8
        connection: close
        content-length: 28

        there is /livez and /readyz
        ");
        insta::assert_snapshot!(asked(address, "POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await, @r"
        HTTP/1.1 405 Method Not Allowed
        content-type: text/plain; charset=utf-8
        allow: GET, HEAD
        connection: close
        content-length: 18

        only GET and HEAD
        ");
        insta::assert_snapshot!(asked(address, "HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n").await, @r"
        HTTP/1.1 200 OK
        content-type: text/plain; charset=utf-8
        connection: close
        content-length: 6
        ");
        // No more than is read of it: what is left unread takes the answer with it.
        let long = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(MAX_HEAD));
        assert!(asked(address, &long[..MAX_HEAD]).await.starts_with("HTTP/1.1 431 "));
        assert!(asked(address, "hello\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_keeps_nobody_waiting() {
        let address = served(Vitals::default()).await;
        let start = tokio::time::Instant::now();
        let mut silent = Vec::new();
        for _ in 0..=CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(start.elapsed() < 2 * CONNECTION, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
        let taken = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let errors = [listen(address).await.unwrap_err(), listen(([0, 0, 0, 0], 9464).into()).await.unwrap_err()];
        let errors = errors.map(|error| error.to_string().replace(&address.port().to_string(), "PORT"));
        insta::assert_snapshot!(errors.join("\n"), @r"
        agent.listen is 127.0.0.1:PORT, which another process listens on: stop that, perhaps another agent, or write another port
        agent.listen is 0.0.0.0:9464, which other machines can reach: write an address of the loopback interface, such as 127.0.0.1:9464
        ");
    }
}
