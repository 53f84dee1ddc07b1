//! Both ends' handshakes.

use http::{HeaderMap, StatusCode, Uri, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Asked, Response as Answer,
};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::{Error, ErrorKind, Options};
use crate::path::path_and_query;
use crate::{ConnectOptions, Endpoint, Stream};

/// Connects to `endpoint` and asks for a WebSocket at `path` (with or without a query).
///
/// `headers` are sent along, `Sec-WebSocket-Protocol` and credentials for example. `Host` is
/// `localhost` unless they name one.
///
/// Connecting may take as long as `connect` says, the handshake as long as `options` says. Cancel
/// safe: a dropped future leaves no connection behind.
///
/// # Errors
///
/// [`ErrorKind::Connect`] where there is no connection, and [`client`]'s.
pub async fn connect(
    endpoint: &Endpoint,
    connect: &ConnectOptions,
    path: &str,
    headers: &HeaderMap,
    options: &Options,
) -> Result<(WebSocketStream<Stream>, Response), Error> {
    // Before the connection: what can't be sent needs none.
    let request = request(path, headers)?;
    let stream = crate::connect(endpoint, connect).await.map_err(|why| {
        Error::new(ErrorKind::Connect, format!("could not connect to {endpoint}")).source(why)
    })?;
    shake(request, stream, options).await
}

/// Asks for a WebSocket at `path` over `stream`, as [`connect`] does.
///
/// Cancel safe in that a dropped future drops the stream with it.
///
/// # Errors
///
/// [`ErrorKind::Request`] for what is no path and for headers that are the handshake's own, before
/// anything is sent; [`Refused`](ErrorKind::Refused) with the server's
/// [`status`](Error::status); [`TimedOut`](ErrorKind::TimedOut),
/// [`Protocol`](ErrorKind::Protocol), [`Closed`](ErrorKind::Closed) and [`Io`](ErrorKind::Io).
pub async fn client<S>(
    stream: S,
    path: &str,
    headers: &HeaderMap,
    options: &Options,
) -> Result<(WebSocketStream<S>, Response), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    shake(request(path, headers)?, stream, options).await
}

async fn shake<S>(
    request: Request,
    stream: S,
    options: &Options,
) -> Result<(WebSocketStream<S>, Response), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaking = client_async_with_config(request, stream, Some(options.config()));
    match timeout(options.handshake_timeout, shaking).await {
        Ok(shaken) => shaken.map_err(Error::of_client),
        Err(_) => Err(timed_out(options, "the server did not answer the handshake")),
    }
}

/// Headers that are the handshake's own, that would begin a body, or that ask for what tungstenite
/// does not have.
const RESERVED: [header::HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

fn request(path: &str, headers: &HeaderMap) -> Result<Request, Error> {
    let bad = |why: String| Error::new(ErrorKind::Request, why);
    let path = path_and_query(path)
        .map_err(|why| bad(format!("`{}` is not a path: {why}", path.escape_debug())))?;
    if let Some(name) = RESERVED.iter().find(|name| headers.contains_key(*name)) {
        return Err(bad(format!("the header `{name}` is the handshake's own; leave it out")));
    }
    let uri = Uri::builder().scheme("ws").authority("localhost").path_and_query(path).build();
    let mut request = uri
        .map_err(|why| bad("the path is too long".to_owned()).source(why))?
        .into_client_request()
        .map_err(Error::of_client)?;
    for (name, value) in headers {
        if name == header::HOST {
            value.to_str().map_err(|why| bad("`host` is no text".to_owned()).source(why))?;
            // In place of ours: a second one would be ambiguous.
            request.headers_mut().insert(name, value.clone());
        } else {
            request.headers_mut().append(name, value.clone());
        }
    }
    Ok(request)
}

/// Takes a client's handshake on `stream`, whatever its path, and gives the request too.
///
/// As [`accept_with`], with nothing added to the answer.
///
/// # Errors
///
/// As [`accept_with`]'s.
pub async fn accept<S>(stream: S, options: &Options) -> Result<(WebSocketStream<S>, Asked), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_with(stream, options, |_| Ok(HeaderMap::new())).await
}

/// Takes a client's handshake on `stream` if `decide` agrees.
///
/// `decide` sees the request and gives the headers to answer with (a chosen
/// `Sec-WebSocket-Protocol`, say; the handshake's own are set already and win), or the status to
/// refuse it with. A status that is no 4xx or 5xx is sent as a 500.
///
/// Cancel safe in that a dropped future drops the stream with it.
///
/// # Errors
///
/// [`ErrorKind::Refused`] with the [`status`](Error::status) that was sent: `decide`'s, or 403 for
/// an `Origin` that [`Options::allow_origin`] does not allow. A client that sent no WebSocket
/// handshake gets no answer and is [`Protocol`](ErrorKind::Protocol). Further
/// [`TimedOut`](ErrorKind::TimedOut), [`Closed`](ErrorKind::Closed) and [`Io`](ErrorKind::Io).
pub async fn accept_with<S, D>(
    stream: S,
    options: &Options,
    decide: D,
) -> Result<(WebSocketStream<S>, Asked), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: FnOnce(&Asked) -> Result<HeaderMap, StatusCode>,
{
    let mut asked = None;
    // In a box, since tungstenite wants it to be Unpin.
    let decide = Box::new(decide);
    let allow_origin = options.allow_origin;
    #[allow(clippy::result_large_err, reason = "the shape is tungstenite's")]
    let answer = |request: &Asked, mut answer: Answer| {
        if !allow_origin && request.headers().contains_key(header::ORIGIN) {
            return Err(refusal(StatusCode::FORBIDDEN));
        }
        for (name, value) in &decide(request).map_err(refusal)? {
            if !RESERVED.contains(name) {
                answer.headers_mut().append(name, value.clone());
            }
        }
        asked = Some(request.clone());
        Ok(answer)
    };
    let shaking = accept_hdr_async_with_config(stream, answer, Some(options.config()));
    let messages = match timeout(options.handshake_timeout, shaking).await {
        Ok(shaken) => shaken.map_err(Error::of_server)?,
        Err(_) => return Err(timed_out(options, "the client did not send its handshake")),
    };
    Ok((messages, asked.expect("a handshake that was taken was seen")))
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let is_refusal = status.is_client_error() || status.is_server_error();
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = if is_refusal { status } else { StatusCode::INTERNAL_SERVER_ERROR };
    // The client need not wait for a body.
    response.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("0"));
    response
}

fn timed_out(options: &Options, what: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{what} within {:?}", options.handshake_timeout))
}
