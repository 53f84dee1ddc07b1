//! What is changed in the JSON that passes: `serviceUrl`, and attachments.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use pipeway_directline::Attachment;

use super::json::{Member, members, quoted, replaced};
use super::origins::Origins;

const SERVICE_URL: &str = "serviceUrl";

/// The type of an attachment of which nothing else is known.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// An activity, and where the members stand in it that are changed.
#[derive(Debug)]
pub(super) struct Activity {
    text: Bytes,
    service_urls: Vec<Range<usize>>,
    /// What the last of them says.
    origin: Option<String>,
    attachments: Option<Range<usize>>,
    /// Where the object's `}` stands, and whether there are members before it.
    end: usize,
    is_empty: bool,
}

impl Activity {
    /// Reads one; `None` where it is no JSON object.
    pub(super) fn read(text: &Bytes) -> Option<Activity> {
        let mut service_urls = Vec::new();
        let mut origin = None;
        let mut attachments = None;
        let mut is_empty = true;
        let is_read = members(text, |member| {
            if member.depth != 1 || !is_of_object(text) {
                return;
            }
            is_empty = false;
            if member.is_named(text, SERVICE_URL) {
                let value = &text[member.value.clone()];
                if value == b"null" || value.first() == Some(&b'"') {
                    origin = member.string(text);
                    service_urls.push(member.value);
                }
            } else if member.is_named(text, "attachments") {
                attachments = Some(member.value);
            }
        });
        if !is_read || !is_of_object(text) {
            return None;
        }
        let end = text.iter().rposition(|byte| *byte == b'}')?;
        Some(Activity { text: text.clone(), service_urls, origin, attachments, end, is_empty })
    }

    /// The `serviceUrl` that it came with.
    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Whether it has a `serviceUrl`, and be it `null`.
    pub(super) fn has_service_url(&self) -> bool {
        !self.service_urls.is_empty()
    }

    /// How many bytes [`with`](Self::with) takes at the most.
    pub(super) fn length_with(&self, url: &str, attached: &[Attachment]) -> usize {
        let of_one = |one: &Attachment| {
            let length = usize::try_from(one.content.len()).unwrap_or(usize::MAX / 2);
            // Both names, and the media type twice, in which each byte may be escaped.
            length.saturating_mul(4) / 3 + 12 * one.media_type.len() + 128
        };
        let urls = self.service_urls.len().saturating_mul(2 * url.len());
        attached.iter().map(of_one).fold(self.text.len() + urls, usize::saturating_add)
    }

    /// The text with `url` as its `serviceUrl`, and with these attachments behind its own, as `data:`
    /// URLs.
    pub(super) fn with(&self, url: &str, attached: Vec<Attachment>) -> Vec<u8> {
        let url = quoted(url);
        let mut edits: Vec<_> =
            self.service_urls.iter().map(|place| (place.clone(), url.clone())).collect();
        edits.extend(self.attaching(attached));
        edits.sort_by_key(|(place, _)| place.start);
        replaced(&self.text, &edits)
    }

    fn attaching(&self, attached: Vec<Attachment>) -> Option<(Range<usize>, Vec<u8>)> {
        if attached.is_empty() {
            return None;
        }
        let mut list = Vec::new();
        for (at, attachment) in attached.into_iter().enumerate() {
            if at > 0 {
                list.push(b',');
            }
            write_attachment(&mut list, attachment);
        }
        match &self.attachments {
            Some(place) if self.text[place.start] == b'[' => {
                let last = place.end - 1;
                let others = &self.text[place.start + 1..last];
                if !others.trim_ascii().is_empty() {
                    list.insert(0, b',');
                }
                Some((last..last, list))
            }
            Some(place) => {
                list.insert(0, b'[');
                list.push(b']');
                Some((place.clone(), list))
            }
            None => {
                let start: &[u8] =
                    if self.is_empty { b"\"attachments\":[" } else { b",\"attachments\":[" };
                list.splice(0..0, start.iter().copied());
                list.push(b']');
                Some((self.end..self.end, list))
            }
        }
    }
}

fn is_of_object(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    text.trim_ascii_start().first() == Some(&b'{')
}

fn write_attachment(out: &mut Vec<u8>, attachment: Attachment) {
    let Attachment { media_type, content, .. } = attachment;
    let media_type = if media_type.trim().is_empty() { UNKNOWN_TYPE } else { &media_type };
    // In a data: URL a comma ends the type.
    let of_url = if media_type.contains(',') { UNKNOWN_TYPE } else { media_type };
    out.extend_from_slice(b"{\"contentType\":");
    out.extend_from_slice(&quoted(media_type));
    out.extend_from_slice(b",\"contentUrl\":");
    let start = quoted(&format!("data:{of_url};base64,"));
    out.extend_from_slice(&start[..start.len() - 1]);
    let content = content.into_bytes();
    let from = out.len();
    let most = base64::encoded_len(content.len(), true).unwrap_or(usize::MAX);
    out.resize(from + most, 0);
    let written = BASE64.encode_slice(&content, &mut out[from..]).expect("it was made room for");
    out.truncate(from + written);
    out.extend_from_slice(b"\"}");
}

/// The text with every `serviceUrl` that leads to the callback as it was before; `None` where there
/// is none in it, or it is no JSON.
pub(super) fn restored(text: &[u8], origins: &Origins) -> Option<Vec<u8>> {
    // Most bodies do not name it at all.
    origins.may_be_in(text).then_some(())?;
    let mut edits = Vec::new();
    let is_read = members(text, |member: Member| {
        if member.is_named(text, SERVICE_URL)
            && let Some(origin) = member.string(text).and_then(|url| origins.origin_of(&url))
        {
            edits.push((member.value, quoted(&origin)));
        }
    });
    (is_read && !edits.is_empty()).then(|| replaced(text, &edits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn changed(text: &str, attached: Vec<Attachment>) -> String {
        let activity = Activity::read(&bytes(text)).unwrap();
        let most = activity.length_with("http://x", &attached);
        let changed = activity.with("http://x", attached);
        assert!(changed.len() <= most, "{} of {most}", changed.len());
        String::from_utf8(changed).unwrap()
    }

    #[test]
    fn only_the_service_url_at_the_top_is_replaced_and_all_else_stays_byte_for_byte() {
        let text = "{ \"type\" :\"message\",\r\n\"serviceUrl\": \"urn:a\\u003ab\" ,\"n\":1.50e+2,\
                    \"relatesTo\":{\"serviceUrl\":\"urn:a:b\"}, \"text\":\"\\/ü\" }";
        assert_eq!(changed(text, vec![]), text.replacen("\"urn:a\\u003ab\"", "\"http://x\"", 1));
        let activity = Activity::read(&bytes(text)).unwrap();
        assert_eq!(activity.origin(), Some("urn:a:b"));
    }

    #[test]
    fn a_service_url_that_is_null_is_replaced_and_one_that_is_absent_is_not_made() {
        assert_eq!(
            changed(r#"{"serviceUrl":null,"id":null}"#, vec![]),
            r#"{"serviceUrl":"http://x","id":null}"#
        );
        assert_eq!(changed(r#"{"id":1}"#, vec![]), r#"{"id":1}"#);
        assert_eq!(changed(r#"{"serviceUrl":7}"#, vec![]), r#"{"serviceUrl":7}"#);
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for text in ["", "[]", "null", "{", "[{\"serviceUrl\":\"a\"}]"] {
            assert!(Activity::read(&bytes(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn attachments_come_behind_those_that_are_there() {
        let one = || vec![Attachment::new("a/b", "hi"), Attachment::new("", "")];
        let new = "{\"contentType\":\"a/b\",\"contentUrl\":\"data:a/b;base64,aGk=\"},\
                   {\"contentType\":\"application/octet-stream\",\
                   \"contentUrl\":\"data:application/octet-stream;base64,\"}";
        for (before, after) in [
            ("{}", format!("{{\"attachments\":[{new}]}}")),
            ("{\"a\":1 }", format!("{{\"a\":1 ,\"attachments\":[{new}]}}")),
            ("{\"attachments\":[ ]}", format!("{{\"attachments\":[ {new}]}}")),
            ("{\"attachments\":[{}],\"b\":2}", format!("{{\"attachments\":[{{}},{new}],\"b\":2}}")),
            ("{\"attachments\":null}", format!("{{\"attachments\":[{new}]}}")),
        ] {
            assert_eq!(changed(before, one()), after);
            serde_json::from_str::<serde_json::Value>(&after).unwrap();
        }
    }

    #[test]
    fn a_media_type_with_a_comma_is_told_in_full_and_not_in_the_url() {
        let after = changed("{}", vec![Attachment::new("a/b;c=\"d,e\"", "")]);
        let value: serde_json::Value = serde_json::from_str(&after).unwrap();
        assert_eq!(value["attachments"][0]["contentType"], "a/b;c=\"d,e\"");
        assert_eq!(value["attachments"][0]["contentUrl"], "data:application/octet-stream;base64,");
    }
}
