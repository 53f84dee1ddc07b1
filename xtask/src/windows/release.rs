//! Windows programs built with `--release` and a Wine server that runs them, for the benchmark.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BUILD_LIMIT, DEBIAN_PACKAGES, Kit, TARGET, Wine, find, finish, step};

/// What is built.
const PROGRAMS: [[&str; 4]; 3] = [
    ["--package", "pipeway", "--bin", "pipeway"],
    ["--package", "pipeway-bridge", "--example", "load"],
    ["--package", "pipeway-transport", "--example", "pipe_relay"],
];

/// The programs, and the server for as long as this lives.
pub struct Release {
    wine: Wine,
    folder: PathBuf,
}

impl Release {
    /// Takes the programs from the folder `built`, or builds them.
    ///
    /// # Errors
    ///
    /// A sentence that says what the machine lacks, or what failed.
    pub fn find(built: Option<&Path>) -> Result<Self, String> {
        let lacks = |what: &str| format!("no {what}; on Debian: {DEBIAN_PACKAGES}");
        let kit = Kit::find(true).map_err(|missing| lacks(&missing))?;
        let (Some(wine), Some(server)) = (find("wine"), find("wineserver")) else {
            return Err(lacks("wine"));
        };
        let folder = match built {
            Some(built) => std::path::absolute(built)
                .map_err(|error| format!("{}: {error}", built.display()))?,
            None => {
                step("building for Windows with --release");
                // Apart, so that the program has the features that it has by itself.
                for what in PROGRAMS {
                    let mut build = kit.cargo("build");
                    build.arg("--release").args(what);
                    finish(build, BUILD_LIMIT)?;
                }
                kit.out.join(TARGET).join("release")
            }
        };
        Ok(Release { wine: Wine::start(&kit, wine, server)?, folder })
    }

    /// Where the programs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Wine itself.
    pub fn wine(&self) -> &Path {
        &self.wine.wine
    }

    /// Wine's own word on its version.
    pub fn version(&self) -> String {
        let told = super::output(Command::new(self.wine()).arg("--version"));
        told.map(|told| told.trim().to_owned()).unwrap_or_default()
    }

    /// Has a command, and what it starts, use the server.
    pub fn environment(&self, command: &mut Command) {
        self.wine.environment(command);
    }
}
