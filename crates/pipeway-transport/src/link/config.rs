//! What a link is made of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::opening::Opening;
use super::spec::LinkSpec;
use crate::IoLoop;

/// How a link's guest is started, what it may open, and how the link is kept up.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The name, in events and messages.
    pub name: String,
    /// What starts the guest.
    pub to: LinkSpec,
    /// The user that the guest runs as, for `wsl:` alone. Default: the distribution's own.
    pub user: Option<String>,
    /// The guest's program: `pipeway` (`pipeway.exe` for `windows`), looked up in the `PATH` of
    /// the other side, unless this names another. Has no meaning for `command:`, which names it
    /// itself.
    pub guest: Option<String>,
    /// Variables of the guest's environment, besides those that it has anyway.
    pub environment: Vec<(String, String)>,
    /// What sessions may be opened to. The guest opens nothing else.
    pub openings: Vec<Opening>,
    /// From the guest's start to its answer. A distribution of WSL that sleeps may take a while.
    /// Default: 30 s.
    pub start_timeout: Duration,
    /// How often a sign of life is asked for; one that is not answered before the next is due
    /// means that the link is lost. Default: 10 s.
    pub heartbeat: Duration,
    /// The pause before the first new attempt after a loss; each further one is twice as long, to
    /// within a quarter, by chance. Default: 0.2 s.
    pub retry_first: Duration,
    /// The longest such pause. Default: 30 s.
    pub retry_most: Duration,
    /// How long a link must have been up for the pauses to begin anew. Default: 60 s.
    pub stable: Duration,
    /// In place of the system's own `wsl.exe`, for tests with a stand-in. Whoever names it decides
    /// what runs.
    pub wsl_program: Option<PathBuf>,
    /// Who is told what the guest writes to its standard error.
    pub on_line: Option<OnLine>,
    /// The loop that the link is held on: best that of those whose streams go through it. Default:
    /// tokio's runtime holds it.
    pub io_loop: Option<IoLoop>,
}

impl LinkConfig {
    /// A link with every default, that opens nothing yet.
    pub fn new(name: impl Into<String>, to: LinkSpec) -> Self {
        LinkConfig {
            name: name.into(),
            to,
            user: None,
            guest: None,
            environment: Vec::new(),
            openings: Vec::new(),
            start_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            retry_first: Duration::from_millis(200),
            retry_most: Duration::from_secs(30),
            stable: Duration::from_secs(60),
            wsl_program: None,
            on_line: None,
            io_loop: None,
        }
    }
}

/// Who is told each line of a guest's standard error: at most some ten a second, without control
/// characters, and cut where they are long.
#[derive(Clone)]
pub struct OnLine(Arc<dyn Fn(&str) + Send + Sync>);

impl OnLine {
    /// Tells `tell`, which must not block: it is called on the runtime's thread.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        OnLine(Arc::new(tell))
    }

    pub(super) fn tell(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for OnLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLine(..)")
    }
}
