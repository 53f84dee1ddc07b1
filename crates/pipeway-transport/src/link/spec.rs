//! Where a link leads, as text: the one parser and its inverse.

use std::fmt;
use std::str::FromStr;

use crate::Mode;

/// The longest name of a distribution, in characters.
const DISTRIBUTION_MAX: usize = 128;

/// What starts a link's guest.
///
/// [`Display`](fmt::Display) writes the canonical text, which [`FromStr`] reads back to the same
/// value.
///
/// | text | is |
/// |---|---|
/// | `wsl:DISTRIBUTION` | on Windows: a guest in this distribution of WSL |
/// | `windows` | inside WSL: a guest on the Windows side |
/// | `command:["PROGRAM", "ARGUMENT", ...]` | any program whose standard streams reach a guest |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LinkSpec {
    /// A guest in a distribution of WSL, started by `wsl.exe`.
    Wsl(Distribution),
    /// A guest on the Windows side, started by WSL's interop.
    Windows,
    /// A program and its arguments, the first of which is the program: never empty, and without
    /// NUL characters.
    Command(CommandLine),
}

impl LinkSpec {
    /// What a local endpoint is at the other end, where the text tells.
    pub fn local_mode(&self) -> Option<Mode> {
        match self {
            LinkSpec::Wsl(_) => Some(Mode::Unix),
            LinkSpec::Windows => Some(Mode::NamedPipe),
            LinkSpec::Command(_) => None,
        }
    }

    /// A short name for the link: the distribution's, `windows`, or the program's without its
    /// folder. It says nothing of a program's arguments, which may be secret.
    pub fn short_name(&self) -> String {
        match self {
            LinkSpec::Wsl(name) => name.as_str().to_owned(),
            LinkSpec::Windows => "windows".to_owned(),
            LinkSpec::Command(line) => {
                let program = line.program();
                program.rsplit(['/', '\\']).next().unwrap_or(program).to_owned()
            }
        }
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkSpec::Wsl(name) => write!(f, "wsl:{}", name.0),
            LinkSpec::Windows => f.write_str("windows"),
            LinkSpec::Command(line) => {
                f.write_str("command:[")?;
                for (index, word) in line.0.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_json(f, word)?;
                }
                f.write_str("]")
            }
        }
    }
}

impl FromStr for LinkSpec {
    type Err = LinkSpecParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .map_err(|reason| LinkSpecParseError { text: text.chars().take(200).collect(), reason })
    }
}

/// The name of a distribution of WSL: letters, digits, `.`, `_` and `-`, as WSL itself allows
/// them, and not `-` first, which would be an option. WSL compares names without regard to ASCII
/// case, and so does this.
#[derive(Clone, Debug)]
pub struct Distribution(String);

impl Distribution {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Distribution {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Distribution {}

impl std::hash::Hash for Distribution {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The program: looked up in `PATH` if it names no folder.
    pub fn program(&self) -> &str {
        &self.0[0]
    }

    /// Its arguments.
    pub fn args(&self) -> &[String] {
        &self.0[1..]
    }
}

/// A text that is no link: what is wrong with it, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSpecParseError {
    text: String,
    reason: Reason,
}

impl fmt::Display for LinkSpecParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a link: {}", self.text.escape_debug(), self.reason)
    }
}

impl std::error::Error for LinkSpecParseError {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Empty,
    UnknownKind(String),
    WindowsRest,
    DistributionEmpty,
    DistributionLong(usize),
    DistributionDash,
    DistributionChar(char),
    Json(usize, &'static str),
    CommandEmpty,
    ProgramEmpty,
    Nul,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Empty => f.write_str(
                "it is empty; write wsl:DISTRIBUTION, windows, or command:[\"PROGRAM\", \"ARGUMENT\"]",
            ),
            Reason::UnknownKind(kind) => write!(
                f,
                "there is no kind `{}`; the kinds are wsl:, windows and command:",
                kind.escape_debug()
            ),
            Reason::WindowsRest => f.write_str("`windows` takes nothing behind it"),
            Reason::DistributionEmpty => f.write_str(
                "the distribution's name is missing; write wsl:NAME (`wsl.exe -l -q` lists them)",
            ),
            Reason::DistributionLong(length) => write!(
                f,
                "the distribution's name is {length} characters long, and {DISTRIBUTION_MAX} are allowed"
            ),
            Reason::DistributionDash => {
                f.write_str("a distribution's name does not begin with `-`")
            }
            Reason::DistributionChar(c) => write!(
                f,
                "the character {c:?} is not allowed in a distribution's name; letters, digits, `.`, `_` and `-` are"
            ),
            Reason::Json(at, what) => write!(
                f,
                "{what} at character {at}; a command is a JSON array of strings, command:[\"ssh\", \"box\", \"pipeway\", \"guest\"]"
            ),
            Reason::CommandEmpty => {
                f.write_str("the command has no program; write command:[\"PROGRAM\", \"ARGUMENT\"]")
            }
            Reason::ProgramEmpty => f.write_str("the program's name is empty"),
            Reason::Nul => f.write_str("a program and its arguments have no NUL character"),
        }
    }
}

fn parse(text: &str) -> Result<LinkSpec, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (text, None),
    };
    match (kind.to_ascii_lowercase().as_str(), rest) {
        ("wsl", rest) => distribution(rest.unwrap_or_default()).map(LinkSpec::Wsl),
        ("windows", None) => Ok(LinkSpec::Windows),
        ("windows", Some(_)) => Err(Reason::WindowsRest),
        ("command", rest) => command(rest.unwrap_or_default()).map(LinkSpec::Command),
        _ => Err(Reason::UnknownKind(kind.chars().take(40).collect())),
    }
}

fn distribution(name: &str) -> Result<Distribution, Reason> {
    if name.is_empty() {
        return Err(Reason::DistributionEmpty);
    }
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(c) = name.chars().find(|c| !plain(c)) {
        return Err(Reason::DistributionChar(c));
    }
    if name.starts_with('-') {
        return Err(Reason::DistributionDash);
    }
    if name.len() > DISTRIBUTION_MAX {
        return Err(Reason::DistributionLong(name.len()));
    }
    Ok(Distribution(name.to_owned()))
}

fn command(text: &str) -> Result<CommandLine, Reason> {
    let words = Json { text, at: 0 }.words()?;
    let Some(program) = words.first() else { return Err(Reason::CommandEmpty) };
    if program.is_empty() {
        return Err(Reason::ProgramEmpty);
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Reason::Nul);
    }
    Ok(CommandLine(words))
}

/// The one kind of JSON that is needed here: an array of strings (RFC 8259).
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl Json<'_> {
    fn words(mut self) -> Result<Vec<String>, Reason> {
        let mut words = Vec::new();
        self.skip_space();
        self.expect('[', "expected `[`")?;
        self.skip_space();
        if self.next_if(']').is_none() {
            loop {
                words.push(self.string()?);
                self.skip_space();
                if self.next_if(']').is_some() {
                    break;
                }
                self.expect(',', "expected `,` or `]`")?;
                self.skip_space();
            }
        }
        self.skip_space();
        match self.rest().is_empty() {
            true => Ok(words),
            false => Err(self.wrong("something follows the array")),
        }
    }

    fn string(&mut self) -> Result<String, Reason> {
        self.expect('"', "expected a string in double quotes")?;
        let mut word = String::new();
        loop {
            match self.next() {
                None => return Err(self.wrong("the string has no end")),
                Some('"') => return Ok(word),
                Some('\\') => word.push(self.escaped()?),
                Some(c) if c < ' ' => {
                    return Err(self.wrong("a control character must be escaped"));
                }
                Some(c) => word.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Reason> {
        const UNKNOWN: &str = "an escape that JSON does not know (a backslash is written \\\\)";
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let first = self.unit()?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    self.expect('\\', UNKNOWN)?;
                    self.expect('u', UNKNOWN)?;
                    vec![first, self.unit()?]
                } else {
                    vec![first]
                };
                let text = String::from_utf16(&units)
                    .map_err(|_| self.wrong("half of a surrogate pair"))?;
                text.chars().next().unwrap_or_default()
            }
            _ => return Err(self.wrong(UNKNOWN)),
        })
    }

    fn unit(&mut self) -> Result<u16, Reason> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("expected four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn next_if(&mut self, wanted: char) -> Option<char> {
        if self.rest().starts_with(wanted) { self.next() } else { None }
    }

    fn expect(&mut self, wanted: char, what: &'static str) -> Result<(), Reason> {
        self.next_if(wanted).map(drop).ok_or_else(|| self.wrong(what))
    }

    fn skip_space(&mut self) {
        while self.rest().starts_with([' ', '\t', '\n', '\r']) {
            self.at += 1;
        }
    }

    /// `what` is wrong here; the place counts characters of the array, from 1.
    fn wrong(&self, what: &'static str) -> Reason {
        Reason::Json(self.text[..self.at].chars().count() + 1, what)
    }
}

fn write_json(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            c if c < ' ' || c == '\u{7f}' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LinkSpec {
        text.parse().unwrap()
    }

    fn refused(text: &str, part: &str) {
        let error = text.parse::<LinkSpec>().unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }

    #[test]
    fn a_link_is_written_back_as_the_same_text() {
        for text in
            ["wsl:Ubuntu-22.04", "windows", r#"command:["ssh","box","a \"b\" \\c","\u0001é"]"#]
        {
            assert_eq!(read(text).to_string(), text);
            assert_eq!(read(&read(text).to_string()), read(text));
        }
        assert_eq!(read("WSL:a").to_string(), "wsl:a");
        assert_eq!(read(r#"command: [ "a" , "b" ] "#).to_string(), r#"command:["a","b"]"#);
    }

    #[test]
    fn escapes_of_json_are_read() {
        let LinkSpec::Command(line) = read(r#"command:["\/\t\u00e9\ud83d\ude00"]"#) else {
            panic!("a command")
        };
        assert_eq!(line.program(), "/\té😀");
    }

    #[test]
    fn a_distribution_that_would_be_an_option_is_refused() {
        refused("wsl:-u", "does not begin with `-`");
        refused("wsl:--exec", "does not begin with `-`");
    }

    #[test]
    fn what_wsl_allows_in_no_name_is_refused() {
        refused("wsl:a b", "' ' is not allowed");
        refused("wsl:a&calc", "'&' is not allowed");
        refused("wsl:", "name is missing");
        refused("wsl", "name is missing");
        refused(&format!("wsl:{}", "x".repeat(129)), "129 characters");
    }

    #[test]
    fn distributions_are_compared_without_regard_to_case() {
        assert_eq!(read("wsl:Ubuntu"), read("wsl:ubuntu"));
    }

    #[test]
    fn what_is_wrong_with_a_command_is_told_with_its_place() {
        refused("command:", "expected `[` at character 1");
        refused("command:[]", "has no program");
        refused(r#"command:[""]"#, "name is empty");
        refused(r#"command:["a",]"#, "in double quotes at character 6");
        refused(r#"command:["a"] x"#, "something follows the array");
        refused(r#"command:["C:\Users\x"]"#, "a backslash is written");
        refused(r#"command:["\ud83d"]"#, "an escape that JSON does not know");
        refused(r#"command:["a\u0000"]"#, "no NUL");
        refused("command:ssh box", "expected `[`");
        refused("command:[\"a", "has no end");
    }

    #[test]
    fn an_unknown_kind_is_told_with_the_known_ones() {
        refused("ssh:box", "the kinds are wsl:, windows and command:");
        refused("", "it is empty");
        refused("windows:x", "takes nothing");
    }

    #[test]
    fn a_short_name_says_nothing_of_arguments() {
        assert_eq!(read(r#"command:["/usr/bin/ssh","secret"]"#).short_name(), "ssh");
        assert_eq!(read(r#"command:["C:\\x\\plink.exe"]"#).short_name(), "plink.exe");
        assert_eq!(read("wsl:a").short_name(), "a");
    }
}
