//! On this system: the upstream at a Unix socket, and all that leads to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::processes::{Folder, Processors, pinned};
use super::super::way::Server;
use super::{Buffer, Way, each};

pub struct Linux {
    program: PathBuf,
    socat: PathBuf,
    processors: Processors,
    upstream: Server,
}

impl Linux {
    pub const WAYS: &[Way] = &[
        Way::Direct,
        Way::Link,
        Way::Nc(Buffer::Own),
        Way::Socat(Buffer::Own),
        Way::Nc(Buffer::Large),
        Way::Socat(Buffer::Large),
    ];

    pub fn start(
        program: &Path,
        socat: &Path,
        load: &Path,
        processors: Processors,
        folder: &Folder,
    ) -> Result<Self, String> {
        let socket = folder.path().join("upstream.sock");
        let mut command = pinned(processors.load, load);
        command.arg("serve").arg(&socket);
        let upstream = Server::start(command, socket, folder.path().join("upstream.log"))?;
        Ok(Linux { program: program.to_owned(), socat: socat.to_owned(), processors, upstream })
    }

    pub fn upstream(&self) -> &Server {
        &self.upstream
    }

    /// What listens at `socket`; `None` for the way with nothing between.
    pub fn command(&self, way: Way, socket: &Path) -> Option<Command> {
        let upstream = format!("unix:{}", self.upstream.socket().display());
        let program = self.program.display();
        let each = |buffer, command: &str| {
            each(self.processors.proxy, &self.socat, buffer, socket, command)
        };
        match way {
            Way::Link => {
                let mut command = pinned(self.processors.proxy, &self.program);
                command.args(["bridge", "--raw", "--listen"]);
                command.arg(format!("unix:{}", socket.display())).args(["--to", &upstream]);
                command.arg("--through").arg(format!("command:[\"{program}\",\"guest\"]"));
                Some(command)
            }
            Way::Nc(buffer) => Some(each(buffer, &format!("{program} nc {upstream}"))),
            Way::Socat(buffer) => {
                let path = self.upstream.socket().display();
                let socat = self.socat.display();
                let options = buffer.options();
                Some(each(buffer, &format!("{socat} {options} - UNIX-CONNECT:{path}")))
            }
            Way::Direct | Way::WindowsNc => None,
        }
    }
}
