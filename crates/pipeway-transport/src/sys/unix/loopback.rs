//! TCP connections that stay on this system.

use std::net::SocketAddr;

/// Has the connections of `socket`, whose address or whose peer's is `address`, send as soon as they
/// may, if they stay on this system: there is no path whose rate could be found out, and no loss but
/// for want of memory. Where the system's own choice spreads what is sent over time by timers (BBR),
/// a gibibyte that was written took 0.44 s of processor time where it takes 0.28 with "reno", which
/// each Linux has and lets everybody take, and which sets none.
#[cfg(target_os = "linux")]
pub(super) fn spare_pacing(socket: impl std::os::fd::AsFd, address: SocketAddr) {
    if is_loopback(address) {
        // Without it everything goes as it does elsewhere.
        let _ = rustix::net::sockopt::set_tcp_congestion(socket, "reno");
    }
}

/// See there: only Linux is known to pace.
#[cfg(not(target_os = "linux"))]
pub(super) fn spare_pacing<T>(_: T, _: SocketAddr) {}

/// Whether the connection's other end is on this system.
pub(super) fn has_loopback_peer(socket: impl std::os::fd::AsFd) -> bool {
    rustix::net::getpeername(socket)
        .ok()
        .flatten()
        .and_then(|peer| SocketAddr::try_from(peer).ok())
        .is_some_and(is_loopback)
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::super::{TcpListener, connect_tcp};

    use std::future::poll_fn;
    use std::os::fd::AsFd;

    fn congestion(socket: impl AsFd) -> String {
        rustix::net::sockopt::tcp_congestion(socket).unwrap()
    }

    #[tokio::test]
    async fn both_ends_of_a_connection_within_the_system_send_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = TcpListener::from_std(listener, None).unwrap();
        let connected = connect_tcp(address).await.unwrap();
        let (accepted, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        for end in [&connected, &accepted] {
            assert_eq!(congestion(end.as_fd()), "reno");
            assert!(super::has_loopback_peer(end.as_fd()));
        }
    }

    #[test]
    fn what_may_leave_the_system_goes_as_the_system_has_it() {
        let before = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let others = congestion(&before);
        for (address, is_here) in [
            ("192.0.2.1:1", false),
            ("[2001:db8::1]:1", false),
            ("0.0.0.0:1", false),
            ("127.8.9.10:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
        ] {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            super::spare_pacing(&socket, address.parse().unwrap());
            assert_eq!(congestion(&socket), if is_here { "reno" } else { &others }, "{address}");
        }
    }
}
