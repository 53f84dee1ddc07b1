//! What becomes of a link, told as events.

use std::sync::Arc;

use pipeway_telemetry::{Event, EventKind, Fault, Hops, LinkChange, LinkHop, Route, Side, Sink};
use pipeway_transport::Mode;
use pipeway_transport::link::LinkState;

/// Tells a change of the link `name`; that it is being started, or was stopped, is no event.
pub fn tell_link(events: &Sink, name: &str, state: &LinkState) {
    let link = Some(LinkHop { name, mode: Mode::Stdio.as_str() });
    // A link changes seldom.
    let route = Arc::new(Route::new("", Hops { link, ..Hops::default() }));
    let mut event = Event::new(EventKind::LinkUp, &route);
    match state {
        LinkState::Up(up) => {
            event.connect = Some(up.took);
            event.link_change = Some(LinkChange {
                attempt: up.attempt,
                guest: Some(&up.guest),
                ..LinkChange::default()
            });
        }
        LinkState::Down(down) => {
            event.kind = EventKind::LinkDown;
            event.total = down.was_up;
            event.error = Some(Fault { kind: down.reason.as_str(), side: Side::Upstream });
            event.link_change = Some(LinkChange {
                attempt: down.attempt,
                reason: Some(&down.message),
                retry_in: Some(down.retry_in),
                guest: None,
            });
        }
        _ => return,
    }
    events.emit(&event);
}
