//! The bridge, held to what it promises: byte by byte between a raw client and a scripted
//! upstream.

mod bodies;
mod events;
mod faults;
mod headers;
mod http;
mod http_1_0;
mod policy;
mod pool;
mod rig;
mod smuggling;
mod upgrade;
