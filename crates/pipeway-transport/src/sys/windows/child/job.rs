//! Jobs: what a child starts belongs to its job, and ends with it.

// Jobs are made and asked through raw handles.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};

/// A job whose processes end with the handle, also where this process is killed.
#[derive(Debug)]
pub(super) struct Job {
    handle: OwnedHandle,
}

impl Job {
    pub(super) fn new() -> io::Result<Job> {
        // SAFETY: no attributes and no name are allowed; the handle is not inherited.
        let handle = unsafe { CreateJobObjectW(null(), null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
        let job = Job { handle: unsafe { OwnedHandle::from_raw_handle(handle) } };
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        // SAFETY: the handle is open, and `limits` is what this class takes, of the length that
        // is told.
        let ok = unsafe {
            SetInformationJobObject(
                job.as_raw(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of_val(&limits) as u32,
            )
        };
        if ok == 0 { Err(io::Error::last_os_error()) } else { Ok(job) }
    }

    pub(super) fn as_raw(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }

    /// Ends every process in it with `code`.
    pub(super) fn terminate(&self, code: i32) -> bool {
        // SAFETY: the handle is open as long as `self`.
        unsafe { TerminateJobObject(self.as_raw(), code.cast_unsigned()) != 0 }
    }

    /// Whether no process of it is left. One that can't be asked counts as empty: nothing is to
    /// be waited for.
    pub(super) fn is_empty(&self) -> bool {
        let mut accounting = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the handle is open, and `accounting` is what this class fills, of the length
        // that is told.
        let ok = unsafe {
            QueryInformationJobObject(
                self.as_raw(),
                JobObjectBasicAccountingInformation,
                (&raw mut accounting).cast(),
                size_of_val(&accounting) as u32,
                null_mut(),
            )
        };
        ok == 0 || accounting.ActiveProcesses == 0
    }
}
