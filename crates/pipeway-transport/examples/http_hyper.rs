//! HTTP by hyper, server and client, over a private endpoint.
//!
//! ```text
//! cargo run -p pipeway-transport --example http_hyper --features hyper -- serve local:greeter
//! cargo run -p pipeway-transport --example http_hyper --features hyper -- get local:greeter /you
//! ```

use std::convert::Infallible;
use std::error::Error;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pipeway_transport::hyper::Connector;
use pipeway_transport::{ConnectOptions, Endpoint, ErrorKind, ListenOptions, Listener, Mode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", endpoint] => serve(&endpoint.parse()?).await,
        ["get", endpoint, path] => get(endpoint.parse()?, path).await,
        _ => Err("usage: http_hyper serve ENDPOINT | get ENDPOINT PATH".into()),
    }
}

async fn serve(endpoint: &Endpoint) -> Result<(), Box<dyn Error>> {
    let mut listener = Listener::bind(endpoint, &ListenOptions::default())?;
    println!("ready {}", listener.endpoint());
    loop {
        let (stream, _peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // That client was turned away; the next one may be welcome.
            Err(error) if error.kind() == ErrorKind::PeerRejected => continue,
            Err(error) => return Err(error.into()),
        };
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(greet));
            if let Err(error) = connection.await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let name = request.uri().path().trim_start_matches('/');
    Ok(Response::new(Full::new(Bytes::from(format!("hello, {name}")))))
}

async fn get(endpoint: Endpoint, path: &str) -> Result<(), Box<dyn Error>> {
    let connector = Connector::new(endpoint, ConnectOptions::default());
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get(format!("http://localhost{path}").parse()?).await?;
    let mode = response.extensions().get::<Mode>().copied();
    println!("{} by {}", response.status(), mode.ok_or("the connector says the mode")?);
    let body = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    Ok(())
}
