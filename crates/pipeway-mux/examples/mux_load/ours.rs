//! The multiplexer of this crate.

use pipeway_mux::{Channel, ChannelOptions, Mux, Options, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Failed;
use crate::work::Multiplexer;

#[derive(Clone)]
pub struct Ours(Mux);

impl Ours {
    async fn new<S>(io: S, version: &str) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let version = Version::from_number(version.parse()?)?;
        Ok(Ours(Mux::connect(io, Options::new(version)).await?))
    }
}

impl Multiplexer for Ours {
    type Stream = Channel;

    async fn client<S>(io: S, version: &str) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ours::new(io, version).await
    }

    async fn server<S>(io: S, version: &str) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ours::new(io, version).await
    }

    async fn open(&self) -> Result<Channel, Failed> {
        Ok(self.0.offer("load", ChannelOptions::default()).await?)
    }

    async fn open_with(&self, first: &'static [u8]) -> Result<Channel, Failed> {
        Ok(self.0.offer_with("load", ChannelOptions::default(), first).await?)
    }

    async fn next(&self) -> Option<Channel> {
        loop {
            let offer = self.0.next_offer().await?;
            // It may have been withdrawn.
            if let Ok(channel) = offer.accept(ChannelOptions::default()) {
                return Some(channel);
            }
        }
    }
}
