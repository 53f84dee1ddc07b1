//! Who is at the other end of a pipe.

// Impersonation and the queries about a pipe's ends are system calls on raw handles.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Security::{RevertToSelf, TOKEN_QUERY};
use windows_sys::Win32::System::Pipes::{
    GetNamedPipeClientProcessId, GetNamedPipeClientSessionId, GetNamedPipeServerProcessId,
    ImpersonateNamedPipeClient,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentThread, OpenProcess, OpenThreadToken, PROCESS_QUERY_LIMITED_INFORMATION,
};

use super::descriptor::Sid;
use super::security::{process_token, read_back, token_user};

/// The client of a server's end.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) pid: Option<u32>,
    pub(super) session: Option<u32>,
    /// `None` where the client chose to stay anonymous, or the system does not tell.
    pub(super) sid: Option<Sid>,
}

impl Client {
    pub(super) fn of(pipe: BorrowedHandle<'_>) -> Client {
        let (mut pid, mut session) = (0, 0);
        // SAFETY: the handle is open as long as the borrow; `pid` is a valid place to write to.
        let known = unsafe { GetNamedPipeClientProcessId(pipe.as_raw_handle(), &raw mut pid) };
        let pid = (known != 0).then_some(pid);
        // SAFETY: as above, with `session`.
        let known = unsafe { GetNamedPipeClientSessionId(pipe.as_raw_handle(), &raw mut session) };
        let session = (known != 0).then_some(session);
        Client { pid, session, sid: client_user(pipe).ok() }
    }
}

/// The server of a client's end.
#[derive(Debug)]
pub(super) struct Server {
    /// The process that made the pipe's first instance. Fit for a message, not for a decision.
    pub(super) pid: Option<u32>,
    /// The owner of the pipe.
    pub(super) owner: Option<Sid>,
    /// The user of that process. `None` where its token may not be read, as that of a service
    /// or of an elevated program.
    pub(super) user: Option<Sid>,
}

impl Server {
    pub(super) fn of(pipe: BorrowedHandle<'_>) -> Server {
        let mut pid = 0;
        // SAFETY: the handle is open as long as the borrow; `pid` is a valid place to write to.
        let known = unsafe { GetNamedPipeServerProcessId(pipe.as_raw_handle(), &raw mut pid) };
        let pid = (known != 0).then_some(pid);
        Server {
            pid,
            owner: read_back(pipe).ok().and_then(|description| description.owner),
            user: pid.and_then(|pid| process_user(pid).ok()),
        }
    }

    /// Whether the server is `me` or the system.
    ///
    /// The owner decides: nobody without the privilege to restore files can give a pipe an
    /// owner other than themselves (or a group of theirs, which is refused here). The process's
    /// user can only speak against it, for a service's or an elevated program's can't be read.
    pub(super) fn is_trusted(&self, me: &Sid) -> bool {
        let trusted = |sid: &Sid| sid == me || sid.is_system();
        self.owner.as_ref().is_some_and(trusted) && self.user.as_ref().is_none_or(trusted)
    }
}

/// The user of the client, by impersonating it for the moment that it takes to open its token.
fn client_user(pipe: BorrowedHandle<'_>) -> io::Result<Sid> {
    let token = {
        let _impersonation = Impersonation::begin(pipe)?;
        let mut token = null_mut();
        // SAFETY: the pseudo-handle of the current thread is always valid; `token` is a valid
        // place to write to. The token is opened as this process, whatever the client may do.
        let ok = unsafe { OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, 1, &raw mut token) };
        if ok == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `token` is an open handle that nobody else owns.
        unsafe { OwnedHandle::from_raw_handle(token) }
    };
    token_user(token)
}

fn process_user(pid: u32) -> io::Result<Sid> {
    // SAFETY: a call without pointers.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    token_user(process_token(process.as_handle())?)
}

/// This thread acts as a pipe's client until this is dropped. It can't leave its thread.
struct Impersonation(PhantomData<*const ()>);

impl Impersonation {
    fn begin(pipe: BorrowedHandle<'_>) -> io::Result<Impersonation> {
        // SAFETY: the handle is open as long as the borrow. The thread's identity is given back
        // by the guard.
        if unsafe { ImpersonateNamedPipeClient(pipe.as_raw_handle()) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Impersonation(PhantomData))
    }
}

impl Drop for Impersonation {
    fn drop(&mut self) {
        // SAFETY: a call without pointers.
        if unsafe { RevertToSelf() } == 0 {
            // Going on would mean to act as the client in all that follows.
            std::process::abort();
        }
    }
}
