//! Where events go.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::file::{FileOptions, RotatingFile};
use crate::jsonl::{self, Context, Known};
use crate::repeats::{Repeats, Verdict};
use crate::writer::{Output, Queue};
use crate::{Event, trace};

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
    process: u32,
    lines: Lines,
    to: To,
    /// Events for which there was no room.
    dropped: AtomicU64,
}

/// What a line needs beyond its event. Locked before the queue, never after it.
type Lines = Mutex<LineState>;

struct LineState {
    known: Known,
    repeats: Repeats,
    /// A channel's lines are put together here.
    scratch: Vec<u8>,
    /// The number of dropped events that a line last told.
    dropped_told: u64,
}

enum To {
    Queue(Arc<Queue>),
    Channel(SyncSender<String>),
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
        let output = Output::File(RotatingFile::open(file)?);
        Ok(Self::new(To::Queue(Queue::start(output)?), options))
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
        (Self::new(To::Channel(line_tx), options), line_rx)
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
        let output = Output::Stream { name, stream, torn: false };
        Ok(Self::new(To::Queue(Queue::start(output)?), options))
    }

    fn new(to: To, options: SinkOptions) -> Self {
        let lines = Mutex::new(LineState {
            known: Known::default(),
            repeats: Repeats::default(),
            scratch: Vec::new(),
            dropped_told: 0,
        });
        Sink {
            inner: Some(Arc::new(Inner {
                options,
                process: trace::random() as u32,
                lines,
                to,
                dropped: AtomicU64::new(0),
            })),
        }
    }
}

impl Inner {
    fn emit(&self, event: &Event<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut repeated = 0;
        if Repeats::concern(event.kind) {
            let (verdict, forgotten) = lines.repeats.admit(event, Instant::now());
            self.dropped.fetch_add(forgotten, Ordering::Relaxed);
            match verdict {
                Verdict::Tell { repeated: left_out } => repeated = left_out,
                Verdict::LeaveOut => return,
            }
        }
        self.tell(&mut lines, event, repeated);
    }

    fn flush(&self, deadline: Duration) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut repeats = std::mem::take(&mut lines.repeats);
        repeats.settle(|event, repeated| self.tell(&mut lines, event, repeated));
        lines.repeats = repeats;
        drop(lines);
        match &self.to {
            To::Queue(queue) => queue.flush(deadline),
            To::Channel(_) => true,
        }
    }

    fn tell(&self, lines: &mut LineState, event: &Event<'_>, repeated: u64) {
        // Counted from the start: if the line that tells it is lost itself, the number has grown
        // and the next line tells it.
        let dropped = self.dropped();
        let context = Context {
            options: self.options,
            process: self.process,
            now: SystemTime::now(),
            repeated,
            dropped: (dropped != lines.dropped_told).then_some(dropped),
        };
        let LineState { known, scratch, dropped_told, .. } = lines;
        let taken = match &self.to {
            To::Queue(queue) => queue.push(|out| jsonl::write(out, known, event, &context)),
            To::Channel(line_tx) => {
                scratch.clear();
                jsonl::write(scratch, known, event, &context);
                line_tx.try_send(String::from_utf8_lossy(scratch).into_owned()).is_ok()
            }
        };
        if taken {
            *dropped_told = dropped;
        } else {
            // Those that were left out before this line are dropped with it.
            self.dropped.fetch_add(1 + repeated, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> u64 {
        let lost = match &self.to {
            To::Queue(queue) => queue.lost(),
            To::Channel(_) => 0,
        };
        lost + self.dropped.load(Ordering::Relaxed)
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
