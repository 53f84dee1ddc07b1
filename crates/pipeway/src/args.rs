//! The command line, as plain data.

mod agent;
mod bridge;
mod client;
mod directline;
mod guest;
mod nc;
mod preset;
mod remote;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use agent::AgentArgs;
pub(crate) use bridge::BridgeArgs;
pub(crate) use client::{ClientArgs, ConnectArgs, CurlArgs, DataArgs, WsArgs};
pub(crate) use directline::{DirectlineArgs, DirectlineCommand, GatewayArgs, SendArgs};
pub(crate) use guest::GuestArgs;
pub(crate) use nc::{NcArgs, written_out};
pub(crate) use preset::{Direction, Preset, PresetArgs};
pub(crate) use remote::{ExecArgs, RemoteArgs, ShellArgs};

use crate::config::{Count, EventsLayer, EventsTo, Size, Source, Sourced, Value};

/// What stands below the list of commands.
const AFTER_HELP: &str = "\
Endpoints:
  local:NAME          a private endpoint: a named pipe on Windows, a Unix socket elsewhere
  npipe:NAME          a Windows named pipe, also \\\\.\\pipe\\NAME
  unix:/path          a Unix socket
  tcp:127.0.0.1:PORT  a loopback port

Examples:
  pipeway demo
  pipeway bridge --listen local:my-service --to tcp:127.0.0.1:8080
  pipeway curl local:my-service /health
  pipeway serve --config pipeway.toml
  pipeway agent --listen local:my-agent
  pipeway shell local:my-agent

`pipeway COMMAND --help` tells the options of a command.";

/// One private address for a local service.
///
/// Carries HTTP and WebSocket from a named pipe or a Unix socket, which only you can use, to
/// where the service really listens.
#[derive(Clone, Debug, Parser)]
#[command(name = "pipeway", bin_name = "pipeway", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry one endpoint to one service until stopped
    Bridge(Box<BridgeArgs>),
    /// Carry all bridges of a configuration file until stopped
    Serve(ServeArgs),
    /// Say what is wrong in a configuration file, or print what it resolves to
    Check(ServeArgs),
    /// Run commands and terminals for clients of an endpoint until stopped
    Agent(AgentArgs),
    /// Run a command on the other side of an endpoint, where an agent listens
    Exec(Box<ExecArgs>),
    /// Open a terminal on the other side of an endpoint, where an agent listens
    Shell(Box<ShellArgs>),
    /// Be the other side of a link, which a bridge with --through starts
    Guest(GuestArgs),
    /// Send one HTTP request to an endpoint, with curl's options
    Curl(Box<CurlArgs>),
    /// Talk WebSocket with an endpoint: lines in, messages out
    Ws(WsArgs),
    /// Join standard input and output to an endpoint
    Nc(Box<NcArgs>),
    /// Print a configuration for a well-known service across the Windows/WSL border
    Preset(PresetArgs),
    /// Speak DirectLine over named pipes
    Directline(DirectlineArgs),
    /// Show it all at work in this one process
    Demo,
}

const SERVE_HELP: &str = "\
The file, if none is named: PIPEWAY_CONFIG, else pipeway/pipeway.toml in your configuration folder
($XDG_CONFIG_HOME or ~/.config; %APPDATA% on Windows). A flag wins over an environment variable,
that over the file, and that over the default.

A small file:
  [[bridge]]
  listen = \"local:my-service\"
  to = \"tcp:127.0.0.1:8080\"

Examples:
  pipeway serve
  pipeway serve --config ./pipeway.toml --events stderr
  pipeway check --config ./pipeway.toml";

/// `serve` and `check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArgs {
    /// The configuration file [environment: PIPEWAY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) events: EventsArgs,
}

/// Where events go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Events")]
pub(crate) struct EventsArgs {
    /// Write events as JSON lines to a file, to `stderr` (or `-`), or `none` [default: none]
    #[arg(id = "events", long = "events", value_name = "FILE", value_parser = value::<EventsTo>)]
    to: Option<EventsTo>,

    /// The size at which a file of events is rotated, such as 10MiB [default: 10MiB]
    #[arg(id = "events_max_size", long = "events-max-size", value_name = "SIZE", value_parser = value::<Size>)]
    max_size: Option<Size>,

    /// How many files of events there may be in all [default: 5]
    #[arg(id = "events_max_files", long = "events-max-files", value_name = "COUNT", value_parser = value::<Count>)]
    max_files: Option<Count>,

    /// Write the queries of requests too; they may hold secrets
    #[arg(long = "events-show-query")]
    show_query: bool,

    /// Write the SIDs of clients as they are, not hashed
    #[arg(long = "events-show-sid")]
    show_sid: bool,
}

impl EventsArgs {
    /// What these flags say.
    pub(crate) fn layer(self) -> EventsLayer {
        EventsLayer {
            to: flag("--events", self.to),
            max_size: flag("--events-max-size", self.max_size),
            max_files: flag("--events-max-files", self.max_files),
            show_query: flag("--events-show-query", self.show_query.then_some(true)),
            show_sid: flag("--events-show-sid", self.show_sid.then_some(true)),
        }
    }
}

/// A flag's value, with its source.
fn flag<T>(name: &'static str, value: Option<T>) -> Option<Sourced<T>> {
    value.map(|value| Sourced { value, source: Source::Flag(name) })
}

/// Reads a value of the configuration.
fn value<T: Value>(text: &str) -> Result<T, String> {
    T::from_text(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::BridgeLayer;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_a_bridge_is_told_as_its_source() {
        let text = "pipeway bridge --listen local:a --to local:b --name n --raw --half-close none --through windows --link-user u \
            --link-guest g --link-env A=b --link-start-timeout 1s --link-heartbeat 1s --access owner --host preserve \
            --allow-method GET --allow-path /v1/** --allow-upgrade websocket --verify-server yes \
            --allow-remote --token-file t --to-token-file t --max-sessions 1 --max-sessions-per-peer 1 \
            --max-head-size 1KiB --max-headers 1 --max-body-size none --connect-timeout 1s \
            --first-request-timeout 1s --head-timeout 1s --first-byte-timeout none \
            --body-idle-timeout 1s --answer-idle-timeout 1s --keep-alive-timeout 1s \
            --upstream-idle-timeout 0s --upgrade-idle-timeout 1s --half-close-idle-timeout 1s --drain-timeout 0s --busy-poll no \
            --events stderr --events-max-size 1MiB --events-max-files 1 --events-show-query \
            --events-show-sid";
        let cli = Cli::try_parse_from(text.split_whitespace()).unwrap();
        let Command::Bridge(args) = cli.command else { panic!("{cli:?}") };
        let (bridge, link, events) = args.layers();
        let mut rows = BridgeLayer::resolve(bridge).rows();
        // A link's name and place are not told here.
        rows.extend(link.resolve().rows().into_iter().skip(2));
        rows.extend(events.resolve().rows());
        let keys = crate::config::BRIDGE_KEYS.iter();
        let keys = keys.chain(&crate::config::LINK_KEYS[2..]).chain(crate::config::EVENTS_KEYS);
        for (row, key) in rows.iter().zip(keys) {
            assert_eq!(row.source, Source::Flag(key.flag), "{}", key.name);
        }
    }
}
