//! The head of a request.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use pipeway_telemetry::TraceContext;

use super::Framing;
use super::field::{self, Connection, Field, Kinds, content_length, elements};
use crate::policy::{PolicyRules, Target};
use crate::respond::{Kind, Refusal};
use pipeway_transport::Token;

/// As many headers as are parsed without asking the allocator.
const HEADERS_ON_STACK: usize = 128;

/// About how much longer a head becomes than it was, in bytes: a longer `Host`, and the trace.
const ADDED: usize = 160;

/// By what a head is checked and written anew.
#[derive(Debug)]
pub(crate) struct RequestRules {
    pub(crate) max_headers: usize,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) policy: PolicyRules,
    /// What a client must show (TCP listeners).
    pub(crate) token: Option<Token>,
    /// What the upstream is shown, in place of what the client showed.
    pub(crate) upstream_token: Option<Token>,
    /// Whether `Host` and `Origin` must be this system's (TCP listeners).
    pub(crate) loopback_names_only: bool,
    /// Whether spans are told of, so that the next hop's parent is ours.
    pub(crate) spans: bool,
}

/// What the proxy must know of a request.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// The head's length in the input.
    pub(crate) length: usize,
    pub(crate) is_head: bool,
    /// Whether the method asks for nothing to be changed (RFC 9110, section 9.2.1).
    pub(crate) is_safe: bool,
    /// Whether it shows the upstream who the client is in a way that may hold for the connection
    /// from here on.
    pub(crate) binds_connection: bool,
    /// HTTP/1.1; else 1.0.
    pub(crate) is_http11: bool,
    pub(crate) body: Framing,
    /// Whether the client wants the connection kept.
    pub(crate) keep_alive: bool,
    /// Whether the request asks for an upgrade, and may.
    pub(crate) upgrade: bool,
    /// Whether that upgrade is to a WebSocket, both of whose directions end together.
    pub(crate) is_websocket: bool,
    /// The trace's parent for the upstream's part.
    pub(crate) trace: TraceContext,
}

/// What of a head is told in events.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestText {
    pub(crate) method: String,
    pub(crate) target: String,
    user_agent: Vec<u8>,
    has_user_agent: bool,
    pub(crate) is_http11: bool,
    pub(crate) upgrade: Option<String>,
}

/// A request that is refused, with what is known of it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) is_head: bool,
    /// Where the next request begins, if the connection can go on: this one has no body, and its
    /// framing is sound.
    pub(crate) resume_at: Option<usize>,
}

impl RequestText {
    /// Empties it, and keeps its space.
    pub(crate) fn clear(&mut self) {
        self.method.clear();
        self.target.clear();
        self.user_agent.clear();
        self.has_user_agent = false;
        self.upgrade = None;
    }

    /// The last `User-Agent`, which may be empty.
    pub(crate) fn user_agent(&self) -> Option<&[u8]> {
        self.has_user_agent.then_some(&self.user_agent)
    }

    fn set_user_agent(&mut self, value: &[u8]) {
        self.user_agent.clear();
        self.user_agent.extend_from_slice(value);
        self.has_user_agent = true;
    }
}

impl Refused {
    /// The connection can't go on.
    pub(crate) fn fatal(refusal: Refusal) -> Self {
        Refused { refusal, is_head: false, resume_at: None }
    }
}

/// Parses the head at the start of `input`, checks it, and writes the upstream's head to `out`.
///
/// `None` where the head is not whole yet. What events tell is put into `text` where one is
/// given, for refused requests too as far as they could be read.
pub(crate) fn parse_request(
    input: &[u8],
    rules: &RequestRules,
    out: &mut Vec<u8>,
    text: Option<&mut RequestText>,
) -> Result<Option<RequestHead>, Box<Refused>> {
    if rules.max_headers <= HEADERS_ON_STACK {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_ON_STACK];
        parse_with(input, &mut headers[..rules.max_headers], rules, out, text)
    } else {
        let mut headers = vec![MaybeUninit::uninit(); rules.max_headers];
        parse_with(input, &mut headers, rules, out, text)
    }
}

fn parse_with<'a>(
    input: &'a [u8],
    headers: &mut [MaybeUninit<Header<'a>>],
    rules: &RequestRules,
    out: &mut Vec<u8>,
    text: Option<&mut RequestText>,
) -> Result<Option<RequestHead>, Box<Refused>> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(Box::new(Refused::fatal(parse_error(input, error)))),
    };
    let method = request.method.expect("a complete request has a method");
    let target = request.path.expect("a complete request has a target");
    let is_http11 = request.version == Some(1);
    let is_head = method == "HEAD";
    let kinds = Kinds::of(request.headers);
    if let Some(text) = text {
        text.method.push_str(method);
        text.target.push_str(target);
        text.is_http11 = is_http11;
        for (kind, header) in kinds.with(request.headers) {
            match kind {
                Field::UserAgent => text.set_user_agent(header.value),
                Field::Upgrade => {
                    text.upgrade = Some(String::from_utf8_lossy(header.value).into_owned());
                }
                _ => {}
            }
        }
    }
    let fields = match Fields::read(kinds.with(request.headers), is_http11) {
        Ok(fields) => fields,
        Err(refusal) => return Err(Box::new(Refused { refusal, is_head, resume_at: None })),
    };
    let keep_alive =
        if is_http11 { !fields.connection.close } else { fields.connection.keep_alive };
    // What follows CONNECT is meant for a tunnel, not for us.
    let sound = fields.body == Framing::Empty && keep_alive && method != "CONNECT";
    let resume_at = sound.then_some(length);
    let refused = |refusal: Refusal| {
        // A client that sends what is no request is not trusted with a next one.
        let resume_at = resume_at.filter(|_| refusal.kind != Kind::BadRequest);
        Box::new(Refused { refusal, is_head, resume_at })
    };

    check_entry(&fields, rules).map_err(refused)?;
    let target = rules.policy.target(method, target).map_err(refused)?;
    if let (Framing::Length(length), Some(max)) = (fields.body, rules.max_body_bytes)
        && length > max
    {
        return Err(refused(body_too_large(max)));
    }
    let upgrade = fields.connection.upgrade
        && is_http11
        && fields.upgrade.is_some_and(|tokens| rules.policy.may_upgrade(tokens));
    let parent = fields.parent();
    let trace = match parent {
        // A span that nobody tells of must not stand between the client's and the upstream's.
        Some(parent) if !rules.spans => parent,
        Some(parent) => parent.child(),
        None => TraceContext::new_root(),
    };
    let passage = Passage { upgrade, trace, keep_state: parent.is_some() };
    out.reserve(length + ADDED);
    write_head(out, method, &target, kinds.with(request.headers), &fields, rules, &passage);
    Ok(Some(RequestHead {
        length,
        is_head,
        is_safe: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE"),
        binds_connection: rules.upstream_token.is_none() && fields.binds_connection,
        is_http11,
        body: fields.body,
        keep_alive,
        upgrade,
        is_websocket: fields.upgrade.is_some_and(|token| token.eq_ignore_ascii_case(b"websocket")),
        trace,
    }))
}

/// The refusal of a body over the limit.
pub(crate) fn body_too_large(max: u64) -> Refusal {
    Refusal::new(
        Kind::BodyTooLarge,
        format!("the request's body is longer than {max} bytes"),
        "send less, or raise limits.max_body_size",
    )
}

/// What the fields say together.
struct Fields<'a> {
    connection: Connection<'a>,
    body: Framing,
    host: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    binds_connection: bool,
    traceparent: Option<&'a [u8]>,
    traceparents: usize,
}

impl<'a> Fields<'a> {
    fn read<'h>(
        headers: impl Iterator<Item = (Field, &'h Header<'a>)>,
        is_http11: bool,
    ) -> Result<Self, Refusal>
    where
        'a: 'h,
    {
        let bad = |message: &'static str, hint: &'static str| {
            Err(Refusal::new(Kind::BadRequest, message, hint))
        };
        let mut fields = Fields {
            connection: Connection::default(),
            body: Framing::Empty,
            host: None,
            upgrade: None,
            origin: None,
            authorization: None,
            binds_connection: false,
            traceparent: None,
            traceparents: 0,
        };
        let (mut length, mut chunked) = (None, false);
        for (kind, header) in headers {
            match kind {
                Field::Connection => fields.connection.read(header.value),
                Field::ContentLength => {
                    if length.is_some() {
                        return bad("there is more than one Content-Length", "send one");
                    }
                    let Some(value) = content_length(header.value) else {
                        return bad("Content-Length is not a number", "send digits only");
                    };
                    length = Some(value);
                }
                Field::TransferEncoding => {
                    if chunked {
                        return bad("there is more than one Transfer-Encoding", "send one");
                    }
                    if !is_http11 {
                        return bad("HTTP/1.0 has no Transfer-Encoding", "send Content-Length");
                    }
                    if !header.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Refusal::new(
                            Kind::NotImplemented,
                            "the only transfer coding that is understood is chunked",
                            "send the body chunked, or with Content-Length",
                        ));
                    }
                    chunked = true;
                }
                Field::Host => {
                    if fields.host.is_some() {
                        return bad("there is more than one Host", "send one");
                    }
                    fields.host = Some(header.value);
                }
                // Two Upgrade fields are one list, which no known client writes so.
                Field::Upgrade if fields.upgrade.is_some() => {
                    return bad("there is more than one Upgrade", "send one");
                }
                Field::Upgrade => fields.upgrade = Some(header.value),
                Field::Origin => fields.origin = Some(header.value),
                Field::Authorization => {
                    fields.authorization = Some(header.value);
                    fields.binds_connection |= !is_for_one_request(header.value);
                }
                Field::Traceparent => {
                    fields.traceparent = Some(header.value);
                    fields.traceparents += 1;
                }
                _ => {}
            }
        }
        if chunked && length.is_some() {
            return bad(
                "there is both Content-Length and Transfer-Encoding",
                "send one of them: a message has one end",
            );
        }
        if fields.host.is_none() && is_http11 {
            return bad("there is no Host", "HTTP/1.1 wants one, such as Host: localhost");
        }
        fields.body = match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, None | Some(0)) => Framing::Empty,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(fields)
    }
}

impl Fields<'_> {
    /// The trace that the client says the request belongs to.
    fn parent(&self) -> Option<TraceContext> {
        match (self.traceparent, self.traceparents) {
            (Some(value), 1) => TraceContext::parse(value),
            _ => None,
        }
    }
}

/// Whether credentials are of a scheme that is known to hold for the request alone. NTLM and
/// Negotiate hold for the connection, whatever the standard says.
fn is_for_one_request(credentials: &[u8]) -> bool {
    let scheme = credentials.split(|byte| *byte == b' ').next().unwrap_or_default();
    [&b"basic"[..], b"bearer", b"digest"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What a listener that anybody on the system can reach asks of a client.
fn check_entry(fields: &Fields<'_>, rules: &RequestRules) -> Result<(), Refusal> {
    if rules.loopback_names_only {
        let host = fields.host.unwrap_or_default();
        if !is_loopback_name(host) {
            return Err(Refusal::new(
                Kind::NotAllowed,
                "Host is not this system's name",
                "use localhost, 127.0.0.1 or [::1]; another name may be a web page's trick",
            ));
        }
        if let Some(origin) = fields.origin {
            let name = origin
                .strip_prefix(b"http://")
                .or_else(|| origin.strip_prefix(b"https://"))
                .unwrap_or_default();
            if !is_loopback_name(name) {
                return Err(Refusal::new(
                    Kind::NotAllowed,
                    "Origin is another site's",
                    "requests from web pages are taken only from pages of this system",
                ));
            }
        }
    }
    if let Some(token) = &rules.token
        && !fields.authorization.is_some_and(|value| token.is_shown_by(value))
    {
        return Err(Refusal::new(
            Kind::TokenRequired,
            "this port wants its token",
            "send Authorization: Bearer TOKEN, with the token from token_file",
        ));
    }
    Ok(())
}

/// Whether `name`, with or without a port, is this system's own.
pub(crate) fn is_loopback_name(name: &[u8]) -> bool {
    let bare = match name.iter().rposition(|byte| *byte == b':') {
        Some(colon) if name[colon + 1..].iter().all(u8::is_ascii_digit) => &name[..colon],
        _ => name,
    };
    bare.eq_ignore_ascii_case(b"localhost") || bare == b"127.0.0.1" || bare == b"[::1]"
}

/// What was decided of a request.
struct Passage {
    upgrade: bool,
    trace: TraceContext,
    /// Whether `tracestate` is passed on: it has no meaning without the parent it belongs to.
    keep_state: bool,
}

fn write_head<'h>(
    out: &mut Vec<u8>,
    method: &str,
    target: &Target<'_>,
    headers: impl Iterator<Item = (Field, &'h Header<'h>)>,
    fields: &Fields<'_>,
    rules: &RequestRules,
    passage: &Passage,
) {
    let Passage { upgrade, trace, keep_state } = *passage;
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = target.authority.map(str::as_bytes).or(fields.host);
    field::write(out, b"Host", rules.policy.host(host));
    for (kind, header) in headers {
        let keep = match kind {
            Field::Host
            | Field::Connection
            | Field::HopByHop
            | Field::TransferEncoding
            | Field::Forwarded
            | Field::Traceparent => false,
            Field::Upgrade => upgrade,
            Field::Te => elements(header.value).any(|te| te.eq_ignore_ascii_case(b"trailers")),
            Field::ContentLength => true,
            Field::Authorization => {
                rules.token.is_none()
                    && rules.upstream_token.is_none()
                    && !fields.connection.names(header.name)
            }
            Field::Other if !keep_state && header.name.eq_ignore_ascii_case("tracestate") => false,
            _ => !fields.connection.names(header.name),
        };
        if !keep {
            continue;
        }
        if kind == Field::Te {
            field::write(out, header.name.as_bytes(), b"trailers");
        } else {
            field::write(out, header.name.as_bytes(), header.value);
        }
    }
    if let Some(token) = &rules.upstream_token {
        field::write(out, b"Authorization", &token.authorization());
    }
    field::write(out, b"traceparent", &trace.write_header());
    out.extend_from_slice(b"Forwarded: for=unknown;proto=http\r\n");
    if upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    if fields.body == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn parse_error(input: &[u8], error: httparse::Error) -> Refusal {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Refusal::new(
            Kind::HeadTooLarge,
            "the request has too many headers",
            "send fewer, or raise limits.max_headers",
        ),
        Error::Version => Refusal::new(
            Kind::HttpVersion,
            "the request is not HTTP/1.1 or HTTP/1.0",
            "speak HTTP/1.1; HTTP/2 is not understood here",
        ),
        Error::Token if input.first().is_some_and(|byte| !byte.is_ascii_graphic()) => Refusal::new(
            Kind::BadRequest,
            "what was sent is not HTTP",
            "speak plain HTTP/1.1, without TLS",
        ),
        Error::HeaderName => Refusal::new(
            Kind::BadRequest,
            "a header line does not begin with a name and a colon",
            "send `Name: value`, each on one line",
        ),
        Error::HeaderValue => Refusal::new(
            Kind::BadRequest,
            "a header's value has a character that is not allowed",
            "send no control characters",
        ),
        _ => Refusal::new(
            Kind::BadRequest,
            format!("the request's head is malformed: {error}"),
            "send `METHOD /path HTTP/1.1` and header lines",
        ),
    }
}
