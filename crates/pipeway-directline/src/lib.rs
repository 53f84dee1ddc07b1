//! The Direct Line named-pipe protocol.
//!
//! A session goes over two pipes of one base name, [`pipes`].

mod name;
pub mod pipes;

pub use name::{BaseName, BaseNameError};
