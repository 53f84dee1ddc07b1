//! The terminal that the user sits at: raw mode, its size, reading and writing it.
//!
//! The terminal belongs to the whole process, so these are functions and guards over one thing.
//! Whatever happens, it must be given back as it was: [`RawMode`] does so when it is dropped, and
//! [`restore`] does the same from a panic hook or another way out.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::child::TerminalSize;
use crate::sys::console as sys;
use crate::text::Text;

/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// How the terminal was before it was made raw.
static BEFORE: Mutex<Option<sys::Modes>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<sys::Modes>> {
    // A poisoned lock holds what is to be restored all the same.
    BEFORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The terminal of standard input in raw mode: every key comes as it is typed, Ctrl-C too, nothing
/// is echoed, and output is taken as it is. Dropping it restores the terminal.
///
/// On Windows keys come as the sequences of a VT terminal, and such sequences are understood in
/// the output.
#[derive(Debug)]
#[must_use = "dropping it restores the terminal"]
pub struct RawMode(());

impl RawMode {
    /// Makes the terminal raw.
    ///
    /// # Errors
    ///
    /// Where standard input is no terminal, is raw by this already, or its modes can't be set.
    pub fn enter() -> io::Result<RawMode> {
        let mut before = before();
        if before.is_some() {
            return Err(io::Error::other("the terminal is in raw mode already"));
        }
        *before = Some(sys::make_raw()?);
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal if it is raw by [`RawMode`]; else does nothing. May be called from
/// anywhere, a panic hook included.
pub fn restore() {
    if let Some(modes) = before().take() {
        sys::set(&modes);
    }
}

/// Stops this process as Ctrl-Z does, with the terminal restored, and makes it raw again (if it
/// was) when the process is continued, which is when this returns.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) where processes can't be stopped (Windows), and
/// where the terminal can't be made raw again.
pub fn suspend() -> io::Result<()> {
    let mut before = before();
    match &*before {
        None => sys::stop_process(),
        Some(modes) => {
            sys::set(modes);
            let stopped = sys::stop_process();
            // Whoever continued the process may have changed the modes meanwhile: these are what
            // is to be restored now.
            *before = Some(sys::make_raw()?);
            stopped
        }
    }
}

/// Makes the terminal raw once more, if it is to be, after somebody else may have changed it while
/// this process was stopped. A terminal that is gone is left alone.
pub fn renew() {
    if before().is_some() {
        let _ = sys::make_raw();
    }
}

/// The number of the signal that asks a process to stop for a while (SIGTSTP), where there is
/// one.
pub const fn suspend_signal() -> Option<i32> {
    sys::SUSPEND_SIGNAL
}

/// The number of the signal that a process gets when it is continued (SIGCONT), where there is
/// one.
pub const fn continue_signal() -> Option<i32> {
    sys::CONTINUE_SIGNAL
}

/// The size of the terminal that is standard output, input or error, the first of them that is
/// one; `None` if none is, or if it does not know its size.
pub fn size() -> Option<TerminalSize> {
    sys::size().filter(|size| size.columns > 0 && size.rows > 0)
}

/// Standard input, read by a thread that keeps no process alive: a read that nobody answers ends
/// with the process.
#[derive(Debug)]
pub struct Input {
    piece_rx: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Input {
    /// Begins to read. There is one standard input: a second `Input` takes its share of what is
    /// typed.
    pub fn open() -> Input {
        let (piece_tx, piece_rx) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut reader = sys::Reader::new();
            let mut buffer = vec![0; PIECE];
            loop {
                let piece = reader.read(&mut buffer).map(|count| buffer[..count].to_vec());
                let is_last = !matches!(&piece, Ok(data) if !data.is_empty());
                if piece_tx.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Input { piece_rx }
    }

    /// What was typed, as soon as it was; empty at the end, and ever after. Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.piece_rx.recv().await.unwrap_or_else(|| Ok(Vec::new()))
    }
}

/// Standard output or standard error, for bytes that another system made.
///
/// A Windows console takes text only: there, what is not UTF-8 is shown as U+FFFD. Everything
/// else gets the bytes as they are.
#[derive(Debug)]
pub struct Output {
    to: To,
    text: Option<Text>,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Stdout,
    Stderr,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Output {
        Output { to: To::Stdout, text: text_for(&io::stdout()) }
    }

    /// Standard error.
    pub fn stderr() -> Output {
        Output { to: To::Stderr, text: text_for(&io::stderr()) }
    }

    /// Writes all of `data` and flushes, without keeping the runtime from other work. Must be
    /// called inside a tokio runtime. Not cancel safe: how much was written by a dropped future
    /// is not known.
    ///
    /// # Errors
    ///
    /// The system's: [`BrokenPipe`](io::ErrorKind::BrokenPipe) where nobody reads any more.
    pub async fn write(&mut self, data: Vec<u8>) -> io::Result<()> {
        let data = match &mut self.text {
            Some(text) => text.take(&data).into_bytes(),
            None => data,
        };
        let to = self.to;
        let written = tokio::task::spawn_blocking(move || match to {
            To::Stdout => write_all(io::stdout().lock(), &data),
            To::Stderr => write_all(io::stderr().lock(), &data),
        });
        written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn write_all(mut to: impl Write, data: &[u8]) -> io::Result<()> {
    to.write_all(data)?;
    to.flush()
}

fn text_for(stream: &impl io::IsTerminal) -> Option<Text> {
    (sys::TERMINAL_TAKES_TEXT && stream.is_terminal()).then(Text::default)
}
