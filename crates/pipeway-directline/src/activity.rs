//! Activities: what a bot and a user say to each other.

mod attachment;
mod json;

use serde_json::{Map, Value};

pub use self::attachment::{ActivityAttachment, AttachmentContent};

/// What is said in a conversation: a message, an event, an invoke.
///
/// Members that have a field here have it where they are of the field's type; all others, known or
/// not, are kept in [`other`](Self::other), and are written back. `null` in a member that has a
/// field is as if it were absent. Read, `_channelId` stands for an absent `channelId`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// Its type: `message`, `invoke`, `event`. One that was read has one.
    pub kind: String,
    /// Its id in the conversation.
    pub id: Option<String>,
    /// Through which channel it came.
    pub channel_id: Option<String>,
    /// Where answers go. [`is_pipe_url`](crate::service_url::is_pipe_url) tells whether that is the
    /// pipe.
    pub service_url: Option<String>,
    /// In which conversation.
    pub conversation: Option<Conversation>,
    /// Who says it.
    pub from: Option<Account>,
    /// To whom.
    pub recipient: Option<Account>,
    /// The id of the activity to which it is a reply.
    pub reply_to_id: Option<String>,
    /// The text of a message.
    pub text: Option<String>,
    /// The name of an invoke or of an event.
    pub name: Option<String>,
    /// The value of an invoke or of an event.
    pub value: Option<Value>,
    /// How replies are to be delivered: `expectReplies` wants them in the answer.
    pub delivery_mode: Option<String>,
    /// What is attached.
    pub attachments: Vec<ActivityAttachment>,
    /// All other members. One that has a field too counts only where the field is empty.
    pub other: Map<String, Value>,
}

/// A conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// All other members.
    pub other: Map<String, Value>,
}

/// One of those who take part in a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: Option<String>,
    /// The name that is shown.
    pub name: Option<String>,
    /// All other members.
    pub other: Map<String, Value>,
}

impl Activity {
    /// An activity of a type, and nothing else.
    pub fn new(kind: impl Into<String>) -> Self {
        Activity { kind: kind.into(), ..Activity::default() }
    }

    /// A message with a text.
    pub fn message(text: impl Into<String>) -> Self {
        Activity { text: Some(text.into()), ..Activity::new("message") }
    }

    /// A message that replies to this activity: in its conversation, from its recipient to its
    /// sender.
    pub fn reply(&self, text: impl Into<String>) -> Self {
        let mut reply = Activity::message(text);
        reply.reply_to_id.clone_from(&self.id);
        reply.address(self);
        reply
    }

    /// The same with an attachment more.
    pub fn with_attachment(mut self, attachment: ActivityAttachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// The id of the conversation; `None` also where it is empty.
    pub fn conversation_id(&self) -> Option<&str> {
        self.conversation.as_ref().map(|it| it.id.as_str()).filter(|id| !id.is_empty())
    }

    /// Whether it is of that type.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Where it goes to, as an answer to `inbound`, as far as it does not say itself.
    pub(crate) fn address(&mut self, inbound: &Activity) {
        fill(&mut self.channel_id, &inbound.channel_id);
        fill(&mut self.service_url, &inbound.service_url);
        fill(&mut self.conversation, &inbound.conversation);
        fill(&mut self.from, &inbound.recipient);
        fill(&mut self.recipient, &inbound.from);
    }

    /// What answers to it need of it.
    pub(crate) fn reference(&self) -> Activity {
        Activity {
            kind: self.kind.clone(),
            id: self.id.clone(),
            channel_id: self.channel_id.clone(),
            service_url: self.service_url.clone(),
            conversation: self.conversation.clone(),
            from: self.from.clone(),
            recipient: self.recipient.clone(),
            delivery_mode: self.delivery_mode.clone(),
            ..Activity::default()
        }
    }
}

fn fill<T: Clone>(place: &mut Option<T>, from: &Option<T>) {
    if place.is_none() {
        place.clone_from(from);
    }
}

impl From<&str> for Activity {
    /// A message with that text.
    fn from(text: &str) -> Self {
        Activity::message(text)
    }
}

impl From<String> for Activity {
    /// A message with that text.
    fn from(text: String) -> Self {
        Activity::message(text)
    }
}
