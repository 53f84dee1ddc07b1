//! The path and the headers of a request, as curl reads them from the command line.

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::exit::Exit;
use crate::output::Failure;

/// The path of a request with its query, and the host of a whole URL.
pub(crate) fn request_path(text: &str) -> Result<(String, Option<String>), Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let shown = text.escape_debug();
    if text.starts_with('/') || text == "*" {
        text.parse::<Uri>().map_err(|error| {
            usage(format!("`{shown}` is not a path"))
                .cause(&error)
                .hint("write spaces and other special characters percent-encoded (%20)")
        })?;
        return Ok((text.to_owned(), None));
    }
    let uri: Option<Uri> = text.parse().ok();
    match uri.as_ref().and_then(|uri| Some((uri, uri.scheme_str()?, uri.authority()?))) {
        Some((uri, "http" | "ws", authority)) => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            Ok((path.to_owned(), Some(authority.as_str().to_owned())))
        }
        Some((_, "https" | "wss", _)) => Err(usage(format!("`{shown}`: TLS is not spoken here"))
            .hint("write http://, or the path alone")),
        _ => Err(usage(format!("`{shown}` is not a path: it begins with a slash"))
            .hint("write /PATH or http://localhost/PATH (in Git Bash on Windows: //PATH, or MSYS_NO_PATHCONV=1)")),
    }
}

/// The headers of a request: the program's, then the user's in their place.
#[derive(Debug)]
pub(crate) struct Headers {
    map: HeaderMap,
    said: Vec<HeaderName>,
}

impl Headers {
    /// Reads the user's headers.
    pub(crate) fn new(lines: &[String]) -> Result<Self, Failure> {
        let mut headers = Headers { map: HeaderMap::new(), said: Vec::new() };
        for line in lines {
            match line.strip_prefix('@') {
                None => headers.say(line)?,
                Some(path) => {
                    let text = std::fs::read_to_string(path).map_err(|error| {
                        Failure::new(Exit::Failure, format!("can't read the headers in {path}"))
                            .cause(&error)
                    })?;
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        headers.say(line)?;
                    }
                }
            }
        }
        Ok(headers)
    }

    /// Sets a header unless the user said something of it.
    pub(crate) fn default(&mut self, name: HeaderName, value: &str) {
        if !self.said.contains(&name) && !self.map.contains_key(&name) {
            let value = HeaderValue::from_str(value).expect("the program's headers are plain");
            self.map.insert(name, value);
        }
    }

    /// The headers.
    pub(crate) fn into_map(self) -> HeaderMap {
        self.map
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        let wrong = || {
            Failure::new(Exit::Usage, format!("`{}` is not a header", line.escape_debug()))
                .hint("write 'Name: value', 'Name:' to leave one out, or 'Name;' to send it empty")
        };
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, value.trim()),
            None => (line.strip_suffix(';').ok_or_else(wrong)?, ""),
        };
        let leave_out = line.contains(':') && value.is_empty();
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if !leave_out {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
            self.map.append(&name, value);
        }
        self.said.push(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT, HOST};

    use super::*;

    fn headers(lines: &[&str]) -> Headers {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Headers::new(&lines).unwrap()
    }

    #[test]
    fn a_header_is_set_emptied_or_left_out() {
        let mut headers = headers(&["X-One: 1", "X-One:2", "X-Empty;", "Accept:", "host: x"]);
        headers.default(ACCEPT, "*/*");
        headers.default(HOST, "localhost");
        let map = headers.into_map();
        assert_eq!(map.get_all("x-one").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(map["x-empty"], "");
        assert!(!map.contains_key(ACCEPT));
        assert_eq!(map[HOST], "x");
    }

    #[test]
    fn a_text_that_is_no_header_is_refused() {
        for line in ["nonsense", "a b: c", ": x", "a: b\nc: d"] {
            let failure = Headers::new(&[line.to_owned()]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{line}");
        }
    }

    #[test]
    fn a_path_or_a_whole_url_is_taken() {
        assert_eq!(request_path("/a?b=c").unwrap(), ("/a?b=c".into(), None));
        let (path, host) = request_path("http://localhost:1/x?y").unwrap();
        assert_eq!((path.as_str(), host.as_deref()), ("/x?y", Some("localhost:1")));
        assert_eq!(request_path("http://localhost").unwrap().0, "/");
        for text in ["", "a", "/a b", "https://localhost/", "ftp://x/"] {
            assert_eq!(request_path(text).unwrap_err().exit(), Exit::Usage, "{text}");
        }
    }
}
