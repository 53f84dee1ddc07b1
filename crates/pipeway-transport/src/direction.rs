//! What a pipe is opened for.

/// What a named pipe is opened for by a client.
///
/// A server may make a pipe that goes one way only, and refuses a client that wants the other way
/// too. A socket always goes both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To read and to write.
    #[default]
    Both,
    /// To read. Writing fails, and shutting down does nothing.
    ReadOnly,
    /// To write. Reading fails, so only a write shows that the other end is gone.
    WriteOnly,
}
