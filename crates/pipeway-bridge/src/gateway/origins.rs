//! What an agent is told to call, and what stood there before.

use std::sync::{Mutex, PoisonError};

use memchr::memmem;

/// How many different service URLs are remembered; of further ones, the first is told back.
const ORIGINS_MAX: usize = 256;

/// The longest that is remembered, in bytes.
const LENGTH_MAX: usize = 2048;

/// How many bytes of chance the secret has.
const SECRET_BYTES: usize = 16;

/// The secret URL that agents are told, and the service URLs that it stands for.
///
/// ```text
/// http://127.0.0.1:49152 / 5ec2e7... /v3/...     for the first service URL that came
/// http://127.0.0.1:49152 / 5ec2e7... / 1 /v3/...  for the second
/// ```
pub(super) struct Origins {
    /// Without the secret, without a slash at its end.
    stem: String,
    secret: String,
    /// What is told where none has come.
    default: String,
    known: Mutex<Vec<String>>,
}

impl Origins {
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(super) fn new(stem: String, default: String) -> Result<Self, getrandom::Error> {
        let mut random = [0; SECRET_BYTES];
        getrandom::fill(&mut random)?;
        let secret = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Origins { stem, secret, default, known: Mutex::default() })
    }

    /// The URL that an agent is told in place of `origin`.
    pub(super) fn url_for(&self, origin: Option<&str>) -> String {
        let origin = origin.filter(|origin| origin.len() <= LENGTH_MAX).unwrap_or(&self.default);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let number = known.iter().position(|one| one == origin).unwrap_or_else(|| {
            if known.len() == ORIGINS_MAX {
                return 0;
            }
            known.push(origin.to_owned());
            known.len() - 1
        });
        drop(known);
        match number {
            0 => format!("{}/{}", self.stem, self.secret),
            number => format!("{}/{}/{number}", self.stem, self.secret),
        }
    }

    /// The URL that the agent was told this one in place of; `None` where it is none of ours.
    pub(super) fn origin_of(&self, url: &str) -> Option<String> {
        let rest = url.strip_prefix(&self.stem)?.strip_prefix('/')?.strip_prefix(&self.secret)?;
        let number = match rest.trim_end_matches('/') {
            "" => 0,
            rest => rest.strip_prefix('/')?.parse().ok()?,
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Some(known.get(number).or(known.first()).unwrap_or(&self.default).clone())
    }

    /// Whether one of our URLs may be in `text`.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        memmem::find(text, self.secret.as_bytes()).is_some()
    }

    /// What is asked for of the platform, where the path begins with the secret: the rest from
    /// `/v3/` on, as it was sent.
    pub(super) fn asked<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (shown, mut rest) = path.strip_prefix('/')?.split_at_checked(self.secret.len())?;
        if !is_same(shown.as_bytes(), self.secret.as_bytes()) {
            return None;
        }
        if let Some((number, _)) = rest.strip_prefix('/')?.split_once('/')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            rest = &rest[1 + number.len()..];
        }
        rest.starts_with("/v3/").then_some(rest)
    }
}

impl std::fmt::Debug for Origins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origins").field("stem", &self.stem).finish_non_exhaustive()
    }
}

/// Compares in a time that tells nothing of where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let different =
        one.iter().zip(other).fold(0, |different, (one, other)| different | (one ^ other));
    one.len() == other.len() && std::hint::black_box(different) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        Origins::new("http://a:1".into(), "urn:default".into()).unwrap()
    }

    #[test]
    fn each_service_url_has_one_of_ours_and_is_found_again() {
        let origins = origins();
        let first = origins.url_for(Some("urn:1"));
        let second = origins.url_for(Some("urn:2"));
        assert_eq!(first, format!("http://a:1/{}", origins.secret));
        assert_eq!(second, format!("{first}/1"));
        assert_eq!(origins.url_for(Some("urn:1")), first);
        assert_eq!(origins.origin_of(&first).as_deref(), Some("urn:1"));
        assert_eq!(origins.origin_of(&format!("{second}/")).as_deref(), Some("urn:2"));
        assert_eq!(origins.origin_of(&format!("{first}/99")).as_deref(), Some("urn:1"));
        for other in ["http://a:1", "http://b:1/x", &format!("{first}x"), &format!("{first}/x")] {
            assert_eq!(origins.origin_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let origins = origins();
        for number in 0..1000 {
            origins.url_for(Some(&format!("urn:{number}")));
        }
        assert_eq!(origins.known.lock().unwrap().len(), ORIGINS_MAX);
        let url = origins.url_for(Some("urn:999"));
        assert_eq!(origins.origin_of(&url).as_deref(), Some("urn:0"));
        let long = "x".repeat(LENGTH_MAX + 1);
        assert_eq!(origins.origin_of(&origins.url_for(Some(&long))).as_deref(), Some("urn:0"));
    }

    #[test]
    fn a_path_is_taken_with_the_secret_only() {
        let origins = origins();
        let secret = &origins.secret;
        assert_eq!(secret.len(), 2 * SECRET_BYTES);
        assert_eq!(origins.asked(&format!("/{secret}/v3/a%20b/c?d")), Some("/v3/a%20b/c?d"));
        assert_eq!(origins.asked(&format!("/{secret}/12/v3/a")), Some("/v3/a"));
        let wrong = if secret.starts_with('0') { '1' } else { '0' };
        for path in [
            "/v3/a".to_owned(),
            format!("/{secret}"),
            format!("/{secret}/"),
            format!("/{secret}/v4/a"),
            format!("/{secret}x/v3/a"),
            format!("/{wrong}{}/v3/a", &secret[1..]),
            format!("/{}/v3/a", &secret[1..]),
            format!("/{}/v3/a", secret.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
            format!("{secret}/v3/a"),
        ] {
            assert_eq!(origins.asked(&path), None, "{path}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let origins = origins();
        assert!(!format!("{origins:?}").contains(&origins.secret));
    }
}
