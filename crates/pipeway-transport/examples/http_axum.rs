//! HTTP by axum, which tells each client who it is.
//!
//! ```text
//! cargo run -p pipeway-transport --example http_axum --features axum -- local:whoami
//! curl --unix-socket "$XDG_RUNTIME_DIR/whoami.sock" http://localhost/whoami
//! ```

use std::error::Error;

use axum::Router;
use axum::routing::get;
use pipeway_transport::axum::ServeListener;
use pipeway_transport::{ListenOptions, Listener, Peer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).ok_or("usage: http_axum ENDPOINT")?;
    let listener = Listener::bind(&endpoint.parse()?, &ListenOptions::default())?;
    println!("ready {}", listener.endpoint());
    let listener = ServeListener::new(listener, |error| eprintln!("not accepted: {error}"));
    let app =
        Router::new().route("/whoami", get(whoami)).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, app).await?;
    Ok(())
}

async fn whoami(peer: Peer) -> String {
    match peer {
        Peer { pid: Some(pid), .. } => format!("you are process {pid}"),
        Peer { uid: Some(uid), .. } => format!("you are user {uid}"),
        _ => "you are a stranger".to_owned(),
    }
}
