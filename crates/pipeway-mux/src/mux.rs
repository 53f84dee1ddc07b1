//! One end of a connection, for those who use it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::busy::BusyPoll;
use crate::channel::{Channel, Core};
use crate::connection::{AcceptId, Connection};
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, OfferError};
use crate::handshake::{self, Random};
use crate::id::ChannelId;
use crate::options::{ChannelOptions, Options, Version};
use crate::shared::Shared;

/// One end of a connection that carries many channels.
///
/// Clones are the same connection. It ends when the stream below does, when
/// [`close`](Mux::close) is called, or when the last clone and the last channel are dropped.
pub struct Mux {
    shared: Arc<Shared>,
}

impl Clone for Mux {
    fn clone(&self) -> Self {
        Mux::hold(&self.shared)
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.shared.with(|state| state.holders -= 1);
    }
}

impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux").finish_non_exhaustive()
    }
}

impl Mux {
    fn hold(shared: &Arc<Shared>) -> Self {
        shared.with(|state| state.holders += 1);
        Mux { shared: Arc::clone(shared) }
    }

    /// Makes a connection over `io` and, in versions 1 and 2, waits for the other end's
    /// handshake. Must be called inside a tokio runtime with time enabled: a task of it moves the
    /// bytes.
    ///
    /// Cancel safe: dropping the future drops `io`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for options that contradict themselves, before anything is written;
    /// [`Version`](ErrorKind::Version), [`Truncated`](ErrorKind::Truncated),
    /// [`TimedOut`](ErrorKind::TimedOut) and [`Io`](ErrorKind::Io) where the handshake fails. Then
    /// the sending direction of `io` is ended and `io` is dropped.
    pub async fn connect<S>(mut io: S, options: Options) -> Result<Mux, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        options.check()?;
        let shaken = shake_hands(&mut io, options.version);
        let failed = match timeout(options.handshake_timeout, shaken).await {
            Ok(Ok((odd, input))) => return Ok(Mux::start(io, options, odd, input)),
            Ok(Err(error)) => error,
            Err(_) => Error::new(
                ErrorKind::TimedOut,
                format!(
                    "the other end's handshake did not come within {:?}; it may speak version 3, which has none",
                    options.handshake_timeout
                ),
            ),
        };
        // Best effort: the handshake's failure is what is told.
        let _ = timeout(options.close_timeout, io.shutdown()).await;
        Err(failed)
    }

    /// Makes a connection of version 3 over `io`, at once. Must be called inside a tokio runtime
    /// with time enabled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for another version and for options that contradict themselves.
    pub fn create<S>(io: S, options: Options) -> Result<Mux, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Mux::check_v3(&options)?;
        Ok(Mux::start(io, options, true, BytesMut::new()))
    }

    /// As [`create`](Mux::create), where something other than tokio runs the task that moves the
    /// bytes: `spawn` is given it, and must have it run. A task that wakes itself there has its next turn
    /// after the other tasks had theirs and it was found out what is ready, and whether a thread looks
    /// for more before it sleeps is its own business ([`Options::busy_poll`] tells only whether to
    /// hold output back for a moment). Time is still tokio's.
    ///
    /// # Errors
    ///
    /// As [`create`](Mux::create).
    pub fn create_on<S>(
        io: S,
        options: Options,
        spawn: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>),
    ) -> Result<Mux, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Mux::check_v3(&options)?;
        let (mux, driver) = Mux::with_driver(io, options, true, BytesMut::new());
        spawn(Box::pin(driver.that_wakes_itself().run()));
        Ok(mux)
    }

    fn check_v3(options: &Options) -> Result<(), Error> {
        options.check()?;
        if options.version != Version::V3 {
            return Err(Error::new(
                ErrorKind::Usage,
                "versions 1 and 2 have a handshake, which is waited for: use `connect`",
            ));
        }
        Ok(())
    }

    fn start<S>(io: S, options: Options, odd: bool, input: BytesMut) -> Mux
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mux, driver) = Mux::with_driver(io, options, odd, input);
        tokio::spawn(driver.run());
        mux
    }

    fn with_driver<S>(io: S, options: Options, odd: bool, input: BytesMut) -> (Mux, Driver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let close_timeout = options.close_timeout;
        let busy = BusyPoll::new(options.busy_poll);
        let shared = Shared::new(Connection::new(options, odd));
        let mux = Mux::hold(&shared);
        (mux, Driver::new(io, shared, input, busy, close_timeout))
    }

    /// Offers a channel by `name`, and waits until the other end accepts it. Dropping the future
    /// cancels the offer.
    ///
    /// # Errors
    ///
    /// [`OfferError::Rejected`], [`OfferError::Lost`] where the connection ends before the answer,
    /// and [`OfferError::Connection`] where it had ended before, has as many channels as may be, or `name` is too long for a frame.
    pub async fn offer(&self, name: &str, options: ChannelOptions) -> Result<Channel, OfferError> {
        self.offer_with(name, options, &[]).await
    }

    /// As [`offer`](Mux::offer), with the channel's first content, which does not wait for the
    /// acceptance: that spares a round trip where this end speaks first. Of an offer that is
    /// rejected or cancelled it may have been read.
    ///
    /// At most 4,096 bytes, and only to other ends that take content before they have accepted: this
    /// crate does, and npm's package; .NET's and the crate `nerdbank-streams` were not tried.
    ///
    /// # Errors
    ///
    /// As [`offer`](Mux::offer); [`ErrorKind::Usage`] for more content.
    pub async fn offer_with(
        &self,
        name: &str,
        options: ChannelOptions,
        first: &[u8],
    ) -> Result<Channel, OfferError> {
        let core = self.offered(name, options, first)?;
        poll_fn(|cx| core.poll_answer(cx)).await?;
        Ok(Channel::new(core))
    }

    /// Offers a channel without a name, and has it at once; the other end accepts it by its
    /// number, which it has to be told. Until then nothing is sent: writing waits.
    ///
    /// # Errors
    ///
    /// As [`offer`](Mux::offer), but for what the other end says:
    /// [`Channel::accepted`] tells that.
    pub fn offer_anonymous(&self, options: ChannelOptions) -> Result<Channel, Error> {
        self.offered("", options, &[]).map(Channel::new)
    }

    fn offered(&self, name: &str, options: ChannelOptions, first: &[u8]) -> Result<Core, Error> {
        self.shared.with(|state| {
            let key = state.connection.offer(name, options.window_bytes, first)?;
            Ok(Core::hold(&self.shared, state, key))
        })
    }

    /// Waits for an offer of that name, exactly, and accepts it. Those who wait for the same name
    /// get the offers in turn. Dropping the future waits no more, and loses no offer.
    ///
    /// # Errors
    ///
    /// How the connection ended.
    pub async fn accept(&self, name: &str, options: ChannelOptions) -> Result<Channel, Error> {
        let mut accepting = Accepting::new(&self.shared, name)?;
        poll_fn(|cx| accepting.poll(cx, options)).await
    }

    /// Accepts the other end's offer of that number, or else the seeded channel of that number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] where there is no such offer, or not any more; how the connection
    /// ended.
    pub fn accept_id(&self, number: u64, options: ChannelOptions) -> Result<Channel, Error> {
        self.shared.with(|state| {
            let key = state.connection.accept_number(number, options.window_bytes)?;
            Ok(Channel::new(Core::hold(&self.shared, state, key)))
        })
    }

    /// Rejects the other end's offer of that number. `reason` is for the other end, in the form
    /// `Kind: message`; others' implementations do not show it, and version 1 can't tell it. npm's
    /// package makes an unhandled rejection of it, which ends its process unless that is handled.
    ///
    /// # Errors
    ///
    /// As [`accept_id`](Mux::accept_id).
    pub fn reject(&self, number: u64, reason: Option<&str>) -> Result<(), Error> {
        self.shared.with(|state| state.connection.reject(number, reason))
    }

    /// The next offer that nobody waits to [`accept`](Mux::accept) by its name; `None` once the
    /// connection has ended. No offer is lost, however late the first call. Cancel safe.
    pub async fn next_offer(&self) -> Option<IncomingOffer> {
        poll_fn(|cx| {
            self.shared.with(|state| {
                if state.connection.ended().is_some() {
                    return Poll::Ready(None);
                }
                match state.connection.next_offer() {
                    Some(offer) => Poll::Ready(Some(offer)),
                    None => {
                        state.wait_for_offer(cx.waker());
                        Poll::Pending
                    }
                }
            })
        })
        .await
        .map(|(id, name)| IncomingOffer { mux: self.clone(), id, name })
    }

    /// The seeded channel of that number, from 0 on. Each can be taken once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] where there is none, or not any more.
    pub fn seeded(&self, number: u32) -> Result<Channel, Error> {
        self.shared.with(|state| {
            let key = state.connection.accept_seeded(u64::from(number))?;
            Ok(Channel::new(Core::hold(&self.shared, state, key)))
        })
    }

    /// How many channels there are: open ones, offers of both ends, and those that have ended and
    /// that somebody here still holds.
    pub fn channels(&self) -> usize {
        self.shared.with(|state| state.connection.channels())
    }

    /// Ends the connection: every channel ends, what was written is still handed to the stream
    /// below, its sending direction is ended, and the other end's end is waited for, all within
    /// [`Options::close_timeout`]. Dropping the future does not stop it.
    pub async fn close(&self) {
        self.shared.with(|state| state.connection.end(Ok(())));
        // How it ended is told by `completion`.
        let _ = self.completion().await;
    }

    /// Waits for the connection's end, when the stream below has been let go. Cancel safe; may be
    /// called by many.
    ///
    /// # Errors
    ///
    /// What ended the connection, if it was not one of the ends in order.
    pub async fn completion(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            self.shared.with(|state| match &state.done {
                Some(done) => Poll::Ready(done.clone()),
                None => {
                    state.wait_for_completion(cx.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }
}

/// An offer of the other end that waits to be accepted or rejected.
///
/// Dropped without either, it goes on waiting: whoever calls [`Mux::accept`] or
/// [`Mux::accept_id`] may still have it.
#[derive(Debug)]
pub struct IncomingOffer {
    mux: Mux,
    id: ChannelId,
    name: Arc<str>,
}

impl IncomingOffer {
    /// The channel's identity.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The channel's name; empty for an anonymous one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Accepts it.
    ///
    /// # Errors
    ///
    /// As [`Mux::accept_id`]: it may have been withdrawn.
    pub fn accept(self, options: ChannelOptions) -> Result<Channel, Error> {
        self.mux.accept_id(self.id.number, options)
    }

    /// Rejects it; see [`Mux::reject`].
    ///
    /// # Errors
    ///
    /// As [`Mux::accept_id`]: it may have been withdrawn.
    pub fn reject(self, reason: Option<&str>) -> Result<(), Error> {
        self.mux.reject(self.id.number, reason)
    }
}

/// A place among those who wait for an offer.
struct Accepting<'a> {
    shared: &'a Arc<Shared>,
    name: &'a str,
    accept: Option<AcceptId>,
}

impl<'a> Accepting<'a> {
    fn new(shared: &'a Arc<Shared>, name: &'a str) -> Result<Self, Error> {
        let accept = shared.with(|state| state.connection.wait_to_accept(name));
        Ok(Accepting { shared, name, accept: Some(accept) })
    }

    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        options: ChannelOptions,
    ) -> Poll<Result<Channel, Error>> {
        let Some(accept) = self.accept else { return Poll::Ready(Err(Error::closed())) };
        self.shared.with(|state| {
            let accepted =
                state.connection.accept_waiting(self.name, accept, options.window_bytes)?;
            let Some(key) = accepted else {
                state.wait_to_accept(accept, cx.waker());
                return Poll::Pending;
            };
            self.accept = None;
            Poll::Ready(Ok(Channel::new(Core::hold(self.shared, state, key))))
        })
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if let Some(accept) = self.accept {
            self.shared.with(|state| state.stop_waiting(self.name, accept));
        }
    }
}

/// Does the handshake. Whether this end has the odd channels, and what came behind it.
async fn shake_hands<S>(io: &mut S, version: Version) -> Result<(bool, BytesMut), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut random = Random::default();
    if version != Version::V3 {
        getrandom::fill(&mut random).map_err(|error| {
            Error::io("asking the system for random bytes", std::io::Error::other(error))
        })?;
    }
    let own = handshake::write(version, &random);
    let mut sent = 0;
    let mut input = BytesMut::with_capacity(256);
    let mut ended = false;
    // Both at once: the other end may wait for ours before it reads.
    poll_fn(|cx| {
        while sent < own.len() {
            match Pin::new(&mut *io).poll_write(cx, &own[sent..]) {
                Poll::Ready(Ok(0)) => {
                    let error = std::io::ErrorKind::WriteZero.into();
                    return Poll::Ready(Err(Error::io("writing the handshake", error)));
                }
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Error::io("writing the handshake", error)));
                }
                Poll::Pending => break,
            }
        }
        if sent == own.len() && !own.is_empty() {
            match Pin::new(&mut *io).poll_flush(cx) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Error::io("writing the handshake", error)));
                }
            }
        }
        loop {
            let mut rest = input.clone();
            if let Some(odd) = handshake::read(version, &random, &mut rest)? {
                if sent < own.len() {
                    return Poll::Pending;
                }
                return Poll::Ready(Ok((odd, rest)));
            }
            if ended {
                return Poll::Ready(Err(Error::new(
                    ErrorKind::Truncated,
                    "the stream below ended in the middle of the handshake",
                )));
            }
            match std::pin::pin!(io.read_buf(&mut input)).poll(cx) {
                Poll::Ready(Ok(count)) => ended = count == 0,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Error::io("reading the handshake", error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
