//! What CreateProcess wants to be told: a program's path, one line of arguments, the environment
//! and the folder, all in UTF-16.

// The system's folder is asked for through a raw pointer.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf, Prefix};

use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

use super::SHELL;
use crate::child::{Line, Program};

/// The longest line that CreateProcess takes, in UTF-16 units, its NUL included.
const LINE_MAX: usize = 32_767;

/// The longest line that cmd.exe takes.
const SCRIPT_LINE_MAX: usize = 8_191;

/// Room for a path of the system's (MAX_PATH).
const PATH_MAX: u32 = 260;

/// All of it, each text with a NUL at its end.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) program: Vec<u16>,
    pub(super) line: Vec<u16>,
    pub(super) environment: Vec<u16>,
    pub(super) folder: Option<Vec<u16>>,
}

impl Command {
    /// `defaults` are variables that go before our own and behind the program's.
    pub(super) fn new(program: &Program, defaults: &[(&str, &str)]) -> io::Result<Command> {
        let defaults = defaults.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let own = std::env::vars_os().chain(defaults);
        let variables = Variables::of(own.chain(program.variables.iter().cloned()));
        let (path, line, max) = match &program.line {
            Line::Script(script) => {
                (system_folder()?.join(SHELL), script_line(script)?, SCRIPT_LINE_MAX)
            }
            Line::Program(name, args) => {
                (find(name, variables.value("PATH"))?, line(name, args), LINE_MAX)
            }
        };
        if line.len() >= max {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        Ok(Command {
            program: terminated(path.as_os_str()),
            line: line.into_iter().chain([0]).collect(),
            environment: variables.block(),
            folder: program.folder.as_deref().map(|folder| terminated(plain(folder).as_os_str())),
        })
    }
}

fn terminated(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The folder without the verbatim prefix that canonical paths have: programs take theirs for one
/// on another machine.
fn plain(folder: &Path) -> PathBuf {
    let mut parts = folder.components();
    match parts.next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::VerbatimDisk(drive) => {
                PathBuf::from(format!("{}:{}", char::from(drive), parts.as_path().display()))
            }
            _ => folder.to_owned(),
        },
        _ => folder.to_owned(),
    }
}

fn system_folder() -> io::Result<PathBuf> {
    let mut buffer = [0u16; PATH_MAX as usize];
    // SAFETY: `buffer` has room for as many units as is told.
    let length = unsafe { GetSystemDirectoryW(buffer.as_mut_ptr(), PATH_MAX) };
    match buffer.get(..length as usize) {
        Some([]) => Err(io::Error::last_os_error()),
        Some(path) => Ok(OsString::from_wide(path).into()),
        None => Err(io::Error::other("the path of the system's folder is too long")),
    }
}

/// The file of a program: as named if it names a folder, else in one of the folders of `search`.
/// Neither our own folder nor the current one is searched, as CreateProcess would.
fn find(name: &OsStr, search: Option<&OsStr>) -> io::Result<PathBuf> {
    let path = Path::new(name);
    let found = if path.components().count() > 1 || path.has_root() {
        // Absolute, so that it is not looked for again elsewhere.
        file(&std::path::absolute(path)?)
    } else {
        std::env::split_paths(search.unwrap_or_default())
            .filter(|folder| folder.is_absolute())
            .find_map(|folder| file(&folder.join(name)))
    };
    let found = found.ok_or(io::ErrorKind::NotFound)?;
    // CreateProcess would hand these to cmd.exe, which reads the line by rules of its own: an
    // argument could become a command.
    let lossy = found.as_os_str().to_string_lossy().to_ascii_lowercase();
    let bare = lossy.trim_end_matches(['.', ' ']);
    if bare.ends_with(".bat") || bare.ends_with(".cmd") {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a batch file can't be started as a program; run it by a script",
        ));
    }
    Ok(found)
}

/// The path itself if it has an extension, or with `.exe`.
fn file(path: &Path) -> Option<PathBuf> {
    let mut with_exe = path.as_os_str().to_owned();
    with_exe.push(".exe");
    let own = path.extension().is_some().then(|| path.to_owned());
    own.into_iter().chain([with_exe.into()]).find(|path| {
        // Not followed: the aliases of installed apps lead nowhere that can be looked at.
        std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir())
    })
}

/// The line from which a program that follows Microsoft's C library reads `args`.
fn line(name: &OsStr, args: &[OsString]) -> Vec<u16> {
    // The first is the name, in which backslashes mean themselves.
    let mut line = vec![QUOTE];
    line.extend(name.encode_wide().filter(|unit| *unit != QUOTE));
    line.push(QUOTE);
    for arg in args {
        line.push(SPACE);
        quote(arg, &mut line);
    }
    line
}

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;
const SPACE: u16 = b' ' as u16;

/// Backslashes mean themselves but before a quote, where each is doubled: the closing one, too.
fn quote(arg: &OsStr, line: &mut Vec<u16>) {
    let units: Vec<u16> = arg.encode_wide().collect();
    let divides = |unit: &u16| [SPACE, QUOTE].contains(unit) || (9..=13).contains(unit);
    if !units.is_empty() && !units.iter().any(divides) {
        return line.extend(units);
    }
    line.push(QUOTE);
    let mut backslashes = 0;
    for unit in units {
        if unit == QUOTE {
            line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if unit == BACKSLASH { backslashes + 1 } else { 0 };
        line.push(unit);
    }
    line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    line.push(QUOTE);
}

/// With `/s`, cmd.exe takes off the first and the last quote and leaves all between as it is.
fn script_line(script: &str) -> io::Result<Vec<u16>> {
    let script = script.trim_end_matches(['\r', '\n']);
    // It would run the first line, and not say a word about the others.
    if script.contains(['\r', '\n']) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "cmd.exe runs one line only; join commands with && or put them in a batch file",
        ));
    }
    Ok(format!("\"{SHELL}\" /d /s /c \"{script}\"").encode_utf16().collect())
}

/// Variables by their names, whose case makes no difference; a later one replaces an earlier one.
struct Variables(BTreeMap<Vec<u16>, (OsString, OsString)>);

impl Variables {
    fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Variables {
        Variables(variables.map(|(name, value)| (folded(&name), (name, value))).collect())
    }

    fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(&folded(name.as_ref())).map(|(_, value)| value.as_os_str())
    }

    /// As CreateProcess wants it: in the order of the names, each with a NUL, and one more.
    fn block(&self) -> Vec<u16> {
        let mut block = Vec::new();
        for (name, value) in self.0.values() {
            block.extend(name.encode_wide());
            block.push(u16::from(b'='));
            block.extend(value.encode_wide().chain([0]));
        }
        if block.is_empty() {
            block.push(0);
        }
        block.push(0);
        block
    }
}

/// A name in capitals, unit by unit, as the system compares them.
fn folded(name: &OsStr) -> Vec<u16> {
    let capital = |unit: u16| {
        let mut capitals = char::from_u32(unit.into())?.to_uppercase();
        let capital = u16::try_from(u32::from(capitals.next()?)).ok()?;
        capitals.next().is_none().then_some(capital)
    };
    name.encode_wide().map(|unit| capital(unit).unwrap_or(unit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(units: &[u16]) -> String {
        String::from_utf16(units).unwrap()
    }

    #[test]
    fn arguments_are_quoted_where_they_must_be() {
        for (arg, quoted) in [
            ("plain", "plain"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            (r"C:\a\", r"C:\a\"),
            (r"C:\a b\", r#""C:\a b\\""#),
            (r#"a"b"#, r#""a\"b""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            (r"a\\b c", r#""a\\b c""#),
            ("a\tb", "\"a\tb\""),
        ] {
            let mut line = Vec::new();
            quote(arg.as_ref(), &mut line);
            assert_eq!(text(&line), quoted);
        }
        let line = line("a program".as_ref(), &["x".into(), "y z".into()]);
        assert_eq!(text(&line), r#""a program" x "y z""#);
    }

    #[test]
    fn a_script_is_one_line_between_quotes() {
        let line = script_line("echo \"a b\" & exit 3\n").unwrap();
        assert_eq!(text(&line), r#""cmd.exe" /d /s /c "echo "a b" & exit 3""#);
        let error = script_line("echo a\necho b").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn variables_are_replaced_whatever_their_case() {
        let pairs = [("Path", "1"), ("other", "2"), ("PATH", "3"), ("ÄB", "4"), ("äb", "5")];
        let variables =
            Variables::of(pairs.iter().map(|(name, value)| (name.into(), value.into())));
        assert_eq!(variables.value("path").unwrap(), "3");
        assert_eq!(text(&variables.block()), "other=2\0PATH=3\0äb=5\0\0");
        assert_eq!(Variables::of(std::iter::empty()).block(), [0, 0]);
    }

    #[test]
    fn a_verbatim_folder_is_told_plainly() {
        for (folder, told) in [
            (r"\\?\C:\a\b", r"C:\a\b"),
            (r"C:\a", r"C:\a"),
            (r"\\?\UNC\server\share", r"\\?\UNC\server\share"),
            (r"relative", r"relative"),
        ] {
            assert_eq!(plain(Path::new(folder)), Path::new(told));
        }
    }
}
