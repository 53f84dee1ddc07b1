//! Where events go.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Event;
use crate::file::{FileOptions, RotatingFile};
use crate::jsonl::{LineWriter, MAX_LINE_BYTES};
use crate::record::Told;
use crate::telling::{Take, Telling};
use crate::writer::{Output, Queue, lock};

/// How long [`Sink::flush`] waits at most.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// What is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct SinkOptions {
    /// Whether queries are written. Default: no. They often carry tokens.
    pub show_query: bool,
    /// Whether SIDs are written as they are. Default: no, they are hashed.
    pub show_sid: bool,
}

/// Where events go. Cheap to clone; all clones are one sink.
///
/// What waits to be written takes at most 8 MiB. Events beyond that, and those that could not be
/// written, are dropped and counted.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    options: SinkOptions,
    to: To,
}

enum To {
    Queue(Arc<Queue>),
    Channel(Box<Mutex<(Telling, Channel)>>),
}

/// Lines are made at once, in `scratch`, whose memory is the system's where no line has reached.
struct Channel {
    line_tx: SyncSender<String>,
    lines: LineWriter,
    scratch: Box<[u8]>,
}

impl Sink {
    /// A sink that takes nothing.
    pub fn disabled() -> Self {
        Sink { inner: None }
    }

    /// Appends lines to a file, which is opened (or made, for its owner alone) at once.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is not a regular file, a bound is zero, or the thread that
    /// writes cannot be started.
    pub fn file(file: FileOptions, options: SinkOptions) -> io::Result<Self> {
        Self::queue(|| Ok(Output::File(RotatingFile::open(file)?)), options)
    }

    /// Writes lines to stderr.
    ///
    /// # Panics
    ///
    /// The operating system cannot start one more thread.
    pub fn stderr(options: SinkOptions) -> Self {
        Self::stream("stderr", Box::new(io::stderr()), options)
            .expect("the operating system can start a thread")
    }

    /// Sends lines, without their newlines, to whoever holds the receiver; at most `capacity`
    /// (at least one) wait there, and others are dropped.
    pub fn channel(capacity: usize, options: SinkOptions) -> (Self, Receiver<String>) {
        let (line_tx, line_rx) = sync_channel(capacity.max(1));
        let scratch = vec![0; MAX_LINE_BYTES].into_boxed_slice();
        let channel = Channel { line_tx, lines: LineWriter::new(options), scratch };
        let to = To::Channel(Box::new(Mutex::new((Telling::default(), channel))));
        (Self { inner: Some(Arc::new(Inner { options, to })) }, line_rx)
    }

    /// Whether anybody reads: if not, an event need not be made.
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// Tells an event. Never waits for a file or a reader.
    ///
    /// Errors of accepting that repeat themselves within a second are counted, and the next line
    /// says how many were left out.
    pub fn emit(&self, event: &Event<'_>) {
        if let Some(inner) = &self.inner {
            inner.emit(event);
        }
    }

    /// Waits until everything that was told before is written, at most for [`FLUSH_DEADLINE`];
    /// returns whether it was. Call it before the process ends. Blocks its thread.
    ///
    /// A channel's reader is not waited for.
    pub fn flush(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.flush(FLUSH_DEADLINE))
    }

    /// How many events were dropped: because too many waited, or because writing failed.
    pub fn dropped(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.dropped())
    }

    fn stream(
        name: &'static str,
        stream: Box<dyn io::Write + Send>,
        options: SinkOptions,
    ) -> io::Result<Self> {
        Self::queue(move || Ok(Output::Stream { name, stream, torn: false }), options)
    }

    fn queue(
        open: impl FnOnce() -> io::Result<Output> + Send + 'static,
        options: SinkOptions,
    ) -> io::Result<Self> {
        let to = To::Queue(Queue::start(open, LineWriter::new(options))?);
        Ok(Sink { inner: Some(Arc::new(Inner { options, to })) })
    }
}

impl Inner {
    fn emit(&self, event: &Event<'_>) {
        match &self.to {
            To::Queue(queue) => queue.with(|telling, records| telling.emit(records, event)),
            To::Channel(channel) => {
                let (telling, channel) = &mut *lock(channel);
                telling.emit(channel, event);
            }
        }
    }

    fn flush(&self, deadline: Duration) -> bool {
        match &self.to {
            To::Queue(queue) => {
                queue.with(|telling, records| telling.settle(records));
                queue.flush(deadline)
            }
            To::Channel(channel) => {
                let (telling, channel) = &mut *lock(channel);
                telling.settle(channel);
                true
            }
        }
    }

    fn dropped(&self) -> u64 {
        match &self.to {
            To::Queue(queue) => queue.with(|telling, records| telling.lost(records)),
            To::Channel(channel) => {
                let (telling, channel) = &*lock(channel);
                telling.lost(channel)
            }
        }
    }
}

impl Take for Channel {
    fn take(&mut self, event: &Event<'_>, told: &Told) -> bool {
        let length = self.lines.write(&mut self.scratch, event, told);
        let line = String::from_utf8_lossy(&self.scratch[..length]).into_owned();
        self.line_tx.try_send(line).is_ok()
    }

    fn lost(&self) -> u64 {
        0
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let To::Queue(queue) = &self.to {
            queue.close();
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
