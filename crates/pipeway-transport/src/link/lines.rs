//! How both ends of a link set up the multiplexer.

use std::time::Duration;

use pipeway_mux::{Mux, Options};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::spawned::spawn;
use crate::{BusyPoll, IoLoop};

/// The seeded channel that carries signs of life.
pub(super) const HEARTBEAT: u32 = 0;

/// Its window, in bytes: a sign of life is one.
const HEARTBEAT_WINDOW: u32 = 4096;

/// How long the end of a link may take.
pub(super) const CLOSE: Duration = Duration::from_secs(2);

/// The multiplexer over `io`, run by who runs the caller.
pub(super) fn mux<S>(io: S) -> Result<Mux, pipeway_mux::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if IoLoop::is_here() {
        return Mux::create_on(io, options(), |driver| drop(spawn(driver)));
    }
    Mux::create(io, options())
}

/// The options, the same at both ends.
pub(super) fn options() -> Options {
    Options {
        seeded: vec![HEARTBEAT_WINDOW],
        // A link that breaks must never look like the end of what it carried.
        fault_open_channels: true,
        close_timeout: CLOSE,
        busy_poll: if BusyPoll::PAYS { Options::default().busy_poll } else { Duration::ZERO },
        ..Options::default()
    }
}
