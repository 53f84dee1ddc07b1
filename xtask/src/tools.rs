//! What the test command needs beyond the Rust toolchain, and how a Debian machine gets it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Show};

const MINUTE: Duration = Duration::from_secs(60);

/// Debian's packages for the Windows build and its tests.
pub const WINDOWS_KIT: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-clippy",
    "gcc-mingw-w64-x86-64-posix",
    "wine",
];

/// The machine that the checks run on.
pub struct Machine {
    /// The workspace's folder.
    pub root: PathBuf,
    /// Whether nobody watches: what is left out on Debian is then a failure.
    pub ci: bool,
    /// Whether it is Debian itself, whose packages are known.
    pub debian: bool,
    /// `PATH` for every child; grows by the folders of what is installed.
    pub path: OsString,
    may_install: bool,
    lists_are_fresh: bool,
}

impl Machine {
    /// Looks at the machine; `may_install` allows apt-get.
    pub fn look(root: &Path, may_install: bool) -> Machine {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Machine {
            root: root.to_path_buf(),
            ci: std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false"),
            debian: release.lines().any(|line| line == "ID=debian"),
            path: std::env::var_os("PATH").unwrap_or_default(),
            may_install,
            lists_are_fresh: false,
        }
    }

    /// A command in the workspace's folder, with this machine's `PATH` and without what
    /// `cargo run` told this process about its own package.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PATH", &self.path);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Whether `program` is on `PATH`.
    pub fn has(&self, program: &str) -> bool {
        process::find(program, &self.path).is_some()
    }

    /// Sees to it that Debian's `packages` are installed.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub fn debian_packages(&mut self, packages: &[&str]) -> Result<(), String> {
        if !self.debian {
            return Err("this is not Debian, whose packages it needs".to_owned());
        }
        let missing: Vec<&str> =
            packages.iter().copied().filter(|package| !self.is_installed(package)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = missing.join(" ");
        if !self.may_install {
            return Err(format!("Debian's {list} not installed (--no-install)"));
        }
        let apt: &[&str] = if self.is_root() {
            &["apt-get"]
        } else if self.succeeds("sudo", &["-n", "true"]) {
            &["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        } else {
            return Err(format!(
                "Debian's {list} not installed, and only root may: apt-get install -y \
                 --no-install-recommends {list}"
            ));
        };
        eprintln!("installing from Debian: {list}");
        if !self.lists_are_fresh {
            self.apt_get(apt, &["update"])?;
            self.lists_are_fresh = true;
        }
        let mut arguments = vec!["install", "-y", "--no-install-recommends"];
        arguments.extend(missing);
        self.apt_get(apt, &arguments)
    }

    /// Sees to it that a Python environment in `target/NAME` holds what `requirements` names,
    /// and says where its programs lie. `options` go to pip.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn python_environment(
        &mut self,
        name: &str,
        requirements: &Path,
        options: &[&str],
    ) -> Result<PathBuf, String> {
        let folder = self.root.join("target").join(name);
        let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
        let wanted = std::fs::read_to_string(requirements)
            .map_err(|error| format!("{}: {error}", requirements.display()))?;
        // Written last: an environment that was left half made is made again.
        let stamp = folder.join("requirements.installed");
        if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(programs);
        }
        let mut python = if cfg!(windows) { "python" } else { "python3" };
        if !self.makes_environment(python, &folder) {
            self.debian_packages(&["python3", "python3-venv"])?;
            python = "/usr/bin/python3";
            if !self.makes_environment(python, &folder) {
                return Err(format!("`{python} -m venv {}` failed", folder.display()));
            }
        }
        eprintln!("installing from PyPI into {}", folder.display());
        let mut pip = self.command(programs.join(if cfg!(windows) { "python" } else { "python3" }));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(options)
            .arg("-r")
            .arg(requirements);
        self.wait_for(&mut pip, 10 * MINUTE)?;
        std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(programs)
    }

    /// Sees to it that `cargo-NAME` is there: the machine's own, else the pinned wheel.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn cargo_tool(&mut self, name: &str) -> Result<(), String> {
        let program = format!("cargo-{name}");
        if self.has(&program) {
            return Ok(());
        }
        if !self.may_install {
            return Err(format!("{program} is not installed (--no-install)"));
        }
        let requirements = self.root.join("xtask/tools/requirements.txt");
        let options = ["--require-hashes", "--only-binary", ":all:"];
        let programs = self
            .python_environment("tools", &requirements, &options)
            .map_err(|why| format!("{program} is not installed, and {why}"))?;
        self.add_to_path(programs);
        if self.has(&program) {
            Ok(())
        } else {
            Err(format!("the wheel of {program} did not bring it"))
        }
    }

    /// Sees to it that Node and npm are there.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub fn node(&mut self) -> Result<(), String> {
        if self.has("node") && self.has("npm") {
            return Ok(());
        }
        self.debian_packages(&["nodejs", "npm"])
    }

    /// Runs to the end and takes anything but success for an error, with what was said.
    ///
    /// # Errors
    ///
    /// How it ended, and the last of what it said.
    pub fn wait_for(&self, command: &mut Command, limit: Duration) -> Result<(), String> {
        let output = process::run(command, limit, Show::Nothing)?;
        if output.success {
            return Ok(());
        }
        let lines: Vec<&str> = output.text.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
        Err(format!("{}:\n  {tail}", output.ending))
    }

    fn add_to_path(&mut self, folder: PathBuf) {
        let folders = std::env::split_paths(&self.path).chain([folder]);
        self.path = std::env::join_paths(folders).expect("the folder has no separator in it");
    }

    fn makes_environment(&self, python: &str, folder: &Path) -> bool {
        let mut venv = self.command(python);
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        self.wait_for(&mut venv, 3 * MINUTE).is_ok()
    }

    fn apt_get(&self, apt: &[&str], arguments: &[&str]) -> Result<(), String> {
        let mut command = self.command(apt[0]);
        command.args(&apt[1..]).args(["-q", "-o", "Acquire::Retries=3"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        self.wait_for(&mut command, 15 * MINUTE)
    }

    fn is_installed(&self, package: &str) -> bool {
        let mut query = self.command("dpkg-query");
        query.args(["-W", "-f", "${db:Status-Status}", package]);
        process::run(&mut query, MINUTE, Show::Nothing)
            .is_ok_and(|output| output.success && output.text.trim() == "installed")
    }

    fn is_root(&self) -> bool {
        let mut id = self.command("id");
        id.arg("-u");
        process::run(&mut id, MINUTE, Show::Nothing).is_ok_and(|output| output.text.trim() == "0")
    }

    fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.command(program);
        command.args(arguments);
        process::run(&mut command, MINUTE, Show::Nothing).is_ok_and(|output| output.success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(debian: bool) -> Machine {
        let mut machine = Machine::look(Path::new("."), false);
        machine.debian = debian;
        machine
    }

    #[test]
    fn packages_are_refused_where_it_is_not_debian() {
        let why =
            elsewhere(false).debian_packages(&["wine"]).expect_err("nothing can be installed");
        assert!(why.contains("not Debian"), "{why}");
    }

    #[test]
    fn a_missing_package_is_named_where_nothing_may_be_installed() {
        let package = "pipeway-no-such-package";
        let why = elsewhere(true).debian_packages(&[package]).expect_err("it does not exist");
        assert!(why.contains(package) && why.contains("--no-install"), "{why}");
    }
}
