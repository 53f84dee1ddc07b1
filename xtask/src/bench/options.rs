//! What the run was told.

use std::path::PathBuf;

use super::{HELP, machine, processes};
use crate::words::Words;

/// The ways that `--without` names, and the bridge's events.
const OPTIONAL: &[&str] = &["direct", "pipeway", "events", "nginx", "haproxy", "systemd"];

#[derive(Debug)]
pub struct Options {
    pub rounds: usize,
    pub seconds: u64,
    pub body_bytes: u64,
    pub idle_sessions: u64,
    /// How often each program is started.
    pub starts: usize,
    pub pipeway: Option<PathBuf>,
    pub without: Vec<String>,
    pub markdown: Option<PathBuf>,
    /// Of the machine, before anything was built or measured.
    pub load_average: String,
}

impl Options {
    /// `None` where only help was asked for.
    ///
    /// # Errors
    ///
    /// What is no option.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut words = Words::new(arguments, HELP);
        if words.ask_for_help() {
            return Ok(None);
        }
        let mut options = Options {
            rounds: 5,
            seconds: 3,
            body_bytes: 1 << 30,
            idle_sessions: 5000,
            starts: 20,
            pipeway: None,
            without: Vec::new(),
            markdown: None,
            load_average: machine::load_average(),
        };
        while let Some(option) = words.next() {
            match option {
                "--rounds" => options.rounds = words.number()? as usize,
                "--seconds" => options.seconds = u64::from(words.number()?),
                "--quick" => {
                    options.rounds = 1;
                    options.seconds = 1;
                    options.body_bytes = 64 << 20;
                    options.idle_sessions = 200;
                    options.starts = 3;
                }
                "--pipeway" => options.pipeway = Some(words.path()?),
                "--without" => {
                    let way = words.value()?;
                    if !OPTIONAL.contains(&way) {
                        return Err(words.wrong(&format!("there is no way called `{way}`")));
                    }
                    options.without.push(way.to_owned());
                }
                "--markdown" => options.markdown = Some(words.path()?),
                _ => return Err(words.unknown()),
            }
        }
        Ok(Some(options))
    }

    pub fn with(&self, way: &str) -> bool {
        !self.without.iter().any(|without| without == way)
    }

    /// As many idle sessions as there may be open files for: a proxy has two for each.
    ///
    /// # Errors
    ///
    /// The system does not tell how many files may be open.
    pub fn fit(&mut self) -> Result<(), String> {
        let files = processes::open_files()?;
        let fit = files.saturating_sub(OTHER_FILES) / 2;
        if fit < self.idle_sessions {
            eprintln!(
                "only {files} files may be open here: {fit} idle sessions instead of {}",
                self.idle_sessions
            );
            self.idle_sessions = fit;
        }
        Ok(())
    }
}

/// What a proxy may have open beside its sessions.
const OTHER_FILES: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--quick --rounds 2 --without nginx --markdown a.md");
        let options = options.unwrap().unwrap();
        assert_eq!((options.rounds, options.seconds, options.idle_sessions), (2, 1, 200));
        assert!(!options.with("nginx") && options.with("haproxy"));
        assert_eq!(options.markdown, Some(PathBuf::from("a.md")));
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--rounds 0", "--rounds x", "--without apache"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
