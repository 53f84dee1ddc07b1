//! The first words of a link, in plain lines, before the multiplexer takes over.
//!
//! The one who started the guest writes
//!
//! ```text
//! pipeway-link 1-1 NONCE
//! heartbeat MILLISECONDS
//! open timeout=5000 verify=yes remote=no ends=auto unix:/run/a.sock   (any number of them)
//! seal BYTES
//! ```
//!
//! and the guest answers
//!
//! ```text
//! pipeway-guest NONCE VERSION PROGRAM'S-VERSION
//! at unix:/run/a.sock                                          (for each `open`, in its order,
//! no KIND: MESSAGE                                              one of these two)
//! seal BYTES
//! ```
//!
//! or `pipeway-guest NONCE refused 2-3 PROGRAM'S-VERSION`. A line whose first word is not known is
//! passed over. What comes before the guest's answer (a message of the day, a shell's greeting) is
//! passed over too, and quoted where no answer comes. The bytes of the seal are those that a
//! terminal or a translation of line ends would change. Nothing of the multiplexer is sent before
//! the answer was read to its end.
//!
//! All of it is values in and values out; `start` and `guest` do the reading.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::opening::Opening;
use super::report;
use crate::{Endpoint, Error};

/// The versions of the link that this program speaks.
pub(super) const VERSIONS: RangeInclusive<u16> = 1..=1;

/// This program's own version, for messages.
pub(super) const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The most that a preface may be long, in bytes.
pub(super) const PREFACE_MAX: usize = 1024 * 1024;

/// The most that may stand before a guest's answer, in bytes.
pub(super) const NOISE_MAX: usize = 64 * 1024;

const HELLO: &str = "pipeway-link";
const ANSWER: &str = "pipeway-guest";

/// A carriage return, NUL, the flow control and the ends of input of terminals, and bytes that
/// are no UTF-8.
const SEAL: &[u8] = b"seal \r\0\x11\x13\x1a\x04\x7f\x80\xff\n";

/// Ties an answer to its question: the answer to an earlier one, or an echo, is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce([u64; 2]);

impl Nonce {
    /// A new one, from the system's randomness.
    pub(super) fn new() -> Self {
        let random = || std::hash::RandomState::new().build_hasher().finish();
        Nonce([random(), random()])
    }

    fn parse(text: &str) -> Option<Self> {
        let half = |range| u64::from_str_radix(text.get(range)?, 16).ok();
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if plain { Some(Nonce([half(0..16)?, half(16..32)?])) } else { None }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the one who starts a guest says.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) nonce: Nonce,
    pub(super) versions: RangeInclusive<u16>,
    /// How often a sign of life is sent.
    pub(super) heartbeat: Duration,
    pub(super) openings: Vec<Opening>,
}

/// Why a preface can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// What was sent came back.
    Echo,
    /// Bytes were changed on their way.
    Altered,
    /// No answer within [`NOISE_MAX`].
    Noise,
    /// The other end speaks other versions.
    Versions { theirs: String, program: String },
    /// It breaks the rules above.
    Malformed(String),
}

impl Hello {
    /// The lines.
    pub(super) fn write(&self) -> Vec<u8> {
        let (first, last) = (self.versions.start(), self.versions.end());
        let mut text = format!(
            "{HELLO} {first}-{last} {}\nheartbeat {}\n",
            self.nonce,
            self.heartbeat.as_millis()
        );
        for opening in &self.openings {
            text.push_str(&format!("open {opening}\n"));
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(SEAL);
        bytes
    }

    /// Reads the lines at the start of `input`, and how long they are; `None` while more must
    /// come. Openings that this program can't read are left to be answered with `no`.
    pub(super) fn read(input: &[u8]) -> Result<Option<(Hello, usize)>, Unfit> {
        let Some((first, mut at)) = line(input, 0)? else { return Ok(None) };
        let mut words = first.split(' ');
        if words.next() != Some(HELLO) {
            return Err(Unfit::Malformed(format!("it begins with `{}`", excerpt(first))));
        }
        let versions = words.next().and_then(range);
        let nonce = words.next().and_then(Nonce::parse);
        let (Some(versions), Some(nonce)) = (versions, nonce) else {
            return Err(Unfit::Malformed(format!("its first line is `{}`", excerpt(first))));
        };
        let mut hello = Hello { nonce, versions, heartbeat: Duration::ZERO, openings: Vec::new() };
        loop {
            if let Some(end) = sealed(input, at)? {
                return Ok(Some((hello, end)));
            }
            let Some((text, next)) = line(input, at)? else { return Ok(None) };
            at = next;
            match text.split_once(' ') {
                Some(("heartbeat", time)) => {
                    let millis = time
                        .parse()
                        .map_err(|_| Unfit::Malformed(format!("the line `{}`", excerpt(text))))?;
                    hello.heartbeat = Duration::from_millis(millis);
                }
                Some(("open", opening)) => {
                    let opening = opening
                        .parse()
                        .map_err(|error: Error| Unfit::Malformed(error.to_string()))?;
                    hello.openings.push(opening);
                }
                _ => {}
            }
        }
    }
}

/// What a guest answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) version: u16,
    /// The guest's program's version.
    pub(super) program: String,
    /// For each opening, in order: what it leads to, or why it can't be opened.
    pub(super) resolved: Vec<Result<Endpoint, Error>>,
}

impl Answer {
    /// The lines, for the question with `nonce`.
    pub(super) fn write(&self, nonce: Nonce) -> Vec<u8> {
        let mut text = format!("{ANSWER} {nonce} {} {}\n", self.version, self.program);
        for resolved in &self.resolved {
            text.push_str(&match resolved {
                Ok(endpoint) => format!("at {endpoint}\n"),
                Err(error) => format!("no {}\n", report::line(error)),
            });
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(SEAL);
        bytes
    }

    /// The line for a question in versions that this program does not speak.
    pub(super) fn refusal(nonce: Nonce) -> Vec<u8> {
        let (first, last) = (VERSIONS.start(), VERSIONS.end());
        format!("{ANSWER} {nonce} refused {first}-{last} {PROGRAM}\n").into_bytes()
    }

    /// Finds the answer to the question with `nonce` in `input`, and its end; `None` while more
    /// must come.
    pub(super) fn read(
        input: &[u8],
        nonce: Nonce,
        versions: &RangeInclusive<u16>,
    ) -> Result<Option<(Answer, usize)>, Unfit> {
        let Some(start) = find(input, format!("{ANSWER} {nonce} ").as_bytes()) else {
            // A terminal's echo is altered, and the answer may still come behind it.
            return match input.len() > NOISE_MAX {
                _ if echo(input, nonce).is_some_and(|at| find(&input[at..], SEAL).is_some()) => {
                    Err(Unfit::Echo)
                }
                true if echo(input, nonce).is_some() => Err(Unfit::Echo),
                true => Err(Unfit::Noise),
                false => Ok(None),
            };
        };
        let Some((first, mut at)) = line(input, start)? else { return Ok(None) };
        if first.ends_with('\r') {
            return Err(Unfit::Altered);
        }
        let words: Vec<&str> = first.splitn(5, ' ').collect();
        let malformed = || Unfit::Malformed(format!("its first line is `{}`", excerpt(first)));
        let unspoken = |theirs: &str, program: &str| Unfit::Versions {
            theirs: excerpt(theirs),
            program: excerpt(program),
        };
        let (version, program) = match words[..] {
            [_, _, "refused", theirs, program] => return Err(unspoken(theirs, program)),
            [_, _, version, program] => (version, program),
            _ => return Err(malformed()),
        };
        let version: u16 = version.parse().map_err(|_| malformed())?;
        if !versions.contains(&version) {
            return Err(unspoken(&version.to_string(), program));
        }
        let mut answer = Answer { version, program: excerpt(program), resolved: Vec::new() };
        loop {
            if let Some(end) = sealed(input, at)? {
                return Ok(Some((answer, end)));
            }
            let Some((text, next)) = line(input, at)? else { return Ok(None) };
            at = next;
            match text.split_once(' ') {
                Some(("at", endpoint)) => {
                    let endpoint = endpoint
                        .parse()
                        .map_err(|_| Unfit::Malformed(format!("the line `{}`", excerpt(text))))?;
                    answer.resolved.push(Ok(endpoint));
                }
                Some(("no", reason)) => answer.resolved.push(Err(report::read(reason))),
                _ => {}
            }
        }
    }
}

/// Whether what was sent came back, as from a terminal or from `cat`.
pub(super) fn is_echo(input: &[u8], nonce: Nonce) -> bool {
    echo(input, nonce).is_some()
}

fn echo(input: &[u8], nonce: Nonce) -> Option<usize> {
    let start = find(input, HELLO.as_bytes())?;
    Some(start + find(&input[start..], nonce.to_string().as_bytes())?)
}

/// The line at `at`, without its end, and where the next one begins.
fn line(input: &[u8], at: usize) -> Result<Option<(&str, usize)>, Unfit> {
    let rest = &input[at..];
    let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
        return match rest.len() > PREFACE_MAX {
            true => Err(Unfit::Malformed("a line has no end".to_owned())),
            false => Ok(None),
        };
    };
    match std::str::from_utf8(&rest[..length]) {
        Ok(text) => Ok(Some((text, at + length + 1))),
        Err(_) => Err(Unfit::Malformed("a line is no UTF-8".to_owned())),
    }
}

/// Where the seal at `at` ends, if it is one.
fn sealed(input: &[u8], at: usize) -> Result<Option<usize>, Unfit> {
    const WORD: usize = b"seal ".len();
    let rest = &input[at..];
    if at > PREFACE_MAX + NOISE_MAX {
        return Err(Unfit::Malformed("it has no end".to_owned()));
    }
    if rest.len() < WORD || rest[..WORD] != SEAL[..WORD] {
        return Ok(None);
    }
    let have = rest.len().min(SEAL.len());
    if rest[..have] != SEAL[..have] {
        return Err(Unfit::Altered);
    }
    Ok((have == SEAL.len()).then_some(at + have))
}

/// `1-3`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

fn find(input: &[u8], wanted: &[u8]) -> Option<usize> {
    input.windows(wanted.len()).position(|window| window == wanted)
}

/// As much of a text as a message may hold, without anything that a terminal would obey.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectOptions, ErrorKind};

    fn hello() -> Hello {
        let opening =
            |text: &str| Opening::new(&text.parse().unwrap(), &ConnectOptions::default()).unwrap();
        Hello {
            nonce: Nonce::new(),
            versions: VERSIONS,
            heartbeat: Duration::from_secs(10),
            openings: vec![opening("local:a"), opening("unix:/with spaces = x")],
        }
    }

    fn answer() -> Answer {
        let error = Error::new(ErrorKind::Unsupported, "no pipes\nhere").hint("use a socket");
        Answer {
            version: 1,
            program: "0.1.0".into(),
            resolved: vec![Ok("unix:/run/a.sock".parse().unwrap()), Err(error)],
        }
    }

    #[test]
    fn a_hello_is_read_in_one_piece_and_in_many() {
        let hello = hello();
        let mut bytes = hello.write();
        let length = bytes.len();
        for end in 0..length {
            assert!(Hello::read(&bytes[..end]).unwrap().is_none(), "{end} of {length}");
        }
        bytes.extend_from_slice(b"\x94frames");
        let (read, end) = Hello::read(&bytes).unwrap().unwrap();
        assert_eq!((read.nonce, read.versions, end), (hello.nonce, VERSIONS, length));
        assert_eq!((read.heartbeat, read.openings), (hello.heartbeat, hello.openings));
    }

    #[test]
    fn an_answer_is_found_behind_what_a_shell_says_first() {
        let nonce = Nonce::new();
        let mut bytes = b"Welcome to Ubuntu!\r\n\xff\xfe prompt $ ".to_vec();
        bytes.extend(answer().write(nonce));
        let length = bytes.len();
        for end in 0..length {
            assert!(Answer::read(&bytes[..end], nonce, &VERSIONS).unwrap().is_none(), "{end}");
        }
        bytes.extend_from_slice(b"\x94frames");
        let (read, end) = Answer::read(&bytes, nonce, &VERSIONS).unwrap().unwrap();
        assert_eq!((read.version, read.program.as_str(), end), (1, "0.1.0", length));
        assert_eq!(read.resolved[0].as_ref().unwrap().to_string(), "unix:/run/a.sock");
        let error = read.resolved[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            (error.to_string().as_str(), error.advice()),
            ("no pipes here", Some("use a socket"))
        );
    }

    #[test]
    fn an_answer_to_another_question_is_noise() {
        let bytes = answer().write(Nonce::new());
        assert!(Answer::read(&bytes, Nonce::new(), &VERSIONS).unwrap().is_none());
    }

    #[test]
    fn an_echo_is_told_from_noise() {
        let hello = hello();
        let echo = hello.write();
        assert!(is_echo(&echo, hello.nonce));
        assert!(!is_echo(&echo, Nonce::new()));
        let read = |bytes: &[u8]| Answer::read(bytes, hello.nonce, &VERSIONS).map(drop);
        // The whole of it came back unchanged: nobody is there but `cat`.
        assert_eq!(read(&echo), Err(Unfit::Echo));
        assert_eq!(read(&echo[..echo.len() - 1]), Ok(()));
        let mut long = vec![b'x'; NOISE_MAX];
        assert_eq!(read(&long), Ok(()));
        long.push(b'x');
        assert_eq!(read(&long), Err(Unfit::Noise));
        long.extend(&echo[..echo.len() - 1]);
        assert_eq!(read(&long), Err(Unfit::Echo));
    }

    #[test]
    fn what_a_terminal_does_to_bytes_is_seen() {
        let nonce = Nonce::new();
        let bytes = answer().write(nonce);
        let read = |bytes: &[u8]| Answer::read(bytes, nonce, &VERSIONS).map(drop);
        // A terminal's output: \n becomes \r\n.
        let crlf: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
            .collect();
        assert_eq!(read(&crlf), Err(Unfit::Altered));
        // A terminal's input: \r becomes \n. A translation of text: \r is dropped.
        let icrnl: Vec<u8> =
            bytes.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        assert_eq!(read(&icrnl), Err(Unfit::Altered));
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
        assert_eq!(read(&text), Err(Unfit::Altered));
        let icrnl: Vec<u8> =
            hello().write().iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        assert_eq!(Hello::read(&icrnl).map(drop), Err(Unfit::Altered));
    }

    #[test]
    fn versions_without_one_in_common_are_told() {
        let nonce = Nonce::new();
        let refused = Answer::read(&Answer::refusal(nonce), nonce, &(7..=8)).map(drop);
        let program = PROGRAM.to_owned();
        assert_eq!(refused, Err(Unfit::Versions { theirs: "1-1".into(), program }));
        let newer = Answer { version: 9, ..answer() }.write(nonce);
        let refused = Answer::read(&newer, nonce, &VERSIONS).map(drop);
        let program = "0.1.0".to_owned();
        assert_eq!(refused, Err(Unfit::Versions { theirs: "9".into(), program }));
    }

    #[test]
    fn lines_of_a_later_program_are_passed_over() {
        let text = String::from_utf8_lossy(&hello().write()).into_owned();
        let at = text.find("heartbeat").unwrap();
        let mut bytes = hello().write();
        bytes.splice(at..at, *b"later thing\nempty\n\n");
        assert_eq!(Hello::read(&bytes).unwrap().unwrap().0.openings.len(), 2);
    }

    #[test]
    fn what_is_no_hello_is_refused_with_what_it_is() {
        for (bytes, part) in [
            (&b"GET / HTTP/1.1\r\n"[..], "GET / HTTP/1.1"),
            (b"pipeway-link 2-1 x\n", "first line"),
            (b"pipeway-link 1-1 0123\n", "first line"),
            (b"pipeway-link 1-1 00000000000000000000000000000000\nopen stdio\n", "stdio"),
            (b"\xff\n", "UTF-8"),
        ] {
            match Hello::read(bytes).map(drop) {
                Err(Unfit::Malformed(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        let endless = vec![b'x'; PREFACE_MAX + 1];
        assert!(matches!(Hello::read(&endless), Err(Unfit::Malformed(_))));
    }

    #[test]
    fn a_nonce_is_new_each_time() {
        assert_ne!(Nonce::new(), Nonce::new());
    }
}
