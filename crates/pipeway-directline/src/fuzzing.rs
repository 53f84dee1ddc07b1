//! What the fuzzers and tests of this repository reach. Not part of the interface that others may
//! use: it changes without notice.

pub use crate::payload::{Descriptor, DescriptorId, Envelope, Malformed, read as read_envelope};
