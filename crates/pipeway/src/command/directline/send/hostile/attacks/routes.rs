//! Requests that are well framed and should be refused, by their status.

use serde_json::{Value, json};

use super::super::frames::{LAST, activity, envelope, stream};
use super::super::seeded::Seeded;
use super::{Attack, Wanted};

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let content = activity(seeded, 10);
    let mut add = |name: &str, case, asked: [&str; 3], body: Option<&[u8]>, wanted| {
        let [verb, path, media_type] = asked;
        let (id, stream_id) = (seeded.id(), seeded.id());
        let streams =
            body.map(|body| json!([{ "id": stream_id, "type": media_type, "length": body.len() }]));
        let asked = json!({ "verb": verb, "path": path, "streams": streams });
        let mut bytes = envelope(&id, &asked);
        bytes.extend(body.map(|body| stream(&stream_id, LAST, body)).unwrap_or_default());
        all.push(Attack::new(name, case).write(bytes).wants(&id, wanted));
    };
    const MESSAGES: &str = "/api/messages";
    const JSON: &str = "application/json";
    let post = ["POST", MESSAGES, JSON];
    add("an activity", "R-01", post, Some(&content), Wanted::Success);
    for verb in ["GET", "PUT", "DELETE", "PATCH"] {
        add(
            &format!("{verb} /api/messages"),
            "R-02",
            [verb, MESSAGES, JSON],
            None,
            Wanted::Status(404),
        );
    }
    for path in ["/api/other", "/v3/conversations", "/", "", "/api/messages/../messages", "//"] {
        let name = format!("POST to \"{path}\"");
        add(&name, "R-03", ["POST", path, JSON], Some(&content), Wanted::Status(404));
    }
    add("verb in lower case", "R-04", ["post", MESSAGES, JSON], Some(&content), Wanted::Success);
    add(
        "path in upper case",
        "R-05",
        ["POST", "/API/MESSAGES", JSON],
        Some(&content),
        Wanted::Success,
    );
    add("activity without body", "R-06", post, None, Wanted::Status(400));
    add("activity with an empty body", "F-08", post, Some(b""), Wanted::Status(400));
    for media_type in
        ["text/plain", "multipart/form-data", "application/jsonfoo", "not a media type at all"]
    {
        let name = format!("activity as {media_type}");
        add(&name, "R-07", ["POST", MESSAGES, media_type], Some(&content), Wanted::Status(415));
    }
    let with_charset = ["POST", MESSAGES, "APPLICATION/JSON; charset=utf-8"];
    add("media type with a parameter", "R-09", with_charset, Some(&content), Wanted::Success);
    add("activity breaks off", "R-11", post, Some(b"{not valid json"), Wanted::Status(400));
    add("activity null", "R-12", post, Some(b"null"), Wanted::Status(400));
    add("activity is an array", "4.2", post, Some(b"[]"), Wanted::Status(400));
    let deep = format!("{{\"type\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    add("activity that nests deeply", "4.2", post, Some(deep.as_bytes()), Wanted::Status(400));
    let mut homeless: Value = serde_json::from_slice(&content).unwrap_or_default();
    homeless["conversation"] = json!({});
    let homeless = homeless.to_string();
    add(
        "activity without conversation",
        "R-21",
        post,
        Some(homeless.as_bytes()),
        Wanted::Status(400),
    );
    let bom = [b"\xef\xbb\xbf", &content[..]].concat();
    add("activity with a byte order mark", "R-17", post, Some(&bom), Wanted::Success);
}
