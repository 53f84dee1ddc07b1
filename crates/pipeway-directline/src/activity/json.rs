//! Activities as JSON and back. What is read is a map from which the fields are taken, so that
//! nothing is read twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Account, Activity, ActivityAttachment, AttachmentContent, Conversation};

type Members = Map<String, Value>;

impl<'de> Deserialize<'de> for Activity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Members::deserialize(deserializer)?;
        let kind = text(&mut members, "type").filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| D::Error::custom("the activity has no type"))?;
        let channel_id = text(&mut members, "channelId");
        let channel_id = channel_id.or_else(|| match members.get("channelId") {
            None => text(&mut members, "_channelId"),
            Some(_) => None,
        });
        Ok(Activity {
            kind,
            id: text(&mut members, "id"),
            channel_id,
            service_url: text(&mut members, "serviceUrl"),
            conversation: object(&mut members, "conversation", has_id).map(Conversation::of),
            from: object(&mut members, "from", |_| true).map(Account::of),
            recipient: object(&mut members, "recipient", |_| true).map(Account::of),
            reply_to_id: text(&mut members, "replyToId"),
            text: text(&mut members, "text"),
            name: text(&mut members, "name"),
            value: members.remove("value").filter(|value| !value.is_null()),
            delivery_mode: text(&mut members, "deliveryMode"),
            attachments: attachments(&mut members),
            other: members,
        })
    }
}

impl Serialize for Activity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Writer::begin(serializer)?;
        members.member("type", Some(&self.kind))?;
        members.member("id", self.id.as_ref())?;
        members.member("channelId", self.channel_id.as_ref())?;
        members.member("serviceUrl", self.service_url.as_ref())?;
        members.member("conversation", self.conversation.as_ref())?;
        members.member("from", self.from.as_ref())?;
        members.member("recipient", self.recipient.as_ref())?;
        members.member("replyToId", self.reply_to_id.as_ref())?;
        members.member("text", self.text.as_ref())?;
        members.member("name", self.name.as_ref())?;
        members.member("value", self.value.as_ref())?;
        members.member("deliveryMode", self.delivery_mode.as_ref())?;
        let attachments = Some(&self.attachments).filter(|attachments| !attachments.is_empty());
        members.member("attachments", attachments)?;
        members.finish(&self.other)
    }
}

impl Conversation {
    fn of(mut members: Members) -> Self {
        Conversation { id: text(&mut members, "id").unwrap_or_default(), other: members }
    }
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(Conversation::of)
    }
}

impl Serialize for Conversation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Writer::begin(serializer)?;
        members.member("id", Some(&self.id))?;
        members.finish(&self.other)
    }
}

impl Account {
    fn of(mut members: Members) -> Self {
        let id = text(&mut members, "id");
        Account { id, name: text(&mut members, "name"), other: members }
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(Account::of)
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Writer::begin(serializer)?;
        members.member("id", self.id.as_ref())?;
        members.member("name", self.name.as_ref())?;
        members.finish(&self.other)
    }
}

impl ActivityAttachment {
    fn of(mut members: Members) -> Self {
        let content = members.remove("content").filter(|content| !content.is_null());
        ActivityAttachment {
            content_type: text(&mut members, "contentType"),
            content_url: text(&mut members, "contentUrl"),
            name: text(&mut members, "name"),
            content: content.map(AttachmentContent::Json),
            other: members,
        }
    }
}

impl<'de> Deserialize<'de> for ActivityAttachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(ActivityAttachment::of)
    }
}

impl Serialize for ActivityAttachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Writer::begin(serializer)?;
        members.member("contentType", self.content_type.as_ref())?;
        members.member("contentUrl", self.content_url.as_ref())?;
        members.member("name", self.name.as_ref())?;
        match &self.content {
            Some(AttachmentContent::Json(value)) => members.member("content", Some(value))?,
            Some(AttachmentContent::Bytes(bytes)) => {
                let text = STANDARD.encode(bytes.clone().into_bytes());
                members.member("content", Some(&text))?;
            }
            None => {}
        }
        members.finish(&self.other)
    }
}

/// Takes a member that is a text, or is `null`.
fn text(members: &mut Members, name: &str) -> Option<String> {
    match members.get_mut(name)? {
        Value::String(text) => {
            let text = std::mem::take(text);
            members.remove(name);
            Some(text)
        }
        Value::Null => {
            members.remove(name);
            None
        }
        _ => None,
    }
}

/// Takes a member that is an object which is `good`, or is `null`.
fn object(
    members: &mut Members,
    name: &str,
    good: impl FnOnce(&Members) -> bool,
) -> Option<Members> {
    match members.get_mut(name)? {
        Value::Object(inner) if good(inner) => {
            let inner = std::mem::take(inner);
            members.remove(name);
            Some(inner)
        }
        Value::Null => {
            members.remove(name);
            None
        }
        _ => None,
    }
}

fn has_id(members: &Members) -> bool {
    matches!(members.get("id"), Some(Value::String(_)))
}

/// Takes the attachments. What is no object among them is none; what is no array stays.
fn attachments(members: &mut Members) -> Vec<ActivityAttachment> {
    match members.get("attachments") {
        Some(Value::Array(_) | Value::Null) => {}
        _ => return Vec::new(),
    }
    let Some(Value::Array(values)) = members.remove("attachments") else { return Vec::new() };
    let objects = values.into_iter().filter_map(|value| match value {
        Value::Object(members) => Some(ActivityAttachment::of(members)),
        _ => None,
    });
    objects.collect()
}

/// Writes an object: the fields that are there, then the other members that no field has.
struct Writer<M> {
    map: M,
    written: Vec<&'static str>,
}

impl<M: SerializeMap> Writer<M> {
    fn begin<S: Serializer<SerializeMap = M>>(serializer: S) -> Result<Self, S::Error> {
        Ok(Writer { map: serializer.serialize_map(None)?, written: Vec::with_capacity(16) })
    }

    fn member<T: Serialize>(
        &mut self,
        name: &'static str,
        value: Option<&T>,
    ) -> Result<(), M::Error> {
        let Some(value) = value else { return Ok(()) };
        self.written.push(name);
        self.map.serialize_entry(name, value)
    }

    fn finish(mut self, other: &Members) -> Result<M::Ok, M::Error> {
        for (name, value) in other {
            if !self.written.contains(&name.as_str()) {
                self.map.serialize_entry(name, value)?;
            }
        }
        self.map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Body;

    fn read(value: Value) -> Activity {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn what_has_no_field_is_written_back() {
        let value = json!({
            "type": "message", "id": "1", "channelId": "emulator", "serviceUrl": "urn:x",
            "conversation": {"id": "c", "isGroup": true}, "from": {"id": "u", "aadObjectId": "a"},
            "recipient": {"id": "b", "name": "bot"}, "replyToId": "0", "text": "hi",
            "name": "n", "value": {"a": [1]}, "deliveryMode": "normal", "locale": "en",
            "attachments": [{"contentType": "a/b", "content": {"x": 1}, "thumbnailUrl": "t"}],
            "entities": [{"type": "mention"}],
        });
        let activity = read(value.clone());
        assert_eq!(activity.from.as_ref().unwrap().other["aadObjectId"], "a");
        assert_eq!(activity.other["locale"], "en");
        assert_eq!(serde_json::to_value(&activity).unwrap(), value);
    }

    #[test]
    fn members_of_another_type_are_kept_and_null_is_none() {
        let value = json!({"type": "message", "text": 5, "from": "u", "conversation": {"id": 7},
            "attachments": "x", "channelId": 1, "_channelId": "emulator"});
        let activity = read(value.clone());
        assert_eq!((&activity.text, &activity.channel_id), (&None, &None));
        assert_eq!(activity.conversation, None);
        assert_eq!(serde_json::to_value(&activity).unwrap(), value);
        let value = json!({"type": "message", "text": null, "from": null, "attachments": null});
        assert_eq!(serde_json::to_value(read(value)).unwrap(), json!({"type": "message"}));
    }

    #[test]
    fn a_field_stands_before_what_was_read_in_its_place() {
        let mut activity = read(json!({"type": "message", "text": 5}));
        activity.text = Some("five".into());
        let value = serde_json::to_value(&activity).unwrap();
        assert_eq!(value, json!({"type": "message", "text": "five"}));
        assert_eq!(serde_json::to_string(&activity).unwrap().matches("text").count(), 1);
    }

    #[test]
    fn case_151_k10_an_absent_channel_is_what_a_peer_calls_so_by_mistake() {
        assert_eq!(read(json!({"type": "x", "_channelId": "c"})).channel_id.unwrap(), "c");
        let both = read(json!({"type": "x", "channelId": "d", "_channelId": "c"}));
        assert_eq!(both.channel_id.as_deref(), Some("d"));
        assert_eq!(both.other["_channelId"], "c");
    }

    #[test]
    fn what_has_no_type_is_no_activity() {
        for text in ["{}", r#"{"type":""}"#, r#"{"type":1}"#, "[]", "null", "1", r#""message""#] {
            assert!(serde_json::from_str::<Activity>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_base64_in_json() {
        let attachment = ActivityAttachment::bytes("a/b", Body::from(vec![0u8, 255]));
        let activity = Activity::message("x").with_attachment(attachment);
        let value = serde_json::to_value(&activity).unwrap();
        assert_eq!(value["attachments"], json!([{"contentType": "a/b", "content": "AP8="}]));
    }

    #[test]
    fn a_reply_goes_back() {
        let activity = read(json!({"type": "message", "id": "1", "channelId": "c",
            "serviceUrl": "s", "conversation": {"id": "k"}, "from": {"id": "u"},
            "recipient": {"id": "b"}}));
        let reply = serde_json::to_value(activity.reply("yes")).unwrap();
        assert_eq!(
            reply,
            json!({"type": "message", "text": "yes", "replyToId": "1", "channelId": "c",
                "serviceUrl": "s", "conversation": {"id": "k"}, "from": {"id": "b"},
                "recipient": {"id": "u"}})
        );
    }
}
