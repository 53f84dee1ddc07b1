//! The chunked transfer coding (RFC 9112, section 7.1), read strictly: lines end in CRLF, sizes
//! are plain hexadecimal, extensions and trailers are bounded.

/// The most digits of a chunk's size: more can't be a length that anybody means.
const SIZE_DIGITS_MAX: u8 = 15;

/// The most bytes of all extensions of one body.
const EXTENSIONS_MAX: usize = 16 * 1024;

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A chunk's size is no hexadecimal number, or too long a one.
    Size,
    /// An extension has a control character, or there are too many of them.
    Extension,
    /// A line does not end in CRLF where it must.
    LineEnd,
    /// The trailers are no header lines, or too long.
    Trailers,
}

impl ChunkError {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            ChunkError::Size => "a chunk's size is not a hexadecimal number",
            ChunkError::Extension => "a chunk's extensions are malformed or too long",
            ChunkError::LineEnd => "a chunk does not end in CRLF",
            ChunkError::Trailers => "the trailers are malformed or too long",
        }
    }
}

/// What the next bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// So many bytes of sizes, extensions and line ends.
    Framing(usize),
    /// So many bytes of payload.
    Data(usize),
    /// So many bytes of the trailer section: kept back until it is whole.
    Trailers(usize),
    /// So many bytes, and with them the body is over; [`Chunked::write_trailers`] has the rest.
    End(usize),
}

/// Where in a chunked body the reader is.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    extensions: usize,
    trailers: Vec<u8>,
    trailers_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Padding { value: u64 },
    Extension { value: u64 },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Chunked {
    /// A body of which nothing was read; the trailer section may have `trailers_max` bytes.
    pub fn new(trailers_max: usize) -> Self {
        Chunked {
            state: State::Size { value: 0, digits: 0 },
            extensions: 0,
            trailers: Vec::new(),
            trailers_max,
        }
    }

    /// What the beginning of `input` is; `input` must not be empty, nor the body over.
    ///
    /// # Errors
    ///
    /// Whatever breaks the coding. The reader is of no use after that.
    pub fn next(&mut self, input: &[u8]) -> Result<Part, ChunkError> {
        if let State::Data { left } = &mut self.state {
            let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
            *left -= n as u64;
            if *left == 0 {
                self.state = State::DataCr;
            }
            return Ok(Part::Data(n));
        }
        if self.state == State::Trailers {
            return self.trailers(input);
        }
        for (index, byte) in input.iter().enumerate() {
            self.state = self.step(*byte)?;
            if matches!(self.state, State::Data { .. } | State::Trailers) {
                return Ok(Part::Framing(index + 1));
            }
        }
        Ok(Part::Framing(input.len()))
    }

    /// How much payload is left of the chunk that is being read.
    pub(crate) fn left_of_chunk(&self) -> u64 {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Goes past `n` bytes of that payload, which somebody else has passed on.
    pub(crate) fn skip(&mut self, n: u64) {
        let State::Data { left } = self.state else {
            unreachable!("only payload is passed on unread");
        };
        let left = left.checked_sub(n).expect("no more is passed on than the chunk has");
        self.state = if left == 0 { State::DataCr } else { State::Data { left } };
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether everything but the trailer section was read.
    pub fn is_in_trailers(&self) -> bool {
        self.state == State::Trailers
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(ChunkError::Size);
                }
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                Ok(State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
            }
            (State::Size { digits: 0, .. }, _) => Err(ChunkError::Size),
            (State::Size { value, .. } | State::Padding { value }, b'\r') => {
                Ok(State::SizeLf { value })
            }
            (State::Size { value, .. } | State::Padding { value }, b';') => {
                Ok(State::Extension { value })
            }
            (State::Size { value, .. } | State::Padding { value }, b' ' | b'\t') => {
                self.extension_byte()?;
                Ok(State::Padding { value })
            }
            (State::Size { .. } | State::Padding { .. }, _) => Err(ChunkError::Size),
            (State::Extension { value }, b'\r') => Ok(State::SizeLf { value }),
            (State::Extension { .. }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_byte()?;
                Ok(self.state)
            }
            (State::Extension { .. }, _) => Err(ChunkError::Extension),
            (State::SizeLf { value: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeLf { value }, b'\n') => Ok(State::Data { left: value }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { value: 0, digits: 0 }),
            (State::SizeLf { .. } | State::DataCr | State::DataLf, _) => Err(ChunkError::LineEnd),
            (State::Data { .. } | State::Trailers | State::Done, _) => {
                unreachable!("these states are not read byte by byte")
            }
        }
    }

    fn extension_byte(&mut self) -> Result<(), ChunkError> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS_MAX { Err(ChunkError::Extension) } else { Ok(()) }
    }

    fn trailers(&mut self, input: &[u8]) -> Result<Part, ChunkError> {
        for (index, byte) in input.iter().enumerate() {
            if self.trailers.len() >= self.trailers_max {
                return Err(ChunkError::Trailers);
            }
            self.trailers.push(*byte);
            if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                self.check_trailers()?;
                self.state = State::Done;
                return Ok(Part::End(index + 1));
            }
        }
        Ok(Part::Trailers(input.len()))
    }

    fn check_trailers(&mut self) -> Result<(), ChunkError> {
        if self.trailers == b"\r\n" {
            return Ok(());
        }
        // The parser would take a bare LF for a line's end, which others refuse.
        if self
            .trailers
            .split(|byte| *byte == b'\n')
            .any(|line| !line.is_empty() && !line.ends_with(b"\r"))
        {
            return Err(ChunkError::Trailers);
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(&self.trailers, &mut headers) {
            Ok(httparse::Status::Complete((n, _))) if n == self.trailers.len() => Ok(()),
            _ => Err(ChunkError::Trailers),
        }
    }

    /// Writes the trailer section, its empty line included, without the fields that a trailer may
    /// not have (RFC 9110, section 6.5.1). Called when the body is over.
    pub fn write_trailers(&self, out: &mut Vec<u8>) {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        if let Ok(httparse::Status::Complete((_, headers))) =
            httparse::parse_headers(&self.trailers, &mut headers)
        {
            for header in headers.iter().filter(|header| is_trailer(header.name)) {
                out.extend_from_slice(header.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(header.value);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether a field may stand in a trailer: not one by which messages are framed, routed or
/// authenticated.
fn is_trailer(name: &str) -> bool {
    const REFUSED: [&str; 17] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload, the trailers as written, and how many bytes were the body's.
    fn read(input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, usize), ChunkError> {
        let mut body = Chunked::new(1024);
        let (mut data, mut at) = (Vec::new(), 0);
        while !body.is_done() {
            let end = (at + piece).min(input.len());
            assert!(at < end, "the body does not end");
            at += match body.next(&input[at..end])? {
                Part::Data(n) => {
                    data.extend_from_slice(&input[at..at + n]);
                    n
                }
                Part::Framing(n) | Part::Trailers(n) | Part::End(n) => n,
            };
        }
        let mut trailers = Vec::new();
        body.write_trailers(&mut trailers);
        Ok((data, trailers, at))
    }

    #[test]
    fn a_body_is_read_in_pieces_of_any_size() {
        let input = b"4\r\nWiki\r\nA;x=\"a;\\\"b\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\nGET /";
        for piece in 1..=input.len() {
            let (data, trailers, used) = read(input, piece).unwrap();
            assert_eq!(data, b"Wiki0123456789");
            assert_eq!(trailers, b"X-Sum: 1\r\n\r\n");
            assert_eq!(&input[used..], b"GET /");
        }
    }

    #[test]
    fn what_breaks_the_coding_is_refused() {
        for (input, error) in [
            (&b"\r\n"[..], ChunkError::Size),
            (b"+4\r\n", ChunkError::Size),
            (b"0x4\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b" 4\r\n", ChunkError::Size),
            (b"4 4\r\n", ChunkError::Size),
            (b"4\n", ChunkError::Size),
            (b"1234567890123456\r\n", ChunkError::Size),
            (b"4\rX", ChunkError::LineEnd),
            (b"4;a\nWiki\r\n0\r\n\r\n", ChunkError::Extension),
            (b"4;a\0\r\n", ChunkError::Extension),
            (b"1\r\nab\r\n", ChunkError::LineEnd),
            (b"1\r\na\n", ChunkError::LineEnd),
            (b"0\r\nno colon\r\n\r\n", ChunkError::Trailers),
            (b"0\r\n folded: 1\r\n\r\n", ChunkError::Trailers),
            (b"0\r\nX: 1\nY: 2\r\n\r\n", ChunkError::Trailers),
        ] {
            assert_eq!(read(input, input.len()).unwrap_err(), error, "{}", input.escape_ascii());
            assert_eq!(read(input, 1).unwrap_err(), error, "{}", input.escape_ascii());
        }
        let long = [&b"0\r\nX: "[..], &[b'a'; 2000], b"\r\n\r\n"].concat();
        assert_eq!(read(&long, 100).unwrap_err(), ChunkError::Trailers);
        let long = [&b"1;"[..], &[b'a'; 20_000], b"\r\n"].concat();
        assert_eq!(read(&long, 100).unwrap_err(), ChunkError::Extension);
    }
}
