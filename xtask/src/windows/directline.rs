//! The Windows build of DirectLine's ends against npm packages in Windows Node, over real pipes.

use std::path::Path;
use std::process::Command;

use super::drive::NPM_LIMIT;
use super::{Kit, TEST_LIMIT, Wine, find, finish, step};

impl Kit {
    /// Runs the tests that are marked as ignored elsewhere than where Windows Node is.
    pub(super) fn prove_directline(
        &self,
        wine: &Wine,
        npm: &Path,
        node_exe: &Path,
    ) -> Result<(), String> {
        let nextest = find("cargo-nextest").ok_or("windows: no cargo-nextest")?;
        let folder = self.root.join("interop");
        if !folder.join("node_modules/botframework-streaming/package.json").is_file() {
            step("fetching the packages of interop/ from npm");
            let mut install = Command::new(npm);
            install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
            install.current_dir(&folder);
            finish(install, NPM_LIMIT)?;
        }
        step("DirectLine with npm packages in Windows Node");
        let mut tests = self.with_environment(Command::new(nextest));
        tests.args(["nextest", "run"]).args(self.target_arguments());
        tests.args(["--package", "pipeway-directline", "--all-features", "--test", "interop"]);
        tests.args(["--run-ignored", "only", "--no-tests", "fail"]);
        tests.arg("--config-file").arg(self.root.join("xtask/windows/nextest.toml"));
        tests.env("PIPEWAY_WINDOWS_NODE", node_exe).env("PIPEWAY_REQUIRE_INTEROP", "1");
        wine.environment(&mut tests);
        finish(tests, TEST_LIMIT)
    }
}
