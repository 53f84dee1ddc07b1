//! `pipeway directline send`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use pipeway_directline::pipes::Place;

use crate::args::value;
use crate::config::{Time, TimeOrZero};

const HELP: &str = "\
ACTIVITY is a message's text, or @FILE (@- for standard input) with an activity as JSON. What an
activity lacks is filled in: type, id, timestamp, channelId, serviceUrl, conversation, from and
recipient. With --invoke it is the invoke's value, as JSON.

Standard output has what the agent sends, a line `bot: TEXT` each; or, with --json, an object a line:
  {\"operation\": \"reply\", \"conversation\": ID, \"to\": ID, \"id\": ID, \"activity\": {...}}
where operation is send, reply, update, delete, or answer, which has \"status\" and perhaps \"body\"
and is the agent's answer to what was sent.

The pipes are tried for --connect-timeout. As an agent may drop a session right behind another one,
`GET /api/version` is asked first, whatever its answer; an activity is sent once. After its answer replies are waited for until none
has come for --wait.

--hostile SEED sends malformed and abusive frames, one attack after another, and looks after each
whether the agent still answers. The same seed makes the same bytes. What is expected is what
pipeway's own end does; a case such as M-04 is told in docs/guides/directline-testing.md. An agent
that differs has not failed; one that answers nothing any more, on a new session either, has.

Exit codes: 0 the agent answered with success, or survived; 1 it did not survive; 2 a wrong command
line or activity; 7 no agent; 8 the time ran out; 9 the agent ended the session before its answer;
10 the agent refused, the message tells the status.

Examples:
  pipeway directline send --pipe bfv4.pipes hello
  pipeway directline send --pipe bfv4.pipes --attach photo.png 'what is this?'
  pipeway directline send --pipe bfv4.pipes --json --wait 0s @activity.json
  pipeway directline send --pipe bfv4.pipes --invoke task/fetch '{\"id\": 7}'
  pipeway directline send --pipe dotnet:bfv4.pipes --conversation
  pipeway directline send --pipe bfv4.pipes --hostile 42 --rounds 3";

/// `pipeway directline send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP, group = ArgGroup::new("what").required(true).args(["activity", "conversation", "hostile"]))]
pub(crate) struct SendArgs {
    /// A message's text, or @FILE (@- for standard input) with an activity
    #[arg(value_name = "ACTIVITY")]
    pub(crate) activity: Option<String>,

    /// Where the agent listens: NAME, dotnet:NAME, or unix:/path without .incoming
    #[arg(long, value_name = "PIPE")]
    pub(crate) pipe: Place,

    /// Send each line of standard input and print what comes, until its end or Ctrl-C
    #[arg(long, conflicts_with_all = ["attach", "invoke"])]
    pub(crate) conversation: bool,

    /// The id of the user who sends
    #[arg(long, value_name = "ID", default_value = "user")]
    pub(crate) from: String,

    /// The conversation's id [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) conversation_id: Option<String>,

    /// Send a file beside the activity, with a media type by its extension; may be given more than
    /// once
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,

    /// Ask for the replies in the agent's answer
    #[arg(long)]
    pub(crate) expect_replies: bool,

    /// Send an invoke of this name; the agent's answer is printed
    #[arg(long, value_name = "NAME", conflicts_with = "expect_replies")]
    pub(crate) invoke: Option<String>,

    /// How long after the last thing that came a reply may still come; 0s: the answer is enough
    #[arg(long, value_name = "TIME", value_parser = value::<TimeOrZero>, default_value = "2s")]
    wait: TimeOrZero,

    /// How long an activity's answer and all replies may take
    #[arg(long, value_name = "TIME", value_parser = value::<Time>, default_value = "30s")]
    timeout: Time,

    /// How long the agent's pipes may take to be there
    #[arg(long, value_name = "TIME", value_parser = value::<Time>, default_value = "5s")]
    connect_timeout: Time,

    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Tell each frame's type, length and id on standard error, and what the session does
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) hostility: HostileArgs,
}

/// The test of an agent.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Testing an agent")]
pub(crate) struct HostileArgs {
    /// Attack the agent with what a generator makes of this number
    #[arg(long, value_name = "SEED", conflicts_with_all = ["from", "conversation_id", "attach", "expect_replies", "invoke", "wait", "timeout", "verbose"])]
    pub(crate) hostile: Option<u64>,

    /// How often all attacks are made, each time with other bytes
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "hostile", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Begin no attack after so many seconds
    #[arg(long, value_name = "COUNT", requires = "hostile")]
    pub(crate) seconds: Option<u64>,

    /// Make only the attacks in whose name or case this is; may be given more than once
    #[arg(long, value_name = "WORD", requires = "hostile")]
    pub(crate) only: Vec<String>,

    /// Leave out the attacks in whose name or case this is; may be given more than once
    #[arg(long, value_name = "WORD", requires = "hostile")]
    pub(crate) skip: Vec<String>,

    /// Make the attacks too that take up to half a minute each
    #[arg(long, requires = "hostile")]
    pub(crate) slow: bool,
}

impl SendArgs {
    /// How long after the last thing that came a reply may still come.
    pub(crate) fn wait(&self) -> Duration {
        self.wait.0
    }

    /// How long an activity's answer and all replies may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.0
    }

    /// How long the agent's pipes may take to be there.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.0
    }
}
