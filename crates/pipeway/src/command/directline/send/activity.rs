//! Activities to be sent.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use pipeway_directline::{Attachment, Attachments, Body, CallTimeout};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;

use crate::args::SendArgs;
use crate::exit::Exit;
use crate::output::Failure;

/// The longest line of a conversation, and the longest activity on standard input, in bytes.
const TEXT_MAX: u64 = 16 << 20;

/// What stands before the name of a pipe in a service's URL.
const SERVICE_URL: &str = "urn:botframework:namedpipe:";

/// Media types by a file's extension.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// What every activity of this run has in common.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    conversation: Arc<str>,
    from: Arc<str>,
    service_url: Arc<str>,
    expects_replies: bool,
    timeout: Duration,
}

/// An activity with what goes beside it.
#[derive(Debug)]
pub(super) struct Message {
    activity: Vec<u8>,
    attachments: Vec<Attachment>,
    timeout: Duration,
    /// Whether the answer's body is what was asked for: an invoke's.
    pub(super) is_invoke: bool,
}

impl Shape {
    /// What the command line says.
    pub(super) fn new(args: &SendArgs) -> Result<Self, Failure> {
        let conversation = match &args.conversation_id {
            Some(id) => id.clone(),
            None => fresh_id()?,
        };
        let place = args.pipe.to_string();
        let name = place.rsplit([':', '/', '\\']).next().unwrap_or_default();
        Ok(Shape {
            conversation: conversation.into(),
            from: args.from.as_str().into(),
            service_url: format!("{SERVICE_URL}{name}").into(),
            expects_replies: args.expect_replies,
            timeout: args.timeout(),
        })
    }

    /// Fills in what `activity` lacks.
    fn complete(&self, mut activity: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
        let mut lacking = |name: &str, value: Value| {
            activity.entry(name).or_insert(value);
        };
        lacking("type", json!("message"));
        lacking("id", json!(fresh_id()?));
        lacking("timestamp", json!(timestamp(SystemTime::now())));
        lacking("channelId", json!("directline"));
        lacking("serviceUrl", json!(*self.service_url));
        lacking("conversation", json!({ "id": *self.conversation }));
        lacking("from", json!({ "id": *self.from, "role": "user" }));
        lacking("recipient", json!({ "id": "bot", "role": "bot" }));
        if self.expects_replies {
            lacking("deliveryMode", json!("expectReplies"));
        }
        Ok(activity)
    }

    fn text(&self, text: &str) -> Result<Message, Failure> {
        let mut activity = Map::new();
        activity.insert("type".to_owned(), json!("message"));
        activity.insert("text".to_owned(), json!(text));
        activity.insert("textFormat".to_owned(), json!("plain"));
        self.message(activity, Vec::new())
    }

    fn message(
        &self,
        activity: Map<String, Value>,
        attachments: Vec<Attachment>,
    ) -> Result<Message, Failure> {
        let activity = self.complete(activity)?;
        let is_invoke = activity["type"] == "invoke";
        let activity = Value::Object(activity).to_string().into_bytes();
        Ok(Message { activity, attachments, timeout: self.timeout, is_invoke })
    }
}

impl Message {
    /// What ACTIVITY and its options say.
    ///
    /// # Errors
    ///
    /// Of [`Exit::Usage`]: what is to be sent can't be read, or is no activity.
    pub(super) async fn of_argument(
        text: &str,
        shape: &Shape,
        args: &SendArgs,
    ) -> Result<Message, Failure> {
        let content = match text.strip_prefix('@') {
            None => None,
            Some(file) => Some(read(file).await?),
        };
        let json = |text: &[u8], what: &str| {
            let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
            serde_json::from_slice::<Value>(text).map_err(|error| {
                Failure::new(Exit::Usage, format!("{what} is not JSON")).cause(&error)
            })
        };
        let mut message = if let Some(name) = &args.invoke {
            let value = json(content.as_deref().unwrap_or(text.as_bytes()), "the invoke's value")?;
            let mut activity = Map::new();
            activity.insert("type".to_owned(), json!("invoke"));
            activity.insert("name".to_owned(), json!(name));
            activity.insert("value".to_owned(), value);
            shape.message(activity, Vec::new())?
        } else if let Some(content) = content {
            let Value::Object(activity) = json(&content, "the activity")? else {
                return Err(Failure::new(Exit::Usage, "the activity is no JSON object"));
            };
            shape.message(activity, Vec::new())?
        } else {
            shape.text(text)?
        };
        for path in &args.attach {
            let bytes = tokio::fs::read(path).await.map_err(|error| {
                Failure::new(Exit::Usage, format!("can't read {}", path.display())).cause(&error)
            })?;
            message.attachments.push(Attachment::new(media_type(path), bytes));
        }
        Ok(message)
    }

    /// The request that carries it.
    pub(super) fn into_request(self) -> Request<Body> {
        let body = Body::from(Bytes::from(self.activity));
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static("/api/messages");
        let json = http::HeaderValue::from_static("application/json; charset=utf-8");
        request.headers_mut().insert(CONTENT_TYPE, json);
        request.extensions_mut().insert(CallTimeout(self.timeout));
        if !self.attachments.is_empty() {
            request.extensions_mut().insert(Attachments(self.attachments));
        }
        request
    }
}

/// A file, or standard input for `-`.
async fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let read = if file == "-" {
        let mut content = Vec::new();
        let read = tokio::io::stdin().take(TEXT_MAX).read_to_end(&mut content).await;
        read.map(|_| content)
    } else {
        tokio::fs::read(file).await
    };
    read.map_err(|error| {
        let name = if file == "-" { "standard input" } else { file };
        Failure::new(Exit::Usage, format!("can't read {name}")).cause(&error)
    })
}

/// Makes a message of each line of standard input, until its end.
pub(super) async fn read_lines(shape: Shape, message_tx: mpsc::Sender<Result<Message, Failure>>) {
    let mut stdin = BufReader::new(tokio::io::stdin());
    loop {
        let message = match next_line(&mut stdin).await {
            Ok(None) => return,
            Ok(Some(line)) if line.trim().is_empty() => continue,
            Ok(Some(line)) => shape.text(&line),
            Err(failure) => Err(failure),
        };
        let failed = message.is_err();
        if message_tx.send(message).await.is_err() || failed {
            return;
        }
    }
}

async fn next_line(stdin: &mut BufReader<tokio::io::Stdin>) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read =
        stdin.take(TEXT_MAX).read_until(b'\n', &mut line).await.map_err(|error| {
            Failure::new(Exit::Failure, "can't read standard input").cause(&error)
        })?;
    if read == 0 {
        return Ok(None);
    }
    if read as u64 == TEXT_MAX && line.last() != Some(&b'\n') {
        return Err(Failure::new(Exit::Usage, format!("a line is longer than {TEXT_MAX} bytes")));
    }
    let line = String::from_utf8(line)
        .map_err(|_| Failure::new(Exit::Usage, "a line of standard input is not UTF-8"))?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let known = MEDIA_TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// A random GUID of version 4.
fn fresh_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Failure, "the system gives no random numbers").cause(&error)
    })?;
    Ok(guid(u128::from_be_bytes(bytes)))
}

/// A GUID of version 4 of random bits.
pub(super) fn guid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A moment as RFC 3339 has it, in UTC, to the millisecond.
fn timestamp(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The proleptic Gregorian calendar, in years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        let at = |seconds, millis| {
            timestamp(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_735_689_599, 999), "2024-12-31T23:59:59.999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn an_id_is_a_guid_of_version_4() {
        assert_eq!(guid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(guid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn a_media_type_is_told_by_the_extension_in_any_case() {
        assert_eq!(media_type(Path::new("a/b.PNG")), "image/png");
        assert_eq!(media_type(Path::new("a/png")), "application/octet-stream");
    }
}
