//! The terminal of standard input, output or error (termios(3)).

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios};

use crate::child::TerminalSize;

/// A terminal takes any bytes.
pub(crate) const TERMINAL_TAKES_TEXT: bool = false;

pub(crate) const SUSPEND_SIGNAL: Option<i32> = Some(Signal::TSTP.as_raw());

pub(crate) const CONTINUE_SIGNAL: Option<i32> = Some(Signal::CONT.as_raw());

/// A terminal's modes.
pub(crate) type Modes = Termios;

/// Makes the terminal of standard input raw; the modes that it had.
pub(crate) fn make_raw() -> io::Result<Modes> {
    let modes = rustix::termios::tcgetattr(stdin())?;
    let mut raw = modes.clone();
    raw.make_raw();
    rustix::termios::tcsetattr(stdin(), OptionalActions::Now, &raw)?;
    Ok(modes)
}

/// Sets the modes of the terminal of standard input. One that is gone needs none. It does not
/// wait for output that nobody takes.
pub(crate) fn set(modes: &Modes) {
    let _ = rustix::termios::tcsetattr(stdin(), OptionalActions::Now, modes);
}

/// Stops this process until it is continued. SIGSTOP, because SIGTSTP is handled by whoever calls
/// this.
pub(crate) fn stop_process() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?)
}

pub(crate) fn size() -> Option<TerminalSize> {
    let of = |stream: BorrowedFd<'_>| rustix::termios::tcgetwinsize(stream).ok();
    let size = of(stdout()).or_else(|| of(stdin())).or_else(|| of(stderr()))?;
    Some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
}

/// Reads standard input.
#[derive(Debug)]
pub(crate) struct Reader(());

impl Reader {
    pub(crate) fn new() -> Self {
        Reader(())
    }

    /// Waits for input; 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::io::Errno;
        loop {
            match rustix::io::read(stdin(), &mut *buffer) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                // Whoever shares it with us made it non-blocking.
                Err(Errno::AGAIN) => {
                    let _ = rustix::event::poll(
                        &mut [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)],
                        None,
                    );
                }
                // The terminal is gone (tty_ioctl(4)).
                Err(Errno::IO) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
