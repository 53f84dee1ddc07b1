//! What bounds a WebSocket.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// The handshake's deadline, and what bounds a WebSocket's memory.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the handshake may take in all; for [`connect`](super::connect()) from the moment
    /// on which the stream is there. Default: 10 seconds.
    pub handshake_timeout: Duration,
    /// The longest message that is received, in bytes; a longer one ends the connection. It bounds
    /// what a connection keeps in memory. Default: 16 MiB.
    pub max_message_bytes: usize,
    /// The longest frame that is received, in bytes; a message may have many. Default: 16 MiB.
    pub max_frame_bytes: usize,
    /// How much may wait to be sent, in bytes, a message that is being sent included: to send a
    /// longer one fails. At least 1. Default: 32 MiB.
    pub max_unsent_bytes: usize,
    /// Whether a server takes a handshake that names an `Origin`. Browsers send one, and pages of
    /// any site can reach a loopback port; other programs send none. Where it is on, compare the
    /// header in [`accept_with`](super::accept_with). Default: no, such a handshake is answered
    /// 403.
    pub allow_origin: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            handshake_timeout: Duration::from_secs(10),
            max_message_bytes: 16 << 20,
            max_frame_bytes: 16 << 20,
            max_unsent_bytes: 32 << 20,
            allow_origin: false,
        }
    }
}

/// What is read and written at once, in bytes. tungstenite allocates the reading buffer at the
/// start and keeps it: its own default would cost an idle connection 128 KiB.
const BUFFER_BYTES: usize = 16 * 1024;

impl Options {
    /// The bounds as tungstenite takes them, for its own functions.
    pub fn config(&self) -> WebSocketConfig {
        let unsent = self.max_unsent_bytes.max(1);
        WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            // It panics unless this is less than the bound.
            .write_buffer_size(BUFFER_BYTES.min(unsent - 1))
            .max_write_buffer_size(unsent)
            .max_message_size(Some(self.max_message_bytes))
            .max_frame_size(Some(self.max_frame_bytes))
    }
}
