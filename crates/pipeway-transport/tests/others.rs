//! Other people's clients against our listener, and our client against other people's servers.

#![cfg(all(feature = "hyper", any(target_os = "linux", windows)))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pipeway_transport::Listener;

/// Serves HTTP; answers with the target and the length of what was sent.
fn serve(mut listener: Listener) {
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(|request: Request<Incoming>| async move {
                let target = request.uri().to_string();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let text = format!("{target} {}", body.len());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
}

/// Asks a few times by the same client, a long body among them.
async fn ask(client: impl Connect + Clone + Send + Sync + 'static, uri: Uri, path: &str) {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(client);
    for length in [0, 5, 300_000] {
        let mut request = Request::new(Full::new(Bytes::from(vec![b'x'; length])));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri.clone();
        let response = client.request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{path} {length}").as_bytes());
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use http_body_util::Empty;
    use hyperlocal::{UnixConnector, UnixListenerExt};
    use pipeway_transport::Endpoint;
    use pipeway_transport::hyper::Connector;
    use support::{listen, patient, run, unique};

    #[test]
    fn hyperlocals_client_asks_our_listener() {
        run(async {
            let listener = listen(&unique());
            let Endpoint::Unix(path) = listener.endpoint().clone() else { panic!("a socket") };
            serve(listener);
            let uri = hyperlocal::Uri::new(path.as_path(), "/a?b").into();
            ask(UnixConnector, uri, "/a?b").await;
        });
    }

    #[test]
    fn our_connector_asks_hyperlocals_server() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("theirs.sock");
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let answer = || {
                |request: Request<Incoming>| async move {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                        request.uri().to_string(),
                    ))))
                }
            };
            // Its errors are of a type that no task may have, so it stays in this one.
            let serving = listener.serve(answer);
            let asking = async {
                let endpoint = format!("unix:{}", path.display()).parse().unwrap();
                let connector = Connector::new(endpoint, patient());
                let client: Client<_, Empty<Bytes>> =
                    Client::builder(TokioExecutor::new()).build(connector);
                let response = client.get("http://localhost/a".parse().unwrap()).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            };
            tokio::select! {
                served = serving => panic!("it ended: {served:?}"),
                body = asking => assert_eq!(body, "/a"),
            }
        });
    }
}

#[cfg(windows)]
mod windows {
    use std::io::{BufRead, BufReader, Write};

    use super::*;
    use hyper_named_pipe::{NAMED_PIPE_SCHEME, NamedPipeConnector};
    use interprocess::local_socket::prelude::*;
    use interprocess::local_socket::tokio::Stream as AsyncStream;
    use interprocess::local_socket::traits::tokio::Stream as _;
    use interprocess::local_socket::{GenericFilePath, GenericNamespaced};
    use pipeway_transport::Endpoint;
    use support::{listen, run, unique};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn hyper_named_pipes_client_asks_our_listener() {
        run(async {
            let listener = listen(&unique());
            let path = listener.endpoint().to_string();
            serve(listener);
            let hex: String = path.bytes().map(|byte| format!("{byte:02x}")).collect();
            let uri = format!("{NAMED_PIPE_SCHEME}://{hex}/a?b").parse().unwrap();
            ask(NamedPipeConnector, uri, "/a?b").await;
        });
    }

    /// Sends back what comes, over one connection.
    fn echo(mut listener: Listener) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        })
    }

    #[test]
    fn interprocess_talks_to_our_listener() {
        run(async {
            let listener = listen(&unique());
            let path = listener.endpoint().to_string();
            let echoing = echo(listener);
            let name = path.as_str().to_fs_name::<GenericFilePath>().unwrap();
            let mut stream = AsyncStream::connect(name).await.unwrap();
            for length in [1, 100_000] {
                let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let mut received = vec![0; length];
                let (mut reader, mut writer) = (&stream, &stream);
                let (written, read) =
                    tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
                written.unwrap();
                read.unwrap();
                assert!(received == sent);
            }
            stream.shutdown().await.unwrap();
            drop(stream);
            echoing.await.unwrap();
        });
    }

    #[test]
    fn interprocess_without_a_runtime_finds_our_listener_by_name() {
        run(async {
            let listener = listen(&unique());
            let Endpoint::Pipe(pipe) = listener.endpoint().clone() else { panic!("a pipe") };
            let echoing = echo(listener);
            let asking = tokio::task::spawn_blocking(move || {
                let name = pipe.as_str().to_ns_name::<GenericNamespaced>().unwrap();
                let mut stream = BufReader::new(LocalSocketStream::connect(name).unwrap());
                stream.get_mut().write_all(b"hello\n").unwrap();
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                line
            });
            assert_eq!(asking.await.unwrap(), "hello\n");
            echoing.await.unwrap();
        });
    }
}
