//! Pipes between us and a child: our end is asynchronous, the child's is as any program expects.
//!
//! Anonymous pipes can't be asynchronous, so these are named ones that only this user may open,
//! whose single client is opened at once.

// The child's end is opened through a raw pointer to its name.
#![allow(unsafe_code)]

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{CreateFileW, FILE_ATTRIBUTE_NORMAL, OPEN_EXISTING};

use super::super::pipe::{Instance, Pipe};
use super::super::security::{Descriptor, current_user, wide};
use crate::{HalfClose, PipeName};

/// A pipe that we write to, and the child's end of it.
pub(super) fn to_child() -> io::Result<(Pipe, OwnedHandle)> {
    pair(GENERIC_READ)
}

/// A pipe that we read from, and the child's end of it.
pub(super) fn from_child() -> io::Result<(Pipe, OwnedHandle)> {
    pair(GENERIC_WRITE)
}

/// `access` is what the child may do. Its end is not inheritable yet.
fn pair(access: u32) -> io::Result<(Pipe, OwnedHandle)> {
    // The rules of a listener would do, but for a network logon (SSH with a key), which they deny
    // on purpose and which may have children all the same; remote clients are refused anyhow.
    let descriptor = Descriptor::from_sddl(&format!("D:P(A;;FA;;;{})", current_user()?))?;
    let name = unique();
    let mut instance = Instance::create(&name, true, &descriptor, HalfClose::Auto, None)?;
    let path = wide(&name.path());
    // SAFETY: `path` is NUL-terminated and lives through the call; no attributes make a handle
    // that is not inherited.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            access,
            0,
            null(),
            OPEN_EXISTING,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
    let childs = unsafe { OwnedHandle::from_raw_handle(handle) };
    // Its client is there, so there is nothing to wait for.
    match instance.poll_connect(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(connected) => connected?,
        Poll::Pending => return Err(io::Error::other("the pipe to the child did not connect")),
    }
    Ok((instance.into_pipe(), childs))
}

/// A name that nobody has taken and nobody could have foreseen.
fn unique() -> PipeName {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = std::hash::RandomState::new().build_hasher().finish();
    let name = format!("pipeway-child-{}-{count}-{random:016x}", std::process::id());
    name.parse().expect("letters, digits and dashes are a pipe's name")
}
