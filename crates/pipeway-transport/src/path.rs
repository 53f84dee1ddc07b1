//! The path and query of a request, as a caller writes them.

use std::fmt;

use http::uri::PathAndQuery;

/// Reads `text`, which must be the whole of what the request line will hold.
pub(crate) fn path_and_query(text: &str) -> Result<PathAndQuery, PathError> {
    if !text.starts_with('/') {
        return Err(PathError::NoSlash);
    }
    // The parser would drop it without a word.
    if text.contains('#') {
        return Err(PathError::Fragment);
    }
    text.parse().map_err(|_| PathError::Character)
}

/// Why a text is no path and query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    NoSlash,
    Fragment,
    Character,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::NoSlash => "a path begins with a slash",
            PathError::Fragment => "a fragment (`#`) is never sent; write %23 for the character",
            PathError::Character => {
                "it has a character that must be written as %XX, or it is too long"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_whole_or_not_at_all() {
        assert_eq!(path_and_query("/a/b?c=%20").unwrap(), "/a/b?c=%20");
        assert_eq!(path_and_query("a"), Err(PathError::NoSlash));
        assert_eq!(path_and_query("?a"), Err(PathError::NoSlash));
        assert_eq!(path_and_query(""), Err(PathError::NoSlash));
        assert_eq!(path_and_query("/a#b"), Err(PathError::Fragment));
        assert_eq!(path_and_query("/a b"), Err(PathError::Character));
        assert_eq!(path_and_query("/a\r\nX: y"), Err(PathError::Character));
    }
}
