//! The command line's words as a script for the other side's shell.
//!
//! One word is a script already, as `ssh` takes it; several are a program and its arguments, as
//! `docker exec` takes them, and are quoted so that they arrive as they are.

use crate::exit::Exit;
use crate::output::Failure;

/// What an agent runs on, as far as its shell is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// `/bin/sh`.
    Posix,
    /// `cmd.exe`.
    Windows,
}

impl Platform {
    /// By the name in the agent's capabilities.
    pub(crate) fn of(name: &str) -> Self {
        if name == "windows" { Platform::Windows } else { Platform::Posix }
    }

    /// What runs the user's login shell.
    pub(crate) fn login_shell(self) -> &'static str {
        match self {
            Platform::Posix => "exec \"${SHELL:-/bin/sh}\" -l",
            Platform::Windows => "cmd.exe",
        }
    }

    /// What is typed at the end of input.
    pub(crate) fn end_of_input(self, after_line: bool) -> &'static [u8] {
        match (self, after_line) {
            // Ctrl-D, which within a line only hands that on.
            (Platform::Posix, true) => b"\x04",
            (Platform::Posix, false) => b"\x04\x04",
            // Ctrl-Z, which counts at the beginning of a line.
            (Platform::Windows, true) => b"\x1a\r",
            (Platform::Windows, false) => b"\r\x1a\r",
        }
    }

    /// The words of a command as a script.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] for a word that can't be quoted there.
    pub(crate) fn script(self, words: &[String]) -> Result<String, Failure> {
        match (words, self) {
            ([script], _) => Ok(script.clone()),
            (_, Platform::Posix) => {
                Ok(words.iter().map(|word| posix(word)).collect::<Vec<_>>().join(" "))
            }
            (_, Platform::Windows) => {
                let words: Result<Vec<_>, _> = words.iter().map(|word| windows(word)).collect();
                words.map(|words| words.join(" "))
            }
        }
    }
}

/// A word for a POSIX shell (Shell Command Language, 2.2.2): nothing is special in single quotes.
fn posix(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte);
    // A first word with `=` in it would be an assignment.
    if !word.is_empty() && !word.contains('=') && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A word for `cmd.exe` and the C runtime's rules of arguments. In double quotes cmd.exe leaves
/// all but `%` alone; what is quoted for it and holds quotes itself can't be told apart.
fn windows(word: &str) -> Result<String, Failure> {
    if let Some(c) = word.chars().find(|c| "\"%\r\n".contains(*c)) {
        let what = format!("the word `{}` has {c:?} in it", word.escape_debug());
        return Err(Failure::new(
            Exit::Usage,
            format!("{what}, which cmd.exe does not take as it is"),
        )
        .hint("write the whole command as one word, in cmd.exe's own syntax"));
    }
    let is_plain = |c: char| c.is_alphanumeric() || "-_./\\:+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Ok(word.to_owned());
    }
    // Backslashes before the closing quote would escape it.
    let trailing = word.len() - word.trim_end_matches('\\').len();
    Ok(format!("\"{word}{}\"", "\\".repeat(trailing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(platform: Platform, words: &[&str]) -> Result<String, Failure> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        platform.script(&words)
    }

    #[test]
    fn one_word_is_a_script_as_it_is() {
        let text = "echo $HOME | wc -c > 'a b'";
        assert_eq!(script(Platform::Posix, &[text]).unwrap(), text);
        assert_eq!(script(Platform::Windows, &["echo %PATH%"]).unwrap(), "echo %PATH%");
    }

    #[test]
    fn several_words_stay_words_in_a_posix_shell() {
        let words =
            ["printf", "%s\\n", "a b", "it's", "$HOME", "", "*", "~", "a=b", "--x=y", "ä;|&"];
        assert_eq!(
            script(Platform::Posix, &words).unwrap(),
            r"printf '%s\n' 'a b' 'it'\''s' '$HOME' '' '*' '~' 'a=b' '--x=y' 'ä;|&'"
        );
        assert_eq!(script(Platform::Posix, &["FOO=1", "x"]).unwrap(), "'FOO=1' x");
    }

    #[test]
    fn several_words_stay_words_in_cmd() {
        let words = [r"C:\Program Files\x.exe", "/c", "a&b", r"C:\a b\", "", "plain", "^|<>"];
        assert_eq!(
            script(Platform::Windows, &words).unwrap(),
            r#""C:\Program Files\x.exe" /c "a&b" "C:\a b\\" "" plain "^|<>""#
        );
    }

    #[test]
    fn what_cmd_would_change_is_refused() {
        for word in ["say \"hi\"", "%PATH%", "a\nb"] {
            let failure = script(Platform::Windows, &["x", word]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{word}");
        }
    }

    #[test]
    fn the_end_of_input_ends_a_line_that_was_begun() {
        assert_eq!(Platform::Posix.end_of_input(true), b"\x04");
        assert_eq!(Platform::Posix.end_of_input(false), b"\x04\x04");
    }
}
