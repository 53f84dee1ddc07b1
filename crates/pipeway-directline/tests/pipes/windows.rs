//! What only named pipes have: pipes that go one way.

use pipeway_directline::pipes::{PairConnectOptions, connect_pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::windows::named_pipe::ServerOptions;

use super::*;

fn path(endpoint: &Endpoint) -> String {
    endpoint.to_string()
}

/// As .NET's server: `.incoming` can only be read by it, `.outgoing` only be written.
#[test]
fn an_agent_whose_pipes_go_one_way_is_connected() {
    run(async {
        let place = somewhere();
        let mut reader =
            ServerOptions::new().access_outbound(false).create(path(place.incoming())).unwrap();
        let mut writer =
            ServerOptions::new().access_inbound(false).create(path(place.outgoing())).unwrap();
        // The pipes have no descriptor of their own, and then Wine tells no owner.
        let options = PairConnectOptions { verify_server: false, ..PairConnectOptions::default() };
        let agent = async { tokio::try_join!(reader.connect(), writer.connect()).unwrap() };
        let (_, pair) = tokio::join!(agent, connect_pair(&place, &options));
        let mut pair = pair.unwrap();
        pair.writer.write_all(b"x").await.unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
        writer.write_all(b"y").await.unwrap();
        assert_eq!(pair.reader.read_u8().await.unwrap(), b'y');
        drop(writer);
        assert_eq!(within(pair.reader.read(&mut [0])).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_lost_agent_is_seen_by_a_failing_write_and_by_the_reader() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (agent, mut connector) = session(&mut listener).await;
        stays_pending(connector.watch.closed(), "both pipes are open").await;
        drop(agent);
        assert_eq!(within(connector.reader.read(&mut [0])).await.unwrap_or(0), 0);
        let failed = within(async {
            // The first may be taken over by the runtime before it fails.
            loop {
                if let Err(error) = connector.writer.write_all(b"x").await {
                    return error;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(failed.await.kind(), std::io::ErrorKind::BrokenPipe);
    });
}
