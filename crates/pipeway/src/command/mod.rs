//! The commands.

mod agent;
mod check;
mod client;
mod curl;
mod demo;
mod directline;
mod exec;
mod guest;
mod links;
mod nc;
mod preset;
mod remote;
mod serve;
mod shell;
mod ws;

use pipeway_transport::IoLoop;

pub(crate) use agent::agent;
pub(crate) use check::check;
pub(crate) use curl::curl;
pub(crate) use demo::demo;
pub(crate) use directline::directline;
pub(crate) use exec::exec;
pub(crate) use guest::guest;
pub(crate) use nc::nc;
pub(crate) use preset::preset;
pub(crate) use serve::{bridge, serve};
pub(crate) use shell::shell;
pub(crate) use ws::ws;

use crate::exit::Exit;
use crate::output::Failure;

/// The loop that this process moves its bytes on, where there is such a thing.
fn io_loop() -> Result<Option<IoLoop>, Failure> {
    if !IoLoop::EXISTS {
        return Ok(None);
    }
    IoLoop::start().map(Some).map_err(|error| {
        Failure::new(Exit::Failure, "the system gave no event queue for the sessions").cause(&error)
    })
}
