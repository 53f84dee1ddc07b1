//! `pipeway directline gateway`.

use clap::Args;
use pipeway_bridge::{AgentPath, ServiceUrl};
use pipeway_directline::pipes::Place;
use pipeway_transport::{Access, Endpoint};

use crate::args::bridge::LinkArgs;
use crate::args::{EventsArgs, flag, value};
use crate::config::{
    Count, EventsLayer, GatewayLayer, LinkLayer, Name, NoneOr, Size, Time, TimeOrZero, Verify,
};

const HELP: &str = "\
Prints `ready PLACE` on standard output once the platform can connect, and on standard error where
the agent calls back. Ctrl-C (or SIGTERM) stops it: what runs may finish within the drain time; a
second Ctrl-C cuts it at once.

PLACE: the name of the pipes (`my-site.directline`, or bfv4.pipes), dotnet:NAME (where .NET has them
on Linux), unix:/FOLDER/NAME or npipe:NAME; `.incoming` and `.outgoing` are put behind it.

Examples:
  pipeway directline gateway --pipe my-site.directline --to tcp:127.0.0.1:3978
  pipeway directline gateway --pipe bfv4.pipes --through wsl:Ubuntu --to unix:/run/user/1000/agent.sock
  pipeway directline gateway --pipe bfv4.pipes --to tcp:127.0.0.1:3978 --events stderr

docs/guides/directline-gateway.md shows how an agent is set up.";

/// One gateway, from flags.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct GatewayArgs {
    /// The pipes that the platform connects to
    #[arg(long, value_name = "PLACE", value_parser = value::<Place>)]
    pipe: Place,

    /// Where the agent listens for HTTP
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    to: Endpoint,

    /// Where the agent takes activities [default: /api/messages]
    #[arg(long, value_name = "PATH", value_parser = value::<AgentPath>)]
    path: Option<AgentPath>,

    /// Where the agent calls back [default: tcp:127.0.0.1:0, any free port]
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    callback: Option<Endpoint>,

    /// What the agent is told to call, where that is not the callback's own address: what it can
    /// reach, and leads there
    #[arg(long, value_name = "URL", value_parser = value::<ServiceUrl>)]
    service_url: Option<ServiceUrl>,

    /// The gateway's name in events and messages [default: from --pipe]
    #[arg(long, value_name = "NAME", value_parser = value::<Name>)]
    name: Option<Name>,

    #[command(flatten)]
    link: LinkArgs,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    timeouts: TimeoutArgs,

    #[command(flatten)]
    events: EventsArgs,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who may connect, and to whom")]
struct AccessArgs {
    /// Who may connect to the pipes: owner, group:NAME, administrators or sddl:TEXT [default: owner]
    #[arg(long, value_name = "RULE", value_parser = value::<Access>)]
    access: Option<Access>,

    /// Whether the agent's process must be your own before the first byte is sent: yes, no or auto
    /// (yes, where it is no TCP port) [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = value::<Verify>)]
    verify_server: Option<Verify>,

    /// Allow addresses other than loopback in --to and --callback; nothing is encrypted
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Take headers and ids as some platforms write them, where they can't be misread
    #[arg(long)]
    lenient: bool,

    /// The longest piece of a stream that is sent; old platforms drop the session at more than
    /// 4KiB, new ones take 64KiB [default: 4KiB]
    #[arg(long, value_name = "SIZE", value_parser = value::<Size>)]
    chunk_size: Option<Size>,

    /// Activities at once; one more is answered 503 [default: 25]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    max_requests: Option<Count>,

    /// Streams that may come at once; one more ends the session [default: 100]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    max_streams: Option<Count>,

    /// The size of an activity, an attachment, an answer or a call [default: 100MiB]
    #[arg(long, value_name = "SIZE", value_parser = value::<Size>)]
    max_stream_size: Option<Size>,

    /// What a session may hold of what came from the platform, and the gateway besides
    /// [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = value::<Size>)]
    max_memory: Option<Size>,

    /// What may wait to be sent to the platform [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = value::<Size>)]
    max_outgoing: Option<Size>,

    /// Connections to the callback at once; one more waits in the system's queue [default: 1024]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    max_connections: Option<Count>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Times")]
struct TimeoutArgs {
    /// Connecting to the agent; then 504 [default: 5s]
    #[arg(long = "connect-timeout", value_name = "TIME", value_parser = value::<Time>)]
    connect: Option<Time>,

    /// From an activity to the agent's answer, or none; then 504 [default: 5m]
    #[arg(long = "first-byte-timeout", value_name = "TIME", value_parser = value::<NoneOr<Time>>)]
    first_byte: Option<NoneOr<Time>>,

    /// No progress in the body of an answer or a call [default: 1m]
    #[arg(long = "body-idle-timeout", value_name = "TIME", value_parser = value::<Time>)]
    body_idle: Option<Time>,

    /// How long a connection to the agent is kept for the next activity [default: 4s]
    #[arg(long = "keep-alive-timeout", value_name = "TIME", value_parser = value::<Time>)]
    keep_alive: Option<Time>,

    /// From a call of the agent's to the platform's answer; then 504 [default: 20s]
    #[arg(long = "response-timeout", value_name = "TIME", value_parser = value::<Time>)]
    response: Option<Time>,

    /// From the order to stop to the cut of what still runs [default: 10s]
    #[arg(long = "drain-timeout", value_name = "TIME", value_parser = value::<TimeOrZero>)]
    drain: Option<TimeOrZero>,
}

impl GatewayArgs {
    /// What these flags say.
    pub(crate) fn layers(self) -> (GatewayLayer, LinkLayer, EventsLayer) {
        let GatewayArgs { access, limits, timeouts, .. } = self;
        let (through, link) = self.link.layers();
        let gateway = GatewayLayer {
            name: flag("--name", self.name.map(Some)),
            pipe: flag("--pipe", Some(Some(self.pipe))),
            to: flag("--to", Some(Some(self.to))),
            through,
            path: flag("--path", self.path),
            callback: flag("--callback", self.callback),
            service_url: flag("--service-url", self.service_url.map(Some)),
            access: flag("--access", access.access),
            verify_server: flag("--verify-server", access.verify_server),
            allow_remote: flag("--allow-remote", access.allow_remote.then_some(true)),
            lenient: flag("--lenient", limits.lenient.then_some(true)),
            chunk_size: flag("--chunk-size", limits.chunk_size),
            max_requests: flag("--max-requests", limits.max_requests),
            max_streams: flag("--max-streams", limits.max_streams),
            max_stream_size: flag("--max-stream-size", limits.max_stream_size),
            max_memory: flag("--max-memory", limits.max_memory),
            max_outgoing: flag("--max-outgoing", limits.max_outgoing),
            max_connections: flag("--max-connections", limits.max_connections),
            connect: flag("--connect-timeout", timeouts.connect),
            first_byte: flag("--first-byte-timeout", timeouts.first_byte),
            body_idle: flag("--body-idle-timeout", timeouts.body_idle),
            keep_alive: flag("--keep-alive-timeout", timeouts.keep_alive),
            response: flag("--response-timeout", timeouts.response),
            drain: flag("--drain-timeout", timeouts.drain),
        };
        (gateway, link, self.events.layer())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Cli, Command, DirectlineCommand};
    use crate::config::{GATEWAY_KEYS, Source};

    #[test]
    fn every_flag_of_a_gateway_is_told_as_its_source() {
        let text = "pipeway directline gateway --pipe a --to local:b --name n --through windows \
            --path /a --callback local:c --service-url http://a --access owner --verify-server yes \
            --allow-remote --lenient --chunk-size 64KiB --max-requests 1 --max-streams 1 \
            --max-stream-size 1 --max-memory 1 --max-outgoing 1 --max-connections 1 \
            --connect-timeout 1s --first-byte-timeout none --body-idle-timeout 1s \
            --keep-alive-timeout 1s --response-timeout 1s --drain-timeout 0s";
        let cli = Cli::try_parse_from(text.split_whitespace()).unwrap();
        let Command::Directline(args) = cli.command else { panic!("{cli:?}") };
        let DirectlineCommand::Gateway(args) = args.command else { panic!("{args:?}") };
        let (gateway, _, _) = args.layers();
        for (row, key) in gateway.resolve().rows().iter().zip(GATEWAY_KEYS) {
            assert_eq!(row.source, Source::Flag(key.flag), "{}", key.name);
        }
    }
}
