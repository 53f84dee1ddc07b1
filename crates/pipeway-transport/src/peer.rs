//! Who is at the other end.

/// The identity of who is at the other end, as far as the transport knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The process id. Process ids are reused: fit for a log, not for a decision.
    pub pid: Option<u32>,
    /// The user id, on Unix.
    pub uid: Option<u32>,
    /// The user's SID as text, on Windows.
    pub sid: Option<String>,
    /// The logon session, on Windows.
    pub session: Option<u32>,
    /// The address, for TCP.
    pub address: Option<std::net::SocketAddr>,
}
