//! A stand-in for `wsl.exe`, which Wine lacks: its part as far as a link uses it, and the part of
//! the Linux side, which carries out what the other asks for.
//!
//! ```text
//! wsl serve                                       on Linux: prints `ready PORT:SECRET`
//! wsl [-d NAME] [-u USER] --exec PROGRAM ARG...   runs it there; stdin, stdout, stderr, exit code
//! wsl --list --quiet                              the distributions, one in a line
//! ```
//!
//! Built for Windows it is the program that is started in place of `wsl.exe`; it reaches `serve`
//! over loopback. The variables that it reads:
//!
//! | variable | is |
//! |---|---|
//! | `WSL_STAND_IN` | what `serve` printed behind `ready ` |
//! | `WSL_STAND_IN_DISTRIBUTIONS` | names with commas between them; default `Stand-In` |
//! | `WSL_STAND_IN_FAULT` | see below |
//! | `WSL_UTF8` | 1: text of its own is UTF-8, else UTF-16 in little-endian without a mark |
//!
//! | fault | what happens |
//! |---|---|
//! | `hang` | `--exec` starts nothing and never ends: interop does not answer |
//! | `hang-list` | the same for `--list` |
//! | `noise:TEXT` | TEXT and a line end come first on standard output |
//! | `die:N` | it ends with code 1 and without a word once N bytes of standard output have come |
//!
//! The real one was not at hand: that it writes its own text to standard output, in UTF-16 with
//! CRLF, that an unknown distribution has these words and the code -1, and that a program sees the
//! end of its streams when `wsl.exe` is killed, is as its users tell it. Not stood in for: a
//! default distribution's own shell, other users (`-u` only reaches the program as the variable
//! `WSL_STAND_IN_USER`), the working folder, signals and the start of a stopped distribution.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// The most that one frame carries here.
const PIECE: usize = 64 * 1024;

/// What `wsl.exe` ends with where it fails itself (4294967295 to Windows).
const FAILED: i32 = -1;

/// A frame is its kind, the length of what follows in four bytes in little-endian, and that.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Secret = b's',
    User = b'u',
    Word = b'w',
    Go = b'g',
    Input = b'i',
    InputEnd = b'e',
    Output = b'o',
    Error = b'r',
    Ended = b'x',
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Secret,
        Kind::User,
        Kind::Word,
        Kind::Go,
        Kind::Input,
        Kind::InputEnd,
        Kind::Output,
        Kind::Error,
        Kind::Ended,
    ];
}

fn send(mut to: impl Write, kind: Kind, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).expect("a frame is short").to_le_bytes();
    let head = [&[kind as u8], &length[..]].concat();
    to.write_all(&[&head, data].concat())
}

fn receive(mut from: impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let known = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
    let length = u32::from_le_bytes(length) as usize;
    let (Some(kind), 0..=PIECE) = (known, length) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of this program's"));
    };
    let mut data = vec![0; length];
    from.read_exact(&mut data)?;
    Ok((kind, data))
}

/// Passes on what is read, in frames, until its end.
fn pass_on(mut from: impl Read, to: &Mutex<TcpStream>, kind: Kind) {
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let mut to = to.lock().expect("nobody panics with it");
        if send(&mut *to, kind, &piece[..count]).is_err() {
            return;
        }
    }
}

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "serve") {
        serve();
    }
    std::process::exit(match Order::of(&args) {
        Ok(Order::List) => list(),
        Ok(Order::Run(run)) => run.carry_out(),
        Err(message) => say(&message),
    })
}

/// What `wsl.exe` is asked to do.
enum Order {
    List,
    Run(Run),
}

#[derive(Default)]
struct Run {
    distribution: Option<String>,
    user: Option<String>,
    line: Vec<String>,
}

impl Order {
    fn of(args: &[OsString]) -> Result<Order, String> {
        let words = args.iter().map(|arg| arg.to_str().map(str::to_owned));
        let words: Vec<String> =
            words.collect::<Option<_>>().ok_or("an argument is no Unicode text")?;
        let mut words = words.into_iter();
        let mut run = Run::default();
        let (mut lists, mut quietly) = (false, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} lacks its value"));
            match word.as_str() {
                "-l" | "--list" => lists = true,
                "-q" | "--quiet" => quietly = true,
                "-d" | "--distribution" => run.distribution = Some(value()?),
                "-u" | "--user" => run.user = Some(value()?),
                "-e" | "--exec" => {
                    run.line = words.by_ref().collect();
                    return match run.line.is_empty() {
                        true => Err(format!("{word} lacks a program")),
                        false => Ok(Order::Run(run)),
                    };
                }
                _ => return Err(format!("the stand-in does not know {word}")),
            }
        }
        match (lists, quietly) {
            (true, true) => Ok(Order::List),
            _ => Err("the stand-in knows --list --quiet and --exec".into()),
        }
    }
}

/// Says something as `wsl.exe` does, on standard output, and that it failed.
fn say(message: &str) -> i32 {
    write_text(&format!("{message}\r\n"));
    FAILED
}

fn write_text(text: &str) {
    let bytes = if std::env::var_os("WSL_UTF8").is_some_and(|value| value == "1") {
        text.as_bytes().to_vec()
    } else {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let mut stdout = io::stdout().lock();
    // Nobody reads it: nobody is to be told.
    let _ = stdout.write_all(&bytes).and_then(|()| stdout.flush());
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn distributions() -> Vec<String> {
    let text = std::env::var("WSL_STAND_IN_DISTRIBUTIONS").unwrap_or_else(|_| "Stand-In".into());
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

fn list() -> i32 {
    if variable("WSL_STAND_IN_FAULT") == "hang-list" {
        hang();
    }
    let lines: String = distributions().iter().map(|name| format!("{name}\r\n")).collect();
    write_text(&lines);
    0
}

impl Run {
    fn carry_out(self) -> i32 {
        if let Some(wanted) = &self.distribution
            && !distributions().iter().any(|name| name.eq_ignore_ascii_case(wanted))
        {
            return say("There is no distribution with the supplied name.\r\n\
                        Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND");
        }
        let fault = variable("WSL_STAND_IN_FAULT");
        if fault == "hang" {
            hang();
        }
        let lives = fault.strip_prefix("die:").map(|count| count.parse().expect("die:N"));
        if let Some(text) = fault.strip_prefix("noise:") {
            let mut stdout = io::stdout().lock();
            let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        }
        self.over_there(lives).unwrap_or_else(|error| say(&format!("the stand-in: {error}")))
    }

    /// Has it run on the Linux side. With `lives` it ends after so many bytes of output.
    fn over_there(self, mut lives: Option<usize>) -> io::Result<i32> {
        let place = variable("WSL_STAND_IN");
        let (port, secret) = place.split_once(':').ok_or(io::Error::other("no WSL_STAND_IN"))?;
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        send(&stream, Kind::Secret, secret.as_bytes())?;
        if let Some(user) = &self.user {
            send(&stream, Kind::User, user.as_bytes())?;
        }
        for word in &self.line {
            send(&stream, Kind::Word, word.as_bytes())?;
        }
        send(&stream, Kind::Go, b"")?;
        let input = Mutex::new(stream.try_clone()?);
        // It ends with the process, whatever it still waits for.
        thread::spawn(move || {
            pass_on(io::stdin(), &input, Kind::Input);
            let input = input.lock().expect("nobody panics with it");
            send(&*input, Kind::InputEnd, b"")
        });
        loop {
            let (kind, mut data) = receive(&mut stream)?;
            match kind {
                Kind::Output => {
                    if let Some(lives) = &mut lives {
                        data.truncate(*lives);
                        *lives -= data.len();
                    }
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&data)?;
                    stdout.flush()?;
                    if lives == Some(0) {
                        std::process::exit(1);
                    }
                }
                Kind::Error => io::stderr().write_all(&data)?,
                Kind::Ended => {
                    let code = data.try_into().map_err(|_| io::Error::other("no code came"))?;
                    return Ok(i32::from_le_bytes(code));
                }
                _ => return Err(io::Error::other("what came was not the other side's to say")),
            }
        }
    }
}

/// Runs what is asked for until this process is ended.
fn serve() -> ! {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    // So that nobody else of this machine has something run here.
    let secret = std::hash::RandomState::new().build_hasher().finish();
    let secret = format!("{secret:016x}");
    println!("ready {port}:{secret}");
    io::stdout().flush().expect("the ready line is read");
    for stream in listener.incoming().map_while(Result::ok) {
        let secret = secret.clone();
        thread::spawn(move || {
            if let Err(error) = serve_one(stream, &secret) {
                eprintln!("the stand-in's other side: {error}");
            }
        });
    }
    std::process::exit(1)
}

fn serve_one(mut stream: TcpStream, secret: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if receive(&mut stream)? != (Kind::Secret, secret.as_bytes().to_vec()) {
        return Err(io::Error::other("somebody without the secret"));
    }
    let mut words = Vec::new();
    let mut variables = HashMap::new();
    loop {
        let (kind, data) = receive(&mut stream)?;
        let text = String::from_utf8(data).map_err(io::Error::other)?;
        match kind {
            Kind::User => drop(variables.insert("WSL_STAND_IN_USER", text)),
            Kind::Word => words.push(text),
            Kind::Go => break,
            _ => return Err(io::Error::other("what came was not in its place")),
        }
    }
    let (program, args) = words.split_first().ok_or(io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command.args(args).envs(variables).stdin(Stdio::piped());
    let answer = Arc::new(Mutex::new(stream.try_clone()?));
    match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => carry(child, stream, &answer),
        Err(error) => {
            // As wsl.exe tells of a program that it can't start.
            let text =
                format!("<3>WSL ERROR: CreateProcessCommon: execvpe({program}) failed: {error}\n");
            let mut answer = answer.lock().expect("nobody panics with it");
            send(&mut *answer, Kind::Error, text.as_bytes())?;
            send(&mut *answer, Kind::Ended, &1_i32.to_le_bytes())
        }
    }
}

fn carry(mut child: Child, stream: TcpStream, answer: &Arc<Mutex<TcpStream>>) -> io::Result<()> {
    let mut stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("it was asked for");
    let stderr = child.stderr.take().expect("it was asked for");
    let mut orders = stream.try_clone()?;
    thread::spawn(move || {
        // Anything but input is its end; so is the other side's.
        while let Ok((Kind::Input, data)) = receive(&mut orders) {
            // A program that reads no more is no reason to end it.
            if let Some(to) = &mut stdin
                && to.write_all(&data).is_err()
            {
                stdin = None;
            }
        }
        drop(stdin);
        // An end that was not told: the streams of the program are closed, as far as we have them.
        let mut byte = [0];
        if let Ok(0) | Err(_) = orders.read(&mut byte) {
            let _ = orders.shutdown(std::net::Shutdown::Both);
        }
    });
    let outputs = {
        let (answer, errors) = (answer.clone(), answer.clone());
        let errors = thread::spawn(move || pass_on(stderr, &errors, Kind::Error));
        let outputs = thread::spawn(move || pass_on(stdout, &answer, Kind::Output));
        [outputs, errors]
    };
    let status = child.wait()?;
    for output in outputs {
        let _ = output.join();
    }
    let code = code_of(status).to_le_bytes();
    let mut answer = answer.lock().expect("nobody panics with it");
    let _ = send(&mut *answer, Kind::Ended, &code);
    Ok(())
}

/// A signal is told as shells tell it.
fn code_of(status: std::process::ExitStatus) -> i32 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(FAILED)
}
