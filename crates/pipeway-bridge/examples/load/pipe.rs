//! The upstream at a named pipe: bodies of any size both ways, and the echo of a byte.

use std::io;

use pipeway_transport::{Endpoint, ListenOptions, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::head::{BODY, CHUNK, ECHOED, SMALL, body_length, content_length};

/// Serves until it is ended.
pub fn run(endpoint: &str) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let endpoint: Endpoint = endpoint.parse().map_err(io::Error::other)?;
        let mut listener =
            Listener::bind(&endpoint, &ListenOptions::default()).map_err(io::Error::other)?;
        println!("ready");
        loop {
            let (stream, _) = listener.accept().await.map_err(io::Error::other)?;
            tokio::spawn(async move {
                match serve(stream).await {
                    // A load that ends in the middle of its exchanges is as it should be.
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    Err(error) => eprintln!("a connection is given up: {error}"),
                }
            });
        }
    })
}

/// One connection, until its end. A client waits for each answer before it goes on.
async fn serve(mut stream: Stream) -> io::Result<()> {
    // Most connections carry a byte.
    let mut input = vec![0; 1 << 10];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        if input[0] == ECHOED {
            stream.write_all(&[ECHOED]).await?;
            filled = 0;
            continue;
        }
        let Some(end) = memchr::memmem::find(&input[..filled], b"\r\n\r\n") else { continue };
        let head = &input[..end];
        if let Some(bytes) = body_length(head) {
            send(&mut stream, bytes).await?;
        } else {
            let bytes = content_length(head)
                .ok_or_else(|| io::Error::other("a body with a Content-Length is wanted"))?;
            let came = (filled - end - 4) as u64;
            drain(&mut stream, bytes.saturating_sub(came)).await?;
            stream.write_all(SMALL).await?;
        }
        filled = 0;
    }
}

async fn send(stream: &mut Stream, bytes: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut unsent = bytes;
    while unsent > 0 {
        let next = unsent.min(CHUNK as u64);
        stream.write_all(&BODY[..next as usize]).await?;
        unsent -= next;
    }
    Ok(())
}

async fn drain(stream: &mut Stream, mut unread: u64) -> io::Result<()> {
    let mut scratch = vec![0; CHUNK];
    while unread > 0 {
        match stream.read(&mut scratch).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => unread = unread.saturating_sub(count as u64),
        }
    }
    Ok(())
}
