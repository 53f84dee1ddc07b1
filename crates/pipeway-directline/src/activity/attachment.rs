//! What is attached to an activity.

use serde_json::{Map, Value};

use super::Activity;
use crate::{Attachment, Attachments, Body};

/// The media type of an attachment of which none is told.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Something that is attached to an activity: a card in JSON, a file's bytes, a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivityAttachment {
    /// Its media type.
    pub content_type: Option<String>,
    /// Where its content is.
    pub content_url: Option<String>,
    /// The name that is shown.
    pub name: Option<String>,
    /// Its content.
    pub content: Option<AttachmentContent>,
    /// All other members.
    pub other: Map<String, Value>,
}

/// The content of an attachment.
#[derive(Clone, Debug, PartialEq)]
pub enum AttachmentContent {
    /// What stands in the activity's JSON.
    Json(Value),
    /// What goes beside it, as a stream of the pipe of its own. Received bytes count for their
    /// session's memory until they are dropped. In JSON, which has no bytes, they are base64, as
    /// those who use .NET read them.
    Bytes(Body),
}

impl ActivityAttachment {
    /// One whose content stands in the activity's JSON, such as a card.
    pub fn json(content_type: impl Into<String>, content: Value) -> Self {
        ActivityAttachment {
            content_type: Some(content_type.into()),
            content: Some(AttachmentContent::Json(content)),
            ..ActivityAttachment::default()
        }
    }

    /// One whose content is bytes. Over the pipe the other end learns of it its media type and its
    /// bytes, and nothing else.
    pub fn bytes(content_type: impl Into<String>, content: impl Into<Body>) -> Self {
        ActivityAttachment {
            content_type: Some(content_type.into()),
            content: Some(AttachmentContent::Bytes(content.into())),
            ..ActivityAttachment::default()
        }
    }
}

impl Activity {
    /// Appends what came beside it.
    pub(crate) fn take_in(&mut self, streams: Attachments) {
        for Attachment { media_type, content, .. } in streams.0 {
            let media_type = if media_type.is_empty() { UNKNOWN_TYPE.into() } else { media_type };
            self.attachments.push(ActivityAttachment::bytes(media_type, content));
        }
    }

    /// Takes out what goes beside it.
    pub(crate) fn take_out(&mut self) -> Attachments {
        let is_beside = |attachment: &mut ActivityAttachment| {
            matches!(attachment.content, Some(AttachmentContent::Bytes(_)))
        };
        let beside = self.attachments.extract_if(.., is_beside).filter_map(|attachment| {
            let Some(AttachmentContent::Bytes(content)) = attachment.content else { return None };
            let media_type = attachment.content_type.unwrap_or_else(|| UNKNOWN_TYPE.to_owned());
            Some(Attachment::new(media_type, content))
        });
        Attachments(beside.collect())
    }
}
