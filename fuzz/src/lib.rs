//! What must hold of any input. Each function here is the body of a fuzz target, and runs over
//! the target's corpus as an ordinary test of the workspace.

mod answer_head;
mod chunked;
mod endpoint;
mod mux_connection;
mod mux_frames;
mod other;
mod request_head;

pub use answer_head::answer_head;
pub use chunked::chunked;
pub use endpoint::endpoint;
pub use mux_connection::mux_connection;
pub use mux_frames::mux_frames;
pub use request_head::request_head;
