//! What an `exec` asks for, checked.

use crate::protocol::{ErrorCode, Exec, StdinMode, decode};

/// A program to run, of whose form nothing is wrong.
pub(crate) struct Request {
    pub(crate) seq: u64,
    /// A secret of the client's.
    pub(crate) token_hex: String,
    pub(crate) stdin_mode: StdinMode,
    pub(crate) program: Vec<u8>,
}

/// Why a program is not run.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Fault { code, message: message.into() }
    }
}

/// Checks an `exec` that follows on the one numbered `last`.
///
/// # Errors
///
/// [`Fault`], which never has the token or the program in it.
pub(crate) fn check(exec: Exec, last: u64) -> Result<Request, Fault> {
    let bad = |what: &str| Fault::new(ErrorCode::BadRequest, what);
    if last.checked_add(1) != Some(exec.seq) {
        return Err(Fault::new(
            ErrorCode::ProtocolViolation,
            format!("seq must be {}; it is {}", last.saturating_add(1), exec.seq),
        ));
    }
    if exec.token_hex.len() != 32 || !is_hex(&exec.token_hex) {
        return Err(bad("token_hex must be 32 hexadecimal digits"));
    }
    if !is_uuid(&exec.cmd_id) {
        return Err(bad("cmd_id must be a UUID: 32 hexadecimal digits in groups of 8-4-4-4-12"));
    }
    let program = decode(&exec.program_b64)
        .map_err(|error| bad(&format!("program_b64 is no base64: {error}")))?;
    if let Err(error) = std::str::from_utf8(&program) {
        return Err(Fault::new(
            ErrorCode::ProgramInvalidUtf8,
            format!("the program is not UTF-8 at byte {}", error.valid_up_to()),
        ));
    }
    if let Some(at) = program.iter().position(|byte| *byte == 0) {
        return Err(Fault::new(
            ErrorCode::ProgramContainsNul,
            format!("the program has a NUL at byte {at}, which no shell can read"),
        ));
    }
    Ok(Request { seq: exec.seq, token_hex: exec.token_hex, stdin_mode: exec.stdin_mode, program })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| is_hex(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec() -> Exec {
        Exec {
            seq: 1,
            token_hex: "0".repeat(32),
            cmd_id: "0190a0b0-0000-7000-8000-00000000000f".into(),
            stdin_mode: StdinMode::Eof,
            program_b64: "Og==".into(),
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Exec)) -> ErrorCode {
        let mut exec = exec();
        change(&mut exec);
        check(exec, 0).err().expect("a fault").code
    }

    #[test]
    fn each_fault_has_its_code() {
        assert_eq!(check(exec(), 0).map(|request| request.program).expect("a program"), b":");
        assert_eq!(refused(|exec| exec.seq = 0), ErrorCode::ProtocolViolation);
        assert_eq!(refused(|exec| exec.seq = 2), ErrorCode::ProtocolViolation);
        assert_eq!(refused(|exec| exec.token_hex.truncate(31)), ErrorCode::BadRequest);
        assert_eq!(refused(|exec| exec.token_hex = "g".repeat(32)), ErrorCode::BadRequest);
        assert_eq!(refused(|exec| exec.cmd_id = "1-2-3-4-5".into()), ErrorCode::BadRequest);
        assert_eq!(refused(|exec| exec.program_b64 = "!".into()), ErrorCode::BadRequest);
        assert_eq!(refused(|exec| exec.program_b64 = "//8=".into()), ErrorCode::ProgramInvalidUtf8);
        assert_eq!(refused(|exec| exec.program_b64 = "YQBi".into()), ErrorCode::ProgramContainsNul);
    }

    #[test]
    fn a_number_after_the_last_one_is_refused() {
        assert_eq!(
            check(exec(), u64::MAX).err().expect("a fault").code,
            ErrorCode::ProtocolViolation
        );
    }
}
