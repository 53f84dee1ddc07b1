//! The thread that writes, and what it shares with those who emit.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::file::RotatingFile;
use crate::jsonl::{LineWriter, MAX_LINE_BYTES};
use crate::record::{self, Record, Told};
use crate::sys;
use crate::telling::{Take, Telling};
use crate::{Event, Route};

/// What may wait to be written. As much again may be in the writer's hands.
pub(crate) const MAX_PENDING_BYTES: usize = 4 << 20;

/// After a write, how long events are collected for the next. Waking the writer costs whoever
/// emits more than the event does.
const LINGER: Duration = Duration::from_millis(20);

/// So much ends the collecting early: it fits into a processor's own cache, waking the writer for it
/// costs little beside it, and what it takes to write it (some 200 events) holds up nobody for long.
const WAKE_BYTES: usize = 32 << 10;

/// So much of lines is written at once: all of a usual batch, since the page that a write ends in costs
/// as much as a page of its own.
pub(crate) const WRITE_BYTES: usize = 256 << 10;

/// An event's route is looked for among so many of those that were named last; one that is not
/// among them stands there twice.
const ROUTES_SEARCHED: usize = 64;

/// What the buffers keep when there is nothing to do.
const IDLE_BYTES: usize = 64 << 10;

/// Events on their way to the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told to the writer: there is something to do.
    work: Condvar,
    /// Told to those who flush: something was written.
    progress: Condvar,
}

#[derive(Debug)]
struct State {
    telling: Telling,
    pending: Records,
    writer: Writer,
    /// Batches that the writer took, and that it is done with.
    taken: u64,
    done: u64,
    flushing: u32,
    closed: bool,
}

/// Events that wait.
#[derive(Debug)]
pub(crate) struct Records {
    batch: Batch,
    /// How many lines writing lost.
    lost: u64,
}

/// Events that are handed to the writer together.
#[derive(Debug)]
struct Batch {
    records: Vec<u8>,
    /// The routes that the records name.
    routes: Vec<Arc<Route>>,
    /// How much memory the routes take at most, in bytes.
    routes_size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// It waits for an event.
    Asleep,
    /// It lets events collect.
    Lingering,
    /// It will look for events by itself.
    Awake,
}

/// Where lines go.
pub(crate) enum Output {
    File(RotatingFile),
    Stream { name: &'static str, stream: Box<dyn Write + Send>, torn: bool },
}

impl Take for Records {
    #[inline]
    fn take(&mut self, event: &Event<'_>, told: &Told) -> bool {
        self.batch.take(event, told)
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

impl Batch {
    fn new() -> Self {
        let records = Vec::with_capacity(IDLE_BYTES);
        Batch { records, routes: Vec::new(), routes_size: 0 }
    }

    #[inline]
    fn take(&mut self, event: &Event<'_>, told: &Told) -> bool {
        let is_it = |route: &Arc<Route>| Arc::ptr_eq(route, event.route);
        let searched = self.routes.len().saturating_sub(ROUTES_SEARCHED);
        let known = self.routes[searched..].iter().rposition(is_it);
        let route = match known {
            Some(at) => searched + at,
            None => {
                let size = Self::size_of(event.route);
                if self.records.len() + self.routes_size + size > MAX_PENDING_BYTES {
                    return false;
                }
                self.routes_size += size;
                self.routes.push(Arc::clone(event.route));
                self.routes.len() - 1
            }
        };
        let room = MAX_PENDING_BYTES - self.routes_size;
        // A route takes more than a byte, so there are fewer than `MAX_PENDING_BYTES`.
        let taken = record::write(&mut self.records, room, event, told, route as u32);
        if !taken && known.is_none() {
            // Nothing names it: without a record the writer would never take it away.
            self.routes.pop();
            self.routes_size -= Self::size_of(event.route);
        }
        taken
    }

    fn size_of(route: &Arc<Route>) -> usize {
        route.size() + size_of::<Arc<Route>>()
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn clear(&mut self) {
        self.records.clear();
        self.routes.clear();
        self.routes_size = 0;
    }

    /// Gives back what it needs only while there is much to do.
    fn shrink(&mut self) {
        self.records.shrink_to(IDLE_BYTES);
        self.routes.shrink_to(ROUTES_SEARCHED);
    }
}

impl Queue {
    /// Starts the thread, which opens the output.
    pub(crate) fn start(
        open: impl FnOnce() -> io::Result<Output> + Send + 'static,
        lines: LineWriter,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Queue {
            state: Mutex::new(State {
                telling: Telling::default(),
                pending: Records { batch: Batch::new(), lost: 0 },
                writer: Writer::Awake,
                taken: 0,
                done: 0,
                flushing: 0,
                closed: false,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
        });
        let ours = Arc::clone(&queue);
        let (opened_tx, opened_rx) = sync_channel(1);
        std::thread::Builder::new().name("pipeway-events".to_owned()).spawn(move || {
            sys::own_files();
            let (opened, output) = match open() {
                Ok(output) => (Ok(()), Some(output)),
                Err(error) => (Err(error), None),
            };
            // Who started it waits for this.
            let _ = opened_tx.send(opened);
            if let Some(output) = output {
                ours.run(output, lines);
            }
        })?;
        opened_rx.recv().map_err(io::Error::other)??;
        Ok(queue)
    }

    /// Lends what is known and what waits, and sees to it that what was added is written.
    #[inline]
    pub(crate) fn with<T>(&self, lend: impl FnOnce(&mut Telling, &mut Records) -> T) -> T {
        let mut state = lock(&self.state);
        let State { telling, pending, .. } = &mut *state;
        let result = lend(telling, pending);
        let wake = match state.writer {
            Writer::Asleep => !state.pending.batch.is_empty(),
            Writer::Lingering => state.pending.batch.records.len() >= WAKE_BYTES,
            Writer::Awake => false,
        };
        if wake {
            state.writer = Writer::Awake;
            drop(state);
            self.work.notify_one();
        }
        result
    }

    /// Waits until what was pushed before is written or lost. Returns whether that was so before
    /// `deadline`.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let start = Instant::now();
        let mut state = lock(&self.state);
        let until = state.taken + u64::from(!state.pending.batch.is_empty());
        state.flushing += 1;
        self.work.notify_one();
        while state.done < until {
            let Some(left) = deadline.checked_sub(start.elapsed()) else { break };
            state =
                self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushing -= 1;
        state.done >= until
    }

    /// Lets the writer end once it has written what is there.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.work.notify_one();
    }

    fn run(&self, mut output: Output, lines: LineWriter) {
        let mut text = Text::new(lines);
        let mut batch = Batch::new();
        let mut told = false;
        let mut state = lock(&self.state);
        loop {
            while state.pending.batch.is_empty() {
                if state.closed {
                    return;
                }
                batch.shrink();
                state.pending.batch.shrink();
                state.writer = Writer::Asleep;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.writer = Writer::Awake;
            std::mem::swap(&mut state.pending.batch, &mut batch);
            state.taken += 1;
            drop(state);

            let mut lost = 0;
            let mut records = batch.records.as_slice();
            while let Some(lines) = text.fill(&mut records, &batch.routes) {
                if let Err(failed) = output.write(lines) {
                    lost += failed.lines;
                    if !std::mem::replace(&mut told, true) {
                        output.complain(&failed.error);
                    }
                }
            }
            batch.clear();

            state = lock(&self.state);
            state.pending.lost += lost;
            state.done += 1;
            self.progress.notify_all();
            if !state.closed
                && state.flushing == 0
                && state.pending.batch.records.len() < WAKE_BYTES
            {
                state.writer = Writer::Lingering;
                let waited = self.work.wait_timeout(state, LINGER);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

/// Makes lines of records, as many as are written at once.
struct Text {
    lines: LineWriter,
    /// With room for one more line than is used. Memory that no line has reached is the system's.
    bytes: Box<[u8]>,
}

impl Text {
    fn new(lines: LineWriter) -> Self {
        Text { lines, bytes: vec![0; WRITE_BYTES + MAX_LINE_BYTES].into_boxed_slice() }
    }

    /// The lines of the next records, which are taken off; `None` where there are none.
    fn fill<'a>(&mut self, records: &mut &'a [u8], routes: &'a [Arc<Route>]) -> Option<&[u8]> {
        let mut end = 0;
        while end < WRITE_BYTES && !records.is_empty() {
            let record = Record::take_off(records, routes);
            end += self.lines.write_recorded(&mut self.bytes[end..], &record);
            self.bytes[end] = b'\n';
            end += 1;
        }
        (end > 0).then(|| &self.bytes[..end])
    }
}

/// Whoever panicked while holding a lock left at worst an event untold.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        match self {
            Output::File(file) => file.write(lines),
            Output::Stream { stream, torn, .. } => write_lines(stream, lines, torn),
        }
    }

    /// Where stderr cannot be written either, there is nobody to tell.
    fn complain(&self, error: &io::Error) {
        let mut stderr = io::stderr().lock();
        let _ = match self {
            Output::File(file) => write!(stderr, "pipeway: events for {}", file.path().display()),
            Output::Stream { name, .. } => write!(stderr, "pipeway: events for {name}"),
        };
        let _ = writeln!(
            stderr,
            " are being lost: {error}. They are counted, and the next line that can be written \
             says how many; make room or mend the permissions, a restart is not needed."
        );
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::File(file) => file.fmt(f),
            Output::Stream { name, .. } => f.write_str(name),
        }
    }
}

/// Lines that could not be written.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) lines: u64,
    /// Bytes that were written before the failure.
    pub(crate) written: u64,
    pub(crate) error: io::Error,
}

impl Lost {
    pub(crate) fn all(lines: &[u8], error: io::Error) -> Self {
        Lost { lines: Self::count(lines), written: 0, error }
    }

    pub(crate) fn count(lines: &[u8]) -> u64 {
        lines.iter().filter(|&&byte| byte == b'\n').count() as u64
    }
}

/// Writes whole lines. `torn` says, before and after, whether the output ends within a line; the
/// rest of such a line is never written, its end is.
pub(crate) fn write_lines(
    stream: &mut impl Write,
    lines: &[u8],
    torn: &mut bool,
) -> Result<(), Lost> {
    if *torn {
        write_all(stream, b"\n").map_err(|(_, error)| Lost::all(lines, error))?;
        *torn = false;
    }
    write_all(stream, lines).map_err(|(written, error)| {
        *torn = written > 0 && lines[written - 1] != b'\n';
        Lost { written: written as u64, ..Lost::all(&lines[written..], error) }
    })
}

/// As `Write::write_all`, but says how far it came.
fn write_all(stream: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    stream.flush().map_err(|error| (written, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_room_leaves_no_route_behind() {
        let mut batch = Batch::new();
        let target = "x".repeat(MAX_PENDING_BYTES);
        let told = Told { time: 0, repeated: 0, dropped: None };
        for number in 0..100 {
            let route = Arc::new(Route::new(&number.to_string(), crate::Hops::default()));
            let mut event = Event::new(crate::EventKind::Request, &route);
            let (method, version) = ("GET", "1.1");
            let http = crate::Http {
                method,
                target: &target,
                status: None,
                user_agent: None,
                version,
                upgrade: None,
            };
            event.http = Some(http);
            assert!(!batch.take(&event, &told));
            assert!(batch.routes.is_empty() && batch.routes_size == 0);
        }
    }

    /// Takes so many bytes, then fails.
    struct Full {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_did_not_fit_are_counted_and_the_torn_one_is_ended() {
        let mut full = Full { room: 5, taken: Vec::new() };
        let mut torn = false;
        let lost = write_lines(&mut full, b"11\n22\n33\n", &mut torn).unwrap_err();
        assert_eq!((lost.lines, lost.written, torn), (2, 5, true));
        let lost = write_lines(&mut full, b"44\n", &mut torn).unwrap_err();
        assert_eq!((lost.lines, torn), (1, true));
        full.room = 100;
        write_lines(&mut full, b"55\n", &mut torn).unwrap();
        assert_eq!((full.taken.as_slice(), torn), (&b"11\n22\n55\n"[..], false));
    }

    #[test]
    fn a_failure_between_lines_leaves_nothing_torn() {
        let mut full = Full { room: 3, taken: Vec::new() };
        let mut torn = false;
        let lost = write_lines(&mut full, b"11\n22\n", &mut torn).unwrap_err();
        assert_eq!((lost.lines, torn), (1, false));
    }
}
