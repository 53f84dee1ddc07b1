//! gRPC by tonic, server and client: its ready-made health service.
//!
//! ```text
//! cargo run -p pipeway-transport --example grpc_tonic --features axum,hyper -- serve local:health
//! cargo run -p pipeway-transport --example grpc_tonic --features axum,hyper -- check local:health
//! ```

use std::error::Error;

use pipeway_transport::axum::ServeListener;
use pipeway_transport::hyper::Connector;
use pipeway_transport::{ConnectOptions, ListenOptions, Listener};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", endpoint] => serve(endpoint).await,
        ["check", endpoint] => check(endpoint).await,
        _ => Err("usage: grpc_tonic serve|check ENDPOINT".into()),
    }
}

async fn serve(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("greeter", ServingStatus::Serving).await;
    let listener = Listener::bind(&endpoint.parse()?, &ListenOptions::default())?;
    println!("ready {}", listener.endpoint());
    // tonic's services are a router of axum's; axum with its feature `http2` serves them.
    let listener = ServeListener::new(listener, |error| eprintln!("not accepted: {error}"));
    axum::serve(listener, Routes::new(service).into_axum_router()).await?;
    Ok(())
}

async fn check(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let connector = Connector::new(endpoint.parse()?, ConnectOptions::default());
    // The host is what the service sees as `:authority`; nothing looks it up.
    let channel = tonic::transport::Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await?;
    let request = HealthCheckRequest { service: "greeter".to_owned() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    println!("greeter: {}", answer.status().as_str_name());
    Ok(())
}
