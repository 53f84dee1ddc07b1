//! Limits that cannot be.

use std::time::{Duration, Instant};

use pipeway_directline::{Connection, ErrorKind, Limits, Watchdog};

#[test]
fn limits_that_cannot_be_are_refused() {
    let zero = Duration::ZERO;
    let unsound: [fn(&mut Limits); 12] = [
        |limits| limits.frame_bytes_max = 0,
        |limits| limits.frame_bytes_max = 1_000_000,
        |limits| limits.chunk_bytes = 0,
        |limits| limits.chunk_bytes = 1_000_000,
        |limits| limits.streams_max = 0,
        |limits| limits.requests_max = 0,
        |limits| limits.parked_max = 0,
        |limits| limits.outgoing_bytes_max = 100,
        |limits| limits.memory_bytes_max = 0,
        |limits| limits.write_bytes = 0,
        |limits| limits.stream_bytes_max = 0,
        |limits| limits.look_ahead = Duration::ZERO,
    ];
    for change in unsound {
        let mut limits = Limits::agent();
        change(&mut limits);
        let refused = Connection::new(limits, Instant::now()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
    }
    let watchdog = Some(Watchdog { period: zero, ..Watchdog::default() });
    assert!(Limits { watchdog, ..Limits::agent() }.check().is_err());
    assert!(Limits::agent().check().is_ok() && Limits::connector().check().is_ok());
}

#[test]
fn a_frame_above_its_limit_closes() {
    let mut rig = crate::rig::Rig::with(Limits { frame_bytes_max: 4096, ..Limits::agent() });
    rig.receive(crate::rig::s(&crate::rig::id(1), [0; 4096], false));
    rig.nothing_happened();
    rig.receive(&crate::rig::s(&crate::rig::id(1), [0; 4097], false)[..48]);
    rig.is_closed(pipeway_directline::code::RESOURCE_LIMIT_EXCEEDED);
}
