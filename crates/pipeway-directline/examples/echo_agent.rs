//! A DirectLine agent that says what it has heard.
//!
//! ```text
//! cargo run -p pipeway-directline --example echo_agent -- bfv4.pipes
//! ```

use std::error::Error;

use http::StatusCode;
use pipeway_directline::{Activity, Messages, Observer, Server, ServerOptions, Turn, TurnResult};
use serde_json::json;

async fn echo(turn: Turn, activity: Activity) -> TurnResult {
    match activity.kind.as_str() {
        "message" => turn.reply(format!("You said: {}", activity.text.unwrap_or_default()))?,
        "invoke" => turn.respond_invoke(StatusCode::OK, json!({"invoked": activity.name}))?,
        _ => {}
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::args().nth(1).unwrap_or_else(|| "bfv4.pipes".to_owned());
    let observer = Observer::new(|event| eprintln!("{event:?}"));
    let options = ServerOptions { observer, ..ServerOptions::default() };
    let server = Server::new(place.parse()?, options, Messages::new(echo))?;
    server.start();
    println!("ready {place}");
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
