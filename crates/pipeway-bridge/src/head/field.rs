//! Header fields that a proxy must know (RFC 9110, section 7.6.1).

use httparse::Header;

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Passed on as it is, unless `Connection` names it.
    Other,
    Connection,
    /// For this hop only: `Keep-Alive`, `Proxy-Connection`, `Proxy-Authenticate` and
    /// `Proxy-Authorization`.
    HopByHop,
    Te,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Host,
    Expect,
    /// `Forwarded` and `X-Forwarded-*`: what a client says of the way so far is not believed.
    Forwarded,
    Traceparent,
    Authorization,
    Origin,
    UserAgent,
}

/// Finds out what the field `name` is.
fn classify(name: &str) -> Field {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is("te") => Field::Te,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        6 if is("origin") => Field::Origin,
        7 if is("upgrade") => Field::Upgrade,
        9 if is("forwarded") => Field::Forwarded,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::HopByHop,
        10 if is("user-agent") => Field::UserAgent,
        11 if is("traceparent") => Field::Traceparent,
        13 if is("authorization") => Field::Authorization,
        14 if is("content-length") => Field::ContentLength,
        16 if is("proxy-connection") => Field::HopByHop,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        18 if is("proxy-authenticate") => Field::HopByHop,
        19 if is("proxy-authorization") => Field::HopByHop,
        12.. if name.as_bytes()[..12].eq_ignore_ascii_case(b"x-forwarded-") => Field::Forwarded,
        _ => Field::Other,
    }
}

/// As many fields as are told apart without asking the allocator.
const FEW: usize = 32;

/// What each field of a head is, in their order: found out once, and asked for more often.
#[derive(Debug)]
pub(super) struct Kinds {
    few: [Field; FEW],
    rest: Vec<Field>,
}

impl Kinds {
    pub(super) fn of(headers: &[Header<'_>]) -> Self {
        let mut few = [Field::Other; FEW];
        for (kind, header) in few.iter_mut().zip(headers) {
            *kind = classify(header.name);
        }
        let rest = headers.get(FEW..).unwrap_or_default();
        Kinds { few, rest: rest.iter().map(|header| classify(header.name)).collect() }
    }

    /// `headers`, which are those that this is of, each with what it is.
    pub(super) fn with<'h, 'a>(
        &'h self,
        headers: &'h [Header<'a>],
    ) -> impl Iterator<Item = (Field, &'h Header<'a>)> {
        self.few.iter().chain(&self.rest).copied().zip(headers)
    }
}

/// The elements of a comma-separated list, trimmed, empty ones left out.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What `Connection` fields say.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection<'a> {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// The fields that are for this hop only.
    named: Vec<&'a [u8]>,
}

impl<'a> Connection<'a> {
    /// Takes in one `Connection` field.
    pub(super) fn read(&mut self, value: &'a [u8]) {
        for element in elements(value) {
            if element.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if element.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.named.push(element);
            }
        }
    }

    /// Whether `name` is named. Fields by which the message is framed and routed can't be taken
    /// away so.
    pub(super) fn names(&self, name: &str) -> bool {
        !self.named.is_empty()
            && self.named.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Reads a `Content-Length`: digits only, and no more than a signed number of 64 bits holds, for
/// beyond that the next reader may see another length.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    i64::try_from(length).is_ok().then_some(length)
}

/// Writes `name: value` and the line's end.
pub(super) fn write(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_in_any_case() {
        assert_eq!(classify("Transfer-Encoding"), Field::TransferEncoding);
        assert_eq!(classify("X-FORWARDED-for"), Field::Forwarded);
        assert_eq!(classify("x-forwarded-"), Field::Forwarded);
        assert_eq!(classify("x-forward"), Field::Other);
        assert_eq!(classify("proxy-authorization"), Field::HopByHop);
    }

    #[test]
    fn each_of_many_fields_is_told_apart() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
            let names = ["Host", "X-Other", "upgrade"];
            let header = |at: usize| Header { name: names[at % 3], value: b"x" };
            let headers: Vec<_> = (0..count).map(header).collect();
            let kinds = Kinds::of(&headers);
            assert_eq!(kinds.with(&headers).count(), count);
            for (kind, header) in kinds.with(&headers) {
                assert_eq!(kind, classify(header.name));
            }
        }
    }

    #[test]
    fn a_length_is_digits_only() {
        assert_eq!(content_length(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in [&b""[..], b"+1", b"-1", b" 1", b"1,1", b"0x1", b"9223372036854775808"] {
            assert_eq!(content_length(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn connection_names_fields_of_this_hop() {
        let mut connection = Connection::default();
        connection.read(b"keep-alive, X-One ,, upgrade");
        connection.read(b"x-two");
        assert!(connection.keep_alive && connection.upgrade && !connection.close);
        assert!(connection.names("x-one") && connection.names("X-TWO") && !connection.names("x"));
    }
}
