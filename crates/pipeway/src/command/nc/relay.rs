//! Bytes between this process's input and output and a stream, with an end in each direction.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pipeway_transport::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How much of each direction is on its way here at most.
const PIECE: usize = 64 * 1024;

/// How often one direction is moved before it is the other's turn.
const TURN: usize = 16;

/// What ends it, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The end of standard input is the end of both.
    pub(super) ends_with_input: bool,
    /// The end of what comes from the endpoint is the end of both.
    pub(super) ends_with_endpoint: bool,
    /// The endpoint is told of the end of standard input, where it can be.
    pub(super) half_close: bool,
    /// How long nothing may be moved after one direction has ended.
    pub(super) idle_limit: Option<Duration>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both directions ended.
    Complete,
    /// Standard input did, which was to be the end of both.
    Input,
    /// The endpoint did, which was to be the end of both, or is where it is gone.
    Endpoint,
    /// After the end of one direction nothing was moved for too long.
    Idle,
}

/// What failed.
#[derive(Debug)]
pub(super) enum Fault {
    Input(io::Error),
    Output(io::Error),
    Receive(io::Error),
    Send(io::Error),
}

/// The two ends that are joined, and how far each direction is. `Own` is standard input and
/// output.
pub(super) struct Relay<Own> {
    own: Own,
    far: Stream,
    rules: Rules,
    up: Direction,
    down: Direction,
    /// The connection failed in one direction. What the other still has is moved first.
    fault: Option<Fault>,
    idle: Option<Pin<Box<Sleep>>>,
    moved: u64,
}

struct Direction {
    piece: Box<[u8]>,
    /// What of the piece was read and not written yet.
    rest: std::ops::Range<usize>,
    moved: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// All was read and written; the end is still to be told.
    Ending,
    Ended,
}

/// Which side of a direction failed.
enum Side {
    From(io::Error),
    To(io::Error),
}

impl Direction {
    fn new() -> Self {
        let piece = vec![0; PIECE].into_boxed_slice();
        Direction { piece, rest: 0..0, moved: 0, state: State::Open }
    }

    /// Moves what there is; ready at the end of what is read.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Side>> {
        for _ in 0..TURN {
            while !self.rest.is_empty() {
                let rest = &self.piece[self.rest.clone()];
                match ready!(Pin::new(&mut *to).poll_write(cx, rest)) {
                    Ok(0) => return Poll::Ready(Err(Side::To(io::ErrorKind::WriteZero.into()))),
                    Ok(count) => {
                        self.rest.start += count;
                        self.moved += count as u64;
                    }
                    Err(error) => return Poll::Ready(Err(Side::To(error))),
                }
            }
            let mut buf = ReadBuf::new(&mut self.piece);
            match ready!(Pin::new(&mut *from).poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => self.rest = 0..buf.filled().len(),
                Err(error) => return Poll::Ready(Err(Side::From(error))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<Own: AsyncRead + AsyncWrite + Unpin> Relay<Own> {
    pub(super) fn new(own: Own, far: Stream, rules: Rules) -> Self {
        let (up, down) = (Direction::new(), Direction::new());
        Relay { own, far, rules, up, down, fault: None, idle: None, moved: 0 }
    }

    /// Carries bytes both ways until the end.
    pub(super) async fn run(&mut self) -> Result<Ended, Fault> {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        match self.fault.take() {
            Some(fault) if ended.is_ok() => Err(fault),
            _ => ended,
        }
    }

    /// The bytes that were sent to the endpoint and those received from there.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.up.moved, self.down.moved)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Fault>> {
        if let Poll::Ready(ended) = self.poll_up(cx)
            && let Some(ended) = ended.transpose()
        {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(ended) = self.poll_down(cx)
            && let Some(ended) = ended.transpose()
        {
            return Poll::Ready(ended);
        }
        let ended = |direction: &Direction| direction.state == State::Ended;
        match (ended(&self.up), ended(&self.down)) {
            (true, true) => Poll::Ready(Ok(Ended::Complete)),
            (false, false) => Poll::Pending,
            _ => self.poll_idle(cx),
        }
    }

    /// From standard input to the endpoint.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Ended>, Fault>> {
        let up = &mut self.up;
        if up.state == State::Open {
            match ready!(up.poll_copy(cx, &mut self.own, &mut self.far)) {
                Ok(()) => up.state = State::Ending,
                Err(Side::From(error)) => return Poll::Ready(Err(Fault::Input(error))),
                Err(Side::To(error)) => {
                    self.fault = Some(Fault::Send(error));
                    up.state = State::Ended;
                }
            }
        }
        if up.state == State::Ending {
            let far = Pin::new(&mut self.far);
            // Whoever is about to leave waits until all is on its way.
            let told =
                if self.rules.ends_with_input || (self.rules.half_close && far.can_half_close()) {
                    ready!(far.poll_shutdown(cx))
                } else {
                    ready!(far.poll_flush(cx))
                };
            if let Err(error) = told {
                self.fault = Some(Fault::Send(error));
            }
            up.state = State::Ended;
            if self.rules.ends_with_input {
                return Poll::Ready(Ok(Some(Ended::Input)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// From the endpoint to standard output.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Ended>, Fault>> {
        let down = &mut self.down;
        if down.state == State::Open {
            match ready!(down.poll_copy(cx, &mut self.far, &mut self.own)) {
                Ok(()) => down.state = State::Ending,
                Err(Side::To(error)) => return Poll::Ready(Err(Fault::Output(error))),
                Err(Side::From(error)) => {
                    // What came before it is written all the same.
                    self.rules.ends_with_endpoint = true;
                    self.fault.get_or_insert(Fault::Receive(error));
                    down.state = State::Ending;
                }
            }
        }
        if down.state == State::Ending {
            ready!(Pin::new(&mut self.own).poll_shutdown(cx)).map_err(Fault::Output)?;
            down.state = State::Ended;
            let is_gone = !self.far.can_half_close() || self.far.is_hung_up();
            if self.up.state != State::Ended && (self.rules.ends_with_endpoint || is_gone) {
                return Poll::Ready(Ok(Some(Ended::Endpoint)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Waits for the limit, which progress puts off.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Fault>> {
        let Some(limit) = self.rules.idle_limit else { return Poll::Pending };
        let moved = self.up.moved + self.down.moved;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if self.moved != moved {
            self.moved = moved;
            idle.as_mut().reset(Instant::now() + limit);
        }
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(Ok(Ended::Idle))
    }
}

#[cfg(test)]
mod tests {
    use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const RULES: Rules = Rules {
        ends_with_input: false,
        ends_with_endpoint: false,
        half_close: true,
        idle_limit: Some(Duration::from_secs(60)),
    };

    /// What a relay carries: this process's input and output, and the server's end.
    struct Ends {
        own: DuplexStream,
        server: Stream,
    }

    async fn joined(rules: Rules) -> (Ends, Relay<DuplexStream>) {
        let endpoint: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
        let mut listener = Listener::bind(&endpoint, &ListenOptions::default()).unwrap();
        let options = ConnectOptions::default();
        let connecting = pipeway_transport::connect(listener.endpoint(), &options).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (own, theirs) = tokio::io::duplex(1024);
        (Ends { own, server }, Relay::new(theirs, connecting, rules))
    }

    async fn rest_of(from: &mut (impl AsyncRead + Unpin)) -> String {
        let mut text = String::new();
        from.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_end_of_input_reaches_the_endpoint_and_the_answer_comes_back() {
        let (Ends { mut own, mut server }, mut relay) = joined(RULES).await;
        let both = async {
            own.write_all(b"question").await.unwrap();
            own.shutdown().await.unwrap();
            assert_eq!(rest_of(&mut server).await, "question");
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            assert_eq!(rest_of(&mut own).await, "answer");
        };
        let (ended, ()) = tokio::join!(relay.run(), both);
        assert_eq!(ended.unwrap(), Ended::Complete);
        assert_eq!(relay.moved(), (8, 6));
    }

    #[tokio::test]
    async fn the_end_of_the_endpoint_reaches_the_output_and_input_goes_on() {
        let (Ends { mut own, mut server }, mut relay) = joined(RULES).await;
        let both = async {
            server.write_all(b"greeting").await.unwrap();
            server.shutdown().await.unwrap();
            assert_eq!(rest_of(&mut own).await, "greeting");
            own.write_all(b"late").await.unwrap();
            own.shutdown().await.unwrap();
            assert_eq!(rest_of(&mut server).await, "late");
        };
        let (ended, ()) = tokio::join!(relay.run(), both);
        assert_eq!(ended.unwrap(), Ended::Complete);
    }

    #[tokio::test]
    async fn an_end_may_be_the_end_of_both() {
        let rules = Rules { ends_with_input: true, ..RULES };
        let (Ends { mut own, mut server }, mut relay) = joined(rules).await;
        own.write_all(b"tail").await.unwrap();
        own.shutdown().await.unwrap();
        assert_eq!(relay.run().await.unwrap(), Ended::Input);
        drop(relay);
        assert_eq!(rest_of(&mut server).await, "tail");

        let rules = Rules { ends_with_endpoint: true, ..RULES };
        let (Ends { mut own, mut server }, mut relay) = joined(rules).await;
        server.write_all(b"tail").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(relay.run().await.unwrap(), Ended::Endpoint);
        drop(relay);
        assert_eq!(rest_of(&mut own).await, "tail");
    }

    #[tokio::test]
    async fn an_end_that_is_not_to_be_told_is_not() {
        let rules = Rules { half_close: false, idle_limit: None, ..RULES };
        let (Ends { mut own, mut server }, mut relay) = joined(rules).await;
        let both = async {
            own.shutdown().await.unwrap();
            server.write_all(b"answer").await.unwrap();
            let mut answer = [0; 6];
            own.read_exact(&mut answer).await.unwrap();
            assert_eq!(server.probe(), pipeway_transport::Probe::Quiet);
            server.shutdown().await.unwrap();
        };
        let (ended, ()) = tokio::join!(relay.run(), both);
        assert_eq!(ended.unwrap(), Ended::Complete);
    }

    #[tokio::test]
    async fn one_direction_does_not_wait_for_the_other() {
        let (Ends { mut own, mut server }, mut relay) = joined(RULES).await;
        let both = async {
            // Nobody reads the output, and more comes for it than finds room on the way.
            let much = vec![0; 64 << 20];
            let (mut from_server, mut to_client) = tokio::io::split(&mut server);
            let flood = async { to_client.write_all(&much).await };
            let ask = async {
                own.write_all(b"question").await.unwrap();
                let mut question = [0; 8];
                from_server.read_exact(&mut question).await.unwrap();
                assert_eq!(&question, b"question");
            };
            tokio::select! {
                _ = flood => panic!("it found room"),
                () = ask => {}
            }
        };
        tokio::select! {
            ended = relay.run() => panic!("{ended:?}"),
            () = both => {}
        }
    }

    #[tokio::test]
    #[cfg_attr(windows, ignore = "Wine: a reset is read as an orderly end")]
    async fn a_lost_connection_is_told_and_what_came_before_is_written() {
        let (Ends { mut own, mut server }, mut relay) = joined(RULES).await;
        let both = async {
            server.write_all(b"half").await.unwrap();
            let mut half = [0; 4];
            own.read_exact(&mut half).await.unwrap();
            server.abort_on_close();
            drop(server);
            assert_eq!(rest_of(&mut own).await, "");
        };
        let (ended, ()) = tokio::join!(relay.run(), both);
        assert!(matches!(ended, Err(Fault::Receive(_))), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_one_end_has_a_limit_that_progress_puts_off() {
        let (Ends { own, mut server }, mut relay) = joined(RULES).await;
        let begin = Instant::now();
        let (mut output, mut input) = tokio::io::split(own);
        input.shutdown().await.unwrap();
        let both = async {
            for _ in 0..3 {
                tokio::time::advance(Duration::from_secs(50)).await;
                server.write_all(b"x").await.unwrap();
                output.read_exact(&mut [0]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = relay.run() => ended,
            () = both => unreachable!(),
        };
        assert_eq!(ended.unwrap(), Ended::Idle);
        assert!(begin.elapsed() >= Duration::from_secs(150), "{:?}", begin.elapsed());
    }
}
