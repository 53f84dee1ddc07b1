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
