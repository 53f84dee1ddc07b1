//! The connectors in hyper-util's pooled client, against a server that counts its connections.

#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pipeway_transport::hyper::{Connector, UriConnector, endpoint_uri};
use pipeway_transport::{Endpoint, ErrorKind, Listener, Mode};
use support::{listen, patient, run, unique};
use tokio::task::JoinHandle;

/// Serves the next connection. Each answer says this number, and the host and target that were
/// asked for.
async fn serve_one(listener: &mut Listener, number: u32) -> JoinHandle<()> {
    let (stream, _) = listener.accept().await.unwrap();
    tokio::spawn(async move {
        let answer = service_fn(move |request: Request<Incoming>| async move {
            let host = request.headers()[HOST].to_str().unwrap();
            let text = format!("{number} {host} {}", request.uri());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        });
        let connection = hyper::server::conn::http1::Builder::new();
        let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
    })
}

/// Serves every connection, and says in the answers which it was.
fn serve(mut listener: Listener) {
    tokio::spawn(async move {
        for number in 1.. {
            serve_one(&mut listener, number).await;
        }
    });
}

fn client<C>(connector: C) -> Client<C, Empty<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn text(response: Response<Incoming>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

#[test]
fn a_connection_is_used_again() {
    run(async {
        let listener = listen(&unique());
        let client = client(Connector::new(listener.endpoint().clone(), patient()));
        serve(listener);
        for path in ["/a", "/b?c", "/"] {
            let uri = uri(&format!("http://localhost{path}"));
            let response = client.get(uri).await.unwrap();
            assert_eq!(text(response).await, format!("1 localhost {path}"));
        }
    });
}

#[test]
fn a_connection_that_was_closed_is_replaced() {
    run(async {
        let mut listener = listen(&unique());
        let client = client(Connector::new(listener.endpoint().clone(), patient()));
        let asked = tokio::spawn(client.get(uri("http://localhost/")));
        let first = serve_one(&mut listener, 1).await;
        assert_eq!(text(asked.await.unwrap().unwrap()).await, "1 localhost /");
        first.abort();
        let _ = first.await;
        let serving = tokio::spawn(async move { drop(serve_one(&mut listener, 2).await) });
        // A request that is written in the very moment of the close is not sent again by hyper.
        let response = loop {
            match client.get(uri("http://localhost/")).await {
                Ok(response) => break response,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(text(response).await, "2 localhost /");
        serving.await.unwrap();
    });
}

#[test]
fn a_local_endpoint_is_resolved_by_the_connector() {
    run(async {
        let endpoint = unique();
        serve(listen(&endpoint));
        let connector = Connector::new(endpoint.clone(), patient());
        assert_eq!(connector.endpoint(), &endpoint);
        let response = client(connector).get(uri("http://anything.example/")).await.unwrap();
        let mode = response.extensions().get::<Mode>().copied();
        assert_eq!(mode, Some(if cfg!(windows) { Mode::NamedPipe } else { Mode::Unix }));
        assert_eq!(text(response).await, "1 anything.example /");
    });
}

#[test]
fn a_failure_to_connect_says_its_kind() {
    run(async {
        let client = client(Connector::new(unique(), patient()));
        let error = client.get(uri("http://localhost/")).await.unwrap_err();
        assert!(error.is_connect());
        assert_eq!(transport_error(&error).kind(), ErrorKind::NotFound);
    });
}

#[test]
fn tls_is_refused_unless_something_speaks_it() {
    run(async {
        let listener = listen(&unique());
        let connector = Connector::new(listener.endpoint().clone(), patient());
        serve(listener);
        let error = client(connector.clone()).get(uri("https://localhost/")).await.unwrap_err();
        assert_eq!(transport_error(&error).kind(), ErrorKind::Unsupported);
        assert!(transport_error(&error).advice().unwrap().contains("below_tls"));
        // Nothing is on top here, so it goes in the clear.
        let response = client(connector.below_tls()).get(uri("https://localhost/")).await;
        assert_eq!(text(response.unwrap()).await, "1 localhost /");
    });
}

fn transport_error(error: &hyper_util::client::legacy::Error) -> &pipeway_transport::Error {
    let source = std::error::Error::source(error).unwrap();
    source.downcast_ref().unwrap_or_else(|| panic!("{source:?} is not the transport's"))
}

#[test]
fn a_uri_with_an_endpoint_leads_there_and_keeps_its_own_pool() {
    run(async {
        let endpoints = [unique(), unique()];
        for endpoint in &endpoints {
            serve(listen(endpoint));
        }
        let client = client(UriConnector::new(patient()));
        // Each server counts its own connections: one each, though the host is the same.
        for (endpoint, path) in [(0, "/a"), (1, "/b"), (0, "/c"), (1, "/d?e")] {
            let uri = endpoint_uri(&endpoints[endpoint], path).unwrap();
            let response = client.get(uri).await.unwrap();
            assert_eq!(text(response).await, format!("1 localhost {path}"));
        }
    });
}

#[test]
fn the_host_header_is_the_callers_if_it_sets_one() {
    run(async {
        let endpoint = unique();
        serve(listen(&endpoint));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = endpoint_uri(&endpoint, "/a").unwrap();
        request.headers_mut().insert(HOST, HeaderValue::from_static("service.example"));
        let response = client(UriConnector::default()).request(request).await.unwrap();
        assert_eq!(text(response).await, "1 service.example /a");
    });
}

#[test]
fn a_uri_without_an_endpoint_connects_to_nothing() {
    run(async {
        let client = client(UriConnector::new(patient()));
        for text in ["http://localhost/", "pipeway://localhost/", "pipeway://6x@localhost/"] {
            let error = client.get(uri(text)).await.unwrap_err();
            assert_eq!(transport_error(&error).kind(), ErrorKind::Unsupported, "{text}");
        }
    });
}

#[test]
fn many_requests_at_once_are_all_answered() {
    run(async {
        let endpoint: Endpoint = unique();
        serve(listen(&endpoint));
        let client = client(Connector::new(endpoint, patient()));
        let asked: Vec<_> = (0..50)
            .map(|number| client.get(uri(&format!("http://localhost/{number}"))))
            .map(tokio::spawn)
            .collect();
        for (number, asked) in asked.into_iter().enumerate() {
            let text = text(asked.await.unwrap().unwrap()).await;
            assert!(text.ends_with(&format!(" localhost /{number}")), "{text}");
        }
    });
}
