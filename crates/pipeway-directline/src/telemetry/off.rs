//! Nothing: the feature is off.

use std::error::Error;
use std::future::Future;

use crate::pipes::Place;

/// Whom an end tells.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry;

impl Telemetry {
    pub(crate) fn agent(_: &Place) -> Self {
        Telemetry
    }

    pub(crate) fn none() -> Self {
        Telemetry
    }

    pub(crate) fn connect(&self) -> Connect {
        Connect
    }

    pub(crate) fn dispatch(&self, _: &str, _: &str) -> Dispatch {
        Dispatch
    }

    pub(crate) fn reply(&self, _: &str, _: &str, _: u64) -> Reply {
        Reply
    }
}

/// An attempt to get a session up.
pub(crate) struct Connect;

impl Connect {
    pub(crate) fn up(self) {}

    pub(crate) fn failed(self, _: &(dyn Error + 'static)) {}
}

/// One request of the other end.
pub(crate) struct Dispatch;

impl Dispatch {
    pub(crate) fn around<F: Future>(&self, work: F) -> F {
        work
    }

    pub(crate) fn answered(self, _: u16) {}

    pub(crate) fn failed<E>(self, _: u16, _: &(dyn Error + 'static)) {}
}

/// A reply on its way.
pub(crate) struct Reply;

impl Reply {
    pub(crate) fn answered(self, _: u16) {}

    pub(crate) fn failed(self, _: &(dyn Error + 'static)) {}
}
