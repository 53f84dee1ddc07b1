//! A WebSocket as a stream of bytes. The client sends its standard input, the server sends it back
//! in capitals and closes.
//!
//! ```text
//! cargo run -p pipeway-transport --example websocket_bytes --features tungstenite -- serve local:shout
//! echo hello | cargo run -p pipeway-transport --example websocket_bytes --features tungstenite -- send local:shout
//! ```

use std::error::Error;

use pipeway_transport::websocket::{self, ByteStream, Options};
use pipeway_transport::{ConnectOptions, ErrorKind, ListenOptions, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", endpoint] => serve(endpoint).await,
        ["send", endpoint] => send(endpoint).await,
        _ => Err("usage: websocket_bytes serve|send ENDPOINT".into()),
    }
}

async fn serve(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let mut listener = Listener::bind(&endpoint.parse()?, &ListenOptions::default())?;
    println!("ready {}", listener.endpoint());
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                tokio::spawn(async move {
                    if let Err(error) = shout(stream).await {
                        eprintln!("a WebSocket failed: {error}");
                    }
                });
            }
            Err(error) if error.kind() == ErrorKind::PeerRejected => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn shout(stream: Stream) -> Result<(), Box<dyn Error>> {
    let (messages, _request) = websocket::accept(stream, &Options::default()).await?;
    let mut bytes = ByteStream::new(messages);
    // A WebSocket has no half-close, so the length says where the client's part ends.
    let length = bytes.read_u32().await?;
    let mut text = Vec::new();
    (&mut bytes).take(length.into()).read_to_end(&mut text).await?;
    text.make_ascii_uppercase();
    bytes.write_all(&text).await?;
    bytes.shutdown().await?;
    // Until the client's close frame: then it has everything.
    tokio::io::copy(&mut bytes, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn send(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let mut text = Vec::new();
    tokio::io::stdin().read_to_end(&mut text).await?;

    let (connect, options) = (ConnectOptions::default(), Options::default());
    let headers = Default::default();
    let (messages, _response) =
        websocket::connect(&endpoint.parse()?, &connect, "/", &headers, &options).await?;
    let mut bytes = ByteStream::new(messages);
    bytes.write_u32(text.len().try_into()?).await?;
    bytes.write_all(&text).await?;
    let mut answer = Vec::new();
    bytes.read_to_end(&mut answer).await?;
    bytes.shutdown().await?;

    let mut stdout = tokio::io::stdout();
    stdout.write_all(&answer).await?;
    stdout.flush().await?;
    Ok(())
}
