//! The head of a request.

use std::sync::LazyLock;

use pipeway_bridge::fuzzing::{Accepted, Framing, Reader, Reading};
use pipeway_bridge::{HostRule, Policy};

use super::other::{self, Seen};

/// As many headers as either reader takes.
const HEADERS_MAX: usize = 64;

/// A policy that lets everything through, and one that compares paths.
static READERS: LazyLock<[Reader; 2]> = LazyLock::new(|| {
    let strict = Policy {
        paths: vec!["/v1/**".into(), "/a/*/c".into()],
        upgrades: vec!["websocket".into()],
        host: HostRule::Preserve,
        ..Policy::default()
    };
    [Policy::default(), strict]
        .map(|policy| Reader::new(&policy, HEADERS_MAX).expect("the policies are sound"))
});

/// A head is read alike in one piece and in many; what hyper refuses is refused; where both
/// accept, they agree on the method, the target and where the body ends; and what is passed on is
/// a head that everybody reads in one way.
pub fn request_head(data: &[u8]) {
    let [open, strict] = &*READERS;
    let seen = other::requests(data, HEADERS_MAX);
    for (reader, compares_paths) in [(open, false), (strict, true)] {
        let reading = reader.read(data);
        for step in [1, 3, 64] {
            let in_steps = reader.read_in_steps(data, step);
            match (&reading, &in_steps) {
                (Reading::Accepted(one), Reading::Accepted(other)) => {
                    assert_eq!((one.length, one.framing), (other.length, other.framing));
                }
                // A flaw is seen only once the head is whole, unless it is seen at once.
                (Reading::Refused(_), Reading::Partial | Reading::Refused(_)) => {}
                (one, other) => assert_eq!(one, other, "in steps of {step}"),
            }
        }
        let Reading::Accepted(accepted) = reading else { continue };
        let head = &data[..accepted.length];
        assert!(
            !matches!(reader.read(&head[..head.len() - 1]), Reading::Accepted(_)),
            "accepted before its end: {}",
            head.escape_ascii()
        );
        match seen.first() {
            Some(seen) => agrees(&accepted, seen, compares_paths),
            None => assert!(
                refused_for_its_target(head),
                "hyper refuses what is accepted: {}",
                head.escape_ascii()
            ),
        }
        is_sound(&accepted);
    }
}

/// Whether hyper's idea of a target is narrower here: its `Uri` allows fewer characters.
fn refused_for_its_target(head: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).is_ok_and(|status| status.is_complete())
        && request.path.is_some_and(|target| target.parse::<http::Uri>().is_err())
}

fn agrees(accepted: &Accepted, seen: &Seen, compares_paths: bool) {
    let line = accepted.passed.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).expect("a request line");
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some(seen.method.as_str()), "{line}");
    let target = words.next().expect("a target");
    if !compares_paths {
        assert_eq!(target, seen.target, "{line}");
    }
    assert_eq!(accepted.framing, seen.framing, "{line}");
}

/// Fails unless the head that is passed on is read in one way by everybody.
fn is_sound(accepted: &Accepted) {
    let passed = &accepted.passed;
    let shown = passed.escape_ascii().to_string();
    let lines = passed.strip_suffix(b"\r\n\r\n").unwrap_or_else(|| panic!("no end: {shown}"));
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.iter().any(|byte| matches!(byte, 0 | b'\r')), "{shown}");
        assert!(!line.is_empty(), "{shown}");
    }
    // As many as the client may send, and those that the bridge adds.
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX + 8];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(passed).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(status, httparse::Status::Complete(passed.len()), "{shown}");
    assert_eq!(request.version, Some(1));
    let count = |name: &str| {
        request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count()
    };
    assert_eq!(count("host"), 1, "{shown}");
    assert_eq!(count("traceparent"), 1, "{shown}");
    for name in ["keep-alive", "proxy-connection", "x-forwarded-for"] {
        assert_eq!(count(name), 0, "{shown}");
    }
    assert_eq!(
        count("upgrade") + count("connection"),
        2 * usize::from(accepted.upgrade),
        "{shown}"
    );
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    match accepted.framing {
        Framing::Empty => assert!(lengths <= 1 && codings == 0, "{shown}"),
        Framing::Length(_) => assert!(lengths == 1 && codings == 0, "{shown}"),
        Framing::Chunked => assert!(lengths == 0 && codings == 1, "{shown}"),
        Framing::UntilClose => panic!("no request ends so: {shown}"),
    }
    if let Some(seen) = other::requests(passed, HEADERS_MAX + 8).first() {
        assert_eq!(seen.framing, accepted.framing, "as passed on: {shown}");
    } else {
        assert!(refused_for_its_target(passed) || request.path.is_some(), "{shown}");
    }
}
