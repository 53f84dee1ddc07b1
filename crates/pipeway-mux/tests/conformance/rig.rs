//! The bare wire, as a peer that does just what a test says.

use std::time::Duration;

use pipeway_mux::{ChannelOptions, Mux, Options, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

pub const ALL: [Version; 3] = [Version::V1, Version::V2, Version::V3];
pub const WINDOWED: [Version; 2] = [Version::V2, Version::V3];

const WATCHDOG: Duration = Duration::from_secs(600);

/// How long nothing must come for it to be nothing, on a clock that passes by itself as soon as
/// nobody has anything to do.
const SILENCE: Duration = Duration::from_secs(1);

/// Runs `work` in each version, on a paused clock.
pub fn each<F: Future<Output = ()>>(versions: &[Version], work: impl Fn(Version) -> F) {
    for version in versions {
        run(async {
            timeout(WATCHDOG, work(*version)).await.unwrap_or_else(|_| panic!("{version:?} hangs"));
        });
    }
}

/// Runs `work` on a paused clock.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

/// Whose channels a frame is about, for who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Sender,
    Receiver,
    Nobody,
}

pub const OFFER: u8 = 0;
pub const ACCEPTED: u8 = 1;
pub const CONTENT: u8 = 2;
pub const WRITTEN: u8 = 3;
pub const TERMINATED: u8 = 4;
pub const PROCESSED: u8 = 5;
pub const READ: u8 = 6;
pub const ADJUST: u8 = 7;
pub const GROW: u8 = 8;

/// The other end's wire.
pub struct Wire {
    pub io: DuplexStream,
    pub version: Version,
}

/// An end of this crate that has the odd channels in versions 1 and 2, and its wire.
pub async fn odd(version: Version) -> (Mux, Wire) {
    connected(Options::new(version), 0x00).await
}

/// The same with the even channels.
pub async fn even(version: Version) -> (Mux, Wire) {
    connected(Options::new(version), 0xff).await
}

pub async fn odd_with(options: Options) -> (Mux, Wire) {
    connected(options, 0x00).await
}

pub async fn even_with(options: Options) -> (Mux, Wire) {
    connected(options, 0xff).await
}

async fn connected(options: Options, random: u8) -> (Mux, Wire) {
    let (here, there) = duplex(4 << 20);
    let version = options.version;
    let mut wire = Wire { io: there, version };
    let shaken = async {
        wire.shake_hands(&[random; 16]).await;
        wire
    };
    let (mux, wire) = tokio::join!(Mux::connect(here, options), shaken);
    (mux.unwrap(), wire)
}

/// Two ends of this crate.
pub async fn pair(here: Options, there: Options) -> (Mux, Mux) {
    let (a, b) = duplex(64 * 1024);
    let (a, b) = tokio::join!(Mux::connect(a, here), Mux::connect(b, there));
    (a.unwrap(), b.unwrap())
}

pub async fn pair_of(version: Version) -> (Mux, Mux) {
    pair(Options::new(version), Options::new(version)).await
}

pub fn default() -> ChannelOptions {
    ChannelOptions::default()
}

impl Wire {
    async fn shake_hands(&mut self, random: &[u8; 16]) {
        let head: &[u8] = match self.version {
            Version::V1 => &[0x2f, 0xdf, 0x1d, 0x50],
            Version::V2 => &[0x92, 0x92, 2, 0, 0xc4, 16],
            Version::V3 => return,
        };
        self.bytes(&[head, random].concat()).await;
        let mut theirs = vec![0; head.len() + 16];
        self.io.read_exact(&mut theirs).await.unwrap();
        assert_eq!(&theirs[..head.len()], head);
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// Sends a frame about a channel.
    pub async fn send(&mut self, code: u8, number: u64, of: Of, payload: &[u8]) {
        let frame = frame(self.version, code, number, of, payload);
        self.bytes(&frame).await;
    }

    /// Offers a channel.
    pub async fn offer(&mut self, number: u64, name: &str, window: u64) {
        let payload = offer(self.version, name, window);
        self.send(OFFER, number, Of::Sender, &payload).await;
    }

    /// Accepts one.
    pub async fn accept(&mut self, number: u64, window: u64) {
        let payload = if self.version == Version::V1 { Vec::new() } else { array(window) };
        self.send(ACCEPTED, number, Of::Receiver, &payload).await;
    }

    /// Wants exactly `bytes`.
    pub async fn expect_bytes(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        let mut at = 0;
        while at < got.len() {
            let count =
                timeout(SILENCE, self.io.read(&mut got[at..])).await.unwrap_or(Ok(0)).unwrap();
            assert!(count > 0, "only {} came of {}", hex(&got[..at]), hex(bytes));
            at += count;
        }
        assert!(got == bytes, "{} came, and not {}", hex(&got), hex(bytes));
    }

    /// Wants exactly this frame.
    pub async fn expect(&mut self, code: u8, number: u64, of: Of, payload: &[u8]) {
        let frame = frame(self.version, code, number, of, payload);
        self.expect_bytes(&frame).await;
    }

    pub async fn expect_offer(&mut self, number: u64, name: &str, window: u64) {
        let payload = offer(self.version, name, window);
        self.expect(OFFER, number, Of::Sender, &payload).await;
    }

    pub async fn expect_accepted(&mut self, number: u64, window: u64) {
        let payload = if self.version == Version::V1 { Vec::new() } else { array(window) };
        self.expect(ACCEPTED, number, Of::Receiver, &payload).await;
    }

    /// Wants an acknowledgement of 65,536 bytes and more; of how many.
    pub async fn expect_acknowledgement(&mut self, number: u64, of: Of) -> u64 {
        let like = frame(self.version, PROCESSED, number, of, &array(1 << 16));
        let mut got = vec![0; like.len()];
        timeout(SILENCE, self.io.read_exact(&mut got)).await.unwrap().unwrap();
        let (head, count) = got.split_at(like.len() - 4);
        assert!(like.starts_with(head), "{} came, and no acknowledgement", hex(&got));
        u64::from(u32::from_be_bytes(count.try_into().unwrap()))
    }

    /// Wants that nothing comes, and that the connection stays.
    pub async fn expect_nothing(&mut self) {
        let mut got = [0; 64];
        if let Ok(count) = timeout(SILENCE, self.io.read(&mut got)).await {
            panic!("{} came, and nothing should", hex(&got[..count.unwrap()]));
        }
    }

    /// Wants the end of the stream, and nothing before it.
    pub async fn expect_end(&mut self) {
        let mut got = Vec::new();
        timeout(WATCHDOG, self.io.read_to_end(&mut got)).await.unwrap().unwrap();
        assert!(got.is_empty(), "{} came before the end", hex(&got));
    }
}

/// An open channel that this end offered (number 1, named "test"), and its wire.
pub async fn offered(mux: &Mux, wire: &mut Wire, window: u64) -> pipeway_mux::Channel {
    let offered = mux.offer("test", default());
    let answered = async {
        wire.expect_offer(1, "test", 1_024_000).await;
        wire.accept(1, window).await;
    };
    let (channel, ()) = tokio::join!(offered, answered);
    channel.unwrap()
}

/// An open channel that the wire offered (number 1, named "test").
pub async fn accepted(mux: &Mux, wire: &mut Wire, window: u64) -> pipeway_mux::Channel {
    wire.offer(1, "test", window).await;
    let channel = mux.accept("test", default()).await.unwrap();
    wire.expect_accepted(1, 1_024_000).await;
    channel
}

/// Whether the connection works: one more channel is offered there and rejected here.
pub async fn works(mux: &Mux, wire: &mut Wire, number: u64) {
    wire.offer(number, "still there?", 1_000).await;
    let offer = mux.next_offer().await.expect("the connection has ended");
    assert_eq!(offer.name(), "still there?");
    offer.reject(None).unwrap();
    wire.expect(TERMINATED, number, Of::Receiver, &[]).await;
    wire.send(TERMINATED, number, Of::Sender, &[]).await;
    wire.expect_nothing().await;
}

pub fn frame(version: Version, code: u8, number: u64, of: Of, payload: &[u8]) -> Vec<u8> {
    if version == Version::V1 {
        let mut bytes = vec![code];
        bytes.extend((number as u32).to_be_bytes());
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend(payload);
        return bytes;
    }
    let v3 = version == Version::V3;
    let mut bytes = vec![0x92 + u8::from(v3) + u8::from(!payload.is_empty()), code];
    bytes.extend(integer(number));
    if v3 {
        bytes.push(match of {
            Of::Sender => 1,
            Of::Receiver => 0xff,
            Of::Nobody => 0,
        });
    }
    if !payload.is_empty() {
        match payload.len() {
            length @ ..=255 => bytes.extend([0xc4, length as u8]),
            length => {
                bytes.push(0xc5);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
    }
    bytes.extend(payload);
    bytes
}

pub fn integer(number: u64) -> Vec<u8> {
    match number {
        0..=0x7f => vec![number as u8],
        0x80..=0xff => vec![0xcc, number as u8],
        0x100..=0xffff => [&[0xcd][..], &(number as u16).to_be_bytes()].concat(),
        _ => [&[0xce][..], &(number as u32).to_be_bytes()].concat(),
    }
}

/// An array of one number.
pub fn array(number: u64) -> Vec<u8> {
    [vec![0x91], integer(number)].concat()
}

/// An array of one text of less than 32 bytes.
pub fn text(text: &str) -> Vec<u8> {
    [&[0x91, 0xa0 + text.len() as u8][..], text.as_bytes()].concat()
}

fn offer(version: Version, name: &str, window: u64) -> Vec<u8> {
    if version == Version::V1 {
        return name.as_bytes().to_vec();
    }
    let head: &[u8] = match name.len() {
        length @ 0..32 => &[0x92, 0xa0 + length as u8],
        length => &[0x92, 0xd9, length as u8],
    };
    [head, name.as_bytes(), &integer(window)].concat()
}

pub fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 64 { format!("{shown}... ({} bytes)", bytes.len()) } else { shown }
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Reads to the end.
pub async fn all(reader: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Bytes that differ from place to place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}
