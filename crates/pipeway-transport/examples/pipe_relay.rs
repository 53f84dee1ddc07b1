//! What a named pipe's relay is without this crate: the benchmark's peers (`cargo xtask bench
//! --wine`). Windows only.
//!
//! ```text
//! pipe_relay runtime PIPE ADDRESS   tokio's named pipes and `copy_bidirectional`, one thread
//! pipe_relay threads PIPE ADDRESS   blocking calls, two threads a connection, 64 KiB at a time
//! ```

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match *arguments {
        ["runtime", pipe, address] => windows::runtime(pipe, address),
        ["threads", pipe, address] => windows::threads(pipe, address),
        _ => Err(std::io::Error::other("pipe_relay runtime|threads PIPE ADDRESS")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipe_relay: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    eprintln!("pipe_relay: named pipes are Windows'");
    ExitCode::FAILURE
}

#[cfg(windows)]
mod windows {
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::num::NonZeroU8;

    use interprocess::os::windows::named_pipe::{DuplexPipeStream, PipeListenerOptions, pipe_mode};
    use tokio::net::windows::named_pipe::ServerOptions;

    const BUFFER_BYTES: usize = 64 << 10;

    pub fn runtime(pipe: &str, address: &str) -> io::Result<()> {
        let path = format!(r"\\.\pipe\{pipe}");
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut options = ServerOptions::new();
            options.in_buffer_size(BUFFER_BYTES as u32).out_buffer_size(BUFFER_BYTES as u32);
            let mut server = options.create(&path)?;
            println!("ready");
            loop {
                server.connect().await?;
                let mut client = std::mem::replace(&mut server, options.create(&path)?);
                let address = address.to_owned();
                tokio::spawn(async move {
                    let mut upstream = tokio::net::TcpStream::connect(address).await?;
                    upstream.set_nodelay(true)?;
                    tokio::io::copy_bidirectional(&mut client, &mut upstream).await
                });
            }
        })
    }

    pub fn threads(pipe: &str, address: &str) -> io::Result<()> {
        let listener = PipeListenerOptions::new()
            .path(format!(r"\\.\pipe\{pipe}"))
            .instance_limit(None::<NonZeroU8>)
            .input_buffer_size_hint(BUFFER_BYTES as u32)
            .output_buffer_size_hint(BUFFER_BYTES as u32)
            .create_duplex::<pipe_mode::Bytes>()?;
        println!("ready");
        loop {
            let client: DuplexPipeStream<pipe_mode::Bytes> = listener.accept()?;
            let upstream = TcpStream::connect(address)?;
            upstream.set_nodelay(true)?;
            std::thread::spawn(move || {
                let (client, upstream) = (&client, &upstream);
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        copy(&mut &*client, &mut &*upstream);
                        let _ = upstream.shutdown(Shutdown::Write);
                    });
                    copy(&mut &*upstream, &mut &*client);
                });
            });
        }
    }

    /// Until either end has had enough.
    fn copy(from: &mut impl Read, to: &mut impl Write) {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(count) = from.read(&mut buffer)
            && count > 0
            && to.write_all(&buffer[..count]).is_ok()
        {}
    }
}
