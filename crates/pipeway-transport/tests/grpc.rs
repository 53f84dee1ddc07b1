//! tonic's client by our connector, against tonic's own health service behind our listener.

#![cfg(all(feature = "axum", feature = "hyper"))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use pipeway_transport::axum::ServeListener;
use pipeway_transport::hyper::{Connector, UriConnector, endpoint_uri};
use pipeway_transport::{Endpoint, ErrorKind};
use support::{listen, patient, run, unique};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Status;
use tonic_health::pb::health_client::HealthClient;

/// A server, and what sets the status of its service `it`.
async fn serve(endpoint: &Endpoint) -> tonic_health::server::HealthReporter {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("it", ServingStatus::Serving).await;
    let listener = ServeListener::new(listen(endpoint), |error| panic!("{error}"));
    let serving = axum::serve(listener, Routes::new(service).into_axum_router());
    tokio::spawn(serving.into_future());
    reporter
}

async fn check(channel: Channel) -> Result<Status, tonic::Status> {
    let request = HealthCheckRequest { service: "it".to_owned() };
    Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
}

#[test]
fn a_call_is_answered() {
    run(async {
        let endpoint = unique();
        let reporter = serve(&endpoint).await;
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector(Connector::new(endpoint, patient()))
            .await
            .unwrap();
        assert_eq!(check(channel.clone()).await.unwrap(), Status::Serving);
        reporter.set_service_status("it", ServingStatus::NotServing).await;
        assert_eq!(check(channel).await.unwrap(), Status::NotServing);
    });
}

#[test]
fn a_stream_of_answers_arrives_as_it_is_sent() {
    run(async {
        let endpoint = unique();
        let reporter = serve(&endpoint).await;
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector_lazy(Connector::new(endpoint, patient()));
        let request = HealthCheckRequest { service: "it".to_owned() };
        let mut answers = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().status(), Status::Serving);
        reporter.set_service_status("it", ServingStatus::NotServing).await;
        assert_eq!(answers.message().await.unwrap().unwrap().status(), Status::NotServing);
    });
}

#[test]
fn a_uri_with_an_endpoint_does_too() {
    run(async {
        let endpoint = unique();
        let _reporter = serve(&endpoint).await;
        let uri = endpoint_uri(&endpoint, "/").unwrap();
        let channel = tonic::transport::Endpoint::from(uri)
            .origin("http://localhost".parse().unwrap())
            .connect_with_connector(UriConnector::new(patient()))
            .await
            .unwrap();
        assert_eq!(check(channel).await.unwrap(), Status::Serving);
    });
}

#[test]
fn a_failure_to_connect_says_its_kind() {
    run(async {
        let error = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector(Connector::new(unique(), patient()))
            .await
            .unwrap_err();
        let mut source: &dyn std::error::Error = &error;
        let found = loop {
            match source.downcast_ref::<pipeway_transport::Error>() {
                Some(found) => break found,
                None => source = source.source().expect("the transport's error is in the chain"),
            }
        };
        assert_eq!(found.kind(), ErrorKind::NotFound);
    });
}
