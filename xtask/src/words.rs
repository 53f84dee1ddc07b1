//! The words behind a command: options, and what stands behind them.

use std::path::PathBuf;

/// A command's words, in their order.
#[derive(Debug)]
pub struct Words<'a> {
    help: &'a str,
    left: std::slice::Iter<'a, String>,
    /// The option that was read last.
    option: &'a str,
}

impl<'a> Words<'a> {
    /// Those in `arguments`; `help` is told with what is wrong.
    pub fn new(arguments: &'a [String], help: &'a str) -> Self {
        Words { help, left: arguments.iter(), option: "" }
    }

    /// Whether help is asked for, and nothing else is to be done.
    pub fn ask_for_help(&self) -> bool {
        self.left.clone().any(|word| matches!(word.as_str(), "help" | "-h" | "--help"))
    }

    /// The next option, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        self.option = self.left.next()?;
        Some(self.option)
    }

    /// What stands behind the option.
    ///
    /// # Errors
    ///
    /// There is nothing.
    pub fn value(&mut self) -> Result<&'a str, String> {
        let value = self.left.next().map(String::as_str);
        value.ok_or_else(|| self.wrong(&format!("`{}` wants a value", self.option)))
    }

    /// The path behind the option.
    ///
    /// # Errors
    ///
    /// There is nothing.
    pub fn path(&mut self) -> Result<PathBuf, String> {
        self.value().map(PathBuf::from)
    }

    /// The number behind the option, which is not 0.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn number(&mut self) -> Result<u32, String> {
        let text = self.value()?;
        match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("`{text}` after `{}` is no number from 1", self.option)),
        }
    }

    /// What is wrong with an option that is none.
    pub fn unknown(&self) -> String {
        self.wrong(&format!("there is no option `{}`", self.option))
    }

    /// What is wrong, and what could be written.
    pub fn wrong(&self, what: &str) -> String {
        format!("{what}\n\n{}", self.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_have_what_stands_behind_them() {
        let arguments = split("--rounds 3 --quick --markdown a.md");
        let mut words = Words::new(&arguments, "help");
        assert!(!words.ask_for_help());
        assert_eq!((words.next(), words.number()), (Some("--rounds"), Ok(3)));
        assert_eq!(words.next(), Some("--quick"));
        assert_eq!((words.next(), words.path()), (Some("--markdown"), Ok(PathBuf::from("a.md"))));
        assert_eq!(words.next(), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_option() {
        for (line, wrong) in [
            ("--rounds", "`--rounds` wants a value\n\nhelp"),
            ("--rounds 0", "`0` after `--rounds` is no number from 1"),
            ("--rounds x", "`x` after `--rounds` is no number from 1"),
        ] {
            let arguments = split(line);
            let mut words = Words::new(&arguments, "help");
            words.next();
            assert_eq!(words.number(), Err(wrong.to_owned()), "{line}");
        }
        let arguments = split("--fast -h");
        let mut words = Words::new(&arguments, "help");
        assert!(words.ask_for_help());
        words.next();
        assert_eq!(words.unknown(), "there is no option `--fast`\n\nhelp");
    }
}
