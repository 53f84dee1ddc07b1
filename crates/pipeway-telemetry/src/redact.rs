//! What of a request's target and of a client's identity may be written.

/// A request's target in two parts, without fragment and credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes any of the four forms of RFC 9112, section 3.2, and whatever else was sent.
    ///
    /// Of the absolute form the path stays, so its user and password go with its authority. What
    /// is neither a path nor absolute keeps only what follows its last `@`.
    pub(crate) fn parse(target: &'a str) -> Self {
        // In one go, since most targets have neither.
        let ends_path = |byte: &u8| matches!(byte, b'#' | b'?');
        let (before, query) = match target.as_bytes().iter().position(ends_path) {
            None => (target, None),
            Some(at) => match target[at + 1..].split('#').next() {
                Some(query) if target.as_bytes()[at] == b'?' => (&target[..at], Some(query)),
                _ => (&target[..at], None),
            },
        };
        let path = if before.starts_with('/') {
            before
        } else if let Some((_scheme, rest)) = before.split_once("://") {
            rest.find('/').map_or("/", |at| &rest[at..])
        } else {
            before.rsplit_once('@').map_or(before, |(_, after)| after)
        };
        Target { path, query }
    }
}

/// FNV-1a with 64 bits: the same SID has the same hash in every process and on every machine.
///
/// It keeps a SID from being read off a log. It does not keep one who has a list of SIDs from
/// finding which of them it was; no hash without a secret key does.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, path: &str, query: Option<&str>) {
        assert_eq!(Target::parse(target), Target { path, query });
    }

    #[test]
    fn a_query_and_a_fragment_are_parted_from_the_path() {
        check("/a/b", "/a/b", None);
        check("/a?token=x&y#z", "/a", Some("token=x&y"));
        check("/a?", "/a", Some(""));
        check("/a?b?c", "/a", Some("b?c"));
        check("/a#b?c", "/a", None);
        check("*", "*", None);
        check("", "", None);
    }

    #[test]
    fn credentials_of_an_absolute_target_are_removed() {
        check("http://me:secret@example/a?q", "/a", Some("q"));
        check("http://me:secret@example", "/", None);
        check("http://me:secret@example?q", "/", Some("q"));
        check("http://example/a@b", "/a@b", None);
    }

    #[test]
    fn credentials_before_an_authority_are_removed() {
        check("me:secret@example:443", "example:443", None);
        check("me:se@cret@example:443", "example:443", None);
        check("example:443", "example:443", None);
    }

    #[test]
    fn a_path_that_holds_a_url_stays_whole() {
        check("/go/http://x/y", "/go/http://x/y", None);
        check("/@me", "/@me", None);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
