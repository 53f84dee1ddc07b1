//! The ways from the load to the upstream, and the settings of each proxy.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::workload::{Mode, Workload};
use super::{end, settings, spawn};

/// How the load reaches the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    Pipeway {
        program: PathBuf,
        events: bool,
    },
    Nginx {
        program: PathBuf,
        /// Whether bodies have the buffers that nginx has by itself.
        own_buffers: bool,
    },
    Haproxy(PathBuf),
    /// `systemd-socket-proxyd`, started by `systemd-socket-activate`: bytes only.
    Systemd {
        activate: PathBuf,
        program: PathBuf,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Direct => "direct",
            Way::Pipeway { events: false, .. } => "pipeway",
            Way::Pipeway { events: true, .. } => "pipeway, events on",
            Way::Nginx { own_buffers: false, .. } => "nginx",
            Way::Nginx { own_buffers: true, .. } => "nginx, its own buffers",
            Way::Haproxy(_) => "HAProxy",
            Way::Systemd { .. } => "systemd-socket-proxyd",
        })
    }
}

/// Where a proxy finds the upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub mode: Mode,
    /// A Unix socket's path, or `127.0.0.1:PORT`.
    pub address: String,
}

impl Upstream {
    /// The address behind `prefix`, which only a Unix socket has.
    pub fn behind(&self, prefix: &str) -> String {
        match self.mode {
            Mode::Unix => format!("{prefix}{}", self.address),
            Mode::Tcp => self.address.clone(),
        }
    }

    fn endpoint(&self) -> String {
        match self.mode {
            Mode::Unix => format!("unix:{}", self.address),
            Mode::Tcp => format!("tcp:{}", self.address),
        }
    }
}

/// What a proxy is started with.
pub struct Start {
    pub command: Command,
    pub socket: PathBuf,
    pub log: PathBuf,
}

impl Way {
    /// Whether it is measured with this.
    pub fn takes(&self, workload: Workload) -> bool {
        match self {
            Way::Direct => workload != Workload::Idle,
            Way::Pipeway { events: true, .. } => {
                workload.mode() == Mode::Unix && !workload.is_bytes() && workload != Workload::Idle
            }
            Way::Nginx { own_buffers: true, .. } | Way::Systemd { .. } => workload.is_bytes(),
            Way::Pipeway { .. } | Way::Nginx { .. } | Way::Haproxy(_) => true,
        }
    }

    /// What starts the proxy with a socket of its own in `folder`; `launch` makes the command that
    /// runs a program. `None` for the way without one.
    ///
    /// # Errors
    ///
    /// Its settings can't be written.
    pub fn prepare(
        &self,
        launch: impl Fn(&Path) -> Command,
        upstream: &Upstream,
        folder: &Path,
    ) -> Result<Option<Start>, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = |ending: &str| folder.join(format!("{number}.{ending}"));
        let (socket, file) = (own("sock"), own("conf"));
        let write = |text: String| {
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
        };
        let command = match self {
            Way::Direct => return Ok(None),
            Way::Pipeway { program, events } => {
                let mut command = launch(program);
                command.arg("bridge");
                command.arg("--listen").arg(format!("unix:{}", socket.display()));
                command.arg("--to").arg(upstream.endpoint());
                if *events {
                    command.arg("--events").arg(own("jsonl"));
                }
                command
            }
            Way::Nginx { program, own_buffers } => {
                let temporary = own("temporary");
                fs::create_dir(&temporary).map_err(|error| error.to_string())?;
                write(settings::nginx(&socket, upstream, &temporary, *own_buffers))?;
                let mut command = launch(program);
                command.arg("-p").arg(&temporary).arg("-e").arg("stderr").arg("-c").arg(&file);
                command
            }
            Way::Haproxy(program) => {
                write(settings::haproxy(&socket, upstream))?;
                let mut command = launch(program);
                command.arg("-db").arg("-f").arg(&file);
                command
            }
            Way::Systemd { activate, program } => {
                let mut command = launch(activate);
                command.arg("--listen").arg(&socket).arg(program).arg(&upstream.address);
                command
            }
        };
        Ok(Some(Start { command, socket, log: own("log") }))
    }

    /// The program that serves.
    pub fn program(&self) -> Option<&Path> {
        match self {
            Way::Direct => None,
            Way::Pipeway { program, .. } | Way::Nginx { program, .. } => Some(program),
            Way::Haproxy(program) | Way::Systemd { program, .. } => Some(program),
        }
    }

    /// The program's own word on its version.
    pub fn version(&self) -> Option<String> {
        let flag = match self {
            Way::Direct | Way::Pipeway { events: true, .. } => return None,
            Way::Nginx { own_buffers: true, .. } => return None,
            Way::Pipeway { .. } | Way::Systemd { .. } => "--version",
            Way::Nginx { .. } | Way::Haproxy(_) => "-v",
        };
        let output = Command::new(self.program()?).arg(flag).output().ok()?;
        // nginx tells it on stderr.
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        let line = told.lines().next()?.trim_start_matches("nginx version: ");
        Some(line.split(" - ").next().unwrap_or(line).to_owned())
    }
}

/// A running proxy, or the upstream. It ends with this value.
pub struct Server {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Server {
    pub fn start(mut command: Command, socket: PathBuf, log: PathBuf) -> Result<Self, String> {
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Ok(Server { child: spawn(command)?, socket, log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What is connected to: a socket's path, or `127.0.0.1:PORT` of an upstream at a port.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it said on stderr, and whether it has ended.
    pub fn log(&self) -> String {
        let mut log = fs::read_to_string(&self.log).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        if status.contains("State:\tZ") {
            log.push_str("(it has ended)\n");
        }
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
