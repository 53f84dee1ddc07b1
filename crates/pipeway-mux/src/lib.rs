//! MultiplexingStream of Nerdbank.Streams, wire versions 1, 2 and 3: many streams over one.

mod simplex;
mod substream;

pub use simplex::{SimplexReader, SimplexWriter, simplex};
pub use substream::{SubstreamReader, SubstreamWriter};
