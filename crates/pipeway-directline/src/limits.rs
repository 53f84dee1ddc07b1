//! What bounds a session: sizes, counts and times.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::header::PayloadLength;

/// How headers and ids are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Six digits and a hyphenated GUID, or the session ends.
    #[default]
    Strict,
    /// In addition, what some implementation accepts and cannot be misread: blanks around the
    /// digits of a length and one leading `+`; ids of 32 hexadecimal digits and four blanks, which
    /// are GUIDs; ids of other printable ASCII, not blank, which are compared as text.
    Lenient,
}

/// When a session counts as dead though both pipes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// How often it looks. Default: 5 s.
    pub period: Duration,
    /// The session ends if no frame came for so long, and a call has waited for so long or one has
    /// timed out since the last frame. Default: 20 s.
    pub silence: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog { period: Duration::from_secs(5), silence: Duration::from_secs(20) }
    }
}

/// What an end takes in one frame that marks the ids of its requests, in bytes; and what is sent to
/// it in one.
pub(crate) const MARKED_FRAME_BYTES: u32 = 65_536;

/// How what is sent is handed over to the system.
///
/// The npm package `botframework-streaming` ends the session when its read of a socket, of up to
/// 64 KiB, ends within a header, and its whole process dies when it ends within the last frame of a
/// stream. Both happen as soon as more waits for it than one read takes. No .NET program and no newer
/// one has such a flaw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As [`Legacy`](Pace::Legacy) until the other end shows that it is this crate's too, and from then
    /// on, while the session lasts, as [`Modern`](Pace::Modern) and in frames of up to 65,536 bytes
    /// where [`Limits::chunk_bytes`] is less.
    ///
    /// It shows it by the ids of its requests, or by a cancel of a stream that never was, which it
    /// sends when it has seen such an id. Any other peer takes them for what they look like.
    #[default]
    Automatic,
    /// What is read at once ends where a frame does: each frame is a write of its own, but on a Unix
    /// socket of Linux, where a few frames are if such a peer can't read a part of them; and no more
    /// waits on a Unix socket than it reads at once. The buffer of a named pipe can't be set by who
    /// writes to it.
    Legacy,
    /// Many frames by one write, up to [`Limits::write_bytes`], and as much as the system keeps:
    /// about twice as fast where much is sent to a peer without that flaw.
    Modern,
}

/// What bounds a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How headers and ids are read. Default: strictly.
    pub strictness: Strictness,
    /// The longest payload of one frame that is received, in bytes; 1 to 999,999. Default: 999,999.
    /// With less than 65,536 this end does not show that it is this crate's, see [`Pace::Automatic`].
    pub frame_bytes_max: u32,
    /// The longest payload of one stream frame that is sent, in bytes; 1 to 999,999. Default: 4096.
    /// Legacy peers drop the session at a longer one; newer ones take 65,536. With
    /// [`Pace::Automatic`] it is for peers that are not known to be this crate's; the others get up
    /// to 65,536 bytes where it is less.
    pub chunk_bytes: u32,
    /// How frames are handed over to the system. Default: [`Pace::Automatic`].
    pub pace: Pace,
    /// How many bytes are handed over for one write at the modern pace; what the next frame brings
    /// may exceed it. Default: 65,536.
    pub write_bytes: usize,
    /// Streams that are buffered at once, finished ones that nobody named included, and envelopes
    /// that have come in part. One more ends the session. Default: 100.
    pub streams_max: usize,
    /// Content of one stream that is received, in bytes. More ends the session. Default: 100 MiB.
    pub stream_bytes_max: u64,
    /// All memory that received bytes hold, in bytes: buffered streams, parked and running
    /// requests, and what the application still keeps of their content. Content beyond it ends the
    /// session, a request is answered with 503. Default: 256 MiB. For a second after a long body its
    /// memory, up to half as much as this, is kept for the next one, uncounted.
    pub memory_bytes_max: usize,
    /// Requests that run at once. Further ones are answered with 503. Default: 25.
    pub requests_max: usize,
    /// Requests that wait for their streams at once. Further ones are answered with 503.
    /// Default: 256.
    pub parked_max: usize,
    /// What waits to be sent, in bytes. More is refused; where it is this end's own answer that
    /// does not fit, the session ends. Default: 256 MiB.
    pub outgoing_bytes_max: usize,
    /// How long a request waits for its streams before it goes on without. Default: 15 s.
    pub parked_timeout: Duration,
    /// How long a message waits for a stream that is declared to be empty, once it is the last.
    /// Default: 1 s.
    pub empty_stream_timeout: Duration,
    /// How long nothing must follow a stream that ends short before it is taken as it is.
    /// Default: 250 ms.
    pub look_ahead: Duration,
    /// How long unframed content may make no progress before the session ends. Default: 10 s.
    pub trailing_timeout: Duration,
    /// How long a frame may take from its first byte to its last. Default: 30 s.
    pub frame_timeout: Duration,
    /// How long a call waits for its response, from its start. Default: 20 s.
    pub response_timeout: Duration,
    /// How long the service may take to answer a request, with the whole body where its length is
    /// not told, and then for each further piece of a body that is sent as it comes. Default: 300 s.
    ///
    /// A request that is not answered by then is answered with 504, and the service's work on it is
    /// dropped; a body is cancelled. `None`: the service keeps a time of its own.
    pub handler_timeout: Option<Duration>,
    /// How long the other end may take nothing while something waits to be sent. Default: 30 s.
    pub write_timeout: Duration,
    /// Whether and when silence ends the session. Default: yes for the agent, no for the connector.
    pub watchdog: Option<Watchdog>,
}

impl Limits {
    /// The defaults of the agent's end.
    pub fn agent() -> Self {
        Limits {
            strictness: Strictness::Strict,
            frame_bytes_max: PayloadLength::MAX,
            chunk_bytes: 4096,
            pace: Pace::Automatic,
            write_bytes: 65_536,
            streams_max: 100,
            stream_bytes_max: 100 << 20,
            memory_bytes_max: 256 << 20,
            requests_max: 25,
            parked_max: 256,
            outgoing_bytes_max: 256 << 20,
            parked_timeout: Duration::from_secs(15),
            empty_stream_timeout: Duration::from_secs(1),
            look_ahead: Duration::from_millis(250),
            trailing_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(20),
            handler_timeout: Some(Duration::from_secs(300)),
            write_timeout: Duration::from_secs(30),
            watchdog: Some(Watchdog::default()),
        }
    }

    /// The defaults of the connector's end.
    pub fn connector() -> Self {
        Limits { watchdog: None, ..Limits::agent() }
    }

    /// Whether a session can keep them.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](ErrorKind::Usage), and says which one cannot be.
    pub fn check(&self) -> Result<(), Error> {
        let sizes = 1..=PayloadLength::MAX;
        let bad = if !sizes.contains(&self.frame_bytes_max) {
            "frame_bytes_max is not between 1 and 999,999"
        } else if !sizes.contains(&self.chunk_bytes) {
            "chunk_bytes is not between 1 and 999,999"
        } else if self.write_bytes == 0 || self.outgoing_bytes_max < 4096 {
            "write_bytes is 0, or outgoing_bytes_max is below 4096"
        } else if self.streams_max == 0 || self.requests_max == 0 || self.parked_max == 0 {
            "streams_max, requests_max or parked_max is 0"
        } else if self.stream_bytes_max == 0 || self.memory_bytes_max == 0 {
            "stream_bytes_max or memory_bytes_max is 0"
        } else if self.times().iter().any(Duration::is_zero) {
            "one of the times is 0"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Usage, bad))
    }

    /// How many bytes are handed over for one write; a frame is, whatever its length.
    pub(crate) fn batch_bytes(&self) -> usize {
        match self.pace {
            Pace::Automatic | Pace::Legacy => 1,
            Pace::Modern => self.write_bytes,
        }
    }

    /// Whether this end takes what a mark in its ids promises.
    pub(crate) fn keeps_mark(&self) -> bool {
        self.frame_bytes_max >= MARKED_FRAME_BYTES
    }

    fn times(&self) -> [Duration; 10] {
        let watchdog = self.watchdog.unwrap_or_default();
        [
            self.parked_timeout,
            self.empty_stream_timeout,
            self.look_ahead,
            self.trailing_timeout,
            self.frame_timeout,
            self.response_timeout,
            self.handler_timeout.unwrap_or(Duration::MAX),
            self.write_timeout,
            watchdog.period,
            watchdog.silence,
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::agent()
    }
}
