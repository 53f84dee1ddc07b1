//! The head of an answer.

use pipeway_bridge::fuzzing::{Answer, Framing, answer};

/// As many headers as an answer may have.
const HEADERS_MAX: usize = 64;

/// What is passed on is a head that everybody reads in one way, with the framing that the body
/// will have.
pub fn answer_head(data: &[u8]) {
    for (to_head, is_http11) in [(false, true), (false, false), (true, true), (true, false)] {
        let Some(answer) = answer(data, to_head, is_http11, HEADERS_MAX) else { continue };
        let head = &data[..answer.length];
        assert!(
            self::answer(&head[..head.len() - 1], to_head, is_http11, HEADERS_MAX).is_none(),
            "read before its end: {}",
            head.escape_ascii()
        );
        is_sound(&answer, to_head, is_http11);
        // Reading it again changes nothing.
        let again = self::answer(&answer.passed, to_head, is_http11, HEADERS_MAX + 8);
        if let Some(again) = again {
            let fields = |passed: &[u8]| passed.split(|b| *b == b'\n').count();
            assert_eq!(again.status, answer.status);
            assert!(fields(&again.passed) <= fields(&answer.passed));
        } else {
            panic!("what is passed on can't be read: {}", answer.passed.escape_ascii());
        }
    }
}

fn is_sound(answer: &Answer, to_head: bool, is_http11: bool) {
    let passed = &answer.passed;
    let shown = passed.escape_ascii().to_string();
    let lines = passed.strip_suffix(b"\r\n\r\n").unwrap_or_else(|| panic!("no end: {shown}"));
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.iter().any(|byte| matches!(byte, 0 | b'\r')), "{shown}");
        assert!(!line.is_empty(), "{shown}");
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX + 8];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(passed).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(status, httparse::Status::Complete(passed.len()), "{shown}");
    assert_eq!((response.version, response.code), (Some(1), Some(answer.status)), "{shown}");
    let count = |name: &str| {
        response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count()
    };
    assert!(count("connection") <= 1 && count("keep-alive") == 0, "{shown}");
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    assert!(lengths + codings <= 1, "{shown}");
    let has_body = !to_head && !matches!(answer.status, 100..=199 | 204 | 304);
    assert!(has_body || answer.framing == Framing::Empty, "{shown}");
    match answer.framing {
        Framing::Empty => assert_eq!(codings, 0, "{shown}"),
        Framing::Length(_) => assert_eq!((lengths, codings), (1, 0), "{shown}"),
        Framing::Chunked | Framing::UntilClose => {
            assert_eq!((lengths, codings), (0, usize::from(is_http11)), "{shown}");
        }
    }
}
