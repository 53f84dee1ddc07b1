//! A session over a pair of pipes: the task that moves its bytes, and what others hold of it.

mod busy;
mod driver;
mod state;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

pub(crate) use self::driver::drive;
use self::state::Shared;
use crate::body::Body;
use crate::message::{Outgoing, Sent, Source};
use crate::{
    Connection, Error, ErrorKind, Id, IncomingRequest, IncomingResponse, Limits, RequestKey,
    StreamKey, StreamKeys,
};

/// The work on one request.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done with a request.
pub(crate) type Handler = Arc<dyn Fn(IncomingRequest, Session) -> Work + Send + Sync>;

/// A session that runs, for those who call through it or answer.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
}

impl Session {
    pub(crate) fn new(limits: Limits) -> Result<Self, Error> {
        let connection = Connection::new(limits, state::now())?;
        Ok(Session { shared: Shared::new(connection) })
    }

    /// Sends a request and waits for its response. Dropping the future gives the call up.
    pub(crate) async fn call(
        &self,
        verb: &str,
        path: &str,
        outgoing: Outgoing,
        timeout: Option<Duration>,
    ) -> Result<IncomingResponse, Error> {
        let Outgoing { heads, mut body, attachments } = outgoing;
        let (answer_tx, mut answer_rx) = oneshot::channel();
        let (id, keys) = self.shared.with(|state| {
            let now = state::now();
            state.has_room(body.as_ref(), &attachments)?;
            let (id, keys) = state.connection.send_request(verb, path, &heads, timeout, now)?;
            state.calls.insert(id, answer_tx);
            state.push_whole(&keys, &mut body, attachments);
            Ok::<_, Error>((id, keys))
        })?;
        let call = Call { session: self, id };
        let answer = match (body, keys.body) {
            (Some(Sent::Source(source)), Some(key)) => {
                let mut sending = Box::pin(self.send_source(key, source));
                tokio::select! {
                    biased;
                    answer = &mut answer_rx => answer,
                    sent = &mut sending => {
                        sent?;
                        answer_rx.await
                    }
                }
            }
            _ => answer_rx.await,
        };
        std::mem::forget(call);
        answer.unwrap_or_else(|_| Err(Error::not_connected(None)))
    }

    /// Answers a request, with all its content.
    pub(crate) async fn respond(
        &self,
        request: RequestKey,
        status: u16,
        outgoing: Outgoing,
    ) -> Result<(), Error> {
        let Outgoing { heads, mut body, attachments } = outgoing;
        let keys: StreamKeys = self.shared.with(|state| {
            state.has_room(body.as_ref(), &attachments)?;
            let keys = state.connection.respond(request, status, &heads, state::now())?;
            state.running.remove(&request);
            state.push_whole(&keys, &mut body, attachments);
            Ok::<_, Error>(keys)
        })?;
        match (body, keys.body) {
            (Some(Sent::Source(source)), Some(key)) => self.send_source(key, source).await,
            _ => Ok(()),
        }
    }

    /// Sends a stream as its content comes; one that fails, or is given up, is cancelled.
    async fn send_source(&self, key: StreamKey, mut source: Source) -> Result<(), Error> {
        let stream = Stream { session: self, key };
        loop {
            self.shared.room(key).await?;
            let frame = poll_fn(|cx| source.as_mut().poll_frame(cx)).await;
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        format!("the body failed while it was sent: {error}"),
                    ));
                }
                None => break,
            };
            self.shared.with(|state| state.connection.push(key, data, state::now()))?;
        }
        // Complete, it is known no more; else it is shorter than it was told to be.
        drop(stream);
        Ok(())
    }

    /// Answers a request with 500, if it still waits for an answer.
    pub(crate) fn give_up(&self, request: RequestKey) {
        self.shared.with(|state| {
            if state.running.remove(&request).is_some() {
                let failed = http::StatusCode::INTERNAL_SERVER_ERROR.as_u16();
                // One that was cancelled gets no answer.
                let _ = state.connection.respond(
                    request,
                    failed,
                    &crate::StreamHeads::default(),
                    state::now(),
                );
            }
        });
    }

    /// Ends the session from this end.
    pub(crate) fn shutdown(&self) {
        self.shared.with(|state| state.connection.shutdown());
    }

    /// The limits' bound for a body that is collected.
    pub(crate) fn collected_max(&self) -> u64 {
        self.shared.with(|state| state.connection.limits().stream_bytes_max)
    }
}

/// A call that is given up when this is dropped.
struct Call<'a> {
    session: &'a Session,
    id: Id,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.session.shared.with(|state| {
            state.calls.remove(&self.id);
            state.connection.cancel_call(&self.id);
        });
    }
}

/// A stream that is cancelled when this is dropped, unless it is complete.
struct Stream<'a> {
    session: &'a Session,
    key: StreamKey,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.session.shared.with(|state| {
            if state.connection.wants_content(self.key) {
                state.connection.cancel_stream(self.key, state::now());
            }
        });
    }
}

impl Shared {
    /// Waits until a stream takes more.
    async fn room(&self, key: StreamKey) -> Result<(), Error> {
        poll_fn(|cx| {
            self.with(|state| {
                if let Some(how) = state.connection.ended() {
                    return Poll::Ready(Err(Error::not_connected(how.as_ref().err())));
                }
                if state.connection.may_push(key) || !state.connection.wants_content(key) {
                    return Poll::Ready(Ok(()));
                }
                state.pushers.insert(key, cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

/// A body in the pieces in which it lies.
pub(crate) fn pieces(body: Body) -> impl Iterator<Item = bytes::Bytes> {
    body.into_pieces().into_iter().filter(|piece| !piece.is_empty())
}
