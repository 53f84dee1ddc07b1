//! The body of a request: data from options, or a file as it is read.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::progress::Progress;
use crate::args::DataArgs;
use crate::exit::Exit;
use crate::output::Failure;

/// A request's body.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How much is read from a file at a time.
const CHUNK: usize = 64 * 1024;

/// What is to be sent, and what went wrong in reading it.
pub(super) struct Upload {
    body: Body,
    length: Option<u64>,
    failed: Arc<Mutex<Option<String>>>,
}

impl Upload {
    /// No body.
    pub(super) fn empty() -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Upload { body, length: None, failed: Arc::default() }
    }

    /// A body of these bytes.
    pub(super) fn of(data: Bytes, progress: &Progress) -> Self {
        let length = data.len() as u64;
        Upload::streamed(std::io::Cursor::new(data), Some(length), "the data", progress)
    }

    /// A file's content, or standard input for `-`.
    pub(super) async fn open(path: &Path, progress: &Progress) -> Result<Self, Failure> {
        if is_stdin(path) {
            return Ok(Upload::streamed(tokio::io::stdin(), None, "standard input", progress));
        }
        let name = path.display().to_string();
        let failure = |error: io::Error| {
            Failure::new(Exit::Failure, format!("can't read {name}")).cause(&error)
        };
        let file = tokio::fs::File::open(path).await.map_err(failure)?;
        let metadata = file.metadata().await.map_err(failure)?;
        if metadata.is_dir() {
            return Err(Failure::new(Exit::Failure, format!("{name} is a folder")));
        }
        // A pipe or a device has no length beforehand.
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Upload::streamed(file, length, &name, progress))
    }

    fn streamed(
        reader: impl AsyncRead + Send + Unpin + 'static,
        length: Option<u64>,
        name: &str,
        progress: &Progress,
    ) -> Self {
        let failed = Arc::new(Mutex::new(None));
        let note = Arc::clone(&failed);
        let name = name.to_owned();
        let progress = progress.clone();
        let left = length.unwrap_or(u64::MAX);
        progress.expect_up(length);
        // A file that grows meanwhile is sent up to the length that was promised.
        let pieces = stream::try_unfold((reader.take(left), left), move |(mut reader, left)| {
            let (note, name, progress) = (Arc::clone(&note), name.clone(), progress.clone());
            async move {
                let mut piece = Vec::with_capacity(CHUNK);
                let failed = match reader.read_buf(&mut piece).await {
                    Ok(0) if length.is_some() && left > 0 => {
                        io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter")
                    }
                    Ok(0) => return Ok(None),
                    Ok(count) => {
                        progress.sent(count);
                        let frame = Frame::data(Bytes::from(piece));
                        let left = left.saturating_sub(count as u64);
                        return Ok(Some((frame, (reader, left))));
                    }
                    Err(error) => error,
                };
                let told = format!("can't read {name}: {failed}");
                *note.lock().expect("nobody panics while holding it") = Some(told);
                Err(failed)
            }
        });
        Upload { body: StreamBody::new(pieces).boxed_unsync(), length, failed }
    }

    /// The length, where it is known beforehand.
    pub(super) fn known_length(&self) -> Option<u64> {
        self.length
    }

    /// The body to send; what stays tells whether reading it failed.
    pub(super) fn into_body(self) -> (Body, Upload) {
        let rest = Upload { body: Upload::empty().body, length: self.length, failed: self.failed };
        (self.body, rest)
    }

    /// Why reading the body failed, if it did.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failed = self.failed.lock().expect("nobody panics while holding it").clone()?;
        Some(Failure::new(Exit::Failure, failed))
    }
}

/// Whether a file's name means standard input (or output).
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The data of the options, joined with `&`; `None` if no option gave any.
pub(super) async fn data(args: &DataArgs) -> Result<Option<Bytes>, Failure> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for text in &args.data {
        parts.push(match text.strip_prefix('@') {
            Some(file) => {
                let mut data = read(file).await?;
                data.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                data
            }
            None => text.clone().into_bytes(),
        });
    }
    parts.extend(args.data_raw.iter().map(|text| text.clone().into_bytes()));
    for text in &args.data_binary {
        parts.push(match text.strip_prefix('@') {
            Some(file) => read(file).await?,
            None => text.clone().into_bytes(),
        });
    }
    parts.extend(args.data_urlencode.iter().map(|text| match text.split_once('=') {
        Some(("", value)) => percent_encoded(value).into_bytes(),
        Some((name, value)) => format!("{name}={}", percent_encoded(value)).into_bytes(),
        None => percent_encoded(text).into_bytes(),
    }));
    let joint: &[u8] = if args.json.is_empty() { b"&" } else { b"" };
    for text in &args.json {
        parts.push(match text.strip_prefix('@') {
            Some(file) => read(file).await?,
            None => text.clone().into_bytes(),
        });
    }
    Ok((!parts.is_empty()).then(|| parts.join(joint).into()))
}

async fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let read = if file == "-" {
        tokio::io::stdin().read_to_end(&mut data).await.map(|_| ())
    } else {
        tokio::fs::read(file).await.map(|content| data = content)
    };
    let name = if file == "-" { "standard input" } else { file };
    read.map_err(|error| Failure::new(Exit::Failure, format!("can't read {name}")).cause(&error))?;
    Ok(data)
}

/// Text with all but the unreserved characters percent-encoded (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_percent_encoded() {
        assert_eq!(percent_encoded("a b&ä.~"), "a%20b%26%C3%A4.~");
    }
}
