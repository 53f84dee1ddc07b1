//! A session without manners.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use pipeway_directline::{HEADER_LENGTH, Header, Kind};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{LAST, frame};

/// The most answers that are remembered.
const ANSWERS_MAX: usize = 100_000;

/// The most requests of the agent that wait for an answer.
const ASKED_MAX: usize = 1000;

/// How long one write may make no progress.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// The pipe that is read, whichever way it was connected.
pub(super) type Source = Box<dyn AsyncRead + Send + Unpin>;

/// The pipe that is written.
pub(super) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// A session with the agent that is tested.
pub(super) struct Session {
    sink: Option<Sink>,
    seen: Arc<Seen>,
    deaf_tx: watch::Sender<bool>,
    reading: AbortHandle,
}

/// What came, and who waits for more.
#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The answers' statuses by their ids, as text.
    answers: HashMap<String, Option<u16>>,
    /// What the agent asked, by its ids.
    asked: VecDeque<String>,
    is_over: bool,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// A session over these pipes. `lost` completes when the one that is written is lost.
    pub(super) fn new(
        source: Source,
        sink: Sink,
        lost: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let (deaf_tx, deaf_rx) = watch::channel(false);
        let reading = tokio::spawn(read(source, Arc::clone(&seen), deaf_rx, lost));
        Session { sink: Some(sink), seen, deaf_tx, reading: reading.abort_handle() }
    }

    /// Writes. A pipe that can't be written is the session's end, though the other may stand: one
    /// SDK closes only that.
    ///
    /// # Errors
    ///
    /// The system's; or that the agent does not read.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_open = self.sink.is_some();
        let wrote = self.try_write(bytes).await;
        if is_open && wrote.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::TimedOut) {
            self.seen.lock().is_over = true;
        }
        wrote
    }

    async fn try_write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Err(io::ErrorKind::BrokenPipe.into()) };
        while !bytes.is_empty() {
            match timeout(WRITE_MAX, sink.write(bytes)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Ok(wrote)) => bytes = &bytes[wrote..],
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        timeout(WRITE_MAX, sink.flush()).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether anything is read.
    pub(super) fn set_deaf(&self, is_deaf: bool) {
        self.deaf_tx.send_replace(is_deaf);
    }

    pub(super) fn close_writer(&mut self) {
        self.sink = None;
    }

    /// Closes the pipe that is read. Whether the other one is lost is not heard then.
    pub(super) fn close_reader(&mut self) {
        self.reading.abort();
    }

    /// The status of an answer, if it came; what is no number is none.
    pub(super) fn answer(&self, id: &str) -> Option<Option<u16>> {
        self.seen.lock().answers.get(id).copied()
    }

    /// Forgets an answer.
    pub(super) fn forget_answers(&self) {
        self.seen.lock().answers.clear();
    }

    pub(super) fn is_over(&self) -> bool {
        self.seen.lock().is_over
    }

    /// Waits until all of these are answered, or the session is over, or it is time; whether they
    /// are. The agent's own requests are answered meanwhile.
    pub(super) async fn answered(&mut self, ids: &[&str], until: Instant) -> bool {
        let seen = Arc::clone(&self.seen);
        loop {
            let mut changed = pin!(seen.changed.notified());
            changed.as_mut().enable();
            let (is_done, is_over, asked) = {
                let mut state = seen.lock();
                let is_done = ids.iter().all(|id| state.answers.contains_key(*id));
                (is_done, state.is_over, std::mem::take(&mut state.asked))
            };
            if is_done || is_over {
                return is_done;
            }
            for id in asked {
                let answer = frame(b'B', &id, LAST, b"{\"statusCode\":200,\"streams\":null}");
                // What can't be written ends the session, which the next look at it tells.
                let _ = self.write(&answer).await;
            }
            if timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads to the end, and notes what came.
async fn read(
    mut source: Source,
    seen: Arc<Seen>,
    mut deaf_rx: watch::Receiver<bool>,
    lost: impl Future<Output = ()>,
) {
    let work = async {
        let mut buffer = BytesMut::new();
        loop {
            if deaf_rx.wait_for(|deaf| !*deaf).await.is_err() {
                return;
            }
            match source.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            while let Some((header, payload)) = next_frame(&mut buffer) {
                note(&seen, header, &payload);
            }
            seen.changed.notify_waiters();
        }
    };
    tokio::select! {
        () = work => {}
        () = lost => {}
    }
    seen.lock().is_over = true;
    seen.changed.notify_waiters();
}

/// The next whole frame. Bytes that are no header are passed over.
fn next_frame(buffer: &mut BytesMut) -> Option<(Header, BytesMut)> {
    loop {
        let head = buffer.get(..HEADER_LENGTH)?;
        match Header::decode(head) {
            Ok(header) if buffer.len() < HEADER_LENGTH + header.length.bytes() => return None,
            Ok(header) => {
                buffer.advance(HEADER_LENGTH);
                return Some((header, buffer.split_to(header.length.bytes())));
            }
            Err(_) => buffer.advance(1),
        }
    }
}

fn note(seen: &Seen, header: Header, payload: &[u8]) {
    let mut state = seen.lock();
    match header.kind {
        Kind::Response if state.answers.len() < ANSWERS_MAX => {
            let status = serde_json::from_slice::<Value>(payload).ok();
            let status = status.and_then(|value| value["statusCode"].as_u64());
            let status = status.and_then(|status| status.try_into().ok());
            state.answers.insert(header.id.to_string(), status);
        }
        Kind::Request if state.asked.len() < ASKED_MAX => {
            state.asked.push_back(header.id.to_string());
        }
        _ => {}
    }
}
