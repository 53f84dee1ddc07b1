//! A persistent session.

use crate::protocol::{ErrorCode, StartSession};
use crate::server::Shared;
use crate::websocket::{Inbox, Outbox};

/// Whether this system has persistent sessions.
pub(crate) const IS_SUPPORTED: bool = false;

pub(crate) async fn run(_: &Shared, outbox: Outbox, inbox: Inbox, _: StartSession) {
    outbox.refuse(ErrorCode::InternalError, "not built yet", None, inbox).await;
}
