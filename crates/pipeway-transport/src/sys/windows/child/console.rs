//! Pseudo-consoles (ConPTY), looked up at run time: Windows has them since version 1809 of 10.

// The functions are called through pointers that the system gives by name.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::{Mutex, OnceLock, PoisonError};

use windows_sys::Win32::Foundation::{FARPROC, HANDLE, S_OK};
use windows_sys::Win32::System::Console::{COORD, HPCON};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::core::HRESULT;

use super::super::security::wide;
use crate::child::TerminalSize;

type Create = unsafe extern "system" fn(COORD, HANDLE, HANDLE, u32, *mut HPCON) -> HRESULT;
type Resize = unsafe extern "system" fn(HPCON, COORD) -> HRESULT;
type Close = unsafe extern "system" fn(HPCON);

/// The system's functions.
#[derive(Clone, Copy, Debug)]
struct Functions {
    create: Create,
    resize: Resize,
    close: Close,
}

impl Functions {
    fn find() -> Option<Functions> {
        static FOUND: OnceLock<Option<Functions>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let [create, resize, close] =
                [c"CreatePseudoConsole", c"ResizePseudoConsole", c"ClosePseudoConsole"]
                    .map(in_kernel32);
            let (create, resize, close) = (create?, resize?, close?);
            // SAFETY: these are the documented types of the functions of these names, and a
            // pointer to a function is as good as one of another type until it is called.
            unsafe {
                Some(Functions {
                    create: std::mem::transmute::<unsafe extern "system" fn() -> isize, Create>(
                        create,
                    ),
                    resize: std::mem::transmute::<unsafe extern "system" fn() -> isize, Resize>(
                        resize,
                    ),
                    close: std::mem::transmute::<unsafe extern "system" fn() -> isize, Close>(
                        close,
                    ),
                })
            }
        })
    }
}

fn in_kernel32(name: &std::ffi::CStr) -> FARPROC {
    let library = wide("kernel32.dll");
    // SAFETY: both names are NUL-terminated and live through the calls; the library is loaded in
    // every process and never unloaded.
    unsafe { GetProcAddress(GetModuleHandleW(library.as_ptr()), name.as_ptr().cast()) }
}

/// A pseudo-console, closed when dropped at the latest.
#[derive(Debug)]
pub(super) struct Console {
    functions: Functions,
    /// None once it is closed or being closed.
    open: Mutex<Option<HPCON>>,
}

impl Console {
    /// A console that reads typed bytes from `input` and draws to `output`. Its end of the pipes
    /// is its own from here on.
    pub(super) fn new(
        size: TerminalSize,
        input: OwnedHandle,
        output: OwnedHandle,
    ) -> io::Result<Console> {
        let functions = Functions::find().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no pseudo-consoles (Windows has them since version 1809 of 10)",
            )
        })?;
        let mut console = 0;
        // SAFETY: both handles are open through the call, which makes copies of them; `console`
        // is a valid place to write to.
        let result = unsafe {
            (functions.create)(
                coordinates(size),
                input.as_raw_handle(),
                output.as_raw_handle(),
                0,
                &raw mut console,
            )
        };
        if result != S_OK {
            return Err(io::Error::from_raw_os_error(result));
        }
        Ok(Console { functions, open: Mutex::new(Some(console)) })
    }

    /// Calls `start` with the handle, which stays open meanwhile.
    pub(super) fn with<T>(&self, start: impl FnOnce(HPCON) -> io::Result<T>) -> io::Result<T> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        start(open.ok_or_else(ended)?)
    }

    pub(super) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.with(|console| {
            // SAFETY: the console is open: whoever closes it takes it out of the lock that we hold.
            match unsafe { (self.functions.resize)(console, coordinates(size)) } {
                S_OK => Ok(()),
                result => Err(io::Error::from_raw_os_error(result)),
            }
        })
    }

    /// Closes it, once: its programs are told, and reading comes to its end. Returns at once.
    pub(super) fn close(&self) {
        let taken = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(console) = taken else { return };
        let close = self.functions.close;
        // SAFETY: it was taken out of `open`, so nobody else has it or will have it.
        let close = move || unsafe { close(console) };
        // Before version 24H2 of Windows 11 this waits until what is left of the output was read,
        // which whoever is calling us may be about to do.
        let thread = std::thread::Builder::new().name("console-close".into());
        if thread.spawn(close).is_err() {
            // Without threads there is nothing better.
            close();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.close();
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the terminal has ended")
}

/// The console counts in signed numbers and takes no zero.
fn coordinates(size: TerminalSize) -> COORD {
    let coordinate = |count: u16| i16::try_from(count.max(1)).unwrap_or(i16::MAX);
    COORD { X: coordinate(size.columns), Y: coordinate(size.rows) }
}
