//! A WebSocket, server and client. The server sends each message back.
//!
//! ```text
//! cargo run -p pipeway-transport --example websocket --features tungstenite -- serve local:echo
//! cargo run -p pipeway-transport --example websocket --features tungstenite -- say local:echo hello
//! ```

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use pipeway_transport::websocket::{self, Options, tungstenite::Message};
use pipeway_transport::{ConnectOptions, ErrorKind, ListenOptions, Listener, Stream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", endpoint] => serve(endpoint).await,
        ["say", endpoint, text] => say(endpoint, text).await,
        _ => Err("usage: websocket serve ENDPOINT | say ENDPOINT TEXT".into()),
    }
}

async fn serve(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let mut listener = Listener::bind(&endpoint.parse()?, &ListenOptions::default())?;
    println!("ready {}", listener.endpoint());
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                tokio::spawn(async move {
                    if let Err(error) = echo(stream).await {
                        eprintln!("a WebSocket failed: {error}");
                    }
                });
            }
            Err(error) if error.kind() == ErrorKind::PeerRejected => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn echo(stream: Stream) -> Result<(), Box<dyn Error>> {
    let (mut messages, _request) = websocket::accept(stream, &Options::default()).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            messages.send(message).await?;
        }
    }
    Ok(())
}

async fn say(endpoint: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let (connect, options) = (ConnectOptions::default(), Options::default());
    let headers = Default::default();
    let (mut messages, _response) =
        websocket::connect(&endpoint.parse()?, &connect, "/echo", &headers, &options).await?;
    messages.send(Message::text(text)).await?;
    let answer = messages.next().await.ok_or("the server closed without an answer")??;
    println!("{}", answer.into_text()?);
    messages.close(None).await?;
    Ok(())
}
