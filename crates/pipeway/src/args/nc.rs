//! `pipeway nc`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ConnectArgs, value};
use crate::config::{NoneOr, Time};

const HELP: &str = "\
Standard input goes to the endpoint as it comes, and what comes from there to standard output. The
end of each direction is passed on by itself, and the program ends when both have ended. A pipe of
bytes has no end of one direction: there the server is not told of standard input's end, and its
own end is the end of both.

The options of npiperelay mean what they mean there: -ei, -ep, -s, -p, -v and -a.

Exit codes: 0 it ended as it should; 7 nothing answers at the endpoint; 8 the time ran out; 9 the
connection was lost, or closed before all of standard input was sent; 10 an agent refused --assuan.

Examples:
  pipeway nc local:my-service < request > answer
  socat UNIX-LISTEN:agent.sock,fork EXEC:'pipeway.exe nc -ei -s //./pipe/openssh-ssh-agent'
  ssh -o ProxyCommand='pipeway nc unix:/run/ssh.sock' box
  pipeway nc --poll --timeout 30s local:my-service
  pipeway nc -a C:\\Users\\me\\AppData\\Local\\gnupg\\S.gpg-agent";

/// `pipeway nc`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct NcArgs {
    /// Where to connect: local:NAME, npipe:NAME, unix:/path or tcp:127.0.0.1:PORT; with --assuan
    /// the path of a socket file
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,

    /// End with standard input, whatever may still come from the endpoint (-ei)
    #[arg(long)]
    pub(crate) end_on_input_end: bool,

    /// End with what comes from the endpoint, also while standard input is open (-ep)
    #[arg(long)]
    pub(crate) end_on_endpoint_end: bool,

    /// Whether the endpoint is told of standard input's end: auto (where it can be: sockets, and
    /// pipes of messages by an empty one) or none [default: auto]
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    half_close: Option<HalfClose>,

    /// The same as --half-close auto
    #[arg(short = 's', conflicts_with = "half_close")]
    half_close_auto: bool,

    /// Wait for an endpoint that is not there yet, does not listen or stays busy
    #[arg(short, long)]
    pub(crate) poll: bool,

    /// How long --poll waits, or none [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = value::<NoneOr<Time>>, requires = "poll")]
    timeout: Option<NoneOr<Time>>,

    /// ENDPOINT is a socket file of GnuPG on Windows, which holds a port and a secret (libassuan)
    #[arg(short, long)]
    pub(crate) assuan: bool,

    /// How long nothing may be moved after one direction has ended, or none [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = value::<NoneOr<Time>>)]
    half_close_idle_timeout: Option<NoneOr<Time>>,

    /// Tell on standard error what is connected to, and what was moved
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Whether the endpoint is told of the end of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HalfClose {
    Auto,
    None,
}

impl NcArgs {
    /// Whether the endpoint is told of the end of standard input where that can be done.
    pub(crate) fn half_close(&self) -> bool {
        self.half_close != Some(HalfClose::None)
    }

    /// How long a poll may last; without an end where `None`.
    pub(crate) fn poll_limit(&self) -> Option<Duration> {
        or_a_minute(self.timeout)
    }

    /// How long nothing may be moved after one direction has ended.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        or_a_minute(self.half_close_idle_timeout)
    }
}

fn or_a_minute(limit: Option<NoneOr<Time>>) -> Option<Duration> {
    limit.map_or(Some(Duration::from_secs(60)), |limit| limit.0.map(|time| time.0))
}

/// The command line with npiperelay's `-ei` and `-ep` written out: to clap they would be clusters
/// of one-letter flags.
pub(crate) fn written_out(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|command| command == "nc") {
        for arg in args.iter_mut().skip(2).take_while(|arg| *arg != "--") {
            if arg == "-ei" {
                *arg = "--end-on-input-end".into();
            } else if arg == "-ep" {
                *arg = "--end-on-endpoint-end".into();
            }
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn parsed(line: &str) -> NcArgs {
        let args = written_out(line.split_whitespace().map(OsString::from));
        match Cli::try_parse_from(args).unwrap().command {
            Command::Nc(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_spellings_of_npiperelay_are_those_of_here() {
        let args = parsed("pipeway nc -ei -ep -s -p -v -a C:\\x");
        assert!(args.end_on_input_end && args.end_on_endpoint_end && args.half_close());
        assert!(args.poll && args.verbose && args.assuan);
        let args = parsed("pipeway nc //./pipe/x");
        assert!(!args.end_on_input_end && !args.end_on_endpoint_end && args.half_close());
        assert!(!args.poll && !args.verbose && !args.assuan);
        assert!(!parsed("pipeway nc --half-close none x").half_close());
    }

    #[test]
    fn they_are_of_nc_alone() {
        let line = ["pipeway", "curl", "-ei", "x"].map(OsString::from);
        assert_eq!(written_out(line.clone()), line);
        let line = ["pipeway", "nc", "--", "-ei"].map(OsString::from);
        assert_eq!(written_out(line.clone()), line);
    }

    #[test]
    fn a_wait_has_an_end_unless_it_is_not_to_have_one() {
        let minute = Some(Duration::from_secs(60));
        let args = parsed("pipeway nc x");
        assert_eq!((args.poll_limit(), args.idle_limit()), (minute, minute));
        let args = parsed("pipeway nc -p --timeout 5s --half-close-idle-timeout none x");
        assert_eq!((args.poll_limit(), args.idle_limit()), (Some(Duration::from_secs(5)), None));
    }
}
