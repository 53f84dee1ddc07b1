//! Accepting without asking the system in vain: an `accept` that finds nobody costs ten times a
//! `poll` that says so, since the system makes a socket before it looks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use tokio::io::Interest;

use super::loopback::spare_pacing;
use super::prompt::Prompt;
use super::source::{For, Source, Teller};
use crate::sys::Worker;

/// A Unix socket that listens.
#[derive(Debug)]
pub(crate) struct UnixListener(Queue);

impl UnixListener {
    /// `listener` must not wait in its calls. What it accepts is `teller`'s, as it is.
    pub(crate) fn from_std(
        listener: std::os::unix::net::UnixListener,
        teller: Teller,
    ) -> io::Result<Self> {
        Queue::new(listener.into(), teller).map(UnixListener)
    }

    /// The next connection. An error is about one that is gone, or about the listener: it does not
    /// end it.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Prompt>> {
        let socket = ready!(self.0.poll_take(cx, accept))?;
        Poll::Ready(Prompt::accepted(socket, self.0.teller.clone()))
    }
}

/// A TCP port that is listened on.
#[derive(Debug)]
pub(crate) struct TcpListener(Queue);

impl TcpListener {
    /// `listener` must not wait in its calls. What it accepts is the worker's, as it is.
    pub(crate) fn from_std(
        listener: std::net::TcpListener,
        worker: Option<Arc<Worker>>,
    ) -> io::Result<Self> {
        // What is accepted takes that over.
        spare_pacing(&listener, listener.local_addr()?);
        Queue::new(listener.into(), Teller::of(worker)).map(TcpListener)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(&self.0.source)?.try_into()?)
    }

    /// The next connection, and whose it is. An error is about one that is gone, or about the
    /// listener: it does not end it.
    pub(crate) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Prompt, SocketAddr)>> {
        let (socket, peer) = ready!(self.0.poll_take(cx, accept_from))?;
        // Some systems have no address of a client that has left already.
        let peer = peer.ok_or(Errno::CONNABORTED)?.try_into()?;
        // Without it an answer written in two parts waits for the first one's receipt.
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        Poll::Ready(Ok((Prompt::accepted(socket, self.0.teller.clone())?, peer)))
    }
}

/// The connections that wait at a listening socket.
#[derive(Debug)]
struct Queue {
    source: Source,
    teller: Teller,
    /// One was taken since it was told that there are any: that may have been the last.
    may_be_empty: bool,
}

impl Queue {
    fn new(listener: OwnedFd, teller: Teller) -> io::Result<Self> {
        let source = Source::new(listener, Interest::READABLE, teller.clone())?;
        Ok(Queue { source, teller, may_be_empty: false })
    }

    fn poll_take<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl Fn(&OwnedFd) -> rustix::io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let Queue { source, may_be_empty, .. } = self;
        source.poll_io(cx, For::Read, |listener| {
            let taken = match *may_be_empty && is_empty(listener)? {
                true => Err(Errno::AGAIN),
                false => take(listener),
            };
            *may_be_empty = taken.is_ok();
            Ok(taken?)
        })
    }
}

fn is_empty(listener: &OwnedFd) -> io::Result<bool> {
    let at_once = Timespec::default();
    match rustix::event::poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&at_once)) {
        Ok(ready) => Ok(ready == 0),
        // Then `accept` tells.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A connection whose calls do not wait, and which no child inherits.
#[cfg(target_os = "linux")]
fn accept(listener: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept_with(listener, flags())
}

/// As [`accept`], with the client's address.
#[cfg(target_os = "linux")]
fn accept_from(listener: &OwnedFd) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    rustix::net::acceptfrom_with(listener, flags())
}

#[cfg(target_os = "linux")]
fn flags() -> rustix::net::SocketFlags {
    rustix::net::SocketFlags::CLOEXEC.union(rustix::net::SocketFlags::NONBLOCK)
}

/// A connection whose calls do not wait, and which no child inherits.
#[cfg(not(target_os = "linux"))]
fn accept(listener: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept(listener).and_then(prepared)
}

/// As [`accept`], with the client's address.
#[cfg(not(target_os = "linux"))]
fn accept_from(listener: &OwnedFd) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (socket, peer) = rustix::net::acceptfrom(listener)?;
    Ok((prepared(socket)?, peer))
}

#[cfg(not(target_os = "linux"))]
fn prepared(socket: OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(60);

    struct Port {
        listener: TcpListener,
        address: SocketAddr,
    }

    impl Port {
        fn new() -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener, None).unwrap();
            let address = listener.local_addr().unwrap();
            Port { listener, address }
        }

        fn connect(&self) -> std::net::TcpStream {
            std::net::TcpStream::connect(self.address).unwrap()
        }

        async fn accepts(&mut self, client: &std::net::TcpStream) {
            let accepted = poll_fn(|cx| self.listener.poll_accept(cx));
            let (_, peer) = tokio::time::timeout(WATCHDOG, accepted).await.unwrap().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }

        async fn has_nobody(&mut self) {
            poll_fn(|cx| {
                assert!(self.listener.poll_accept(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
    }

    #[tokio::test]
    async fn each_connection_is_taken_however_many_came_at_once() {
        let mut port = Port::new();
        for at_once in [1, 3, 1, 40, 2] {
            let clients: Vec<_> = (0..at_once).map(|_| port.connect()).collect();
            for client in &clients {
                port.accepts(client).await;
            }
            port.has_nobody().await;
        }
    }

    #[tokio::test]
    async fn one_that_comes_after_the_queue_was_seen_empty_is_told_of() {
        let mut port = Port::new();
        for _ in 0..100 {
            let client = port.connect();
            port.accepts(&client).await;
            let mut polls = 0;
            let mut later = None;
            let accepted = poll_fn(|cx| {
                polls += 1;
                let polled = port.listener.poll_accept(cx);
                if polled.is_pending() && later.is_none() {
                    later = Some(std::net::TcpStream::connect(port.address).unwrap());
                }
                polled
            });
            let (_, peer) = tokio::time::timeout(WATCHDOG, accepted).await.unwrap().unwrap();
            assert_eq!(peer, later.unwrap().local_addr().unwrap());
            assert!(polls > 1);
        }
    }

    #[tokio::test]
    async fn what_is_accepted_does_not_wait_and_is_not_inherited() {
        let mut port = Port::new();
        let _client = port.connect();
        let (stream, _) = poll_fn(|cx| port.listener.poll_accept(cx)).await.unwrap();
        let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&stream).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
