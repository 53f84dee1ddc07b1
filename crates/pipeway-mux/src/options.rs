//! What may be chosen.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// The most content that a frame of ours carries, in bytes.
pub(crate) const CONTENT_MAX: usize = 20 * 1024;

/// How much content may go with an offer, in bytes ([`Mux::offer_with`](crate::Mux::offer_with)).
pub const FIRST_MAX: usize = 4096;

/// The version of the protocol on the wire. The two ends agree on it beforehand: nothing on the
/// wire negotiates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// A handshake, frames with a header of seven bytes, no flow control.
    V1,
    /// A handshake, frames in MessagePack, flow control for each channel.
    V2,
    /// As version 2, without a handshake and with seeded channels.
    #[default]
    V3,
}

impl Version {
    /// The version of that number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a number other than 1, 2 and 3.
    pub fn from_number(number: u32) -> Result<Self, Error> {
        match number {
            1 => Ok(Version::V1),
            2 => Ok(Version::V2),
            3 => Ok(Version::V3),
            other => Err(Error::new(
                ErrorKind::Usage,
                format!("there is no version {other} of the protocol; the versions are 1, 2 and 3"),
            )),
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }

    pub(crate) const fn has_windows(self) -> bool {
        !matches!(self, Version::V1)
    }
}

/// How a connection is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version. Default: 3.
    pub version: Version,
    /// How many bytes of a channel the other end may send before they are read here, where the
    /// channel's own options say nothing. Has no meaning in version 1. Default: 1,024,000.
    pub window_bytes: u32,
    /// Up to where a channel's window grows when its sender asks for more, in bytes. Default: 16
    /// times 1,024,000.
    pub window_max_bytes: u32,
    /// How many bytes all windows together may grow. Default: 64 times 1,024,000.
    pub growth_budget_bytes: u64,
    /// The windows of the seeded channels, in bytes; both ends must have the same. Version 3
    /// only. Default: none.
    pub seeded: Vec<u32>,
    /// Whether the end of the connection, however orderly, is an error to who reads a channel
    /// whose end had not come. Otherwise it reads as the channel's end, as it does with others'
    /// implementations; [`Channel::completion`](crate::Channel::completion) tells the difference.
    /// Default: no.
    pub fault_open_channels: bool,
    /// How long the handshake of versions 1 and 2 may take. Default: 10 seconds.
    pub handshake_timeout: Duration,
    /// How long, after [`close`](crate::Mux::close) or the connection's end, what was written is
    /// still handed to the stream below and the other end is waited for. Default: 5 seconds.
    pub close_timeout: Duration,
    /// How long, after a small exchange, the connection's task looks for more before it lets its
    /// thread sleep; where that is in vain it is tried ever more seldom, and while nothing moves,
    /// never. It spares a conversation the waking of a processor and costs its thread this much
    /// processor time for each message at the most. Zero: never. Default: 50 microseconds.
    pub busy_poll: Duration,
    /// How much of everything the other end may cause.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V3,
            window_bytes: 1_024_000,
            window_max_bytes: 16 * 1_024_000,
            growth_budget_bytes: 64 * 1_024_000,
            seeded: Vec::new(),
            fault_open_channels: false,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            busy_poll: Duration::from_micros(50),
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Everything by default in `version`.
    pub fn new(version: Version) -> Self {
        Options { version, ..Options::default() }
    }

    /// What can be said to be wrong before anything is written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |what: &str| Err(Error::new(ErrorKind::Usage, what));
        if !self.seeded.is_empty() && self.version != Version::V3 {
            return refused("seeded channels need version 3");
        }
        if self.window_bytes == 0 || self.seeded.contains(&0) {
            return refused("a window of 0 bytes would let nothing through; it must be at least 1");
        }
        Ok(())
    }
}

/// How much of everything the other end may cause. Passing one ends the connection with
/// [`ErrorKind::Protocol`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// The payload of a frame, in bytes. Default: 1 MiB.
    pub payload_bytes_max: u32,
    /// How deep values may be nested that a frame has beyond the known ones. At most 64.
    /// Default: 16.
    pub nesting_max: u8,
    /// Offers that wait to be accepted. Default: 10,000.
    pub offers_waiting_max: usize,
    /// Channels at once, of both ends together. Default: 100,000.
    pub channels_max: usize,
    /// The windows of all channels together, in bytes, growth not counted: once they come to this,
    /// a further channel's window is 20,480 bytes. Default: 256 MiB.
    pub windows_bytes_max: u64,
    /// In version 1, how many bytes of a channel are kept unread before the whole connection is
    /// not read any more until that channel is. Default: 1 MiB.
    pub v1_buffer_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            payload_bytes_max: 1 << 20,
            nesting_max: 16,
            offers_waiting_max: 10_000,
            channels_max: 100_000,
            windows_bytes_max: 256 << 20,
            v1_buffer_bytes: 1 << 20,
        }
    }
}

/// How one channel is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChannelOptions {
    /// Its window at this end, in bytes; `None`: [`Options::window_bytes`]. 0 counts as 1.
    pub window_bytes: Option<u32>,
}

impl ChannelOptions {
    /// With a window of `bytes`.
    pub const fn window(bytes: u32) -> Self {
        ChannelOptions { window_bytes: Some(bytes) }
    }
}
