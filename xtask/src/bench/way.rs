//! The ways from the load to the upstream, and the settings of each proxy.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{end, pinned, spawn};

/// How the load reaches the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    Pipeway { program: PathBuf, events: bool },
    Nginx(PathBuf),
    Haproxy(PathBuf),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Direct => "direct",
            Way::Pipeway { events: false, .. } => "pipeway",
            Way::Pipeway { events: true, .. } => "pipeway, events on",
            Way::Nginx(_) => "nginx",
            Way::Haproxy(_) => "HAProxy",
        })
    }
}

impl Way {
    /// Starts the proxy with a socket of its own in `folder`.
    pub fn start(
        &self,
        processor: u32,
        upstream: &Path,
        folder: &Path,
    ) -> Result<Option<Server>, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = |ending: &str| folder.join(format!("{number}.{ending}"));
        let (socket, settings) = (own("sock"), own("conf"));
        let write = |text: String| {
            fs::write(&settings, text).map_err(|error| format!("{}: {error}", settings.display()))
        };
        let command = match self {
            Way::Direct => return Ok(None),
            Way::Pipeway { program, events } => {
                let mut command = pinned(processor, program);
                command.arg("bridge");
                command.arg("--listen").arg(format!("unix:{}", socket.display()));
                command.arg("--to").arg(format!("unix:{}", upstream.display()));
                if *events {
                    command.arg("--events").arg(own("jsonl"));
                }
                command
            }
            Way::Nginx(program) => {
                let temporary = own("temporary");
                fs::create_dir(&temporary).map_err(|error| error.to_string())?;
                write(nginx(&socket, upstream, &temporary))?;
                let mut command = pinned(processor, program);
                command.arg("-p").arg(&temporary).arg("-e").arg("stderr").arg("-c").arg(&settings);
                command
            }
            Way::Haproxy(program) => {
                write(haproxy(&socket, upstream))?;
                let mut command = pinned(processor, program);
                command.arg("-db").arg("-f").arg(&settings);
                command
            }
        };
        Server::start(command, socket, own("log")).map(Some)
    }

    /// The program's own word on its version.
    pub fn version(&self) -> Option<String> {
        let (program, flag) = match self {
            Way::Direct => return None,
            Way::Pipeway { events: true, .. } => return None,
            Way::Pipeway { program, .. } => (program, "--version"),
            Way::Nginx(program) | Way::Haproxy(program) => (program, "-v"),
        };
        let output = Command::new(program).arg(flag).output().ok()?;
        // nginx tells it on stderr.
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        let line = told.lines().next()?.trim_start_matches("nginx version: ");
        Some(line.split(" - ").next().unwrap_or(line).to_owned())
    }
}

/// One worker, no log. Upstream connections are kept; answers and bodies are passed on as they
/// come, as a proxy for streams must. Large bodies have the settings that are nginx's fastest: down
/// it collects them in memory, which a stream of small pieces could not have.
fn nginx(socket: &Path, upstream: &Path, temporary: &Path) -> String {
    let (socket, upstream, temporary) = (socket.display(), upstream.display(), temporary.display());
    format!(
        "daemon off;
worker_processes 1;
error_log stderr crit;
pid {temporary}/pid;
user root;
events {{ worker_connections 12000; }}
http {{
  access_log off;
  client_body_temp_path {temporary}/body;
  proxy_temp_path {temporary}/proxy;
  fastcgi_temp_path {temporary}/fastcgi;
  uwsgi_temp_path {temporary}/uwsgi;
  scgi_temp_path {temporary}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
  upstream service {{
    server unix:{upstream};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen unix:{socket} backlog=4096;
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    location / {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
    }}
    location /body/ {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
      proxy_buffering on;
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
      proxy_busy_buffers_size 512k;
      proxy_max_temp_file_size 0;
    }}
    location /sink {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
      client_body_buffer_size 256k;
    }}
    location /ws {{
      proxy_pass http://service;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      proxy_read_timeout 1h;
    }}
  }}
}}
"
    )
}

/// One thread, no log; upstream connections are shared among clients, and the buffers are of
/// nginx's size.
fn haproxy(socket: &Path, upstream: &Path) -> String {
    let (socket, upstream) = (socket.display(), upstream.display());
    format!(
        "global
  nbthread 1
  maxconn 6000
  tune.bufsize 65536
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  http-reuse always
frontend front
  bind unix@{socket} backlog 4096
  default_backend back
backend back
  server service unix@{upstream}
"
    )
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
