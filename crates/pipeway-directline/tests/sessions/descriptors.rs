//! What a hundred sessions of both ends leave open: nothing. Alone in its program, for what others
//! open counts too.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::time::Duration;

use axum::Router;
use http::{Request, StatusCode};
use pipeway_directline::pipes::Place;
use pipeway_directline::{Body, Connector, ConnectorOptions, Server, ServerOptions};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asks until it is answered: the end of the session before may have taken the first one's place.
async fn asked(connector: &Connector) {
    loop {
        connector.client().connected().await;
        let request = Request::get("/x").body(Body::empty()).unwrap();
        if let Ok(answer) = connector.client().call(request).await {
            return assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        }
    }
}

#[tokio::test]
async fn a_hundred_sessions_leave_no_descriptor_open() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::in_folder(folder.path(), &"a".parse().unwrap()).unwrap();
    let options = ServerOptions { pause: Duration::from_millis(1), ..ServerOptions::default() };
    let service = Router::new().fallback(async || StatusCode::IM_A_TEAPOT);
    let server = Server::new(place.clone(), options, service.clone()).unwrap();
    let connector =
        || Connector::new(place.clone(), ConnectorOptions::default(), service.clone()).unwrap();
    let before = open_descriptors();
    for round in 0..100 {
        server.start();
        let connector = connector();
        connector.start();
        connector.ready().await.unwrap();
        asked(&connector).await;
        if round % 2 == 0 {
            server.stop().await;
            connector.stop().await;
        } else {
            connector.stop().await;
        }
    }
    server.stop().await;
    assert_eq!(open_descriptors(), before);
}
