//! Child processes: shown while they run, read for what they report, ended at a deadline.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a child did.
pub struct Output {
    /// Whether it ended by itself with code 0.
    pub success: bool,
    /// How it ended, as words.
    pub ending: String,
    /// Both of its outputs, in the order of arrival.
    pub text: String,
}

/// Whether the child's output is shown while it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Live,
    Nothing,
}

/// Runs `command` with no stdin; it is killed when `limit` has passed.
///
/// # Errors
///
/// A sentence, where the program can't be started.
pub fn run(command: &mut Command, limit: Duration, show: Show) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{program}` can't be started: {error}"))?;

    // The readers send to the loop below what they read; both ends gone means all was read.
    let (chunk_tx, chunk_rx) = mpsc::channel::<Vec<u8>>();
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    read_in_background(stdout, chunk_tx.clone());
    read_in_background(stderr, chunk_tx);

    let deadline = Instant::now() + limit;
    let mut bytes = Vec::new();
    let mut exited_at: Option<Instant> = None;
    loop {
        match chunk_rx.recv_timeout(Duration::from_millis(200)) {
            Ok(chunk) => {
                if show == Show::Live {
                    // Nobody to read it is no reason to stop.
                    let _ = std::io::stderr().write_all(&chunk);
                }
                bytes.extend_from_slice(&chunk);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // A grandchild that lives on keeps the outputs open; what it says is nobody's.
                if exited_at.is_none() && has_exited(&mut child) {
                    exited_at = Some(Instant::now());
                }
                if exited_at.is_some_and(|at| at.elapsed() > Duration::from_secs(3)) {
                    break;
                }
            }
        }
        if Instant::now() > deadline {
            // An error means that it has ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let ending = format!("`{program}` was killed after {} s", limit.as_secs());
            return Ok(Output { success: false, ending, text });
        }
    }
    let status =
        child.wait().map_err(|error| format!("`{program}` can't be waited for: {error}"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { success: status.success(), ending: describe(&program, status), text })
}

/// Where `program` is found on `PATH` (a list in the system's own form).
pub fn find(program: &str, path: &std::ffi::OsStr) -> Option<std::path::PathBuf> {
    std::env::split_paths(path).find_map(|folder| {
        let plain = folder.join(program);
        let with_suffix = folder.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
        [plain, with_suffix].into_iter().find(|candidate: &std::path::PathBuf| is_file(candidate))
    })
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn has_exited(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(Some(_)))
}

fn describe(program: &str, status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("`{program}` ended with code {code}"),
        None => format!("`{program}` was ended by a signal"),
    }
}

fn read_in_background(mut from: impl Read + Send + 'static, chunk_tx: mpsc::Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 || chunk_tx.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(arguments: &[&str]) -> Command {
        let mut command = Command::new("rustc");
        command.args(arguments);
        command
    }

    #[test]
    fn output_and_success_are_reported() {
        let output = run(&mut rustc(&["--version"]), Duration::from_secs(60), Show::Nothing)
            .expect("rustc starts");
        assert!(output.success);
        assert!(output.text.starts_with("rustc "), "{}", output.text);
    }

    #[test]
    fn a_failure_names_the_program_and_its_code() {
        let output = run(&mut rustc(&["--no-such"]), Duration::from_secs(60), Show::Nothing)
            .expect("rustc starts");
        assert!(!output.success);
        assert_eq!(output.ending, "`rustc` ended with code 1");
    }

    #[cfg(unix)]
    #[test]
    fn a_child_is_killed_at_its_deadline() {
        let mut command = Command::new("tail");
        command.args(["-f", "/dev/null"]);
        let output =
            run(&mut command, Duration::from_millis(300), Show::Nothing).expect("tail starts");
        assert!(!output.success);
        assert!(output.ending.contains("killed"), "{}", output.ending);
    }
}
