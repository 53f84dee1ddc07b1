//! Starting a process in its job, and the wait for its end without a thread of its own.

// Processes are started, and waits registered, through raw pointers and handles.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use windows_sys::Win32::Foundation::{
    HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, STATUS_CONTROL_C_EXIT, SetHandleInformation,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DeleteProcThreadAttributeList,
    EXTENDED_STARTUPINFO_PRESENT, GetExitCodeProcess, INFINITE, InitializeProcThreadAttributeList,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST,
    PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, PROCESS_INFORMATION, RegisterWaitForSingleObject,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, UnregisterWaitEx, UpdateProcThreadAttribute,
    WT_EXECUTEONLYONCE,
};

use super::command::Command;
use super::console::Console;
use super::job::Job;
use crate::child::Signal;

/// The exit code of a program that a typed Ctrl-C ended (STATUS_CONTROL_C_EXIT).
const CONTROL_C: u32 = STATUS_CONTROL_C_EXIT.cast_unsigned();

/// A started process.
#[derive(Debug)]
pub(super) struct Process {
    // Dropped first: the wait uses the process's handle.
    end: End,
    handle: OwnedHandle,
    pid: u32,
}

/// Starts `command` with `streams` as its standard input, output and error: these three are
/// inherited, and nothing else.
pub(super) fn start_piped(
    command: &Command,
    job: &Job,
    streams: [OwnedHandle; 3],
) -> io::Result<Process> {
    let handles = streams.each_ref().map(AsRawHandle::as_raw_handle);
    let jobs = [job.as_raw()];
    let mut attributes = Attributes::with_room(2)?;
    attributes.add_list(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
    attributes.add_list(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &handles)?;
    for handle in handles {
        // What another part of this process starts meanwhile without such a list inherits it, too:
        // the system has no way to forbid that, so the time is kept short.
        // SAFETY: `streams` keeps the handle open.
        if unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) } == 0 {
            return Err(io::Error::last_os_error());
        }
    }
    start(command, &mut attributes, handles, true, None)
}

/// Starts `command` in `console`; it inherits no handle.
pub(super) fn start_in_console(
    command: &Command,
    job: &Job,
    console: &Arc<Console>,
) -> io::Result<Process> {
    let jobs = [job.as_raw()];
    console.with(|handle| {
        let mut attributes = Attributes::with_room(2)?;
        attributes.add_list(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
        // SAFETY: this attribute's value is the handle itself, of its size; `with` keeps the
        // console open as long as `attributes` lives.
        unsafe {
            attributes.add(
                PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE,
                handle as *const c_void,
                size_of_val(&handle),
            )
        }?;
        // No standard handles, said aloud: else ours would be passed on where they are pipes.
        start(command, &mut attributes, [null_mut(); 3], false, Some(console.clone()))
    })
}

fn start(
    command: &Command,
    attributes: &mut Attributes<'_>,
    [stdin, stdout, stderr]: [RawHandle; 3],
    inherit: bool,
    console: Option<Arc<Console>>,
) -> io::Result<Process> {
    let mut startup = STARTUPINFOEXW::default();
    startup.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = stdin;
    startup.StartupInfo.hStdOutput = stdout;
    startup.StartupInfo.hStdError = stderr;
    startup.lpAttributeList = attributes.as_mut_ptr();
    let window = if console.is_none() { CREATE_NO_WINDOW } else { 0 };
    let mut line = command.line.clone();
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: every text is NUL-terminated and the environment ends with two; `line` is ours to be
    // changed; `startup` is the extended form, as its size and the flag say, and its attributes
    // are initialised and live through the call, as do the handles in them; `made` is a valid
    // place to write to.
    let ok = unsafe {
        CreateProcessW(
            command.program.as_ptr(),
            line.as_mut_ptr(),
            null(),
            null(),
            inherit.into(),
            CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT | window,
            command.environment.as_ptr().cast(),
            command.folder.as_ref().map_or(null(), |folder| folder.as_ptr()),
            (&raw const startup).cast(),
            &raw mut made,
        )
    };
    if ok == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so both are open handles that nobody else owns.
    let (handle, _thread) = unsafe {
        (OwnedHandle::from_raw_handle(made.hProcess), OwnedHandle::from_raw_handle(made.hThread))
    };
    let end = End::of(&handle, console)?;
    Ok(Process { end, handle, pid: made.dwProcessId })
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The exit code, once it has ended. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        // It is sent or, in a program that shuts down, lost: the code tells either way.
        let _ = (&mut self.end.seen_rx).await;
        let mut code = 0;
        // SAFETY: the handle is open as long as `self`; `code` is a valid place to write to.
        if unsafe { GetExitCodeProcess(self.handle.as_raw_handle(), &raw mut code) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(if code == CONTROL_C { Signal::Interrupt.exit_code() } else { code.cast_signed() })
    }
}

/// A wait of the system's thread pool for a process's end.
#[derive(Debug)]
struct End {
    wait: HANDLE,
    /// What the wait calls back with; freed after the wait.
    notice: *mut Notice,
    /// Told once, by the notice.
    seen_rx: oneshot::Receiver<()>,
}

// SAFETY: a handle of a wait may be used from any thread; the notice is touched by the system's
// callback alone until the wait is over, and what is in it may be sent and shared.
unsafe impl Send for End {}
// SAFETY: as above; nothing reaches the notice through a shared `End`.
unsafe impl Sync for End {}

/// What is done at a process's end.
struct Notice {
    seen_tx: Mutex<Option<oneshot::Sender<()>>>,
    console: Option<Arc<Console>>,
}

impl End {
    fn of(process: &OwnedHandle, console: Option<Arc<Console>>) -> io::Result<End> {
        let (seen_tx, seen_rx) = oneshot::channel();
        let notice =
            Box::into_raw(Box::new(Notice { seen_tx: Mutex::new(Some(seen_tx)), console }));
        let mut end = End { wait: null_mut(), notice, seen_rx };
        // SAFETY: the process is open, and its owner drops this first; `notice` lives until the
        // wait is unregistered, as `drop` has it; `end.wait` is a valid place to write to.
        let ok = unsafe {
            RegisterWaitForSingleObject(
                &raw mut end.wait,
                process.as_raw_handle(),
                Some(ended),
                notice.cast_const().cast(),
                INFINITE,
                WT_EXECUTEONLYONCE,
            )
        };
        if ok == 0 { Err(io::Error::last_os_error()) } else { Ok(end) }
    }
}

/// Called once, in a thread of the system's pool.
unsafe extern "system" fn ended(notice: *mut c_void, _timed_out: bool) {
    // SAFETY: `notice` is the pointer that was registered, which lives until the wait is
    // unregistered, and that waits for this function.
    let notice = unsafe { &*notice.cast::<Notice>() };
    let seen_tx = notice.seen_tx.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(console) = &notice.console {
        // Nothing else would end the reading of its output.
        console.close();
    }
    if let Some(seen_tx) = seen_tx {
        // Whoever waited may be gone.
        let _ = seen_tx.send(());
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.wait.is_null() {
            // SAFETY: the wait is registered and is unregistered here only. INVALID_HANDLE_VALUE
            // means that the call returns when `ended` is not running and will not be called,
            // which takes a moment only: it waits for nothing.
            unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) };
        }
        // SAFETY: made by `Box::into_raw` and freed here only; no wait is left that has it.
        drop(unsafe { Box::from_raw(self.notice) });
    }
}

/// The list of attributes of a process to be started, whose values live as long as `'a`.
struct Attributes<'a> {
    /// Words rather than bytes, for the alignment that the system wants.
    words: Vec<usize>,
    values: std::marker::PhantomData<&'a [HANDLE]>,
}

impl<'a> Attributes<'a> {
    fn with_room(count: u32) -> io::Result<Self> {
        let mut length = 0;
        // SAFETY: without a list the call tells the length of one.
        unsafe { InitializeProcThreadAttributeList(null_mut(), count, 0, &raw mut length) };
        let mut words = vec![0usize; length.div_ceil(size_of::<usize>())];
        // SAFETY: `words` has room for `length` bytes.
        let ok = unsafe {
            InitializeProcThreadAttributeList(words.as_mut_ptr().cast(), count, 0, &raw mut length)
        };
        if ok == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Attributes { words, values: std::marker::PhantomData })
    }

    /// An attribute whose value is a list of handles.
    fn add_list(&mut self, attribute: u32, handles: &'a [HANDLE]) -> io::Result<()> {
        // SAFETY: the list lives as long as this, and its size is told.
        unsafe { self.add(attribute, handles.as_ptr().cast(), size_of_val(handles)) }
    }

    /// # Safety
    ///
    /// `value` must be what `attribute` takes, of `size` bytes, and live as long as this.
    unsafe fn add(&mut self, attribute: u32, value: *const c_void, size: usize) -> io::Result<()> {
        // SAFETY: the list is initialised with room for this attribute; the value is the caller's
        // promise.
        let ok = unsafe {
            UpdateProcThreadAttribute(
                self.as_mut_ptr(),
                0,
                attribute as usize,
                value,
                size,
                null_mut(),
                null(),
            )
        };
        if ok == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn as_mut_ptr(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: the list is initialised, and this is its last use.
        unsafe { DeleteProcThreadAttributeList(self.as_mut_ptr()) };
    }
}
