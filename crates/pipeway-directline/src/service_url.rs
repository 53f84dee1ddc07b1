//! Which calls go over the pipe, and to which path.

/// What the service URL of a pipe begins with, in any case.
pub const PREFIX: &str = "urn:botframework:namedpipe:";

/// Whether `url` leads to the pipe. What stands behind the prefix is for humans.
pub fn is_pipe_url(url: &str) -> bool {
    url.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The path of a URL that names an operation: what begins at its first `/v3/`, in any case.
pub fn path_of_url(url: &str) -> Option<&str> {
    let at = url.as_bytes().windows(4).position(|part| part.eq_ignore_ascii_case(b"/v3/"))?;
    Some(&url[at..])
}

/// An operation on the activities of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Activities {
    /// Which conversation.
    pub conversation: String,
    /// Which activity: the one that is replied to, replaced or deleted.
    pub activity: Option<String>,
}

const CONVERSATIONS: &str = "/v3/conversations/";
const ACTIVITIES: &str = "/activities";

impl Activities {
    /// The path, with each part percent-encoded (RFC 3986; unreserved characters stay).
    pub fn to_path(&self) -> String {
        let mut path = CONVERSATIONS.to_owned();
        encode(&self.conversation, &mut path);
        path.push_str(ACTIVITIES);
        if let Some(activity) = &self.activity {
            path.push('/');
            encode(activity, &mut path);
        }
        path
    }

    /// Reads a path. A conversation's id may stand there unencoded, with slashes in it: it goes as
    /// far as it can. A query behind the last part is left out; `+` is `+`.
    pub fn parse(path: &str) -> Option<Activities> {
        let path = match path.rsplit_once('?') {
            Some((path, query)) if !query.contains('/') => path,
            _ => path,
        };
        let rest = path.strip_prefix(CONVERSATIONS)?;
        let (conversation, activity) = rest.rmatch_indices(ACTIVITIES).find_map(|(at, _)| {
            let (conversation, behind) = (&rest[..at], &rest[at + ACTIVITIES.len()..]);
            let activity = match behind.strip_prefix('/') {
                Some(activity) if activity.contains('/') => return None,
                Some(activity) => activity,
                None if behind.is_empty() => "",
                None => return None,
            };
            (!conversation.is_empty()).then_some((conversation, activity))
        })?;
        let activity = (!activity.is_empty()).then(|| decode(activity));
        Some(Activities { conversation: decode(conversation), activity })
    }
}

fn encode(part: &str, path: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push(char::from(DIGITS[usize::from(byte >> 4)]));
            path.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Decodes `%` and two digits; what is no such sequence, or no UTF-8 in the end, stays as it is.
fn decode(part: &str) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, behind @ ..] = rest {
        if let (b'%', [high, low, behind @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            bytes.push(high << 4 | low);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}
