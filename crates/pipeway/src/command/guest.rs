//! `pipeway guest`: the other side of a link.

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::task::{Context, Poll};

use pipeway_transport::ErrorKind;
use pipeway_transport::link::{GuestOptions, serve};
use pipeway_transport::stdio::Stdio;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::args::GuestArgs;
use crate::command::io_loop;
use crate::exit::Exit;
use crate::output::{Failure, talk};
use crate::service::StopSignals;

/// Serves the link on standard input and output until it ends or a signal comes.
pub(crate) async fn guest(args: GuestArgs) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() || std::io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "`pipeway guest` is the other side of a link, and speaks with a bridge, not with a person",
        )
        .hint("let a bridge start it: pipeway bridge --through LINK; docs/guides/links.md shows how"));
    }
    let mut signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    })?;
    pipeway_transport::raise_file_limit();
    let options = GuestOptions { allow: args.allow };
    let serving = async {
        let io = Stdio::open().map_err(|error| Failure::listen(&error))?;
        Ok(serve(OnItsWay(io), options).await)
    };
    let io_loop = io_loop()?;
    let serving = async {
        match io_loop {
            Some(io_loop) => io_loop.run(serving).await,
            None => serving.await,
        }
    };
    tokio::select! {
        ended = serving => ended?.map_err(|error| {
            let exit = match error.kind() {
                ErrorKind::TimedOut => Exit::Timeout,
                ErrorKind::Unsupported => Exit::Usage,
                ErrorKind::LinkDown => Exit::Incomplete,
                _ => Exit::Failure,
            };
            Failure::of_transport(exit, &error)
        }),
        name = signals.next() => {
            talk(&format!("stopping ({name})"));
            Ok(())
        }
    }
}

/// Standard input and output of which a flush does not wait: where a thread writes, what it was given
/// is on its way, and to wait until it is done would wake this one for each frame. The end waits.
struct OnItsWay(Stdio);

impl AsyncRead for OnItsWay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OnItsWay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
