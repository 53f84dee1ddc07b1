//! `pipeway curl` and `pipeway ws`, and how every client connects.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pipeway_transport::{ConnectOptions, Endpoint};

use super::value;
use crate::config::{Verify, seconds_or_time};

const CURL_HELP: &str = "\
PATH is the request's path with its query, or a whole URL (http://localhost/v1?x=1).

Exit codes: 0 an answer came, whole; 7 nothing answers at the endpoint; 8 the time ran out; 9 the
answer was cut short; 10 with --fail, a status of 400 or above.

Examples:
  pipeway curl local:my-service /health
  pipeway curl -v -d '{\"name\":\"x\"}' -H 'Content-Type: application/json' local:my-service /v1/things
  pipeway curl -T big.iso local:my-service /upload
  pipeway curl unix:/var/run/docker.sock /v1.43/containers/json";

const WS_HELP: &str = "\
Each line of standard input is sent as a text message, each message that comes is a line of standard
output. At the end of standard input the conversation is closed, and what still comes is printed.

Examples:
  echo hello | pipeway ws local:my-service /chat
  pipeway ws --ping 20s local:my-service /events
  pipeway ws --binary local:my-service /stream < input.bin > output.bin";

/// What both clients of any service take.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArgs {
    /// Where to connect: local:NAME, npipe:NAME, unix:/path or tcp:127.0.0.1:PORT
    #[arg(value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    pub(crate) endpoint: Endpoint,

    /// The path, with its query, or a whole http://localhost/ URL
    #[arg(value_name = "PATH")]
    pub(crate) path: String,

    /// A header: 'Name: value'; 'Name:' leaves one out, 'Name;' sends it empty, @FILE reads them
    #[arg(short = 'H', long = "header", value_name = "HEADER", allow_hyphen_values = true)]
    pub(crate) headers: Vec<String>,

    /// Tell on standard error what is connected to, sent and received
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// The longest time for everything: seconds, or a time such as 500ms [default: no limit]
    #[arg(short = 'm', long, value_name = "TIME", value_parser = seconds_or_time)]
    pub(crate) max_time: Option<Duration>,

    #[command(flatten)]
    connect: ConnectArgs,
}

impl ClientArgs {
    /// How to connect.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        self.connect.options(self.max_time)
    }
}

/// How to connect.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The longest time for connecting: seconds, or a time such as 500ms [default: 5]
    #[arg(long, value_name = "TIME", value_parser = seconds_or_time)]
    connect_timeout: Option<Duration>,

    /// Whether the server must be your own process before the first byte is sent: yes, no or
    /// auto (yes for local:NAME) [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = value::<Verify>)]
    verify_server: Option<Verify>,

    /// Allow a TCP address other than loopback
    #[arg(long)]
    allow_remote: bool,
}

impl ConnectArgs {
    /// How to connect, where everything together may take `limit`.
    pub(crate) fn options(&self, limit: Option<Duration>) -> ConnectOptions {
        let default = ConnectOptions::default();
        ConnectOptions {
            timeout: self.connect_timeout.or(limit).unwrap_or(default.timeout),
            verify_server: self.verify_server.and_then(|verify| verify.0),
            allow_remote: self.allow_remote,
            ..default
        }
    }
}

/// `pipeway curl`.
#[derive(Clone, Debug, Args)]
#[command(after_help = CURL_HELP)]
pub(crate) struct CurlArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,

    /// The method [default: GET; POST with data, PUT with --upload-file, HEAD with --head]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Send a file as the body of a PUT, as it is read; - is standard input
    #[arg(short = 'T', long, value_name = "FILE", conflicts_with_all = ["data", "data_raw", "data_binary", "data_urlencode", "json"])]
    pub(crate) upload_file: Option<PathBuf>,

    /// Put the data into the query instead
    #[arg(short = 'G', long, conflicts_with = "upload_file")]
    pub(crate) get: bool,

    /// Ask for the head alone, and print it
    #[arg(short = 'I', long, conflicts_with_all = ["upload_file"])]
    pub(crate) head: bool,

    /// Print the answer's head before its body
    #[arg(short, long)]
    pub(crate) include: bool,

    /// Write the body to a file; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// No progress and no error messages
    #[arg(short, long)]
    pub(crate) silent: bool,

    /// With --silent, error messages all the same
    #[arg(short = 'S', long)]
    pub(crate) show_error: bool,

    /// Write each piece to --output's file at once (standard output is never buffered)
    #[arg(short = 'N', long)]
    pub(crate) no_buffer: bool,

    /// End with code 10 and no output if the status is 400 or above
    #[arg(short, long)]
    pub(crate) fail: bool,

    /// Print this at the end, with %{http_code}, %{size_download}, %{size_upload}, %{time_connect},
    /// %{time_starttransfer}, %{time_total}, and \n
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,
}

/// The data of a request. More than one are joined with `&`, in the order of the kinds below.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// Send data as a POST; @FILE reads it from a file without its line ends, @- from standard input
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data: Vec<String>,

    /// Like --data, and @ has no meaning
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data_raw: Vec<String>,

    /// Like --data, and a file is sent as it is
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data_binary: Vec<String>,

    /// Like --data, percent-encoded: VALUE or NAME=VALUE
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data_urlencode: Vec<String>,

    /// Like --data-binary, with Content-Type and Accept application/json
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) json: Vec<String>,
}

/// `pipeway ws`.
#[derive(Clone, Debug, Args)]
#[command(after_help = WS_HELP)]
pub(crate) struct WsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,

    /// Send standard input in binary messages as it comes, and write messages as they are
    #[arg(short, long)]
    pub(crate) binary: bool,

    /// Send a ping this often, and end with code 8 if a pong is missing until the next one
    #[arg(long, value_name = "TIME", value_parser = seconds_or_time)]
    pub(crate) ping: Option<Duration>,

    /// A subprotocol to offer; may be given more than once
    #[arg(long = "protocol", value_name = "NAME")]
    pub(crate) protocols: Vec<String>,
}
