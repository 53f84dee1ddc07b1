//! Access rules as security descriptors: made from the presets, applied when a pipe is made,
//! read back afterwards.

// Security descriptors and tokens exist only behind raw pointers and handles.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{
    ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, ERROR_NONE_MAPPED, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, ConvertStringSidToSidW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    CheckTokenMembership, DACL_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION,
    GetKernelObjectSecurity, GetLengthSid, GetTokenInformation, LABEL_SECURITY_INFORMATION,
    LookupAccountNameW, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    SID_NAME_USE, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::core::BOOL;

use super::descriptor::{CREATE_INSTANCE, Description, Sid};
use crate::{Access, Error, ErrorKind};

/// Everyone, authenticated users, users, interactive users, anonymous: in a custom descriptor
/// each of these is more than an owner's own pipe should let in.
const BROAD: [(&str, &str); 5] = [
    ("S-1-1-0", "everyone"),
    ("S-1-5-11", "every authenticated user"),
    ("S-1-5-32-545", "every user of this system"),
    ("S-1-5-4", "every interactive user"),
    ("S-1-5-7", "anonymous users"),
];

/// A security descriptor, self-relative.
#[derive(Debug)]
pub(super) struct Descriptor {
    /// Words rather than bytes, for the alignment that the system wants.
    words: Vec<u64>,
    length: usize,
}

impl Descriptor {
    /// Reads SDDL.
    pub(super) fn from_sddl(sddl: &str) -> io::Result<Descriptor> {
        let text = wide(sddl);
        let mut made: PSECURITY_DESCRIPTOR = null_mut();
        let mut length = 0;
        // SAFETY: `text` is NUL-terminated and lives through the call; both outputs are valid
        // places to write to.
        let ok = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut made,
                &raw mut length,
            )
        };
        if ok == 0 {
            return Err(io::Error::last_os_error());
        }
        let length = length as usize;
        let mut words = vec![0u64; length.div_ceil(8)];
        // SAFETY: the system made `length` bytes at `made`, and `words` has room for them; the
        // two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(made.cast::<u8>(), words.as_mut_ptr().cast(), length)
        };
        // SAFETY: the call above gave us `made` to free, once, with LocalFree.
        unsafe { LocalFree(made) };
        Ok(Descriptor { words, length })
    }

    pub(super) fn describe(&self) -> Option<Description> {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Description::parse(&bytes[..self.length])
    }

    /// Attributes for making an object that is not inherited by child processes. They point
    /// into this descriptor.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.words.as_ptr().cast_mut().cast::<c_void>(),
            bInheritHandle: 0,
        }
    }
}

/// What an [`Access`] is here.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) descriptor: Descriptor,
    pub(super) wanted: Description,
    /// What the user should know about a custom descriptor.
    pub(super) warnings: Vec<String>,
}

/// The descriptor of `access` for a pipe of the user `me`.
pub(super) fn rules(access: &Access, me: &Sid) -> Result<Rules, Error> {
    // NETWORK and anonymous are denied by name, the system and the user have all rights, and
    // nothing of lower integrity than medium may write (a sandboxed browser, for one).
    let owner = |group: &str| {
        format!(
            "O:{me}G:{me}D:P(D;;FA;;;NU)(D;;FA;;;AN)(A;;FA;;;SY)(A;;FA;;;{me}){group}S:(ML;;NW;;;ME)"
        )
    };
    let sddl = match access {
        Access::Owner => owner(""),
        // To connect only: without FILE_CREATE_PIPE_INSTANCE, which would let a member stand
        // beside the server and take its clients.
        Access::Group(name) => owner(&format!("(A;;0x12019b;;;{})", group_sid(name)?)),
        Access::Administrators => {
            "O:SYG:SYD:P(D;;FA;;;NU)(D;;FA;;;AN)(A;;FA;;;SY)(A;;0x12019b;;;BA)S:(ML;;NW;;;HI)"
                .into()
        }
        Access::Sddl(text) => text.clone(),
    };
    let unreadable = || {
        Error::new(ErrorKind::Unsupported, format!("`{sddl}` is not a security descriptor"))
            .hint("write it in SDDL, such as sddl:D:P(A;;FA;;;SY)(A;;FA;;;S-1-5-21-...)")
    };
    let descriptor = Descriptor::from_sddl(&sddl).map_err(|error| unreadable().source(error))?;
    let wanted = descriptor.describe().ok_or_else(unreadable)?;
    // Wine takes the flag for an empty list.
    let open = sddl.to_ascii_uppercase().contains("NO_ACCESS_CONTROL");
    let Some(dacl) = wanted.dacl.as_ref().filter(|_| !open) else {
        return Err(Error::new(
            ErrorKind::Insecure,
            format!("`{sddl}` has no access list, which lets everybody in"),
        )
        .hint("add one, such as D:P(A;;FA;;;SY)"));
    };
    let mut warnings = Vec::new();
    if matches!(access, Access::Sddl(_)) {
        for (sid, mask) in dacl.iter().filter_map(|entry| entry.allows()) {
            if let Some((_, who)) = BROAD.iter().find(|(broad, _)| *broad == sid.as_str()) {
                warnings.push(format!("the access list lets in {who}"));
            }
            if mask & CREATE_INSTANCE != 0 && sid != me && !sid.is_system() {
                warnings.push(format!(
                    "the access list lets {sid} make instances of the pipe (right 0x4) and so take its clients; 0x12019b is enough to connect"
                ));
            }
        }
    }
    Ok(Rules { descriptor, wanted, warnings })
}

/// The descriptor of an open pipe: owner, access list and, where the system keeps one, the
/// integrity label.
pub(super) fn read_back(pipe: BorrowedHandle<'_>) -> io::Result<Description> {
    let information = OWNER_SECURITY_INFORMATION
        | GROUP_SECURITY_INFORMATION
        | DACL_SECURITY_INFORMATION
        | LABEL_SECURITY_INFORMATION;
    let (words, length) = filled(|buffer, size, length| {
        // SAFETY: the handle is open as long as the borrow, and `buffer` has room for `size` bytes.
        unsafe {
            GetKernelObjectSecurity(pipe.as_raw_handle(), information, buffer.cast(), size, length)
        }
    })?;
    Descriptor { words, length }.describe().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the system returned no valid descriptor")
    })
}

/// What a call of the system's fills in: it is given a buffer, its size, and a place for how long that
/// is, or would have to be. The length is in bytes.
fn filled(mut call: impl FnMut(*mut u64, u32, *mut u32) -> BOOL) -> io::Result<(Vec<u64>, usize)> {
    // A user's, or the descriptor of a pipe that lets in a few: else it takes two calls.
    let mut size = 512u32;
    loop {
        let mut words = vec![0u64; (size as usize).div_ceil(8)];
        let mut length = 0;
        if call(words.as_mut_ptr(), size, &raw mut length) != 0 {
            let is_told = (1..=size).contains(&length);
            return Ok((words, if is_told { length } else { size } as usize));
        }
        let error = io::Error::last_os_error();
        let is_short = matches!(
            error.raw_os_error().map(|code| code as u32),
            Some(ERROR_INSUFFICIENT_BUFFER | ERROR_MORE_DATA)
        );
        if !is_short || length <= size {
            return Err(error);
        }
        size = length;
    }
}

/// The user that this process runs as, which stays the same.
pub(super) fn current_user() -> io::Result<Sid> {
    static USER: OnceLock<Sid> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(user.clone());
    }
    // SAFETY: the pseudo-handle of the current process needs no closing and is always valid.
    let process = unsafe { BorrowedHandle::borrow_raw(GetCurrentProcess()) };
    let user = token_user(process_token(process)?)?;
    Ok(USER.get_or_init(|| user).clone())
}

/// The token of a process, to be queried.
pub(super) fn process_token(process: BorrowedHandle<'_>) -> io::Result<OwnedHandle> {
    let mut token = null_mut();
    // SAFETY: the handle is open as long as the borrow; `token` is a valid place to write to.
    let ok = unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &raw mut token) };
    if ok == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `token` is an open handle that nobody else owns.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// The user of a token.
pub(super) fn token_user(token: OwnedHandle) -> io::Result<Sid> {
    let (words, _) = filled(|buffer, size, length| {
        // SAFETY: the token is open, and `buffer` has room for `size` bytes.
        unsafe {
            GetTokenInformation(token.as_raw_handle(), TokenUser, buffer.cast(), size, length)
        }
    })?;
    // SAFETY: the call succeeded, so a TOKEN_USER stands at the buffer's start, which is aligned
    // for it; its SID points into the same buffer, which lives until the end of this function.
    let sid = unsafe { sid_bytes((*words.as_ptr().cast::<TOKEN_USER>()).User.Sid) };
    Sid::parse(&sid)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the token has no valid user"))
}

/// Whether this process's logon came over the network, as one of SSH with a key does.
pub(super) fn is_network_logon() -> bool {
    let text = wide("S-1-5-2");
    let mut sid = null_mut();
    // SAFETY: `text` is NUL-terminated and lives through the call; `sid` is a valid place to
    // write to.
    if unsafe { ConvertStringSidToSidW(text.as_ptr(), &raw mut sid) } == 0 {
        return false;
    }
    let mut member = 0;
    // SAFETY: no token stands for the caller's own; the call before made `sid`, and `member` is
    // a valid place to write to.
    let ok = unsafe { CheckTokenMembership(null_mut(), sid, &raw mut member) };
    // SAFETY: the call before gave us `sid` to free, once, with LocalFree.
    unsafe { LocalFree(sid) };
    ok != 0 && member != 0
}

/// The SID of a group that is given as one, or by name.
fn group_sid(name: &str) -> Result<Sid, Error> {
    if name.starts_with("S-1-") || name.starts_with("s-1-") {
        let digits = name[4..].split('-').all(|part| part.parse::<u64>().is_ok());
        if digits {
            return Ok(Sid::from_text(&name.to_ascii_uppercase()));
        }
    }
    let failed = |error: io::Error| {
        if error.raw_os_error() == Some(ERROR_NONE_MAPPED as i32) {
            Error::new(ErrorKind::NotFound, format!("there is no group `{name}`"))
                .hint("name an existing group, or its SID")
        } else {
            Error::new(ErrorKind::Io, format!("could not look up group `{name}`")).source(error)
        }
    };
    let account = wide(name);
    let (mut sid_length, mut domain_length) = (0, 0);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: `account` is NUL-terminated; buffers of no bytes are allowed, and the call then
    // tells both lengths.
    unsafe {
        LookupAccountNameW(
            null(),
            account.as_ptr(),
            null_mut(),
            &raw mut sid_length,
            null_mut(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if sid_length == 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    let mut sid = vec![0u64; (sid_length as usize).div_ceil(8)];
    let mut domain = vec![0u16; domain_length as usize];
    // SAFETY: as above, and both buffers have room for the lengths that the call told.
    let ok = unsafe {
        LookupAccountNameW(
            null(),
            account.as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if ok == 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    let bytes: Vec<u8> = sid.iter().flat_map(|word| word.to_le_bytes()).collect();
    Sid::parse(&bytes).ok_or_else(|| {
        Error::new(ErrorKind::Io, format!("the system returned no valid SID for group `{name}`"))
    })
}

/// The bytes of a SID.
///
/// # Safety
///
/// `sid` points to a valid SID.
unsafe fn sid_bytes(sid: *const c_void) -> Vec<u8> {
    // SAFETY: the caller says that the SID is valid, so it tells its own length.
    let length = unsafe { GetLengthSid(sid.cast_mut()) } as usize;
    // SAFETY: a valid SID has that many bytes.
    unsafe { std::slice::from_raw_parts(sid.cast::<u8>(), length) }.to_vec()
}

/// UTF-16 with a NUL at its end.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Sid {
        current_user().unwrap()
    }

    #[test]
    fn owner_access_denies_network_and_anonymous_and_allows_system_and_user() {
        let rules = rules(&Access::Owner, &me()).unwrap();
        let entries: Vec<String> =
            rules.wanted.dacl.unwrap().iter().map(ToString::to_string).collect();
        let user = format!("allow {} 0x1f01ff", me());
        assert_eq!(
            entries,
            ["deny S-1-5-2 0x1f01ff", "deny S-1-5-7 0x1f01ff", "allow S-1-5-18 0x1f01ff", &user]
        );
        assert_eq!(rules.wanted.owner, Some(me()));
        assert!(rules.warnings.is_empty());
    }

    #[test]
    fn a_group_may_connect_and_not_make_instances() {
        let rules = rules(&Access::Group("S-1-5-32-544".into()), &me()).unwrap();
        let dacl = rules.wanted.dacl.unwrap();
        let (sid, mask) = dacl.last().unwrap().allows().unwrap();
        assert_eq!(sid.as_str(), "S-1-5-32-544");
        assert_eq!(mask & CREATE_INSTANCE, 0);
    }

    #[test]
    fn a_group_is_found_by_name() {
        assert_eq!(group_sid("Administrators").unwrap().as_str(), "S-1-5-32-544");
    }

    #[test]
    fn an_unknown_group_is_named() {
        let error = group_sid("no such group here").unwrap_err();
        assert!(error.to_string().contains("no such group here"), "{error}");
    }

    #[test]
    fn a_descriptor_without_an_access_list_is_refused() {
        for sddl in ["O:SYG:SY", "D:NO_ACCESS_CONTROL"] {
            let error = rules(&Access::Sddl(sddl.into()), &me()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Insecure, "{sddl}: {error}");
        }
    }

    #[test]
    fn a_broad_descriptor_is_warned_of() {
        let sddl = format!("O:{0}G:{0}D:P(A;;FA;;;{0})(A;;GA;;;WD)", me());
        let warnings = rules(&Access::Sddl(sddl), &me()).unwrap().warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("everyone"), "{warnings:?}");
        assert!(warnings[1].contains("0x12019b"), "{warnings:?}");
    }

    #[test]
    fn a_text_that_is_no_descriptor_is_refused() {
        let error = rules(&Access::Sddl("hello".into()), &me()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
