//! How somebody else reads the same bytes: hyper's server, over a connection in memory.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response};
use pipeway_bridge::fuzzing::Framing;

/// A request as hyper saw it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// The path with its query.
    pub(super) target: String,
    pub(super) framing: Framing,
    /// `None` where it did not end, or broke.
    pub(super) body: Option<Vec<u8>>,
}

/// The requests that hyper reads from `input`, which ends after its last byte.
pub(super) fn requests(input: &[u8], max_headers: usize) -> Vec<Seen> {
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let number = seen.borrow().len();
            let framing = match request.body().size_hint().exact() {
                _ if request.body().is_end_stream() => Framing::Empty,
                Some(length) => Framing::Length(length),
                None => Framing::Chunked,
            };
            let target = request.uri().path_and_query().map_or("", |path| path.as_str());
            seen.borrow_mut().push(Seen {
                method: request.method().to_string(),
                target: target.to_owned(),
                framing,
                body: None,
            });
            if let Ok(body) = request.into_body().collect().await {
                seen.borrow_mut()[number].body = Some(body.to_bytes().to_vec());
            }
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    {
        let mut connection = pin!(
            hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .max_headers(max_headers)
                .header_read_timeout(None)
                .serve_connection(Memory { input, at: 0 }, service)
        );
        let mut context = Context::from_waker(Waker::noop());
        // Nothing in memory ever waits, but hyper yields now and then.
        for _ in 0..10_000 {
            if connection.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
    }
    Rc::into_inner(seen).expect("the service is gone").into_inner()
}

struct Memory<'a> {
    input: &'a [u8],
    at: usize,
}

impl Read for Memory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.input[self.at..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
