//! What is left of a pipe that was dropped before the system had taken over what was written.
//!
//! It stays open until then, so that the last byte is not lost, but not for longer than
//! [`PATIENCE`], and not more than [`LEFT_MAX`] at once: else another end that neither reads nor
//! closes would keep it open, and its memory.

use std::collections::VecDeque;
use std::os::windows::io::AsHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::handle::Handle;
use super::look;
use super::operation::{Operation, State};

/// How long another end has to read what is left: 64 KiB at the most, as the rest is with the
/// system by then. Whoever wants to give it longer waits until all is taken over, and drops then.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The most that wait at once, each with a write of up to 64 KiB and a small read: 68 MiB together.
const LEFT_MAX: usize = 1024;

/// All that is left of pipes, the oldest first. Those whose write is over go with the next look.
static WAITING: Mutex<VecDeque<Waiting>> = Mutex::new(VecDeque::new());

/// What a write holds that is in flight when its pipe is dropped.
#[derive(Debug)]
pub(super) struct Left {
    /// Open until the write is over.
    pub(super) pipe: Arc<Handle>,
    /// The place of the reads, which end with it.
    pub(super) reads: Arc<Operation>,
}

struct Waiting {
    write: Weak<Operation>,
    pipe: Weak<Handle>,
    since: Instant,
}

impl Left {
    /// Is held by `write`, which is in flight, until that is over or has been called off for
    /// taking too long. If there are too many, the oldest is called off: it had the most time.
    pub(super) fn wait_for(self, write: &Arc<Operation>, state: &mut State) {
        let (write, pipe) = (Arc::downgrade(write), Arc::downgrade(&self.pipe));
        state.left = Some(self);
        let mut waiting = waiting();
        if waiting.len() >= LEFT_MAX {
            waiting.retain(Waiting::is_in_flight);
        }
        let oldest = if waiting.len() >= LEFT_MAX { waiting.pop_front() } else { None };
        waiting.push_back(Waiting { write, pipe, since: Instant::now() });
        drop(waiting);
        if let Some(oldest) = oldest {
            oldest.call_off();
        }
        look::arrange();
    }
}

impl Waiting {
    /// Whether the system still has its write: nobody else keeps it.
    fn is_in_flight(&self) -> bool {
        self.write.strong_count() > 0
    }

    /// Calls the write off. Its end closes the pipe.
    fn call_off(&self) {
        if let (Some(write), Some(pipe)) = (self.write.upgrade(), self.pipe.upgrade()) {
            write.cancel(pipe.as_handle());
        }
    }
}

/// Whether there is nothing to look at.
pub(super) fn is_none() -> bool {
    waiting().is_empty()
}

/// Calls off what has waited for too long.
pub(super) fn look() {
    let now = Instant::now();
    let mut waiting = waiting();
    waiting.retain(Waiting::is_in_flight);
    let in_time = |one: &Waiting| now.saturating_duration_since(one.since) < PATIENCE;
    let late = waiting.iter().position(in_time).unwrap_or(waiting.len());
    let late: Vec<_> = waiting.drain(..late).collect();
    drop(waiting);
    for one in &late {
        one.call_off();
    }
}

fn waiting() -> MutexGuard<'static, VecDeque<Waiting>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::super::buffer::SMALL_BYTES;
    use super::super::stress::{LIMIT, fill, live, pair};
    use super::*;
    use crate::HalfClose;
    use crate::sys::windows::handles;

    /// What a pipe keeps that is left: its write's buffer, and that of a read to throw away.
    const BUFFERS: usize = 2;

    /// Has all that is left seem to have waited so much longer.
    fn let_pass(time: Duration) {
        for one in &mut *waiting() {
            one.since = one.since.checked_sub(time).expect("the system runs for longer");
        }
    }

    #[tokio::test]
    async fn what_nobody_reads_is_closed_once_its_time_is_up() {
        const PIPES: usize = 16;
        // Now, so that what the system opens for the timer is not counted.
        look::arrange();
        let mut peers = Vec::new();
        let mut dropped = Vec::new();
        for half_close in [HalfClose::None, HalfClose::Message].repeat(PIPES / 2) {
            let (mut server, client) = pair(half_close);
            fill(&mut server).await;
            peers.push(client);
            dropped.push(server);
        }
        let open = handles::count();
        drop(dropped);
        let_pass(PATIENCE / 2);
        look();
        assert_eq!(waiting().len(), PIPES);
        assert_eq!(handles::count(), open);
        let_pass(PATIENCE / 2);
        // By the timer.
        let closed = async {
            while handles::count() > open - PIPES {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, closed).await.expect("what is left stays open");
        // The peers of messages read ahead.
        live(PIPES / 2).await;
        assert!(is_none(), "the timer is kept going");
        drop(peers);
        live(0).await;
    }

    #[tokio::test]
    async fn a_slow_reader_that_reads_in_time_gets_every_byte() {
        let (mut server, mut client) = pair(HalfClose::None);
        let written = fill(&mut server).await;
        drop(server);
        let mut received = vec![0; SMALL_BYTES];
        let mut count = 0;
        let pieces = written.div_ceil(received.len()) as u32;
        loop {
            match timeout(LIMIT, client.read(&mut received)).await.unwrap().unwrap() {
                0 => break,
                read => count += read,
            }
            let_pass(PATIENCE * 3 / 4 / pieces);
            look();
        }
        assert_eq!(count, written);
        drop(client);
        live(0).await;
    }

    #[tokio::test]
    async fn of_too_many_the_oldest_is_closed() {
        const MORE: usize = 3;
        let mut peers = Vec::new();
        for _ in 0..LEFT_MAX + MORE {
            let (mut server, client) = pair(HalfClose::None);
            fill(&mut server).await;
            peers.push(client);
        }
        live(BUFFERS * LEFT_MAX).await;
        assert_eq!(waiting().len(), LEFT_MAX);
        drop(peers);
        live(0).await;
    }
}
