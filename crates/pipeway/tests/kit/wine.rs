//! Windows programs under Wine, paths as they see them, and the stand-in for `wsl.exe` by which they
//! reach this system. `cargo xtask windows test` tells where the programs are.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Room, Running, unique_local};

/// The variables that tell where they are.
const NAMES: [&str; 3] = ["PIPEWAY_WINDOWS_PROGRAM", "PIPEWAY_WINDOWS_NODE", "PIPEWAY_WINDOWS_WSL"];

/// `pipeway.exe`, without arguments.
pub fn pipeway_exe() -> Command {
    windows_program("PIPEWAY_WINDOWS_PROGRAM")
}

/// A Windows program that the named variable tells of.
pub fn windows_program(variable: &str) -> Command {
    let mut command = Command::new("wine");
    command.arg(named(variable));
    for name in NAMES {
        command.env_remove(name);
    }
    command
}

fn named(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set"));
    PathBuf::from(path)
}

/// A path of this system as Windows programs see it under Wine.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}

/// A script by which a program of this system starts `pipeway.exe`, as WSL's interop does by itself.
pub fn interop(room: &Room) -> String {
    let program = named("PIPEWAY_WINDOWS_PROGRAM");
    let script = format!("#!/bin/sh\nexec wine '{}' \"$@\"\n", program.display());
    let path = room.file("pipeway.exe", script);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// This system's build of the stand-in for `wsl.exe`. A test lies in `deps`, beside `examples`.
pub fn own_stand_in() -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/wsl");
    assert!(path.is_file(), "`cargo build -p pipeway --example wsl` builds {}", path.display());
    Command::new(path)
}

/// The Linux side of the stand-in, with the distributions `Ubuntu-22.04` and `Debian`.
pub struct StandIn {
    pub server: Running,
    /// Where the other side finds it.
    pub place: String,
}

impl StandIn {
    pub fn start() -> Self {
        let mut server = own_stand_in();
        server.arg("serve");
        let server = Running::start(server);
        let place = server.line().strip_prefix("ready ").unwrap().to_owned();
        StandIn { server, place }
    }

    /// Has either build of the stand-in find this side.
    pub fn is_found_by(&self, command: &mut Command) {
        command.env("WSL_STAND_IN", &self.place);
        command.env("WSL_STAND_IN_DISTRIBUTIONS", "Ubuntu-22.04,Debian");
    }

    /// `pipeway.exe bridge` at a named pipe, through a link to a guest in this distribution, which is
    /// the built program of this system; and the pipe, as an endpoint.
    pub fn bridge(
        &self,
        room: &Room,
        to: &str,
        distribution: &str,
        more: &[&str],
    ) -> (Running, String) {
        let name = unique_local().replace("local:", "npipe:");
        let through = format!("wsl:{distribution}");
        let mut bridge = pipeway_exe();
        bridge.args(["bridge", "--listen", &name, "--to", to, "--through", &through]);
        bridge.args(["--link-guest", env!("CARGO_BIN_EXE_pipeway")]).args(more);
        self.is_found_by(&mut bridge);
        bridge.env("PIPEWAY_WSL_PROGRAM", windows_path(&named("PIPEWAY_WINDOWS_WSL")));
        bridge.current_dir(room.path(""));
        let bridge = Running::start(bridge);
        assert_eq!(bridge.line(), format!("ready {}", name.replace("npipe:", r"\\.\pipe\")));
        (bridge, name)
    }
}
