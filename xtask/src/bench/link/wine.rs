//! Across the border: the upstream at a named pipe of Windows, and the ways to it from a Unix
//! socket of this system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::processes::{Folder, Processors, pinned};
use super::super::way::Server;
use super::{Buffer, Way, each};
use crate::windows::Release;

pub struct Wine {
    program: PathBuf,
    socat: PathBuf,
    processors: Processors,
    /// The pipe, as an endpoint.
    pipe: String,
    /// What starts `pipeway.exe` as WSL's interop does.
    interop: PathBuf,
    // Before what it runs on.
    _upstream: Server,
    release: Release,
}

impl Wine {
    pub const WAYS: &[Way] = &[Way::Link, Way::WindowsNc];

    pub fn start(
        program: &Path,
        built: Option<&Path>,
        socat: &Path,
        processors: Processors,
        folder: &Folder,
    ) -> Result<Self, String> {
        let release = Release::find(built)?;
        let wine = release.wine();
        let pipe = format!("npipe:pipeway-bench-{}", std::process::id());
        let mut command = pinned(processors.load, wine);
        command.arg(release.folder().join("examples/load.exe")).args(["serve", &pipe]);
        release.environment(&mut command);
        let own = |name: &str| folder.path().join(name);
        let upstream = Server::start(command, own("upstream.sock"), own("upstream.log"))?;

        let interop = own("pipeway.exe");
        let started = release.folder().join("pipeway.exe");
        let script =
            format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", wine.display(), started.display());
        fs::write(&interop, script).map_err(|error| format!("{}: {error}", interop.display()))?;
        let marked = Command::new("chmod").arg("700").arg(&interop).status();
        if !marked.is_ok_and(|status| status.success()) {
            return Err(format!("{} can't be made a program", interop.display()));
        }
        let (program, socat) = (program.to_owned(), socat.to_owned());
        Ok(Wine { program, socat, processors, pipe, interop, _upstream: upstream, release })
    }

    /// Wine's own word on its version.
    pub fn version(&self) -> String {
        self.release.version()
    }

    /// What listens at `socket`.
    pub fn command(&self, way: Way, socket: &Path) -> Option<Command> {
        let mut command = match way {
            Way::Link => {
                let mut command = pinned(self.processors.proxy, &self.program);
                command.args(["bridge", "--raw", "--listen"]);
                command.arg(format!("unix:{}", socket.display())).args(["--to", &self.pipe]);
                command.args(["--through", "windows", "--link-guest"]).arg(&self.interop);
                // As a shell inside WSL has it.
                command.env("WSL_INTEROP", "/run/WSL/1_interop");
                command
            }
            Way::WindowsNc => {
                let program = self.release.folder().join("pipeway.exe");
                let wine = self.release.wine().display();
                // -ei: nobody tells a pipe of bytes that its client has left.
                let command = format!("{wine} {} nc -ei {}", program.display(), self.pipe);
                each(self.processors.proxy, &self.socat, Buffer::Large, socket, &command)
            }
            Way::Direct | Way::Nc(_) | Way::Socat(_) => return None,
        };
        self.release.environment(&mut command);
        Some(command)
    }
}
