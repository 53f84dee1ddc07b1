//! What goes over the wire: JSON in HTTP bodies and in WebSocket text messages. Bytes are standard
//! base64. docs/reference/agent-api.md is the reference.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The most bytes of output in one message of a terminal, before encoding.
pub const MAX_OUTPUT_BYTES: usize = 8192;

/// Bytes as base64.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes that standard base64 with its padding stands for.
///
/// # Errors
///
/// Says where the text is no base64.
pub fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(text)
}

/// The body of `POST /v1/execute` and of `POST /v1/execute/stream`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// A script for the system's shell.
    pub cmd: String,
    /// The folder it runs in, absolute; else the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables of its environment besides the agent's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether it runs in a terminal, of 80 by 24; its output is `stdout` then.
    #[serde(default)]
    pub pty: bool,
    /// Who asks, for the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The profile that was asked for, for the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How much it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// How much a command may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// How long it may run, in milliseconds; then it gets SIGTERM, and SIGKILL after a grace
    /// period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runtime_ms: Option<u64>,
}

/// The answer of `POST /v1/execute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// The exit code, or 128 and the signal's number.
    pub exit: i32,
    /// The command's id.
    pub span_id: String,
    /// Standard output, as base64.
    pub stdout_b64: String,
    /// Standard error, as base64.
    pub stderr_b64: String,
    /// The scopes that were used: always none, since this agent isolates nothing.
    pub scopes_used: Vec<String>,
}

/// A line of `POST /v1/execute/stream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamLine {
    /// The first: the command was started.
    Start {
        /// The command's id, to cancel it.
        span_id: String,
    },
    /// Some of its standard output.
    Stdout {
        /// As base64.
        chunk_b64: String,
    },
    /// Some of its standard error.
    Stderr {
        /// As base64.
        chunk_b64: String,
    },
    /// The last: it has ended.
    Exit {
        /// The exit code, or 128 and the signal's number.
        exit: i32,
        /// The command's id.
        span_id: String,
    },
    /// Something went wrong; `exit` may still follow.
    Error {
        /// What.
        message: String,
    },
}

/// The body of `POST /v1/execute/cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The command's id.
    pub span_id: String,
    /// The signal: INT, TERM, QUIT, HUP or KILL, with or without SIG.
    pub sig: String,
}

/// The answer of `POST /v1/execute/cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// 1.
    pub schema_version: u32,
    /// Whether a command of that id was running and got the signal.
    pub delivered: bool,
}

/// The answer of `GET /v1/capabilities`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The version of this interface.
    pub version: String,
    /// What this agent can do on this system: `execute`, `execute_stream`, `execute_cancel`,
    /// `pty`, `trace`, `stream`, `session`.
    pub features: Vec<String>,
    /// What runs the commands: the program's name and version.
    pub backend: String,
    /// The operating system.
    pub platform: String,
}

/// A refused request, as the body of a status of 400 or above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind of refusal.
    pub error: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The first message of a terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A script for the system's shell.
    pub cmd: String,
    /// The folder it runs in, absolute; else the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables of its environment besides the agent's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The id it is to have; else it is made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// The terminal's width in characters, at least 1.
    pub cols: u16,
    /// The terminal's height in characters, at least 1.
    pub rows: u16,
}

/// The first message of a persistent session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// 1.
    pub protocol_version: u64,
    /// The folder it begins in, absolute; else the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables of its environment besides the agent's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The terminal's width in characters, at least 1.
    pub cols: u16,
    /// The terminal's height in characters, at least 1.
    pub rows: u16,
}

/// A program for a persistent session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// 1 for the first, and one more each time.
    pub seq: u64,
    /// 32 hexadecimal digits that the completion gives back. A secret: never written to a log.
    pub token_hex: String,
    /// A UUID.
    pub cmd_id: String,
    /// Where the program's standard input comes from.
    pub stdin_mode: StdinMode,
    /// The script, as base64 of UTF-8 without NUL.
    pub program_b64: String,
}

impl std::fmt::Debug for Exec {
    /// Without the token and the program.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec")
            .field("seq", &self.seq)
            .field("cmd_id", &self.cmd_id)
            .field("stdin_mode", &self.stdin_mode)
            .finish_non_exhaustive()
    }
}

/// Where a program's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// It is at its end.
    Eof,
    /// The terminal.
    Passthrough,
}

/// A message to the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Opens a terminal.
    Start(Start),
    /// Opens a persistent session.
    StartSession(StartSession),
    /// Runs a program in a persistent session.
    Exec(Exec),
    /// Something typed.
    Stdin {
        /// As base64.
        data_b64: String,
    },
    /// The terminal's new size.
    Resize {
        /// The width in characters, at least 1.
        cols: u16,
        /// The height in characters, at least 1.
        rows: u16,
    },
    /// A signal for the terminal's foreground process group.
    Signal {
        /// INT, TERM, QUIT or HUP, with or without SIG.
        sig: String,
    },
    /// Ends a persistent session.
    Close {},
}

/// A message from the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentMessage {
    /// Output, at most [`MAX_OUTPUT_BYTES`] before encoding.
    Stdout {
        /// As base64.
        data_b64: String,
    },
    /// A persistent session is open.
    Ready {
        /// 32 hexadecimal digits.
        session_nonce: String,
        /// The folder it is in.
        cwd: String,
        /// 1.
        protocol_version: u64,
    },
    /// A program of a persistent session has ended.
    CommandComplete {
        /// As in its `exec`.
        seq: u64,
        /// As in its `exec`.
        token_hex: String,
        /// The exit code, or 128 and the signal's number.
        exit: i32,
        /// The folder that the session is in now.
        cwd: String,
    },
    /// Something went wrong.
    Error {
        /// The kind, where the error ends the conversation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
        /// What, and what to do.
        message: String,
        /// Whether it ends the conversation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fatal: Option<bool>,
        /// The program that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// The command or the session's shell has ended; a close frame follows.
    Exit {
        /// The exit code, or 128 and the signal's number.
        code: i32,
    },
}

impl AgentMessage {
    /// An error after which the conversation goes on.
    pub fn error(message: impl Into<String>) -> Self {
        AgentMessage::Error { code: None, message: message.into(), fatal: None, seq: None }
    }

    /// An error that ends the conversation.
    pub fn fatal(code: ErrorCode, message: impl Into<String>, seq: Option<u64>) -> Self {
        AgentMessage::Error { code: Some(code), message: message.into(), fatal: Some(true), seq }
    }
}

/// The kind of an error that ends a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A message that can't be understood, or asks for what can't be.
    BadRequest,
    /// The agent or its system failed.
    InternalError,
    /// A `protocol_version` other than 1.
    UnsupportedProtocolVersion,
    /// An `exec` while another one runs.
    ExecWhileBusy,
    /// A program that is not UTF-8.
    ProgramInvalidUtf8,
    /// A program with a NUL in it.
    ProgramContainsNul,
    /// A message at the wrong time, or a binary one.
    ProtocolViolation,
}
