//! The benchmark's upstream and its load: `cargo xtask bench` starts both as child processes.
//!
//! One thread and one `epoll` each, so that little of a measurement is theirs. Linux only, at Unix
//! sockets and loopback ports; built for Windows it is the upstream at a named pipe, and the load
//! of one.

#[cfg(target_os = "linux")]
mod address;
#[cfg(target_os = "linux")]
mod body;
#[cfg(target_os = "linux")]
mod exchange;
#[cfg(any(target_os = "linux", windows))]
mod head;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(windows)]
mod pipe;
#[cfg(windows)]
mod plain;
#[cfg(target_os = "linux")]
mod poll;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod upgraded;
#[cfg(target_os = "linux")]
mod websocket;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
const USAGE: &str = "\
load serve SOCKET                        the upstream; prints `ready`
load get   SOCKET CONNECTIONS SECONDS    GETs over connections that are kept
load close SOCKET CONNECTIONS SECONDS    GETs, each over its own connection
load byte  SOCKET CONNECTIONS SECONDS    a byte and its echo, each over its own connection
load ws    SOCKET CONNECTIONS SECONDS    WebSocket messages, each sent after the last one's echo
load down  SOCKET BYTES                  one answer with a body of so many bytes
load up    SOCKET BYTES                  one request with a body of so many bytes
load idle  SOCKET CONNECTIONS            WebSockets that do nothing until stdin ends
load upgraded-down SOCKET BYTES          so many bytes from the upstream after an upgrade
load upgraded-up   SOCKET BYTES          so many bytes to the upstream after an upgrade

SOCKET is a Unix socket's path or 127.0.0.1:PORT. What was measured is printed as lines of a name
and a number.";

#[cfg(windows)]
const USAGE: &str = "\
load serve ENDPOINT     the upstream at a named pipe; prints `ready`
load get PIPE SECONDS   GETs over one connection to \\\\.\\pipe\\PIPE
load down PIPE BYTES    one answer with a body of so many bytes
load up PIPE BYTES      one request with a body of so many bytes
load idle PIPE COUNT    connections that do nothing until stdin ends";

#[cfg(any(target_os = "linux", windows))]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn run(arguments: &[&str]) -> std::io::Result<()> {
    use exchange::Exchange;
    let number = |text: &str| text.parse::<u64>().map_err(std::io::Error::other);
    let time = |text: &str| {
        let seconds = text.parse::<f64>().map_err(std::io::Error::other)?;
        std::time::Duration::try_from_secs_f64(seconds).map_err(std::io::Error::other)
    };
    match *arguments {
        ["serve", socket] => serve::run(socket),
        ["get", socket, connections, seconds] => {
            exchange::run(Exchange::Get, socket, number(connections)?, time(seconds)?)
        }
        ["close", socket, connections, seconds] => {
            exchange::run(Exchange::GetAndClose, socket, number(connections)?, time(seconds)?)
        }
        ["byte", socket, connections, seconds] => {
            exchange::run(Exchange::Byte, socket, number(connections)?, time(seconds)?)
        }
        ["ws", socket, connections, seconds] => {
            exchange::run(Exchange::Message, socket, number(connections)?, time(seconds)?)
        }
        ["down", socket, bytes] => body::down(socket, number(bytes)?),
        ["up", socket, bytes] => body::up(socket, number(bytes)?),
        ["upgraded-down", socket, bytes] => upgraded::down(socket, number(bytes)?),
        ["upgraded-up", socket, bytes] => upgraded::up(socket, number(bytes)?),
        ["idle", socket, connections] => idle::run(socket, number(connections)?),
        _ => Err(std::io::Error::other(format!("no such arguments\n\n{USAGE}"))),
    }
}

#[cfg(windows)]
fn run(arguments: &[&str]) -> std::io::Result<()> {
    let number = |text: &str| text.parse::<u64>().map_err(std::io::Error::other);
    match *arguments {
        ["get", pipe, seconds] => plain::get(pipe, number(seconds)?),
        ["down", pipe, bytes] => plain::down(pipe, number(bytes)?),
        ["up", pipe, bytes] => plain::up(pipe, number(bytes)?),
        ["idle", pipe, connections] => plain::idle(pipe, number(connections)?),
        ["serve", endpoint] => pipe::run(endpoint),
        _ => Err(std::io::Error::other(format!("no such arguments\n\n{USAGE}"))),
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn main() -> ExitCode {
    eprintln!("load: the benchmark runs on Linux only");
    ExitCode::FAILURE
}
