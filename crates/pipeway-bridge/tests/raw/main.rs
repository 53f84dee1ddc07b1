//! Raw sessions, held to what they promise: byte by byte between a client and an upstream of the
//! test's own.

mod config;
mod ends;
mod flow;
mod idle;

#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../bridge/rig.rs"]
mod rig;

use pipeway_bridge::{BridgeConfig, Protocol};
use pipeway_transport::Endpoint;

use rig::{Rig, Upstream, Wire};

/// A raw bridge whose configuration `change` has gone over.
fn raw_with(change: impl FnOnce(&mut BridgeConfig)) -> Rig {
    Rig::with(|config| {
        config.protocol = Protocol::Raw;
        change(config);
    })
}

fn raw() -> Rig {
    raw_with(|_| {})
}

/// A raw bridge to a TCP port.
fn raw_to_tcp() -> Rig {
    let any: Endpoint = "tcp:127.0.0.1:0".parse().expect("an endpoint");
    let upstream = Upstream::bind(&any);
    let endpoint = upstream.endpoint().clone();
    let mut rig = raw_with(|config| config.upstream = endpoint);
    rig.upstream = upstream;
    rig
}

/// A client and an upstream that are joined.
async fn joined(rig: &mut Rig) -> (Wire, Wire) {
    let client = rig.client().await;
    let upstream = rig.upstream.accept().await;
    (client, upstream)
}

/// Starts one rig.
type Start = fn() -> Rig;

/// The bridges to try, each with a name.
fn each_kind() -> [(&'static str, Start); 2] {
    [("local", raw), ("tcp", raw_to_tcp)]
}
