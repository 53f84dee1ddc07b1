//! Starting a guest, up to its answer.

use std::path::Path;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::LinkConfig;
use super::handshake::{Failed, Rewound, ask};
use super::lines::CLOSE;
use super::preface::{Answer, Hello, Nonce, PROGRAM, Unfit, VERSIONS, is_echo};
use super::said::Said;
use super::spec::{Distribution, LinkSpec};
use super::state::LinkDownReason as Reason;
use super::wsl;
use crate::child::{Child, ChildInput, ChildOutput};
use crate::{Error, ErrorKind, Joined, join};

/// The most that a list of distributions may be long, in bytes.
const LIST_MAX: u64 = 64 * 1024;

/// How long what a process wrote before its end may take to be read.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);

/// A guest that has answered.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) io: Rewound<Joined<ChildOutput, ChildInput>>,
    pub(super) answer: Answer,
}

/// Why there is no link: the kind of reason, and what to tell.
#[derive(Debug)]
pub(super) struct NotUp {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl NotUp {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        NotUp { reason, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn of(error: &Error) -> Self {
        let mut message = error.to_string();
        if let Some(cause) = error.os_error() {
            message.push_str(&format!(": {cause}"));
        }
        let reason = match error.kind() {
            ErrorKind::TimedOut => Reason::NoAnswer,
            _ => Reason::NotStarted,
        };
        NotUp { reason, message, hint: error.advice().map(str::to_owned) }
    }
}

/// A guest's process, and what it says besides.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    said: Said,
    listening: tokio::task::JoinHandle<()>,
}

impl Process {
    /// Waits for its end; the exit code, where the system tells. Cancel safe.
    pub(super) async fn wait(&mut self) -> Option<i32> {
        self.child.wait().await.ok()
    }

    /// How it ended and what it said last, once it has ended; else what it said.
    pub(super) async fn last_words(&mut self) -> (Option<i32>, String) {
        let code = timeout(LAST_WORDS, self.child.wait()).await.ok().and_then(Result::ok);
        // What it started may hold its standard error open.
        let _ = timeout(LAST_WORDS, &mut self.listening).await;
        let said = self.said.quoted();
        (code, said.map_or_else(String::new, |said| format!("; it said: {said}")))
    }

    /// Ends it, and what it started: it has been told by the end of its standard input, and gets
    /// some time.
    pub(super) async fn end(mut self) {
        if timeout(CLOSE, self.child.wait()).await.is_err() {
            self.child.end(CLOSE).await;
        }
        self.listening.abort();
    }

    /// Ends it now.
    pub(super) async fn kill(mut self) {
        self.child.end(std::time::Duration::ZERO).await;
        self.listening.abort();
    }
}

/// Starts a guest and waits for its answer, within the time of `config`.
pub(super) async fn start(config: &LinkConfig) -> Result<Started, NotUp> {
    let deadline = Instant::now() + config.start_timeout;
    let mut config = config.clone();
    config.check().map_err(|error| NotUp::of(&error))?;
    if let LinkSpec::Wsl(wanted) = &config.to {
        let found = listed(wanted, config.wsl_program.as_deref(), deadline).await;
        config.to = LinkSpec::Wsl(found?);
    }
    let program = config.program().map_err(|error| NotUp::of(&error))?;
    let started = match config.to {
        // Their programs are Windows' own, or WSL's: what they take for standard input is theirs to
        // say, and all of them take pipes.
        LinkSpec::Wsl(_) | LinkSpec::Windows => Child::piped(&program),
        LinkSpec::Command(_) => Child::over_sockets(&program),
    };
    let (child, pipes) = started.map_err(|error| NotUp::of(&error))?;
    pipes.stdin.enlarge();
    pipes.stdout.enlarge();
    let said = Said::default();
    let listening = tokio::spawn(said.clone().listen(pipes.stderr, config.on_line.clone()));
    let mut process = Process { child, said, listening };
    let hello = Hello {
        nonce: Nonce::new(),
        versions: VERSIONS,
        heartbeat: config.heartbeat,
        openings: config.openings.clone(),
    };
    let mut io = join(pipes.stdout, pipes.stdin);
    let mut noise = Vec::new();
    let failed = match timeout_at(deadline, ask(&mut io, &hello, &mut noise)).await {
        Ok(Ok((answer, rest))) => {
            if answer.resolved.len() == hello.openings.len() {
                return Ok(Started { process, io: Rewound::new(rest, io), answer });
            }
            Some(Failed::Unfit(Unfit::Malformed("it answers not every line".to_owned())))
        }
        Ok(Err(failed)) => Some(failed),
        Err(_) => None,
    };
    let echo = is_echo(&noise, hello.nonce);
    process.said.keep_all(&noise);
    let ended = matches!(failed, Some(Failed::Ended | Failed::Io(_)));
    drop(io);
    let (code, said) = if ended {
        process.last_words().await
    } else {
        let said = process.said.quoted();
        (None, said.map_or_else(String::new, |said| format!("; it said: {said}")))
    };
    process.kill().await;
    Err(why(&config, failed, code, &said, echo))
}

/// The distribution of this name in the list of `wsl.exe`.
async fn listed(
    wanted: &Distribution,
    wsl_program: Option<&Path>,
    deadline: Instant,
) -> Result<Distribution, NotUp> {
    let program = wsl::list(wsl_program);
    let (mut child, pipes) = Child::piped(&program).map_err(|error| {
        NotUp::of(&error).hint("see whether WSL is installed: wsl.exe --install")
    })?;
    drop(pipes.stdin);
    let mut output = Vec::new();
    let mut errors = Vec::new();
    let read = async {
        let mut stdout = pipes.stdout.take(LIST_MAX);
        let mut stderr = pipes.stderr.take(LIST_MAX);
        let (stdout, _) =
            tokio::join!(stdout.read_to_end(&mut output), stderr.read_to_end(&mut errors));
        stdout?;
        child.wait().await
    };
    let code = match timeout_at(deadline, read).await {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            let message = format!("the list of WSL's distributions can't be read: {error}");
            return Err(NotUp::new(Reason::NotStarted, message));
        }
        Err(_) => {
            child.end(std::time::Duration::ZERO).await;
            return Err(NotUp::new(
                Reason::NoAnswer,
                "wsl.exe did not list its distributions in time",
            )
            .hint("WSL may hang: `wsl.exe --shutdown` ends all of it"));
        }
    };
    let names = if code == 0 { wsl::names(&output) } else { Vec::new() };
    if code != 0 {
        let said = Said::default();
        said.keep_all(&output);
        said.keep_all(&errors);
        let said = said.quoted().map_or_else(String::new, |said| format!("; it said: {said}"));
        let message = format!("wsl.exe lists no distributions and ended with code {code}{said}");
        return Err(NotUp::new(Reason::NotStarted, message)
            .hint("see whether WSL and a distribution are installed: wsl.exe --install"));
    }
    wsl::find(wanted, &names).map_err(|error| NotUp::of(&error))
}

/// Puts into words why no answer came.
fn why(
    config: &LinkConfig,
    failed: Option<Failed>,
    code: Option<i32>,
    said: &str,
    echo: bool,
) -> NotUp {
    let terminal = || match config.to {
        LinkSpec::Command(_) => TERMINAL,
        _ => "see whether another program stands in between",
    };
    match failed {
        None if echo => NotUp::new(Reason::NoGuest, "what is sent to the guest comes back, and no guest answers").hint(terminal()),
        None => {
            let message = format!("no guest has answered within {:?}{said}", config.start_timeout);
            NotUp::new(Reason::NoAnswer, message).hint(match config.to {
                LinkSpec::Wsl(_) => "WSL may hang: `wsl.exe --shutdown` ends all of it; or allow more start_timeout",
                LinkSpec::Windows => "interop may not answer: `wsl.exe --shutdown` on Windows ends all of WSL; or allow more start_timeout",
                LinkSpec::Command(_) => "run the command by hand and see what it asks for or waits for",
            })
        }
        Some(Failed::Ended | Failed::Io(_)) if echo => ended(config, code, said).hint(terminal()),
        Some(Failed::Ended | Failed::Io(_)) => ended(config, code, said),
        Some(Failed::Unfit(Unfit::Echo)) => NotUp::new(
            Reason::NoGuest,
            "what is sent to the guest comes back, and no guest answers",
        )
        .hint(terminal()),
        Some(Failed::Unfit(Unfit::Altered)) => NotUp::new(
            Reason::NoGuest,
            "the guest answers, but bytes are changed on the way, as a terminal or a translation of line ends does",
        )
        .hint(terminal()),
        Some(Failed::Unfit(Unfit::Noise)) => NotUp::new(
            Reason::NoGuest,
            format!("what the started program writes is no guest's answer{said}"),
        )
        .hint("see whether it runs `pipeway guest`"),
        Some(Failed::Unfit(Unfit::Malformed(what))) => {
            NotUp::new(Reason::NoGuest, format!("the guest's answer can't be read: {what}"))
                .hint("update the older of the two pipeways")
        }
        Some(Failed::Unfit(Unfit::Versions { theirs, program })) => {
            let (first, last) = (VERSIONS.start(), VERSIONS.end());
            let ours = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let message = format!(
                "the guest is pipeway {program} and speaks version {theirs} of the link, this is pipeway {PROGRAM} with version {ours}"
            );
            NotUp::new(Reason::Versions, message).hint("update the older of the two pipeways")
        }
    }
}

const TERMINAL: &str =
    "a terminal must not stand in between: use `ssh -T`, and `docker exec -i` without -t";

/// The exit codes of shells, `env` and `ssh` for what they could not find or run (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// The exit code of a pipeway that does not know the word `guest`, and of `ssh`'s own failures.
const USAGE: i32 = 2;
const SSH_FAILED: i32 = 255;

fn ended(config: &LinkConfig, code: Option<i32>, said: &str) -> NotUp {
    let with = code.map_or_else(String::new, |code| format!(" with code {code}"));
    let message = format!("the started program ended{with} and no guest answered{said}");
    let guest = config.guest.as_deref().unwrap_or("pipeway");
    let hint = match (code, &config.to) {
        (Some(NOT_EXECUTABLE), _) => format!("see whether {guest} may be executed there"),
        (Some(USAGE), _) if said.contains("unrecognized subcommand") => {
            "the pipeway there is too old for links: update it".to_owned()
        }
        (Some(USAGE), LinkSpec::Command(_)) if said.contains("speaks with a bridge") => {
            TERMINAL.to_owned()
        }
        (Some(SSH_FAILED), LinkSpec::Command(_)) => {
            "see what the program says; ssh ends so where it can't connect".to_owned()
        }
        (_, LinkSpec::Wsl(_)) => format!(
            "see whether {guest} is installed in the distribution and in its PATH without a login shell; `guest` names it by its path, such as /opt/pipeway/pipeway"
        ),
        (Some(NOT_FOUND), LinkSpec::Command(_)) => {
            "see whether the programs that the command names are installed there and in PATH".to_owned()
        }
        (_, LinkSpec::Windows) => {
            "see whether pipeway.exe is installed on Windows; `guest` names it by its path, such as /mnt/c/tools/pipeway.exe".to_owned()
        }
        _ => "see whether the command runs `pipeway guest`".to_owned(),
    };
    NotUp::new(Reason::NoGuest, message).hint(hint)
}
