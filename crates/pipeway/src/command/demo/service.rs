//! The service behind the demonstration's bridge: a greeting, an echo of a request's body as it
//! comes, and an echo of WebSocket messages.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pipeway_transport::Listener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::steps::{CHAT, ECHO, GREETING, HELLO};

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Serves until it is aborted or can't accept any more.
pub(super) async fn serve(mut listener: Listener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A failed connection is seen at the client's end.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .with_upgrades()
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        HELLO => Response::new(full(GREETING)),
        ECHO => Response::new(request.into_body().boxed_unsync()),
        CHAT => chat(request),
        _ => status(StatusCode::NOT_FOUND),
    })
}

fn chat(mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return status(StatusCode::UPGRADE_REQUIRED);
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(converse(hyper::upgrade::on(&mut request)));
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(full(""));
    answer.expect("the headers are plain")
}

async fn converse(upgraded: OnUpgrade) {
    let Ok(upgraded) = upgraded.await else { return };
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        // After a close the loop goes on until the answer to it is out.
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn full(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = status;
    answer
}
