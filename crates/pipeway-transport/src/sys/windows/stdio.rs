//! Standard input and output. They may be pipes that can only be waited for in a system call, so
//! a thread waits for each.

// The standard handles are taken from the process by number.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::windows::io::{AsHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle,
};

use crate::stdio::thread::{ThreadReader, ThreadWriter, read_by, write_by};
use crate::text::Text;

/// Standard input.
pub(crate) type Input = ThreadReader;

/// Standard output.
pub(crate) type Output = ThreadWriter;

/// Takes both from the process, but for a console.
pub(crate) fn take() -> io::Result<(Input, Output)> {
    // Copied before either is closed: they may be one handle.
    let input = if io::stdin().is_terminal() { None } else { Some(copy(io::stdin())?) };
    let output = if io::stdout().is_terminal() { None } else { Some(copy(io::stdout())?) };
    if input.is_some() {
        close(STD_INPUT_HANDLE, [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE])?;
    }
    if output.is_some() {
        close(STD_OUTPUT_HANDLE, [STD_INPUT_HANDLE, STD_ERROR_HANDLE])?;
    }
    let input = match input {
        // It makes UTF-8 of the keys, and an end of Ctrl-Z.
        None => read_by(|buffer| io::stdin().read(buffer)),
        Some(None) => read_by(|_| Ok(0)),
        Some(Some(mut file)) => read_by(move |buffer| match file.read(buffer) {
            // Whoever wrote to the pipe is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }),
    };
    let output = match output {
        None => {
            let mut text = Text::default();
            write_by(move |data| {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.take(data).as_bytes())?;
                stdout.flush()
            })
        }
        Some(None) => write_by(|_| Err(io::ErrorKind::BrokenPipe.into())),
        Some(Some(mut file)) => write_by(move |data| file.write_all(data)),
    };
    Ok((input?, output?))
}

/// A handle of our own to the same stream, not inherited by children; `None` where the process
/// has no such stream.
fn copy(stream: impl AsHandle + Standard) -> io::Result<Option<File>> {
    let handle = standard(stream.which());
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Ok(None);
    }
    Ok(Some(stream.as_handle().try_clone_to_owned()?.into()))
}

/// A stream that the system knows by a number.
trait Standard {
    fn which(&self) -> STD_HANDLE;
}

impl Standard for io::Stdin {
    fn which(&self) -> STD_HANDLE {
        STD_INPUT_HANDLE
    }
}

impl Standard for io::Stdout {
    fn which(&self) -> STD_HANDLE {
        STD_OUTPUT_HANDLE
    }
}

fn standard(which: STD_HANDLE) -> HANDLE {
    // SAFETY: a plain number is passed; what comes back is borrowed from the process.
    unsafe { GetStdHandle(which) }
}

/// Leaves the process without this stream. Its handle is closed, unless another stream uses it:
/// then its reader sees the end only with the process.
fn close(which: STD_HANDLE, others: [STD_HANDLE; 2]) -> io::Result<()> {
    let handle = standard(which);
    // SAFETY: plain values are passed; from here on nobody finds the handle by this number.
    if unsafe { SetStdHandle(which, null_mut()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let is_real = !handle.is_null() && handle != INVALID_HANDLE_VALUE;
    if is_real && !others.into_iter().any(|other| standard(other) == handle) {
        // SAFETY: an open handle that the process owns, as it was one of its standard streams;
        // it is none any more, so nothing else uses or closes it.
        drop(unsafe { OwnedHandle::from_raw_handle(handle) });
    }
    Ok(())
}
