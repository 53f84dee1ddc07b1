//! Which program starts a link's guest.

use std::ffi::OsString;

use super::config::LinkConfig;
use super::spec::LinkSpec;
use super::wsl;
use crate::child::Program;
use crate::{Error, ErrorKind, Mode, sys};

/// The variable by which WSL's interop is reached, from inside WSL.
const INTEROP: &str = "WSL_INTEROP";

/// The variable that names what crosses between Windows and WSL.
const CROSSING: &str = "WSLENV";

impl LinkConfig {
    /// Checks all that can be checked without starting anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a kind of link that this system has no use for, for an
    /// option that the kind does not have, and for a name that can't be one.
    pub fn check(&self) -> Result<(), Error> {
        let refused = |message: String, hint: &str| {
            Err(Error::new(ErrorKind::Unsupported, message).hint(hint))
        };
        let is_windows = sys::LOCAL_MODE == Mode::NamedPipe;
        match &self.to {
            LinkSpec::Wsl(_) if !is_windows && self.wsl_program.is_none() => {
                return refused(
                    format!("{} leads from Windows into WSL, and this is not Windows", self.to),
                    "from inside WSL, `windows` leads to Windows; elsewhere write command:[\"ssh\", \"HOST\", \"pipeway\", \"guest\"] or the like",
                );
            }
            LinkSpec::Windows if is_windows => {
                return refused(
                    "`windows` leads from inside WSL to Windows, and this is Windows".to_owned(),
                    "leave `through` out; wsl:DISTRIBUTION leads into WSL",
                );
            }
            _ => {}
        }
        if self.user.is_some() && !matches!(self.to, LinkSpec::Wsl(_)) {
            return refused(
                format!("a link to {} has no `user`", self.to),
                "only wsl: has one; leave it out",
            );
        }
        if self.guest.is_some() && matches!(self.to, LinkSpec::Command(_)) {
            return refused(
                "a command names its guest itself, so the link has no `guest`".to_owned(),
                "leave it out, and write the program into the command",
            );
        }
        for (what, word) in [("user", &self.user), ("guest", &self.guest)] {
            let wrong = |word: &String| {
                word.is_empty() || word.starts_with('-') || word.chars().any(char::is_control)
            };
            if let Some(word) = word.as_ref().filter(|word| wrong(word)) {
                return refused(
                    format!("`{}` can't be a link's {what}", word.escape_debug()),
                    "write a name that begins with no `-` and has no control character",
                );
            }
        }
        for (name, value) in &self.environment {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || !name.bytes().all(plain) || value.contains('\0') {
                return refused(
                    format!("`{}` can't be a variable", name.escape_debug()),
                    "write letters, digits and `_`, and a value without NUL characters",
                );
            }
        }
        Ok(())
    }

    /// The program, for a distribution whose name was looked up.
    ///
    /// # Errors
    ///
    /// Where this process can't reach Windows.
    pub(super) fn program(&self) -> Result<Program, Error> {
        Ok(match &self.to {
            LinkSpec::Wsl(distribution) => wsl::exec(
                self.wsl_program.as_deref(),
                distribution,
                self.user.as_deref(),
                &self.environment,
                self.guest.as_deref().unwrap_or("pipeway"),
            ),
            LinkSpec::Windows => {
                let given = self.environment.iter().any(|(name, _)| name == INTEROP);
                if !given && std::env::var_os(INTEROP).is_none() {
                    let message = format!(
                        "{INTEROP} is not set, so Windows programs can't be started from here"
                    );
                    return Err(Error::new(ErrorKind::Unsupported, message).hint(
                        "start it from a shell inside WSL; a service needs WSL_INTEROP set to one of /run/WSL/*_interop",
                    ));
                }
                let program = self.guest.as_deref().unwrap_or("pipeway.exe");
                let mut crossing = std::env::var_os(CROSSING).unwrap_or_default();
                let mut program = Program::new(program).arg("guest");
                for (name, value) in &self.environment {
                    program = program.variable(name, value);
                    crossing = joined(crossing, name);
                }
                if self.environment.is_empty() {
                    program
                } else {
                    program.variable(CROSSING, crossing)
                }
            }
            LinkSpec::Command(line) => {
                let mut program = Program::new(line.program());
                for arg in line.args() {
                    program = program.arg(arg);
                }
                for (name, value) in &self.environment {
                    program = program.variable(name, value);
                }
                program
            }
        })
    }
}

/// `list:name`, as `WSLENV` is written.
fn joined(mut list: OsString, name: &str) -> OsString {
    if !list.is_empty() {
        list.push(":");
    }
    list.push(name);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(to: &str) -> LinkConfig {
        LinkConfig::new("x", to.parse().unwrap())
    }

    fn refused(config: &LinkConfig, part: &str) {
        let error = config.check().unwrap_err();
        assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        assert!(error.advice().is_some());
    }

    #[test]
    fn a_link_that_makes_no_sense_here_is_refused() {
        if sys::LOCAL_MODE == Mode::NamedPipe {
            refused(&config("windows"), "this is Windows");
            config("wsl:Debian").check().unwrap();
        } else {
            refused(&config("wsl:Debian"), "this is not Windows");
            config("windows").check().unwrap();
            let mut with_stand_in = config("wsl:Debian");
            with_stand_in.wsl_program = Some("/bin/true".into());
            with_stand_in.check().unwrap();
        }
    }

    #[test]
    fn an_option_that_a_kind_does_not_have_is_refused() {
        let mut command = config(r#"command:["x"]"#);
        command.guest = Some("y".into());
        refused(&command, "names its guest itself");
        command.guest = None;
        command.user = Some("me".into());
        refused(&command, "has no `user`");
    }

    #[test]
    fn what_would_be_an_option_of_the_program_is_refused() {
        let mut link = config("wsl:Debian");
        link.wsl_program = Some("w".into());
        link.user = Some("-u root".into());
        refused(&link, "can't be a link's user");
        link.user = None;
        link.environment = vec![("-i A".into(), "x".into())];
        refused(&link, "can't be a variable");
    }

    #[test]
    fn variables_of_a_windows_guest_are_let_across() {
        let mut link = config("windows");
        link.environment = vec![(INTEROP.into(), "/run/x".into()), ("LANG".into(), "C".into())];
        let shown = format!("{:?}", link.program().unwrap());
        assert!(shown.contains(r#"("LANG", "C")"#), "{shown}");
        assert!(shown.contains(":LANG\")"), "{shown}");
    }
}
