//! The links of `bridge` and `serve`.

use std::time::Duration;

use futures_util::future::join_all;
use pipeway_bridge::tell_link;
use pipeway_telemetry::Sink;
use pipeway_transport::IoLoop;
use pipeway_transport::link::{Link, LinkConfig, LinkState, OnLine, Opening};

use crate::output::{Failure, talk};

/// The links of a configuration, started.
#[derive(Debug)]
pub(crate) struct Links(Vec<Link>);

impl Links {
    /// Starts `links`, each with the openings whose number is its own. That a link does not come up
    /// is told, and stops nothing.
    ///
    /// # Errors
    ///
    /// For what can't be a link here.
    pub(crate) fn start(
        mut links: Vec<LinkConfig>,
        openings: impl IntoIterator<Item = (usize, Opening)>,
        events: &Sink,
        io_loop: Option<&IoLoop>,
    ) -> Result<Links, Failure> {
        for (number, opening) in openings {
            let openings = &mut links[number].openings;
            if !openings.contains(&opening) {
                openings.push(opening);
            }
        }
        let mut started = Vec::with_capacity(links.len());
        for mut config in links {
            let name = config.name.clone();
            config.on_line = Some(OnLine::new(move |line| talk(&format!("link {name}: {line}"))));
            config.io_loop = io_loop.cloned();
            let link = Link::start(config).map_err(|error| Failure::listen(&error))?;
            tokio::spawn(tell(link.clone(), events.clone()));
            started.push(link);
        }
        Ok(Links(started))
    }

    /// The link of that number.
    pub(crate) fn of(&self, number: usize) -> Link {
        self.0[number].clone()
    }

    /// Ends all of them.
    pub(crate) async fn stop(&self) {
        join_all(self.0.iter().map(Link::stop)).await;
    }
}

/// Tells each change of a link, until it is stopped.
async fn tell(link: Link, events: Sink) {
    let mut watch = link.watch();
    let mut told = None;
    while let Some(state) = watch.next().await {
        tell_link(&events, link.name(), &state);
        match state {
            LinkState::Up(up) => {
                talk(&format!("link {}: up, to pipeway {}", link.name(), up.guest));
                for refused in up.refused {
                    talk(&format!("link {}: warning: {refused}", link.name()));
                }
                told = None;
            }
            // The same reason again is in the events only.
            LinkState::Down(down) if told.as_ref() != Some(&down.message) => {
                let again = seconds(down.retry_in);
                let mut line = format!(
                    "link {}: down: {}; next attempt in {again}",
                    link.name(),
                    down.message
                );
                if let Some(hint) = &down.hint {
                    line.push_str(&format!("\n  hint: {hint}"));
                }
                talk(&line);
                told = Some(down.message);
            }
            LinkState::Stopped => return,
            _ => {}
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
