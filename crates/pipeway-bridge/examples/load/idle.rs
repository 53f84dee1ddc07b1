//! WebSockets that do nothing.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::websocket::{self, PAYLOAD, SERVER_FRAME};

/// Opens so many, sends one message through each, prints `ready` and waits for the end of stdin;
/// then each must still carry a message, and `alive` tells how many did.
pub fn run(socket: &str, connections: u64) -> io::Result<()> {
    let mut all = (0..connections)
        .map(|_| websocket::connect(socket, "/ws"))
        .collect::<io::Result<Vec<_>>>()?;
    let mut echo = || -> io::Result<()> {
        for stream in &mut all {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(&websocket::client_frame())?;
            let mut frame = [0; SERVER_FRAME];
            stream.read_exact(&mut frame)?;
            if frame[..2] != [0x82, PAYLOAD as u8] {
                return Err(io::Error::other("the echo is another message"));
            }
        }
        Ok(())
    };
    echo()?;
    println!("ready {connections}");
    io::stdin().read_to_end(&mut Vec::new())?;
    echo()?;
    println!("alive {connections}");
    Ok(())
}
