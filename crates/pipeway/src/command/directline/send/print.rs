//! What the agent did, for a person or a program.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::platform::{Heard, Operation};
use crate::output::{bytes_text, print_line, talk};

/// Prints what comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    /// One JSON object a line, instead of words.
    pub(super) json: bool,
}

impl Printer {
    /// A call of the agent.
    pub(super) fn heard(self, heard: &Heard) {
        if self.json {
            return print_line(&heard_json(heard).to_string());
        }
        match heard.operation {
            Operation::Delete => print_line(&format!("bot: (deleted {})", visible(&heard.id))),
            Operation::Update => {
                words(&heard.activity, &format!("(changed {}) ", visible(&heard.id)));
            }
            Operation::Send | Operation::Reply => words(&heard.activity, ""),
        }
        for (media_type, bytes) in &heard.streams {
            print_line(&format!("bot: [{}, {}]", visible(media_type), bytes_text(*bytes)));
        }
    }

    /// The agent's answer to what was sent, and the replies that are in it.
    pub(super) fn answer(self, status: u16, body: &[u8], is_invoke: bool) {
        let value = serde_json::from_slice::<Value>(body).ok();
        let replies = value.as_ref().and_then(|value| value["activities"].as_array());
        if self.json {
            let mut line = json!({ "operation": "answer", "status": status });
            if let Some(value) = value {
                line["body"] = value;
            } else if !body.is_empty() {
                line["body"] = Value::from(String::from_utf8_lossy(body));
            }
            return print_line(&line.to_string());
        }
        if let Some(replies) = replies {
            replies.iter().for_each(|reply| words(reply, ""));
        } else if is_invoke {
            let body = String::from_utf8_lossy(body);
            print_line(format!("bot: (answered {status}) {}", visible(&body)).trim_end());
        } else if !body.is_empty() && status >= 400 {
            talk(&visible(&String::from_utf8_lossy(body)));
        }
    }
}

fn heard_json(heard: &Heard) -> Value {
    let operation = match heard.operation {
        Operation::Send => "send",
        Operation::Reply => "reply",
        Operation::Update => "update",
        Operation::Delete => "delete",
    };
    let mut line = json!({
        "operation": operation, "conversation": heard.conversation, "id": heard.id,
    });
    if let Some(to) = &heard.to {
        line["to"] = json!(to);
    }
    if heard.operation != Operation::Delete {
        line["activity"] = heard.activity.clone();
    }
    if !heard.streams.is_empty() {
        let streams = heard.streams.iter();
        line["streams"] =
            streams.map(|(kind, bytes)| json!({ "type": kind, "bytes": bytes })).collect();
    }
    line
}

/// An activity in words, a line for each thing it has.
fn words(activity: &Value, what: &str) {
    in_words(activity, what).iter().for_each(|line| print_line(line));
}

fn in_words(activity: &Value, what: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let kind = activity["type"].as_str().unwrap_or("message");
    let text = activity["text"].as_str().unwrap_or_default();
    match kind {
        "message" if !text.is_empty() => lines.push(format!("bot: {what}{}", visible(text))),
        "message" if !what.is_empty() => lines.push(format!("bot: {}", what.trim_end())),
        "message" => {}
        "typing" => lines.push("bot: (is typing)".to_owned()),
        kind => {
            let mut line = format!("bot: {what}({}", visible(kind));
            if let Some(name) = activity["name"].as_str() {
                // Writing to a String does not fail.
                let _ = write!(line, " {}", visible(name));
            }
            line.push(')');
            if !text.is_empty() {
                let _ = write!(line, " {}", visible(text));
            }
            lines.push(line);
        }
    }
    for attachment in activity["attachments"].as_array().into_iter().flatten() {
        let kind = attachment["contentType"].as_str().unwrap_or("attachment");
        let mut line = format!("bot: [{}", visible(kind));
        if let Some(name) = attachment["name"].as_str() {
            let _ = write!(line, ", {}", visible(name));
        }
        match attachment["contentUrl"].as_str() {
            Some(url) if url.starts_with("data:") => line.push_str(", inline"),
            Some(url) => {
                let _ = write!(line, ", {}", visible(url));
            }
            None => {}
        }
        let title = attachment["content"]["title"].as_str();
        if let Some(text) = title.or_else(|| attachment["content"]["text"].as_str()) {
            let _ = write!(line, ": {}", visible(text));
        }
        line.push(']');
        lines.push(line);
    }
    let actions = activity["suggestedActions"]["actions"].as_array().into_iter().flatten();
    let choices: Vec<String> = actions
        .filter_map(|action| action["title"].as_str().or_else(|| action["value"].as_str()))
        .map(visible)
        .collect();
    if !choices.is_empty() {
        lines.push(format!("bot: choices: {}", choices.join(" | ")));
    }
    if lines.is_empty() {
        lines.push("bot: (an empty message)".to_owned());
    }
    lines
}

/// A text that moves no cursor and rings no bell; further lines are indented.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.trim_end_matches(['\r', '\n']).chars() {
        match char {
            '\n' => out.push_str("\n  "),
            '\r' => {}
            '\t' => out.push('\t'),
            char if char.is_control() => out.extend(char.escape_unicode()),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_told_in_words() {
        for (activity, lines) in [
            (json!({ "text": "hello\r\nthere\u{1b}[2J" }), vec!["bot: hello\n  there\\u{1b}[2J"]),
            (json!({ "type": "typing" }), vec!["bot: (is typing)"]),
            (json!({ "type": "event", "name": "n" }), vec!["bot: (event n)"]),
            (json!({ "type": "message" }), vec!["bot: (an empty message)"]),
            (
                json!({
                    "type": "message",
                    "text": "which?",
                    "attachments": [
                        { "contentType": "text/plain", "name": "a.txt", "contentUrl": "data:text/plain,x" },
                        { "contentType": "application/vnd.microsoft.card.hero", "content": { "title": "T" } },
                    ],
                    "suggestedActions": { "actions": [{ "title": "Yes" }, { "value": "No" }] },
                }),
                vec![
                    "bot: which?",
                    "bot: [text/plain, a.txt, inline]",
                    "bot: [application/vnd.microsoft.card.hero: T]",
                    "bot: choices: Yes | No",
                ],
            ),
        ] {
            assert_eq!(in_words(&activity, ""), lines);
        }
        let changed = in_words(&json!({ "text": "after" }), "(changed 1) ");
        assert_eq!(changed, ["bot: (changed 1) after"]);
    }
}
