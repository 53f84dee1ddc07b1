//! The few rules of TCP that are different here.

// One socket option is known only to the system's own interface.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::windows::io::AsRawSocket;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::{SockRef, Socket};
use windows_sys::Win32::Networking::WinSock::{SO_EXCLUSIVEADDRUSE, SOL_SOCKET, setsockopt};

use super::Tcp;
use crate::sys::Worker;

/// A TCP port that is listened on.
#[derive(Debug)]
pub(crate) struct TcpListener {
    listener: tokio::net::TcpListener,
    worker: Option<Arc<Worker>>,
}

impl TcpListener {
    /// `listener` must not wait in its calls. What it accepts is the worker's; accepting is the
    /// runtime's.
    pub(crate) fn from_std(
        listener: std::net::TcpListener,
        worker: Option<Arc<Worker>>,
    ) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(TcpListener { listener, worker })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, and whose it is. An error is about one that is gone, or about the
    /// listener: it does not end it.
    pub(crate) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Tcp, SocketAddr)>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Tcp::of(stream, self.worker.clone()).map(|stream| (stream, peer)))
    }
}

/// Keeps other programs from listening on the same port beside us, which SO_REUSEADDR would let
/// them do here. A port can be listened on again after its last listener ended without it.
pub(crate) fn share_port_rules(socket: &Socket) -> io::Result<()> {
    let on: i32 = 1;
    // SAFETY: the socket is open as long as the borrow; the value is an i32 that lives through
    // the call, with its size.
    let failed = unsafe {
        setsockopt(
            socket.as_raw_socket() as usize,
            SOL_SOCKET,
            SO_EXCLUSIVEADDRUSE,
            (&raw const on).cast(),
            size_of_val(&on) as i32,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the connection was reset. The system has no way to see that both halves were closed
/// in order.
pub(crate) fn is_socket_hung_up(socket: &Tcp) -> bool {
    let mut byte = [MaybeUninit::uninit(); 1];
    match SockRef::from(socket).peek(&mut byte) {
        Ok(_) => false,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        }
    }
}

/// No service manager hands over sockets here.
pub(crate) fn activated_tcp(_: SocketAddr) -> Option<std::net::TcpListener> {
    None
}
