//! `axum::serve` over our listener: who the client is, and what becomes of failures.

#![cfg(all(feature = "axum", feature = "hyper"))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::routing::get;
use axum::serve::{Listener as _, ListenerExt as _};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pipeway_transport::axum::{Address, PeerMissing, ServeListener};
use pipeway_transport::hyper::Connector;
use pipeway_transport::{Endpoint, Peer};
use support::{listen, patient, run, unique};

/// A listener that fails the test if it fails.
fn serve_listener(endpoint: &Endpoint) -> ServeListener {
    ServeListener::new(listen(endpoint), |error| panic!("{error}"))
}

async fn ask(endpoint: &Endpoint) -> (StatusCode, String) {
    let connector = Connector::new(endpoint.clone(), patient());
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get("http://localhost/".parse().unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn whoami(peer: Peer) -> String {
    format!("{peer:?}")
}

fn app() -> Router {
    Router::new().route("/", get(whoami))
}

/// What `whoami` says of this process.
#[track_caller]
fn assert_is_us(answer: (StatusCode, String)) {
    assert_eq!(answer.0, StatusCode::OK);
    if cfg!(any(windows, target_os = "linux")) {
        let pid = format!("pid: Some({})", std::process::id());
        assert!(answer.1.contains(&pid), "{}", answer.1);
    }
    let user = if cfg!(windows) { "sid: Some(\"S-1-5-" } else { "uid: Some(" };
    assert!(answer.1.contains(user), "{}", answer.1);
}

#[test]
fn a_handler_is_told_who_the_client_is() {
    run(async {
        let endpoint = unique();
        let service = app().into_make_service_with_connect_info::<Peer>();
        tokio::spawn(axum::serve(serve_listener(&endpoint), service).into_future());
        assert_is_us(ask(&endpoint).await);
    });
}

#[test]
fn the_peer_is_known_behind_axums_own_wrapper() {
    run(async {
        let endpoint = unique();
        let listener = serve_listener(&endpoint).tap_io(|_| ());
        let service = app().into_make_service_with_connect_info::<Address>();
        tokio::spawn(axum::serve(listener, service).into_future());
        assert_is_us(ask(&endpoint).await);
    });
}

#[test]
fn the_connect_info_is_the_peer() {
    run(async {
        let endpoint = unique();
        let app = Router::new()
            .route(
                "/",
                get(|ConnectInfo(peer): ConnectInfo<Peer>| async move { format!("{peer:?}") }),
            )
            .into_make_service_with_connect_info::<Peer>();
        tokio::spawn(axum::serve(serve_listener(&endpoint), app).into_future());
        assert_is_us(ask(&endpoint).await);
    });
}

#[test]
fn a_router_that_was_served_without_connect_info_answers_500() {
    run(async {
        let endpoint = unique();
        tokio::spawn(axum::serve(serve_listener(&endpoint), app()).into_future());
        assert_eq!(ask(&endpoint).await, (StatusCode::INTERNAL_SERVER_ERROR, String::new()));
        assert!(PeerMissing.to_string().contains("into_make_service_with_connect_info"));
    });
}

#[test]
fn the_local_address_is_the_endpoint() {
    run(async {
        let listener = serve_listener(&unique());
        let endpoint = listener.listener().endpoint().clone();
        assert_eq!(listener.local_addr().unwrap(), Address::Endpoint(endpoint));
    });
}

#[test]
fn a_cancelled_accept_loses_no_client() {
    run(async {
        let endpoint = unique();
        let mut listener = serve_listener(&endpoint);
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = listener.accept() => panic!("nobody connects yet"),
                () = tokio::task::yield_now() => {}
            }
            let options = patient();
            let connecting = pipeway_transport::connect(&endpoint, &options);
            let (client, (_server, address)) = tokio::join!(connecting, listener.accept());
            client.unwrap();
            assert!(matches!(address, Address::Peer(_)));
        }
    });
}
