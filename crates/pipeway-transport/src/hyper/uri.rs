//! An endpoint inside a URI.

use std::fmt;

use http::Uri;

use crate::path::{PathError, path_and_query};
use crate::{Endpoint, EndpointParseError};

/// The scheme of a URI that carries an endpoint.
pub const SCHEME: &str = "pipeway";

/// The URI of `path` at `endpoint`, for a client with a [`UriConnector`](super::UriConnector).
///
/// `path` is a path with or without a query, as it will stand in the request line. The endpoint
/// is carried as it is: `local:NAME` is resolved when the connection is made.
///
/// ```
/// use pipeway_transport::hyper::{endpoint_uri, uri_endpoint};
///
/// let endpoint = "local:greeter".parse()?;
/// let uri = endpoint_uri(&endpoint, "/hello?name=you")?;
/// assert_eq!(uri, "pipeway://6c6f63616c3a67726565746572@localhost/hello?name=you");
/// assert_eq!(uri_endpoint(&uri)?, endpoint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// For `stdio`, which can't be connected to; for a path that does not begin with a slash, has a
/// fragment or a character that must be percent-encoded; and for a URI that would be longer than
/// 65,534 bytes.
pub fn endpoint_uri(endpoint: &Endpoint, path: &str) -> Result<Uri, UriError> {
    if *endpoint == Endpoint::Stdio {
        return Err(UriError(Reason::Stdio));
    }
    let path = path_and_query(path).map_err(|why| UriError(Reason::Path(path.to_owned(), why)))?;
    // Hex, since authorities are compared without regard to case, by hyper's pool too: in an
    // encoding with both cases two endpoints could share their connections.
    let mut hex = String::new();
    for byte in endpoint.to_string().bytes() {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Uri::builder()
        .scheme(SCHEME)
        .authority(format!("{hex}@localhost"))
        .path_and_query(path)
        .build()
        .ok()
        // Its parts can be put together longer than a URI may be; nobody could read it back.
        .filter(|uri| uri.to_string().len() <= URI_BYTES_MAX)
        .ok_or(UriError(Reason::Long))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The longest URI that the `http` crate reads.
const URI_BYTES_MAX: usize = u16::MAX as usize - 1;

/// The endpoint that a URI carries; the inverse of [`endpoint_uri`]. The URI's host, port and path
/// are not looked at.
///
/// # Errors
///
/// For a URI of another scheme, without user information, or whose user information is no
/// hex-encoded endpoint.
pub fn uri_endpoint(uri: &Uri) -> Result<Endpoint, UriError> {
    if uri.scheme_str().is_none_or(|scheme| !scheme.eq_ignore_ascii_case(SCHEME)) {
        return Err(UriError(Reason::Scheme(uri.to_string())));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let Some((hex, _)) = authority.rsplit_once('@') else {
        return Err(UriError(Reason::NoEndpoint(uri.to_string())));
    };
    let text = decode(hex).ok_or_else(|| UriError(Reason::Hex(hex.to_owned())))?;
    text.parse().map_err(|why| UriError(Reason::Endpoint(why)))
}

fn decode(hex: &str) -> Option<String> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = pairs
        .iter()
        .map(|&[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok())
        .collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

/// An endpoint and a path that make no URI, or a URI that carries no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriError(Reason);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Stdio,
    Path(String, PathError),
    Long,
    Scheme(String),
    NoEndpoint(String),
    Hex(String),
    Endpoint(EndpointParseError),
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Stdio => f.write_str("stdio can't be connected to, so it has no URI"),
            Reason::Path(path, why) => {
                write!(f, "`{}` is not a path with a query: {why}", path.escape_debug())
            }
            Reason::Long => {
                write!(f, "the endpoint and the path make a URI longer than {URI_BYTES_MAX} bytes")
            }
            Reason::Scheme(uri) => write!(
                f,
                "`{uri}` carries no endpoint: its scheme is not `{SCHEME}`; make it with endpoint_uri"
            ),
            Reason::NoEndpoint(uri) => {
                write!(f, "`{uri}` carries no endpoint before its host; make it with endpoint_uri")
            }
            Reason::Hex(text) => {
                write!(f, "`{text}` is not a hex-encoded endpoint; make the URI with endpoint_uri")
            }
            Reason::Endpoint(_) => f.write_str("the URI carries what is no endpoint"),
        }
    }
}

impl std::error::Error for UriError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::Endpoint(why) => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(uri: &str, part: &str) {
        let error = uri_endpoint(&uri.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }

    #[test]
    fn every_endpoint_that_can_be_connected_to_reads_back() {
        for text in [
            r"\\.\pipe\my agent\ü",
            "unix:/run/with space: and @ colon",
            "tcp:127.0.0.1:80",
            "tcp:[::1]:80",
            "local:api",
        ] {
            let uri = endpoint_uri(&endpoint(text), "/a?b").unwrap();
            // As text, too: it goes through configuration files.
            let uri: Uri = uri.to_string().parse().unwrap();
            assert_eq!(uri_endpoint(&uri).unwrap(), endpoint(text));
            assert_eq!((uri.host(), uri.path(), uri.query()), (Some("localhost"), "/a", Some("b")));
        }
    }

    #[test]
    fn what_can_be_no_uri_is_refused() {
        let error = endpoint_uri(&Endpoint::Stdio, "/").unwrap_err();
        assert!(error.to_string().contains("stdio"), "{error}");
        let error = endpoint_uri(&endpoint("local:a"), "a b").unwrap_err();
        assert!(error.to_string().contains("begins with a slash"), "{error}");
        let long = endpoint(&format!("unix:/{}", "x".repeat(33_000)));
        assert!(endpoint_uri(&long, "/").unwrap_err().to_string().contains("longer"));
        let path = format!("/{}", "x".repeat(65_000));
        assert!(endpoint_uri(&endpoint("local:a"), &path).is_ok());
        let path = format!("/{}", "x".repeat(65_520));
        assert!(endpoint_uri(&endpoint("local:a"), &path).is_err());
    }

    #[test]
    fn a_uri_without_an_endpoint_is_refused() {
        refused("http://6c6f@localhost/", "scheme");
        refused("/a", "scheme");
        refused("pipeway://localhost/", "before its host");
        refused("pipeway://6c6@localhost/", "hex");
        refused("pipeway://6g@localhost/", "hex");
        refused("pipeway://ff@localhost/", "hex");
        refused("pipeway://6c6f63616c3a@localhost/", "no endpoint");
    }

    #[test]
    fn the_hosts_name_is_free_to_choose() {
        let uri = "PIPEWAY://6C6f63616c3a61@other:8080/".parse().unwrap();
        assert_eq!(uri_endpoint(&uri).unwrap(), endpoint("local:a"));
    }
}
