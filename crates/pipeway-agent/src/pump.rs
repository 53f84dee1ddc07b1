//! Reading a command's output until its end, at the reader's pace.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an output that is still held open is read after the command has ended. Something that
/// it left running in the background (`server &`) may hold it for ever.
const LINGER: Duration = Duration::from_millis(500);

/// What a command can have left unread in a pipe or a terminal: the most that a pipe holds unless
/// somebody enlarged it (pipe(7)).
const LEFT_MAX: usize = 64 * 1024;

/// Reads `output` in pieces of at most `piece` bytes and gives each to `give`, waiting for it,
/// until the end of the output, or until the command has ended (`exited`) and what it can have
/// left behind was read. `give` returns whether to go on.
pub(crate) async fn pump<R, G, F>(
    mut output: R,
    piece: usize,
    mut exited: watch::Receiver<bool>,
    mut give: G,
) where
    R: AsyncRead + Unpin,
    G: FnMut(Vec<u8>) -> F,
    F: Future<Output = bool>,
{
    let mut until: Option<Instant> = None;
    let mut left = LEFT_MAX;
    loop {
        let mut buffer = Vec::with_capacity(piece);
        let read = tokio::select! {
            biased;
            read = output.read_buf(&mut buffer) => read,
            // The command has ended while nothing was there to be read.
            () = ended(&mut exited, &mut until) => return,
        };
        // A failure to read is an end too: there is nothing more to be had.
        let count = read.unwrap_or(0);
        if count == 0 || !give(buffer).await {
            return;
        }
        if until.is_none() && *exited.borrow() {
            until = Some(Instant::now() + LINGER);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

/// Waits for the command's end, and then for as long as its output may linger.
async fn ended(exited: &mut watch::Receiver<bool>, until: &mut Option<Instant>) {
    if until.is_none() {
        // An error is a command that nobody waits for any more.
        let _ = exited.wait_for(|exited| *exited).await;
        *until = Some(Instant::now() + LINGER);
    }
    if let Some(until) = until {
        tokio::time::sleep_until(*until).await;
    }
}
