//! The endpoint parser.

use pipeway_transport::{Endpoint, Mode};

/// Whatever is an endpoint is written back as text that reads as the same endpoint, and keeps
/// what its kind promises; whatever is none is told why.
pub fn endpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let endpoint = match text.parse::<Endpoint>() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("is not an endpoint: "), "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
            return;
        }
    };
    let shown = endpoint.to_string();
    let again: Endpoint = shown.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again, endpoint, "{text:?} was shown as {shown:?}");
    // Names of pipes are equal in any case, and their text must be the same all the same.
    assert_eq!(again.to_string(), shown);
    match &endpoint {
        Endpoint::Pipe(name) => {
            let path = name.path();
            assert_eq!(shown, path);
            assert_eq!(path.strip_prefix(r"\\.\pipe\"), Some(name.as_str()));
            assert!(!name.as_str().is_empty() && path.encode_utf16().count() <= 256);
            assert!(!path.contains('/') && !path.chars().any(char::is_control));
            assert!(!name.as_str().split('\\').any(|part| matches!(part, "" | "." | "..")));
        }
        Endpoint::Unix(path) => {
            let path = path.as_str();
            assert!(path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/'));
            assert!(!path.contains('\0'));
        }
        Endpoint::Tcp(address) => assert_eq!(shown, format!("tcp:{address}")),
        Endpoint::Stdio => assert_eq!(shown, "stdio"),
        Endpoint::Local(name) => {
            let name = name.as_str();
            assert!((1..=64).contains(&name.len()));
            assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()));
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        }
    }
    if let Ok(resolved) = endpoint.resolve() {
        assert!(resolved.mode().is_some(), "{resolved}");
        let reads_back = resolved.to_string().parse::<Endpoint>();
        assert_eq!(reads_back.as_ref(), Ok(&resolved));
        assert!(endpoint.mode().is_none_or(|mode| Some(mode) == resolved.mode()));
        assert_ne!(resolved.mode(), Some(Mode::Stdio).filter(|_| endpoint != Endpoint::Stdio));
    }
}
