//! A stream joined of a reader and a writer: HTTP over a child process's standard input and output.
//!
//! ```text
//! cargo run -p pipeway-transport --example joined -- get /you
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::process::Stdio;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pipeway_transport::join;
use tokio::process::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve"] => serve().await,
        ["get", path] => get(path).await,
        _ => Err("usage: joined serve | get PATH".into()),
    }
}

/// The child: one connection, which is its own input and output.
async fn serve() -> Result<(), Box<dyn Error>> {
    let stream = join(tokio::io::stdin(), tokio::io::stdout());
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(greet));
    Ok(connection.await?)
}

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let name = request.uri().path().trim_start_matches('/');
    Ok(Response::new(Full::new(Bytes::from(format!("hello, {name}, from my child")))))
}

/// The parent: starts this program again as the child.
async fn get(path: &str) -> Result<(), Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("the child's output is a pipe")?;
    let input = child.stdin.take().ok_or("the child's input is a pipe")?;
    let io = TokioIo::new(join(output, input));

    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let body = client.send_request(request).await?.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));

    // Shuts the joined stream down: the child reads the end of its input, and ends.
    drop(client);
    connection.await??;
    println!("the child ended: {}", child.wait().await?);
    Ok(())
}
