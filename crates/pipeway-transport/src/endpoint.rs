//! The address of one end, as text: the one parser and its inverse.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Mode;

/// The prefix of every local pipe's path.
const PIPE_PREFIX: &str = r"\\.\pipe\";

/// The longest path of a pipe, prefix included, in UTF-16 units (`CreateNamedPipe`, `lpName`).
const PIPE_PATH_MAX: usize = 256;

/// The address of one end.
///
/// [`Display`](fmt::Display) writes the canonical text, which [`FromStr`] reads back to the same
/// value.
///
/// | text | is |
/// |---|---|
/// | `npipe:NAME`, `\\.\pipe\NAME`, `npipe:////./pipe/NAME` | a Windows named pipe |
/// | `unix:/path` | a Unix socket, by absolute path |
/// | `tcp:127.0.0.1:PORT`, `tcp:[::1]:PORT`, `tcp:localhost:PORT` | a TCP port (`localhost` is 127.0.0.1) |
/// | `stdio` | standard input and output |
/// | `local:NAME` | the portable endpoint: a pipe on Windows, a socket in a private folder elsewhere |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Windows named pipe on this system.
    Pipe(PipeName),
    /// A Unix socket.
    Unix(UnixPath),
    /// A TCP port. Whether an address other than loopback may be used is decided where it is
    /// used (`allow_remote`), not here.
    Tcp(SocketAddr),
    /// Standard input and output of this process.
    Stdio,
    /// The portable endpoint; see [`Endpoint::resolve`].
    Local(LocalName),
}

impl Endpoint {
    /// The endpoint that `local:NAME` stands for on this system; any other endpoint unchanged.
    ///
    /// On Windows that is `\\.\pipe\NAME`; elsewhere `$XDG_RUNTIME_DIR/NAME.sock`, or
    /// `NAME.sock` in the folder `pipeway-UID` (mode 0700) under the system's temporary folder
    /// where `XDG_RUNTIME_DIR` is not set. Nothing is made on disk.
    ///
    /// # Errors
    ///
    /// If the resulting path can't be an endpoint here, such as a socket's path that is too long.
    pub fn resolve(&self) -> Result<Endpoint, crate::Error> {
        match self {
            Endpoint::Local(name) => crate::sys::resolve_local(name),
            other => Ok(other.clone()),
        }
    }

    /// The kind of transport; `None` for `local:NAME`, which has none before it is resolved.
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Endpoint::Pipe(_) => Some(Mode::NamedPipe),
            Endpoint::Unix(_) => Some(Mode::Unix),
            Endpoint::Tcp(_) => Some(Mode::Tcp),
            Endpoint::Stdio => Some(Mode::Stdio),
            Endpoint::Local(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Pipe(name) => write!(f, "{PIPE_PREFIX}{}", name.0),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.text),
            Endpoint::Tcp(address) => write!(f, "tcp:{address}"),
            Endpoint::Stdio => f.write_str("stdio"),
            Endpoint::Local(name) => write!(f, "local:{}", name.0),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| EndpointParseError { text: text.to_owned(), reason })
    }
}

/// The name of a local pipe, without `\\.\pipe\`. Names are compared without regard to ASCII
/// case, as the system compares them.
#[derive(Clone, Debug)]
pub struct PipeName(String);

impl PipeName {
    /// The name, without `\\.\pipe\`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole path, `\\.\pipe\NAME`.
    pub fn path(&self) -> String {
        format!("{PIPE_PREFIX}{}", self.0)
    }
}

impl PartialEq for PipeName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for PipeName {}

impl std::hash::Hash for PipeName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

/// The absolute path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixPath {
    path: PathBuf,
    text: String,
}

impl UnixPath {
    /// The path exactly as it is given: not normalised, and not refused for its characters, such
    /// as backslashes. A relative one lies in the current folder.
    ///
    /// # Errors
    ///
    /// If it is empty, has a NUL character, or is relative and there is no current folder.
    pub fn verbatim(path: &Path) -> Result<UnixPath, EndpointParseError> {
        let text = path.to_string_lossy().into_owned();
        let refused = |reason| EndpointParseError { text: text.clone(), reason };
        if path.as_os_str().is_empty() {
            return Err(refused(Reason::UnixEmpty));
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(refused(Reason::UnixNul));
        }
        if path.has_root() {
            return Ok(UnixPath { path: path.to_owned(), text });
        }
        let folder = std::env::current_dir().map_err(|_| refused(Reason::UnixRelative))?;
        let path = folder.join(path);
        Ok(UnixPath { text: path.to_string_lossy().into_owned(), path })
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// The path as text; what is not UTF-8 in it is replaced.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The folder that `local:` endpoints lie in, where they are files; see [`Endpoint::resolve`]. It
/// need not exist.
pub fn local_folder() -> Option<PathBuf> {
    crate::sys::local_folder()
}

/// The name of a portable endpoint: letters, digits, `.`, `_` and `-`, at most 64 of them, the
/// first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalName(String);

impl LocalName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no endpoint: what is wrong with it, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointParseError {
    text: String,
    reason: Reason,
}

impl fmt::Display for EndpointParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an endpoint: {}", self.text.escape_debug(), self.reason)
    }
}

impl std::error::Error for EndpointParseError {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Empty,
    UnknownScheme(String),
    BarePath,
    BareAddress,
    RemotePipe,
    WslShare,
    PipePrefix,
    PipeEmpty,
    PipeLong(usize),
    PipeSlash,
    PipeSegment,
    PipeChar(char),
    UnixEmpty,
    UnixRelative,
    UnixAbstract,
    UnixNul,
    UnixFolder,
    UnixWindowsPath,
    TcpPort(String),
    TcpNoPort,
    TcpName(String),
    LocalEmpty,
    LocalLong(usize),
    LocalChar(char),
    LocalFirst(char),
    StdioRest,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Empty => f.write_str(
                "it is empty; write local:NAME, unix:/path, npipe:NAME or tcp:127.0.0.1:PORT",
            ),
            Reason::UnknownScheme(scheme) => write!(
                f,
                "there is no kind `{}`; the kinds are npipe:, unix:, tcp:, local: and stdio",
                scheme.escape_debug()
            ),
            Reason::BarePath => f.write_str("a socket's path is written with its kind, unix:/path"),
            Reason::BareAddress => {
                f.write_str("an address is written with its kind, tcp:127.0.0.1:PORT")
            }
            Reason::RemotePipe => f.write_str(
                r"only pipes of this system are used: write \\.\pipe\NAME, with a dot for the system",
            ),
            Reason::WslShare => f.write_str(
                "a path under \\\\wsl$ or \\\\wsl.localhost is a file share, and a Unix socket can't be \
                 connected to across it; let the service listen on a loopback port and write \
                 tcp:127.0.0.1:PORT",
            ),
            Reason::PipePrefix => f.write_str(
                r"the pipe's path must begin with \\.\pipe\ (or, as a URL, npipe:////./pipe/)",
            ),
            Reason::PipeEmpty => f.write_str("the pipe's name is empty"),
            Reason::PipeLong(units) => write!(
                f,
                "the pipe's path is {units} UTF-16 units long, and the system allows {PIPE_PATH_MAX}, prefix included"
            ),
            Reason::PipeSlash => f.write_str(
                r"a pipe's name has no forward slash; write npipe:NAME, or \\.\pipe\NAME with backslashes",
            ),
            Reason::PipeSegment => {
                f.write_str("a pipe's name neither begins nor ends with a backslash, nor has two in a row, nor a part that is . or ..")
            }
            Reason::PipeChar(c) => {
                write!(f, "the character {c:?} is not allowed in a pipe's name")
            }
            Reason::UnixEmpty => f.write_str("the socket's path is empty"),
            Reason::UnixRelative => f.write_str("a socket's path must be absolute, unix:/path"),
            Reason::UnixAbstract => f.write_str(
                "an abstract socket has no owner and no permissions, so it can't be private; use a path",
            ),
            Reason::UnixNul => f.write_str("a path has no NUL character"),
            Reason::UnixFolder => f.write_str("the path ends with a slash, so it names a folder"),
            Reason::UnixWindowsPath => f.write_str(
                "this is a Windows path; Windows has named pipes here: npipe:NAME, or local:NAME",
            ),
            Reason::TcpPort(port) => write!(
                f,
                "`{}` is not a port; a port is a number from 0 to 65535",
                port.escape_debug()
            ),
            Reason::TcpNoPort => f.write_str("the port is missing; write tcp:127.0.0.1:PORT"),
            Reason::TcpName(name) => write!(
                f,
                "`{}` is not an address; write 127.0.0.1, [::1] or localhost (other names are not looked up)",
                name.escape_debug()
            ),
            Reason::LocalEmpty => f.write_str("the name is empty; write local:NAME"),
            Reason::LocalLong(length) => {
                write!(f, "the name is {length} characters long, and 64 are allowed")
            }
            Reason::LocalChar(c) => write!(
                f,
                "the character {c:?} is not allowed in a name; letters, digits, `.`, `_` and `-` are"
            ),
            Reason::LocalFirst(c) => {
                write!(f, "the name begins with {c:?}; it must begin with a letter or a digit")
            }
            Reason::StdioRest => f.write_str("`stdio` takes nothing behind it"),
        }
    }
}

fn parse(text: &str) -> Result<Endpoint, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.starts_with(r"\\") || text.starts_with("//") {
        return pipe_path(text).map(Endpoint::Pipe);
    }
    if text == "stdio" {
        return Ok(Endpoint::Stdio);
    }
    if text.starts_with('/') || text.starts_with("./") || text.starts_with('~') {
        return Err(Reason::BarePath);
    }
    if text.parse::<SocketAddr>().is_ok() || text.starts_with("localhost:") {
        return Err(Reason::BareAddress);
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(Reason::UnknownScheme(text.to_owned()));
    };
    if scheme.eq_ignore_ascii_case("npipe") {
        pipe(rest).map(Endpoint::Pipe)
    } else if scheme.eq_ignore_ascii_case("unix") {
        unix(rest).map(Endpoint::Unix)
    } else if scheme.eq_ignore_ascii_case("tcp") {
        tcp(rest).map(Endpoint::Tcp)
    } else if scheme.eq_ignore_ascii_case("local") {
        local(rest).map(Endpoint::Local)
    } else if scheme.eq_ignore_ascii_case("stdio") {
        Err(Reason::StdioRest)
    } else {
        Err(Reason::UnknownScheme(scheme.to_owned()))
    }
}

/// What stands behind `npipe:`: a name, or a path in either slash.
fn pipe(rest: &str) -> Result<PipeName, Reason> {
    // `npipe:////./pipe/NAME` is the URL spelling: an empty authority, then the path.
    let path = rest.strip_prefix("//").filter(|path| path.starts_with("//")).unwrap_or(rest);
    if path.starts_with(r"\\") || path.starts_with("//") {
        pipe_path(path)
    } else if path.contains('/') {
        Err(Reason::PipeSlash)
    } else {
        pipe_name(path)
    }
}

/// A pipe's whole path, in backslashes or in forward slashes, not in both.
fn pipe_path(path: &str) -> Result<PipeName, Reason> {
    let path = if path.starts_with("//") {
        if path.contains('\\') {
            return Err(Reason::PipeSlash);
        }
        path.replace('/', "\\")
    } else if path.contains('/') {
        return Err(Reason::PipeSlash);
    } else {
        path.to_owned()
    };
    let mut parts = path[2..].splitn(3, '\\');
    let system = parts.next().unwrap_or_default();
    let share = parts.next().unwrap_or_default();
    let name = parts.next();
    if system.eq_ignore_ascii_case("wsl$") || system.eq_ignore_ascii_case("wsl.localhost") {
        return Err(Reason::WslShare);
    }
    if !share.eq_ignore_ascii_case("pipe") {
        return Err(Reason::PipePrefix);
    }
    if system != "." {
        return Err(if system.is_empty() || system == "?" {
            Reason::PipePrefix
        } else {
            Reason::RemotePipe
        });
    }
    pipe_name(name.unwrap_or_default())
}

fn pipe_name(name: &str) -> Result<PipeName, Reason> {
    if name.is_empty() {
        return Err(Reason::PipeEmpty);
    }
    // The file system of pipes takes these five for wildcards and refuses them in a name.
    if let Some(c) = name.chars().find(|c| c.is_control() || "*?<>\"".contains(*c)) {
        return Err(Reason::PipeChar(c));
    }
    if name.split('\\').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Reason::PipeSegment);
    }
    let units = PIPE_PREFIX.len() + name.encode_utf16().count();
    if units > PIPE_PATH_MAX {
        return Err(Reason::PipeLong(units));
    }
    Ok(PipeName(name.to_owned()))
}

fn unix(rest: &str) -> Result<UnixPath, Reason> {
    // `unix:///path` is the URL spelling: an empty authority, then the path.
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
    if path.starts_with('@') || path.starts_with('\0') {
        return Err(Reason::UnixAbstract);
    }
    let lower = path.to_ascii_lowercase().replace('/', "\\");
    let is_share = path.starts_with("//") || path.starts_with(r"\\");
    if is_share && (lower.starts_with(r"\\wsl$\") || lower.starts_with(r"\\wsl.localhost\")) {
        return Err(Reason::WslShare);
    }
    let is_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if is_drive || path.starts_with('\\') {
        return Err(Reason::UnixWindowsPath);
    }
    if !path.starts_with('/') {
        return Err(Reason::UnixRelative);
    }
    if path.contains('\0') {
        return Err(Reason::UnixNul);
    }
    if path.ends_with('/') {
        return Err(Reason::UnixFolder);
    }
    // Read back, `unix://` and a slash would be the URL spelling of a shorter path.
    let path = path.trim_start_matches('/');
    let text = format!("/{path}");
    Ok(UnixPath { path: PathBuf::from(&text), text })
}

fn tcp(rest: &str) -> Result<SocketAddr, Reason> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (address, port) = rest.rsplit_once(':').ok_or(Reason::TcpNoPort)?;
    if rest.ends_with(']') || (address.contains(':') && !address.ends_with(']')) {
        return Err(if rest.parse::<Ipv6Addr>().is_ok() || rest.ends_with(']') {
            Reason::TcpNoPort
        } else {
            Reason::TcpName(address.to_owned())
        });
    }
    let ip = if address.eq_ignore_ascii_case("localhost") {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else if let Some(v6) = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
        IpAddr::V6(v6.parse().map_err(|_| Reason::TcpName(v6.to_owned()))?)
    } else {
        IpAddr::V4(address.parse().map_err(|_| Reason::TcpName(address.to_owned()))?)
    };
    if port.is_empty() {
        return Err(Reason::TcpNoPort);
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reason::TcpPort(port.to_owned()));
    }
    let port = port.parse().map_err(|_| Reason::TcpPort(port.to_owned()))?;
    Ok(SocketAddr::new(ip, port))
}

fn local(name: &str) -> Result<LocalName, Reason> {
    let first = name.chars().next().ok_or(Reason::LocalEmpty)?;
    if let Some(c) =
        name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        return Err(Reason::LocalChar(c));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(Reason::LocalFirst(first));
    }
    if name.len() > 64 {
        return Err(Reason::LocalLong(name.len()));
    }
    Ok(LocalName(name.to_owned()))
}

impl From<PipeName> for Endpoint {
    fn from(name: PipeName) -> Self {
        Endpoint::Pipe(name)
    }
}

impl TryFrom<&Path> for UnixPath {
    type Error = EndpointParseError;

    fn try_from(path: &Path) -> Result<Self, Self::Error> {
        let text = path.to_string_lossy();
        unix(&text).map_err(|reason| EndpointParseError { text: text.into_owned(), reason })
    }
}

impl FromStr for PipeName {
    type Err = EndpointParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        pipe(text).map_err(|reason| EndpointParseError { text: text.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, canonical: &str) {
        let endpoint: Endpoint = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(endpoint.to_string(), canonical);
        assert_eq!(canonical.parse::<Endpoint>().unwrap(), endpoint);
    }

    #[track_caller]
    fn refuses(text: &str, part: &str) {
        let error = text.parse::<Endpoint>().expect_err(text).to_string();
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }

    #[test]
    fn every_spelling_of_a_pipe_is_the_same_pipe() {
        for text in [
            "npipe:my-agent",
            r"\\.\pipe\my-agent",
            r"\\.\PIPE\my-agent",
            "//./pipe/my-agent",
            "npipe:////./pipe/my-agent",
            r"npipe:\\.\pipe\my-agent",
            "npipe://./pipe/my-agent",
            "NPIPE:my-agent",
        ] {
            reads(text, r"\\.\pipe\my-agent");
        }
        assert_eq!(
            "npipe:My-Agent".parse::<Endpoint>().unwrap(),
            "npipe:my-agent".parse::<Endpoint>().unwrap()
        );
    }

    #[test]
    fn a_pipe_name_may_have_parts() {
        reads(r"npipe:LOCAL\agent", r"\\.\pipe\LOCAL\agent");
        reads("npipe:////./pipe/LOCAL/agent", r"\\.\pipe\LOCAL\agent");
    }

    #[test]
    fn an_odd_pipe_name_is_refused() {
        refuses(r"\\server\pipe\x", "only pipes of this system");
        refuses("npipe://server/pipe/x", "only pipes of this system");
        refuses("npipe:a/b", "forward slash");
        refuses(r"\\.\pipe/x", "forward slash");
        refuses(r"\\.\pipe\", "empty");
        refuses(r"\\.\pipe", "empty");
        refuses(r"\\.\mailslot\x", "must begin");
        refuses(r"\\?\pipe\x", "must begin");
        refuses("npipe:", "empty");
        refuses(r"npipe:\x", "neither begins");
        refuses(r"npipe:a\\b", "two in a row");
        refuses(r"npipe:a\..\b", "..");
        refuses("npipe:a*", "'*'");
        refuses("npipe:a\nb", "'\\n'");
        refuses(&format!("npipe:{}", "x".repeat(248)), "257 UTF-16 units");
        reads(&format!("npipe:{}", "x".repeat(247)), &format!(r"\\.\pipe\{}", "x".repeat(247)));
    }

    #[test]
    fn a_socket_is_an_absolute_path() {
        reads(r"unix://\wsl$/a", r"unix:/\wsl$/a");
        reads("unix:/:/run/a", "unix:/:/run/a");
        reads("unix:/run/a.sock", "unix:/run/a.sock");
        reads("unix:///run/a.sock", "unix:/run/a.sock");
        reads("unix://///run/a.sock", "unix:/run/a.sock");
        reads("unix:/run/with space: and colon", "unix:/run/with space: and colon");
        refuses("unix:run/a.sock", "absolute");
        refuses("unix:", "absolute");
        refuses("unix:@abstract", "abstract");
        refuses("unix:/run/", "folder");
        refuses("/run/a.sock", "unix:/path");
        refuses(r"unix:C:\a.sock", "Windows path");
        refuses(r"\\wsl$\Debian\tmp\a.sock", "file share");
        refuses(r"unix:\\wsl.localhost\Debian\tmp\a.sock", "file share");
        refuses("unix://wsl.localhost/Debian/a.sock", "file share");
    }

    #[test]
    fn a_port_has_an_address() {
        reads("tcp:127.0.0.1:80", "tcp:127.0.0.1:80");
        reads("tcp://127.0.0.1:80", "tcp:127.0.0.1:80");
        reads("tcp:[::1]:80", "tcp:[::1]:80");
        reads("tcp:localhost:0", "tcp:127.0.0.1:0");
        reads("tcp:192.0.2.1:8080", "tcp:192.0.2.1:8080");
        refuses("tcp:127.0.0.1", "port is missing");
        refuses("tcp:[::1]", "port is missing");
        refuses("tcp:::1", "port is missing");
        refuses("tcp:127.0.0.1:", "port is missing");
        refuses("tcp:127.0.0.1:65536", "65535");
        refuses("tcp:127.0.0.1:+80", "not a port");
        refuses("tcp:example.org:80", "not looked up");
        refuses("127.0.0.1:80", "tcp:127.0.0.1:PORT");
        refuses("localhost:80", "tcp:127.0.0.1:PORT");
    }

    #[test]
    fn a_local_name_is_plain() {
        reads("local:my-agent.1_x", "local:my-agent.1_x");
        refuses("local:", "empty");
        refuses("local:a/b", "'/'");
        refuses("local:..", "begins with '.'");
        refuses(&format!("local:{}", "x".repeat(65)), "64");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        refuses("", "empty");
        reads("stdio", "stdio");
        refuses("stdio:x", "nothing behind");
        refuses("http://localhost", "no kind `http`");
        refuses("agent", "no kind `agent`");
    }
}
