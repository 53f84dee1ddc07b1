//! The kind of transport, as telemetry names it.

use std::fmt;

/// The kind of transport of one end, as observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A Windows named pipe.
    NamedPipe,
    /// A Unix domain socket.
    Unix,
    /// A TCP connection.
    Tcp,
    /// The process's own standard input and output.
    Stdio,
}

impl Mode {
    /// The name that telemetry uses: `named_pipe`, `unix`, `tcp` or `stdio`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::NamedPipe => "named_pipe",
            Mode::Unix => "unix",
            Mode::Tcp => "tcp",
            Mode::Stdio => "stdio",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
