//! Refusals and failures as HTTP answers: the one place that knows their statuses.

use std::borrow::Cow;
use std::fmt::Write as _;

use pipeway_telemetry::Side;
use pipeway_transport::ErrorKind;

/// An answer that the bridge makes itself, because the request can't or may not be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What happened.
    pub(crate) kind: Kind,
    /// What happened, with the particulars, for the client's user.
    pub(crate) message: Cow<'static, str>,
    /// What to do about it.
    pub(crate) hint: Cow<'static, str>,
    /// The value of `Allow`, for [`Kind::MethodNotAllowed`].
    pub(crate) allow: Option<String>,
}

/// The kinds of refusals and failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    BadRequest,
    TokenRequired,
    NotAllowed,
    MethodNotAllowed,
    HeadTimeout,
    BodyTimeout,
    BodyTooLarge,
    HeadTooLarge,
    HttpVersion,
    NotImplemented,
    NotFound,
    TooManySessions,
    TooManyRequests,
    MemoryLimit,
    Stopping,
    PlatformAbsent,
    PlatformTimeout,
    PlatformFailed,
    LinkDown,
    UpstreamAbsent,
    UpstreamRefused,
    UpstreamPermission,
    UpstreamUntrusted,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamClosed,
    UpstreamProtocol,
}

impl Kind {
    /// The status of the answer.
    pub(crate) const fn status(self) -> (u16, &'static str) {
        match self {
            Kind::BadRequest => (400, "Bad Request"),
            Kind::TokenRequired => (401, "Unauthorized"),
            Kind::NotAllowed => (403, "Forbidden"),
            Kind::NotFound => (404, "Not Found"),
            Kind::MethodNotAllowed => (405, "Method Not Allowed"),
            Kind::HeadTimeout | Kind::BodyTimeout => (408, "Request Timeout"),
            Kind::BodyTooLarge => (413, "Content Too Large"),
            Kind::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Kind::NotImplemented => (501, "Not Implemented"),
            Kind::UpstreamRefused
            | Kind::UpstreamPermission
            | Kind::UpstreamUntrusted
            | Kind::UpstreamClosed
            | Kind::UpstreamProtocol
            | Kind::PlatformFailed => (502, "Bad Gateway"),
            Kind::TooManySessions
            | Kind::TooManyRequests
            | Kind::MemoryLimit
            | Kind::Stopping
            | Kind::PlatformAbsent
            | Kind::LinkDown
            | Kind::UpstreamAbsent
            | Kind::UpstreamBusy => (503, "Service Unavailable"),
            Kind::UpstreamTimeout | Kind::PlatformTimeout => (504, "Gateway Timeout"),
            Kind::HttpVersion => (505, "HTTP Version Not Supported"),
        }
    }

    /// The name, as `error.type` in answers and events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::BadRequest => "bad_request",
            Kind::TokenRequired => "token_required",
            Kind::NotAllowed => "not_allowed",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::HeadTimeout => "head_timeout",
            Kind::BodyTimeout => "body_timeout",
            Kind::BodyTooLarge => "body_too_large",
            Kind::HeadTooLarge => "head_too_large",
            Kind::HttpVersion => "http_version",
            Kind::NotImplemented => "not_implemented",
            Kind::NotFound => "not_found",
            Kind::TooManySessions => "too_many_sessions",
            Kind::TooManyRequests => "too_many_requests",
            Kind::MemoryLimit => "memory_limit",
            Kind::Stopping => "stopping",
            Kind::PlatformAbsent => "platform_absent",
            Kind::PlatformTimeout => "platform_timeout",
            Kind::PlatformFailed => "platform_failed",
            Kind::LinkDown => "link_down",
            Kind::UpstreamAbsent => "upstream_absent",
            Kind::UpstreamRefused => "upstream_refused",
            Kind::UpstreamPermission => "upstream_permission",
            Kind::UpstreamUntrusted => "upstream_untrusted",
            Kind::UpstreamBusy => "upstream_busy",
            Kind::UpstreamTimeout => "upstream_timeout",
            Kind::UpstreamClosed => "upstream_closed",
            Kind::UpstreamProtocol => "upstream_protocol",
        }
    }

    /// Whose fault it is.
    pub(crate) const fn side(self) -> Side {
        match self {
            Kind::BadRequest
            | Kind::TokenRequired
            | Kind::NotAllowed
            | Kind::MethodNotAllowed
            | Kind::HeadTimeout
            | Kind::BodyTimeout
            | Kind::BodyTooLarge
            | Kind::HeadTooLarge
            | Kind::HttpVersion
            | Kind::NotImplemented
            | Kind::NotFound => Side::Client,
            Kind::TooManySessions | Kind::TooManyRequests | Kind::MemoryLimit | Kind::Stopping => {
                Side::Bridge
            }
            _ => Side::Upstream,
        }
    }

    /// After how many seconds the client may try again, where trying again may help.
    pub(crate) const fn retry_after(self) -> Option<u8> {
        match self {
            Kind::TooManySessions
            | Kind::TooManyRequests
            | Kind::MemoryLimit
            | Kind::PlatformAbsent
            | Kind::UpstreamBusy
            | Kind::UpstreamAbsent => Some(1),
            // A link that has just failed to come up needs more than a moment.
            Kind::LinkDown => Some(2),
            _ => None,
        }
    }
}

impl Refusal {
    pub(crate) fn new(
        kind: Kind,
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Refusal { kind, message: message.into(), hint: hint.into(), allow: None }
    }

    /// What a failed connect means to the client.
    pub(crate) fn from_connect(error: &pipeway_transport::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::LinkDown => Kind::LinkDown,
            ErrorKind::NotFound => Kind::UpstreamAbsent,
            ErrorKind::Refused => Kind::UpstreamRefused,
            ErrorKind::Permission => Kind::UpstreamPermission,
            ErrorKind::PeerRejected => Kind::UpstreamUntrusted,
            ErrorKind::Busy => Kind::UpstreamBusy,
            ErrorKind::TimedOut => Kind::UpstreamTimeout,
            _ => Kind::UpstreamClosed,
        };
        let hint = error.advice().unwrap_or("see the system's message").to_owned();
        Refusal::new(kind, error.to_string(), hint)
    }

    /// The answer's body, which is JSON.
    pub(crate) fn body(&self) -> String {
        let mut body = String::with_capacity(160 + self.message.len() + self.hint.len());
        body.push_str("{\"error\":{\"type\":\"");
        body.push_str(self.kind.name());
        body.push_str("\",\"message\":\"");
        escape(&mut body, &self.message);
        body.push_str("\",\"hint\":\"");
        escape(&mut body, &self.hint);
        body.push_str("\"}}\n");
        body
    }

    /// Writes the whole answer.
    ///
    /// `head_only` leaves out the body, as an answer to HEAD must; `close` says that the
    /// connection ends with it.
    pub(crate) fn write(&self, out: &mut Vec<u8>, head_only: bool, close: bool) {
        let (status, reason) = self.kind.status();
        let body = self.body();
        let mut head = String::with_capacity(256);
        // Writing to a String does not fail.
        let _ = write!(
            head,
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(seconds) = self.kind.retry_after() {
            let _ = write!(head, "retry-after: {seconds}\r\n");
        }
        if let Some(allow) = &self.allow {
            let _ = write!(head, "allow: {allow}\r\n");
        }
        if self.kind == Kind::TokenRequired {
            head.push_str("www-authenticate: Bearer\r\n");
        }
        if close {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if !head_only {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind that is declared after `kind`; the match names them all, so that a new one is not
    /// forgotten.
    fn after(kind: Kind) -> Option<Kind> {
        Some(match kind {
            Kind::BadRequest => Kind::TokenRequired,
            Kind::TokenRequired => Kind::NotAllowed,
            Kind::NotAllowed => Kind::MethodNotAllowed,
            Kind::MethodNotAllowed => Kind::HeadTimeout,
            Kind::HeadTimeout => Kind::BodyTimeout,
            Kind::BodyTimeout => Kind::BodyTooLarge,
            Kind::BodyTooLarge => Kind::HeadTooLarge,
            Kind::HeadTooLarge => Kind::HttpVersion,
            Kind::HttpVersion => Kind::NotImplemented,
            Kind::NotImplemented => Kind::NotFound,
            Kind::NotFound => Kind::TooManySessions,
            Kind::TooManySessions => Kind::TooManyRequests,
            Kind::TooManyRequests => Kind::MemoryLimit,
            Kind::MemoryLimit => Kind::Stopping,
            Kind::Stopping => Kind::PlatformAbsent,
            Kind::PlatformAbsent => Kind::PlatformTimeout,
            Kind::PlatformTimeout => Kind::PlatformFailed,
            Kind::PlatformFailed => Kind::LinkDown,
            Kind::LinkDown => Kind::UpstreamAbsent,
            Kind::UpstreamAbsent => Kind::UpstreamRefused,
            Kind::UpstreamRefused => Kind::UpstreamPermission,
            Kind::UpstreamPermission => Kind::UpstreamUntrusted,
            Kind::UpstreamUntrusted => Kind::UpstreamBusy,
            Kind::UpstreamBusy => Kind::UpstreamTimeout,
            Kind::UpstreamTimeout => Kind::UpstreamClosed,
            Kind::UpstreamClosed => Kind::UpstreamProtocol,
            Kind::UpstreamProtocol => return None,
        })
    }

    #[test]
    fn every_kind_is_documented_with_its_status_and_side() {
        let page = include_str!("../../../docs/reference/errors.md");
        let kinds = std::iter::successors(Some(Kind::BadRequest), |kind| after(*kind));
        let rows: Vec<String> = kinds
            .map(|kind| {
                let (status, _) = kind.status();
                format!("| {status} | `{}` | `{}` |", kind.name(), kind.side().as_str())
            })
            .collect();
        for row in &rows {
            assert!(page.contains(row), "docs/reference/errors.md has no row {row}");
        }
        let listed = page.lines().filter(|line| line.contains("| `")).count();
        assert_eq!(listed, rows.len(), "the page lists a kind that is none");
    }

    #[test]
    fn a_refusal_is_json_with_type_message_and_hint() {
        let mut out = Vec::new();
        Refusal::new(Kind::UpstreamAbsent, r#"\\.\pipe\"x" is gone"#, "start\tit")
            .write(&mut out, false, true);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        assert!(head.ends_with("connection: close"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(
            body,
            "{\"error\":{\"type\":\"upstream_absent\",\"message\":\"\\\\\\\\.\\\\pipe\\\\\\\"x\\\" is gone\",\"hint\":\"start\\u0009it\"}}\n"
        );
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut out = Vec::new();
        Refusal::new(Kind::NotAllowed, "no", "ask").write(&mut out, true, false);
        assert!(out.ends_with(b"\r\n\r\n"));
    }
}
