//! The token that clients of a port must show, since a port has no owner.

use std::fmt;
use std::io;
use std::path::Path;

use crate::{Error, ErrorKind};

/// The secret that clients of a loopback port show as `Authorization: Bearer TOKEN`, since a port
/// has no owner. It is never printed.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl Token {
    /// Reads the token from the file at `path`: one line of at least 16 visible ASCII characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`Permission`](ErrorKind::Permission) or [`Io`](ErrorKind::Io)
    /// for a file that can't be read, and [`Insecure`](ErrorKind::Insecure) for one that has no
    /// such line.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::PermissionDenied => ErrorKind::Permission,
                _ => ErrorKind::Io,
            };
            Error::new(kind, format!("token_file {} can't be read", path.display())).source(error)
        })?;
        let token = text.trim_ascii();
        if token.len() < 16 || !token.iter().all(u8::is_ascii_graphic) {
            return Err(Error::new(
                ErrorKind::Insecure,
                format!(
                    "token_file {} must have one line of at least 16 visible ASCII characters",
                    path.display()
                ),
            ));
        }
        Ok(Token(token.to_vec()))
    }

    /// The value of `Authorization` that shows this token.
    pub fn authorization(&self) -> Vec<u8> {
        [b"Bearer ", self.0.as_slice()].concat()
    }

    /// Whether `authorization` is `Bearer` and this token. Takes the same time for every wrong
    /// token of the right length.
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked(7) else { return false };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return false;
        }
        let shown = shown.trim_ascii();
        shown.len() == self.0.len()
            && std::hint::black_box(
                shown.iter().zip(&self.0).fold(0, |different, (a, b)| different | (a ^ b)),
            ) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = Token(b"0123456789abcdef".to_vec());
        assert!(token.is_shown_by(b"Bearer 0123456789abcdef"));
        assert!(token.is_shown_by(b"bearer  0123456789abcdef"));
        for wrong in [&b""[..], b"Bearer ", b"Bearer 0123456789abcdeF", b"Basic 0123456789abcdef"] {
            assert!(!token.is_shown_by(wrong));
        }
        assert!(token.is_shown_by(&token.authorization()));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn a_short_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "short\n").unwrap();
        assert!(Token::from_file(&path).unwrap_err().to_string().contains("at least 16"));
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        Token::from_file(&path).unwrap();
    }
}
