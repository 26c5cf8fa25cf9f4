//! A socket that ends when we say so, whatever russh is waiting for.
//!
//! russh drives a connection in a task of its own, which outlives its handle while a node stays silent, and for as long as one
//! keeps talking during the handshake. To shut the socket down wakes the first; the second goes on reading what still arrives,
//! so that reads and writes have to fail as well.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A second hold on a socket, which ends it when dropped.
pub(crate) struct Cut {
    socket: std::net::TcpStream,
    done: Arc<AtomicBool>,
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        // Fails when the node was faster.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The socket itself, for russh.
pub(super) struct Cuttable {
    stream: TcpStream,
    done: Arc<AtomicBool>,
}

/// A socket, and a hold on it.
pub(super) fn cuttable(stream: TcpStream) -> std::io::Result<(Cuttable, Cut)> {
    let (stream, done) = (stream.into_std()?, Arc::new(AtomicBool::new(false)));
    let cut = Cut { socket: stream.try_clone()?, done: Arc::clone(&done) };
    Ok((Cuttable { stream: TcpStream::from_std(stream)?, done }, cut))
}

impl Cuttable {
    fn stream(&mut self) -> std::io::Result<Pin<&mut TcpStream>> {
        if self.done.load(Ordering::Acquire) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.stream()?.poll_read(context, into)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        self.stream()?.poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
