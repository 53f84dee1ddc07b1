//! The console of standard input and output.
//!
//! `unsafe` is here for the calls of the console's interface, which the standard library lacks.
#![allow(unsafe_code)]

use std::io::{self, IsTerminal, Read};
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::{
    CONSOLE_MODE, CONSOLE_SCREEN_BUFFER_INFO, DISABLE_NEWLINE_AUTO_RETURN, ENABLE_ECHO_INPUT,
    ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT, ENABLE_PROCESSED_OUTPUT,
    ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode,
    GetConsoleScreenBufferInfo, GetStdHandle, ReadConsoleW, STD_ERROR_HANDLE, STD_HANDLE,
    STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetConsoleMode,
};

use crate::child::TerminalSize;

/// The standard library writes UTF-16 to a console, and refuses what is not UTF-8.
pub(crate) const TERMINAL_TAKES_TEXT: bool = true;

pub(crate) const SUSPEND_SIGNAL: Option<i32> = None;

pub(crate) const CONTINUE_SIGNAL: Option<i32> = None;

/// The modes of a console's input, and of its output if that is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes {
    input: CONSOLE_MODE,
    output: Option<CONSOLE_MODE>,
}

fn standard(which: STD_HANDLE) -> io::Result<HANDLE> {
    // SAFETY: a plain number is passed; what comes back is borrowed from the process and not
    // closed here.
    let handle = unsafe { GetStdHandle(which) };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    if handle.is_null() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process has no such stream"));
    }
    Ok(handle)
}

fn mode(which: STD_HANDLE) -> io::Result<CONSOLE_MODE> {
    let handle = standard(which)?;
    let mut mode = 0;
    // SAFETY: `mode` outlives the call, and a handle that is no console is answered with an error.
    if unsafe { GetConsoleMode(handle, &mut mode) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(mode)
}

fn set_mode(which: STD_HANDLE, mode: CONSOLE_MODE) -> io::Result<()> {
    let handle = standard(which)?;
    // SAFETY: plain values are passed, and a handle that is no console is answered with an error.
    if unsafe { SetConsoleMode(handle, mode) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the console raw; the modes that it had.
pub(crate) fn make_raw() -> io::Result<Modes> {
    let modes = Modes { input: mode(STD_INPUT_HANDLE)?, output: mode(STD_OUTPUT_HANDLE).ok() };
    let cooked = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;
    let raw = modes.input & !cooked | ENABLE_VIRTUAL_TERMINAL_INPUT;
    set_mode(STD_INPUT_HANDLE, raw)?;
    if let Some(output) = modes.output {
        let vt = output | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
        let set = set_mode(STD_OUTPUT_HANDLE, vt | DISABLE_NEWLINE_AUTO_RETURN)
            .or_else(|_| set_mode(STD_OUTPUT_HANDLE, vt));
        if let Err(error) = set {
            self::set(&modes);
            return Err(error);
        }
    }
    Ok(modes)
}

/// Sets the console's modes. One that is gone needs none.
pub(crate) fn set(modes: &Modes) {
    let _ = set_mode(STD_INPUT_HANDLE, modes.input);
    if let Some(output) = modes.output {
        let _ = set_mode(STD_OUTPUT_HANDLE, output);
    }
}

pub(crate) fn stop_process() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Windows does not suspend a console's process"))
}

pub(crate) fn size() -> Option<TerminalSize> {
    let of = |which| {
        let handle = standard(which).ok()?;
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut info: CONSOLE_SCREEN_BUFFER_INFO = unsafe { std::mem::zeroed() };
        // SAFETY: `info` outlives the call, and a handle that is no console's output is answered
        // with an error.
        let told = unsafe { GetConsoleScreenBufferInfo(handle, &mut info) } != 0;
        let window = info.srWindow;
        let length = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok();
        told.then_some(())?;
        Some(TerminalSize {
            columns: length(window.Left, window.Right)?,
            rows: length(window.Top, window.Bottom)?,
        })
    };
    of(STD_OUTPUT_HANDLE).or_else(|| of(STD_ERROR_HANDLE))
}

/// Reads standard input: a console's keys as UTF-8, anything else as it is. The standard library
/// takes a typed Ctrl-Z for the end, which is a key like any other here.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The first half of a character that needs two.
    half: Option<u16>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Reader { half: None }
    }

    /// Waits for input; 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return match stdin.lock().read(buffer) {
                // Whoever wrote to the pipe is gone.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
                read => read,
            };
        }
        loop {
            let keys = self.read_console(buffer.len() / 4 - 1)?;
            if keys.is_empty() {
                return Ok(0);
            }
            let text = self.text(&keys);
            if !text.is_empty() {
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                return Ok(text.len());
            }
        }
    }

    /// At most `most` units of UTF-16.
    fn read_console(&self, most: usize) -> io::Result<Vec<u16>> {
        let handle = standard(STD_INPUT_HANDLE)?;
        let mut units = vec![0_u16; most];
        let room = u32::try_from(most).unwrap_or(u32::MAX);
        let mut count = 0;
        // SAFETY: the buffer has room for as many units as are asked for, it and `count` outlive
        // the call, which waits until it is done, and no control structure is given.
        let read = unsafe {
            ReadConsoleW(handle, units.as_mut_ptr().cast(), room, &mut count, ptr::null())
        };
        if read == 0 {
            return Err(io::Error::last_os_error());
        }
        units.truncate(count as usize);
        Ok(units)
    }

    /// A unit is at most three bytes of UTF-8, a pair four; with a half from before there is one
    /// unit more than was read.
    fn text(&mut self, units: &[u16]) -> String {
        let mut all: Vec<u16> = self.half.take().into_iter().collect();
        all.extend_from_slice(units);
        if all.last().is_some_and(|unit| (0xD800..0xDC00).contains(unit)) {
            self.half = all.pop();
        }
        String::from_utf16_lossy(&all)
    }
}
