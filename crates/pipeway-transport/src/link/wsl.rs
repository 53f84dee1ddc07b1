//! What `wsl.exe` is told, and what it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::spec::Distribution;
use crate::child::Program;
use crate::{Error, ErrorKind};

/// Makes `wsl.exe` write UTF-8; older ones write UTF-16 all the same.
const UTF8: (&str, &str) = ("WSL_UTF8", "1");

/// Where `wsl.exe` is, looked for in no other place: what stands first in a `PATH` is not always
/// what the user thinks.
pub(super) fn program(named: Option<&Path>) -> PathBuf {
    match named {
        Some(path) => path.to_owned(),
        None => {
            let root =
                std::env::var_os("SystemRoot").unwrap_or_else(|| OsString::from("C:\\Windows"));
            Path::new(&root).join("System32").join("wsl.exe")
        }
    }
}

/// Lists the distributions, one in a line: `-q` leaves out the heading, which is in the user's
/// language.
pub(super) fn list(named: Option<&Path>) -> Program {
    Program::new(program(named)).arg("-l").arg("-q").variable(UTF8.0, UTF8.1)
}

/// Starts `guest` in `distribution` without a shell in between.
pub(super) fn exec(
    named: Option<&Path>,
    distribution: &Distribution,
    user: Option<&str>,
    environment: &[(String, String)],
    guest: &str,
) -> Program {
    let mut program =
        Program::new(program(named)).variable(UTF8.0, UTF8.1).arg("-d").arg(distribution.as_str());
    if let Some(user) = user {
        program = program.arg("-u").arg(user);
    }
    program = program.arg("--exec");
    if !environment.is_empty() {
        program = program.arg("/usr/bin/env");
        for (name, value) in environment {
            program = program.arg(format!("{name}={value}"));
        }
    }
    program.arg(guest).arg("guest")
}

/// The names in what `-l -q` wrote.
pub(super) fn names(output: &[u8]) -> Vec<String> {
    let text = text(output);
    // A BOM, NUL bytes of a wrong guess and spaces belong to no name.
    let trim = |c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0';
    text.lines()
        .map(|line| line.trim_matches(trim))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The distribution of this name in what `wsl.exe` listed, spelled as it is there.
pub(super) fn find(wanted: &Distribution, names: &[String]) -> Result<Distribution, Error> {
    let listed = |name: &&String| name.eq_ignore_ascii_case(wanted.as_str());
    let exact = names.iter().find(|name| *name == wanted.as_str());
    if let Some(name) = exact.or_else(|| names.iter().find(listed)) {
        let spec: super::spec::LinkSpec = format!("wsl:{name}").parse().map_err(|error| {
            Error::new(ErrorKind::Unsupported, format!("{error}")).hint("give it another name")
        })?;
        if let super::spec::LinkSpec::Wsl(name) = spec {
            return Ok(name);
        }
    }
    let message = format!("WSL has no distribution `{}`", wanted.as_str());
    let hint = match names {
        [] => "install one: wsl.exe --install".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    Err(Error::new(ErrorKind::NotFound, message).hint(hint))
}

/// What a Windows program wrote: UTF-8, or UTF-16 in little-endian with or without its mark.
pub(super) fn text(bytes: &[u8]) -> String {
    if is_utf16(bytes) {
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_owned();
    }
    String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned()
}

/// Text has no NUL bytes but as every second byte of Latin letters, spaces and line ends.
fn is_utf16(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0xff, 0xfe]) {
        return true;
    }
    let pairs = bytes.len() / 2;
    let latin = bytes.chunks_exact(2).filter(|pair| pair[0] != 0 && pair[1] == 0).count();
    latin > 0 && latin * 4 >= pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn distribution(name: &str) -> Distribution {
        match format!("wsl:{name}").parse().unwrap() {
            super::super::LinkSpec::Wsl(name) => name,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_list_is_read_in_every_encoding_that_wsl_has_written() {
        let list = "Ubuntu-22.04\r\nDebian\r\ndocker-desktop\r\n";
        let names = ["Ubuntu-22.04", "Debian", "docker-desktop"];
        assert_eq!(super::names(&utf16(list)), names);
        assert_eq!(super::names(&utf16(&format!("\u{feff}{list}"))), names);
        assert_eq!(super::names(list.as_bytes()), names);
        assert_eq!(super::names(format!("\u{feff}{list}").as_bytes()), names);
        assert_eq!(super::names(list.replace('\r', "").as_bytes()), names);
        // Lines ended by the C runtime's translation of text, as old versions did: \r\r\n.
        assert_eq!(super::names(&utf16(&list.replace('\r', "\r\r"))), names);
        assert_eq!(super::names(b""), Vec::<String>::new());
    }

    #[test]
    fn a_message_is_read_in_either_encoding_and_any_language() {
        for message in [
            "There is no distribution with the supplied name.\r\n",
            "Es ist keine Distribution mit dem angegebenen Namen vorhanden.",
            "指定された名前のディストリビューションはありません。 Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND",
        ] {
            assert_eq!(text(&utf16(message)), message);
            assert_eq!(text(message.as_bytes()), message);
        }
    }

    #[test]
    fn a_distribution_is_found_without_regard_to_case_in_its_own_spelling() {
        let names = ["ubuntu".to_owned(), "Ubuntu".to_owned(), "Debian".to_owned()];
        assert_eq!(find(&distribution("Ubuntu"), &names).unwrap().as_str(), "Ubuntu");
        assert_eq!(find(&distribution("debian"), &names).unwrap().as_str(), "Debian");
    }

    #[test]
    fn an_unknown_distribution_is_told_with_the_known_ones() {
        let error = find(&distribution("Arch"), &["Ubuntu".to_owned(), "Debian".to_owned()]);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.advice(), Some("it has Ubuntu, Debian"));
        let none = find(&distribution("Arch"), &[]).unwrap_err();
        assert!(none.advice().unwrap().contains("--install"));
    }

    #[test]
    fn the_command_line_has_no_shell_in_it() {
        let environment = [("PATH".to_owned(), "/a b".to_owned())];
        let program = exec(
            Some(Path::new("w.exe")),
            &distribution("Debian"),
            Some("me"),
            &environment,
            "/opt/pipeway",
        );
        let shown = format!("{program:?}");
        let words = r#"["-d", "Debian", "-u", "me", "--exec", "/usr/bin/env", "PATH=/a b", "/opt/pipeway", "guest"]"#;
        assert!(shown.contains(words), "{shown}");
        assert!(shown.contains(r#"("WSL_UTF8", "1")"#), "{shown}");
    }
}
