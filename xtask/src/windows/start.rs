//! Starts one Windows program under Wine, again where Wine could not.
//!
//! Wine 8 fails to start a program once in a few thousand times: it ends with a code and without a
//! word. A test program always says something, so silence and a code mean that nothing ran.
//!
//! And on a busy machine Wine's server takes the code of a program that has ended: it kills a process
//! that is still there half a second after its last thread. What a test program said last tells then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::process::{Command, ExitStatus};

/// How often a start is tried.
const ATTEMPTS: u32 = 3;

/// Runs `program`, passes its output on, and ends this process with its code.
///
/// # Errors
///
/// Wine is not there, or this program can't keep the output in files.
pub fn run(program: &[String]) -> Result<(), String> {
    let folder = std::env::temp_dir();
    let name = |kind: &str| folder.join(format!("pipeway-wine-{}.{kind}", std::process::id()));
    let (out, err) = (name("out"), name("err"));
    let mut ended = Err(io::Error::other("it was not tried"));
    for attempt in 1..=ATTEMPTS {
        ended = attempt_once(program, &out, &err);
        let Ok((status, said)) = &ended else { break };
        if status.success() || !said.is_silent() {
            break;
        }
        eprintln!("wine did not start {:?} ({status}), attempt {attempt}", program.first());
    }
    // What is left of them lies in the system's temporary folder, and is in nobody's way.
    let _ = (fs::remove_file(&out), fs::remove_file(&err));
    let (status, said) = ended.map_err(|error| format!("windows: could not run wine: {error}"))?;
    let passed = io::stdout().write_all(&said.out).and_then(|()| io::stderr().write_all(&said.err));
    passed.map_err(|error| format!("windows: could not pass on the output: {error}"))?;
    // No code: a signal ended it.
    let code = status.code().unwrap_or(i32::from(!(is_killed(status) && said.all_passed())));
    std::process::exit(code)
}

/// Whether it was killed, as Wine's server does it, and did not break down by itself.
#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}

/// There is no Wine on Windows.
#[cfg(not(unix))]
fn is_killed(_: ExitStatus) -> bool {
    false
}

/// What a program said.
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    fn is_silent(&self) -> bool {
        self.out.is_empty() && self.err.is_empty()
    }

    /// Whether a test program's last words are that its tests passed.
    fn all_passed(&self) -> bool {
        let text = String::from_utf8_lossy(&self.out);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.is_some_and(|line| line.starts_with("test result: ok."))
    }
}

fn attempt_once(
    program: &[String],
    out: &std::path::Path,
    err: &std::path::Path,
) -> io::Result<(ExitStatus, Said)> {
    // Files rather than pipes: what Wine leaves running does not hold a reader.
    let status = Command::new("wine")
        .args(program)
        .stdout(File::create(out)?)
        .stderr(File::create(err)?)
        .status()?;
    Ok((status, Said { out: fs::read(out)?, err: fs::read(err)? }))
}

#[cfg(test)]
mod tests {
    use super::Said;

    #[cfg(unix)]
    #[test]
    fn only_a_kill_takes_a_code_that_was_one() {
        use std::os::unix::process::ExitStatusExt;
        let ended = |signal| super::is_killed(std::process::ExitStatus::from_raw(signal));
        assert!(ended(9));
        // SIGABRT, SIGSEGV, SIGTERM.
        assert!([6, 11, 15].into_iter().all(|signal| !ended(signal)));
    }

    fn all_passed(out: &str) -> bool {
        Said { out: out.into(), err: Vec::new() }.all_passed()
    }

    #[test]
    fn a_lost_code_is_a_pass_only_where_the_last_words_say_so() {
        let passed = "\r\ntest result: ok. 1 passed; 0 failed; finished in 5.22s\r\n\r\n";
        assert!(all_passed(passed));
        assert!(!all_passed(&format!("{passed}more\n")));
        assert!(!all_passed("test result: FAILED. 0 passed; 1 failed\n"));
        assert!(!all_passed("running 1 test\n"));
        assert!(!all_passed(""));
    }
}
