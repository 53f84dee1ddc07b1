//! Socket files of libassuan, which GnuPG has in place of Unix sockets on Windows.
//!
//! | bytes | are |
//! |---|---|
//! | 1 to 5 | the port on 127.0.0.1, in digits |
//! | 1 | a line feed |
//! | 16 | a secret, which a client sends first |
//!
//! (`read_port_and_nonce` and `_assuan_sock_bind` in libassuan's `assuan-socket.c`.)

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use super::Refusal;
use crate::exit::Exit;
use crate::output::Failure;

const SECRET: usize = 16;

/// A port's digits, a line feed and the secret.
const FILE_MAX: usize = 5 + 1 + SECRET;

/// What such a file of Cygwin's begins with. Its clients and servers also exchange credentials,
/// whose length differs between versions.
const CYGWIN: &[u8] = b"!<socket >";

/// What a file that names another begins with.
const REDIRECT: &[u8] = b"%Assuan%";

/// Where such a file is.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
}

/// What opens the agent. It is shown nowhere.
#[derive(PartialEq, Eq)]
pub(super) struct Secret(pub(super) [u8; SECRET]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SocketFile {
    /// A file, which need not be there yet.
    pub(super) fn new(path: &str) -> Result<Self, Failure> {
        // To open a device or a pipe as if it were a file would do more than to look at it.
        if path.starts_with(r"\\.\") || path.starts_with("//./") || path.starts_with("npipe:") {
            let message = format!("{path} is a pipe, and no socket file");
            return Err(Failure::new(Exit::Usage, message).hint("leave --assuan out"));
        }
        Ok(SocketFile { path: path.into() })
    }

    /// The port, and what to send there first.
    pub(super) fn read(&self) -> Result<(u16, Secret), Refusal> {
        let path = self.path.display();
        let content = self.content().map_err(|error| {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let exit = match error.kind() {
                std::io::ErrorKind::PermissionDenied => Exit::Permission,
                _ if is_missing => Exit::Unreachable,
                _ => Exit::Failure,
            };
            let message = format!("{path} can't be read");
            let failure = Failure::new(exit, message.clone()).cause(&error);
            Refusal {
                message: format!("{message}: {error}"),
                may_pass: is_missing,
                failure: failure.hint(
                    "start the agent; `gpgconf --list-dirs` tells where its socket files are",
                ),
            }
        })?;
        parse(&content).map_err(|what| {
            let message = format!("{path} is no socket file of libassuan: {what}");
            // While the agent writes it, it is empty or too short.
            let may_pass = matches!(what, Unfit::Empty | Unfit::Secret(0..SECRET));
            let mut failure = Failure::new(Exit::Failure, message.clone());
            if let Some(hint) = what.advice() {
                failure = failure.hint(hint);
            }
            Refusal { message, may_pass, failure }
        })
    }

    /// The file's bytes, or so many of them that it is clear that there are too many.
    fn content(&self) -> std::io::Result<Vec<u8>> {
        let file = std::fs::File::open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut content = Vec::new();
        file.take(FILE_MAX as u64 + 1).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// Why a file's content is none of such a file.
#[derive(Debug, PartialEq, Eq)]
enum Unfit {
    Empty,
    Cygwin,
    Redirect,
    Port,
    /// How many bytes there are in the secret's place.
    Secret(usize),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Empty => f.write_str("it is empty"),
            Unfit::Cygwin => f.write_str("it is one of Cygwin's"),
            Unfit::Redirect => f.write_str("it names another file"),
            Unfit::Port => f.write_str("its first line is no port"),
            Unfit::Secret(count @ 0..=SECRET) => {
                write!(f, "{count} bytes follow its first line, and {SECRET} should")
            }
            Unfit::Secret(_) => write!(f, "more than {SECRET} bytes follow its first line"),
        }
    }
}

impl Unfit {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Unfit::Cygwin => Some(
                r"for SSH let gpg-agent serve \\.\pipe\openssh-ssh-agent (enable-win32-openssh-support), and connect to that",
            ),
            Unfit::Redirect => Some("name the file that stands in it behind `socket=`"),
            _ => None,
        }
    }
}

fn parse(content: &[u8]) -> Result<(u16, Secret), Unfit> {
    if content.is_empty() {
        return Err(Unfit::Empty);
    }
    if content.starts_with(CYGWIN) {
        return Err(Unfit::Cygwin);
    }
    if content.starts_with(REDIRECT) {
        return Err(Unfit::Redirect);
    }
    let end = content.iter().position(|byte| *byte == b'\n').ok_or(Unfit::Port)?;
    let (digits, secret) = (&content[..end], &content[end + 1..]);
    // Number parsers take a sign, too.
    let port = str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|port: &u16| *port > 0)
        .ok_or(Unfit::Port)?;
    let secret = secret.try_into().map_err(|_| Unfit::Secret(secret.len()))?;
    Ok((port, Secret(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_port_and_a_secret() {
        let secret = *b"\n\0 456789abcdef\n";
        let file = |line: &str| [line.as_bytes(), &secret].concat();
        assert_eq!(parse(&file("1\n")), Ok((1, Secret(secret))));
        assert_eq!(parse(&file("65535\n")), Ok((65535, Secret(secret))));
    }

    #[test]
    fn anything_else_is_refused() {
        let secret = &b"0123456789abcdef"[..];
        for line in ["\n", "0\n", "65536\n", "+1\n", "-1\n", " 1\n", "1 \n", "1\r\n", "x\n", "1"] {
            assert_eq!(parse(&[line.as_bytes(), secret].concat()), Err(Unfit::Port), "{line:?}");
        }
        assert_eq!(parse(b""), Err(Unfit::Empty));
        assert_eq!(parse(b"80\n"), Err(Unfit::Secret(0)));
        assert_eq!(parse(b"80\n0123456789abcde"), Err(Unfit::Secret(15)));
        assert_eq!(parse(b"80\n0123456789abcdef0"), Err(Unfit::Secret(17)));
        let cygwin = b"!<socket >50000 s 01234567-89ABCDEF-01234567-89ABCDEF\0";
        assert_eq!(parse(cygwin), Err(Unfit::Cygwin));
        assert_eq!(parse(b"%Assuan%\nsocket=C:\\x\n"), Err(Unfit::Redirect));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret(*b"0123456789abcdef")), "Secret(..)");
    }

    #[test]
    fn a_pipe_is_no_socket_file() {
        for path in [r"\\.\pipe\x", "//./pipe/x", "npipe:x"] {
            assert_eq!(SocketFile::new(path).unwrap_err().exit(), Exit::Usage);
        }
    }
}
