//! What a session through a link may be opened to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{ConnectOptions, Direction, Endpoint, Error, ErrorKind};

/// The longest time that a guest may be told to take for connecting.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An endpoint as the guest sees it, and how the guest connects to it.
///
/// Openings are told to the guest when the link begins; it opens nothing else. Two that write the
/// same text are one.
#[derive(Clone, Debug)]
pub struct Opening {
    endpoint: Endpoint,
    options: ConnectOptions,
    /// What stands on the wire: the name of each of its sessions' channels.
    text: String,
}

impl Opening {
    /// An opening to `endpoint`. What the guest's system has no use for is told by the guest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for `stdio` and for a name with a control character in it, and
    /// [`Insecure`](ErrorKind::Insecure) for a remote address that was not allowed.
    pub fn new(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Self, Error> {
        if *endpoint == Endpoint::Stdio {
            return Err(Error::new(ErrorKind::Unsupported, "stdio can't be opened through a link")
                .hint("name the service's own endpoint"));
        }
        if let Endpoint::Tcp(address) = endpoint
            && !options.allow_remote
            && !address.ip().to_canonical().is_loopback()
        {
            return Err(crate::connect::remote_refused(endpoint));
        }
        let shown = endpoint.to_string();
        // A line's end in it would be another line of the handshake.
        if let Some(c) = shown.chars().find(|c| c.is_control()) {
            let message = format!("{} has the character {c:?} in it", shown.escape_debug());
            return Err(Error::new(ErrorKind::Unsupported, message)
                .hint("choose a name without control characters"));
        }
        let is_local = matches!(endpoint, Endpoint::Local(_));
        let options = ConnectOptions {
            timeout: options.timeout.clamp(Duration::from_millis(1), TIMEOUT_MAX),
            verify_server: Some(options.verify_server.unwrap_or(is_local)),
            allow_remote: options.allow_remote,
            half_close: options.half_close,
            // The other side opens local endpoints both ways.
            direction: Direction::Both,
        };
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let text = format!(
            "timeout={} verify={} remote={} ends={} {shown}",
            options.timeout.as_millis(),
            yes(options.verify_server.unwrap_or(is_local)),
            yes(options.allow_remote),
            options.half_close,
        );
        Ok(Opening { endpoint: endpoint.clone(), options, text })
    }

    /// The endpoint, as it was written: `local:NAME` is resolved by the guest.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How the guest connects.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }
}

impl PartialEq for Opening {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Opening {}

impl std::hash::Hash for Opening {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Opening {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes. Words that are not known are passed over.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: &str| {
            let message = format!("`{}` is no opening: {what}", text.escape_debug());
            Error::new(ErrorKind::Unsupported, message).hint("update the older of the two pipeways")
        };
        let mut options = ConnectOptions { verify_server: Some(true), ..<_>::default() };
        let mut rest = text;
        loop {
            let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            // An endpoint's kind ends with a colon, or it begins with a backslash.
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| {
                !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            }) else {
                break;
            };
            let yes = || match value {
                "yes" => Ok(true),
                "no" => Ok(false),
                _ => Err(wrong("a word that is neither yes nor no")),
            };
            match key {
                "timeout" => {
                    let millis = value.parse().map_err(|_| wrong("a time that is no number"))?;
                    options.timeout = Duration::from_millis(millis);
                }
                "verify" => options.verify_server = Some(yes()?),
                "remote" => options.allow_remote = yes()?,
                "ends" => {
                    options.half_close =
                        value.parse().map_err(|_| wrong("a rule of ends that is none"))?;
                }
                _ => {}
            }
            rest = behind;
        }
        let endpoint: Endpoint = rest.parse().map_err(|_| wrong("no endpoint"))?;
        Opening::new(&endpoint, &options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HalfClose;

    fn opening(endpoint: &str, options: &ConnectOptions) -> Result<Opening, Error> {
        Opening::new(&endpoint.parse().unwrap(), options)
    }

    #[test]
    fn an_opening_reads_back_as_the_same() {
        for endpoint in [
            r"\\.\pipe\a b=c",
            "unix:/run/a b.sock",
            "tcp:127.0.0.1:80",
            "local:x",
            "unix:/verify=no x",
        ] {
            for verify in [None, Some(true), Some(false)] {
                let options = ConnectOptions { verify_server: verify, ..<_>::default() };
                let one = opening(endpoint, &options).unwrap();
                let back: Opening = one.to_string().parse().unwrap();
                assert_eq!(back, one);
                assert_eq!(back.endpoint(), one.endpoint());
                assert_eq!(back.options().verify_server, one.options().verify_server);
                assert_eq!(back.options().timeout, one.options().timeout);
            }
        }
        for half_close in [HalfClose::Auto, HalfClose::Message, HalfClose::None] {
            let options = ConnectOptions { half_close, ..<_>::default() };
            let one = opening("npipe:x", &options).unwrap();
            let back: Opening = one.to_string().parse().unwrap();
            assert_eq!(back.options().half_close, half_close);
        }
    }

    #[test]
    fn a_line_end_in_a_path_is_refused() {
        let error = opening("unix:/a\nopen unix:/b", &ConnectOptions::default()).unwrap_err();
        assert!(error.to_string().contains(r"unix:/a\nopen"), "{error}");
    }

    #[test]
    fn a_remote_address_is_refused_unless_allowed() {
        let error = opening("tcp:192.0.2.1:80", &ConnectOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
        let allowed = ConnectOptions { allow_remote: true, ..<_>::default() };
        let text = opening("tcp:192.0.2.1:80", &allowed).unwrap().to_string();
        assert!(text.parse::<Opening>().unwrap().options().allow_remote);
        // What the guest is told is held by the same rule.
        text.replace("remote=yes", "remote=no").parse::<Opening>().unwrap_err();
    }

    #[test]
    fn what_is_no_opening_is_refused() {
        for text in ["", "stdio", "timeout=x local:a", "verify=maybe local:a", "local", "a b"] {
            text.parse::<Opening>().unwrap_err();
        }
        assert_eq!("later=1 local:a".parse::<Opening>().unwrap().endpoint().to_string(), "local:a");
    }
}
