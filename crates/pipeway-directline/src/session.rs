//! A session over a pair of pipes: the task that moves its bytes, and what others hold of it.

mod driver;
mod frames;
mod space;
mod state;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use self::driver::drive;
use self::state::Shared;
use crate::body::Body;
use crate::message::{Outgoing, Sent, Source};
use crate::{
    Connection, Error, ErrorKind, Id, IncomingRequest, IncomingResponse, Limits, Pace, RequestKey,
    StreamHeads, StreamKey, StreamKeys,
};

/// The work on one request.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done with a request.
pub(crate) type Handler = Arc<dyn Fn(IncomingRequest, Session) -> Work + Send + Sync>;

/// What is dropped when a call's content is handed over for writing, or never will be.
pub(crate) type UntilWritten = Box<dyn Send>;

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
    ///
    /// What is sent after `written` is dropped arrives after this. For a message of two frames that
    /// is at once: frames take turns.
    pub(crate) async fn call(
        &self,
        verb: &str,
        path: &str,
        outgoing: Outgoing,
        timeout: Option<Duration>,
        mut written: Option<UntilWritten>,
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
        let source = match body {
            Some(Sent::Source(source)) => keys.body.zip(Some(source)),
            _ => None,
        };
        let last = keys.attachments.last().copied().or(keys.body);
        if keys.attachments.is_empty() && source.is_none() && self.is_short(&heads) {
            drop(written.take());
        }
        let answer = if source.is_some() || written.is_some() {
            let mut sending = Box::pin(async {
                if let Some((key, source)) = source {
                    // The call's own time runs out for it too.
                    self.send_source(key, source, None).await?;
                }
                if let (Some(written), Some(last)) = (written, last) {
                    self.shared.gone(last).await;
                    drop(written);
                }
                Ok::<_, Error>(())
            });
            tokio::select! {
                biased;
                answer = &mut answer_rx => answer,
                sent = &mut sending => {
                    sent?;
                    answer_rx.await
                }
            }
        } else {
            answer_rx.await
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
            (Some(Sent::Source(source)), Some(key)) => {
                self.send_source(key, source, self.handler_timeout()).await
            }
            _ => Ok(()),
        }
    }

    /// Sends a stream as its content comes; one that fails, or is given up, or takes longer than
    /// `limit` for a piece, is cancelled.
    async fn send_source(
        &self,
        key: StreamKey,
        mut source: Source,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let stream = Stream { session: self, key };
        loop {
            self.shared.room(key).await?;
            let frame = poll_fn(|cx| source.as_mut().poll_frame(cx));
            let frame = within(limit, "sent no more of an answer's body", frame).await?;
            let mut data = match frame {
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
            // One frame of a body may be more than may wait, and others may have taken the room.
            while !data.is_empty() {
                self.shared.room(key).await?;
                self.shared.with(|state| state.push_some(key, &mut data))?;
            }
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
                    &StreamHeads::default(),
                    state::now(),
                );
            }
        });
    }

    /// Waits until no request runs and everything that was to be sent has been written.
    pub(crate) async fn settled(&self) {
        poll_fn(|cx| {
            self.shared.with(|state| {
                if state.is_settled() {
                    return Poll::Ready(());
                }
                if !state.settlers.iter().any(|known| known.will_wake(cx.waker())) {
                    state.settlers.push(cx.waker().clone());
                }
                Poll::Pending
            })
        })
        .await;
    }

    /// Ends the session from this end.
    pub(crate) fn shutdown(&self) {
        self.shared.with(|state| state.connection.shutdown());
    }

    /// Whether a message's body is one frame.
    fn is_short(&self, heads: &StreamHeads) -> bool {
        let chunk = self.shared.with(|state| state.connection.limits().chunk_bytes);
        heads.body.as_ref().is_none_or(|body| body.length <= u64::from(chunk))
    }

    /// How it writes now.
    pub(crate) fn pace(&self) -> Pace {
        self.shared.with(|state| state.connection.pace())
    }

    /// How long the service may take.
    pub(crate) fn handler_timeout(&self) -> Option<Duration> {
        self.shared.with(|state| state.connection.limits().handler_timeout)
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
    /// Waits until all of a stream is handed over for writing, or dropped.
    async fn gone(&self, key: StreamKey) {
        poll_fn(|cx| {
            self.with(|state| {
                if state.connection.ended().is_some() || !state.connection.is_sending(key) {
                    return Poll::Ready(());
                }
                state.leaving.insert(key, cx.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }

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

/// What the service does, unless it takes longer than `limit`; `what` says what it has failed to do.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| Error::handler(what, limit)),
        None => Ok(work.await),
    }
}

/// A body in the pieces in which it lies.
pub(crate) fn pieces(body: Body) -> impl Iterator<Item = bytes::Bytes> {
    body.into_pieces().into_iter().filter(|piece| !piece.is_empty())
}
