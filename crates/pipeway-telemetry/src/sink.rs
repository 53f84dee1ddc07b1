//! Where events go. (being built)

use std::path::PathBuf;

use crate::Event;

/// A file of events.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The file; rotated ones get `.1`, `.2` and so on.
    pub path: PathBuf,
    /// The size at which a file is rotated, in bytes.
    pub max_bytes: u64,
    /// How many files there may be in all.
    pub max_files: u32,
}

/// What is written.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// Whether queries are written. Default: no.
    pub show_query: bool,
    /// Whether SIDs are written as they are. Default: no, they are hashed.
    pub show_sid: bool,
}

/// Where events go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sink {}

impl Sink {
    /// A sink that takes nothing.
    pub fn disabled() -> Self {
        Sink {}
    }

    /// Whether anybody reads: if not, an event need not be made.
    pub fn is_enabled(&self) -> bool {
        false
    }

    /// Tells an event.
    pub fn emit(&self, _event: &Event<'_>) {}
}
