//! What requests may pass: methods, paths, upgrades and the name that the upstream sees.

use std::borrow::Cow;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::respond::{Kind, Refusal};
use crate::{ConfigError, HostRule, Policy};

/// A [`Policy`], ready for use.
#[derive(Debug)]
pub(crate) struct PolicyRules {
    methods: Vec<String>,
    paths: Option<GlobSet>,
    upgrades: Vec<String>,
    host: HostRule,
}

/// Where a request goes at the upstream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The path and the query, or `*`.
    pub(crate) path: Cow<'a, str>,
    /// The authority of a target that was a whole URL.
    pub(crate) authority: Option<&'a str>,
}

impl PolicyRules {
    /// Checks a policy.
    pub(crate) fn new(policy: &Policy) -> Result<Self, ConfigError> {
        for method in &policy.methods {
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
                return Err(ConfigError::new(format!(
                    "`{}` is not a method; write names such as GET",
                    method.escape_debug()
                )));
            }
        }
        let paths = if policy.paths.is_empty() {
            None
        } else {
            let mut set = GlobSetBuilder::new();
            for path in &policy.paths {
                if !path.starts_with('/') && !path.starts_with("**") {
                    return Err(ConfigError::new(format!(
                        "the path `{}` must begin with a slash",
                        path.escape_debug()
                    )));
                }
                let glob = GlobBuilder::new(path)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|error| {
                        ConfigError::new(format!(
                            "the path `{}` is not a glob: {}",
                            path.escape_debug(),
                            error.kind()
                        ))
                    })?;
                set.add(glob);
            }
            let set = set
                .build()
                .map_err(|error| ConfigError::new(format!("the paths can't be used: {error}")))?;
            Some(set)
        };
        Ok(PolicyRules {
            methods: policy.methods.clone(),
            paths,
            upgrades: policy.upgrades.clone(),
            host: policy.host.clone(),
        })
    }

    /// Checks the method and the target, and says where the request goes.
    ///
    /// Where paths are restricted, the upstream gets the path that was compared: decoded where
    /// decoding changes no meaning, without dot segments.
    pub(crate) fn target<'a>(&self, method: &str, target: &'a str) -> Result<Target<'a>, Refusal> {
        if method == "CONNECT" {
            return Err(Refusal::new(
                Kind::NotImplemented,
                "CONNECT is not understood: this is no forward proxy",
                "send the request itself",
            ));
        }
        if !self.methods.is_empty() && !self.methods.iter().any(|allowed| allowed == method) {
            let mut refusal = Refusal::new(
                Kind::MethodNotAllowed,
                "this bridge does not pass the method",
                "use a method that Allow names, or widen the bridge's methods",
            );
            refusal.allow = Some(self.methods.join(", "));
            return Err(refusal);
        }
        let (authority, path) = split_target(method, target)?;
        if path == "*" {
            if self.paths.is_some() {
                return Err(path_not_allowed());
            }
            return Ok(Target { path: Cow::Borrowed(path), authority });
        }
        let (bare, query) = match path.find('?') {
            Some(at) => path.split_at(at),
            None => (path, ""),
        };
        if self.paths.is_none() && is_plain(bare) {
            return Ok(Target { path: Cow::Borrowed(path), authority });
        }
        let normal = normalise(bare)?;
        let Some(paths) = &self.paths else {
            return Ok(Target { path: Cow::Borrowed(path), authority });
        };
        if normal.encoded_slash {
            return Err(Refusal::new(
                Kind::BadRequest,
                "the path has an encoded slash, and this bridge restricts paths",
                "send a plain slash",
            ));
        }
        if !paths.is_match(&normal.decoded) {
            return Err(path_not_allowed());
        }
        let path =
            if normal.changed { Cow::Owned(normal.encoded + query) } else { Cow::Borrowed(path) };
        Ok(Target { path, authority })
    }

    /// Whether a connection may be upgraded to one of `tokens`.
    pub(crate) fn may_upgrade(&self, tokens: &[u8]) -> bool {
        let mut tokens = tokens
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|t| !t.is_empty())
            .peekable();
        tokens.peek().is_some()
            && tokens.all(|token| {
                if self.upgrades.is_empty() {
                    !token.eq_ignore_ascii_case(b"h2c")
                } else {
                    self.upgrades
                        .iter()
                        .any(|allowed| token.eq_ignore_ascii_case(allowed.as_bytes()))
                }
            })
    }

    /// What the upstream sees as `Host`, where the client sent `sent`.
    pub(crate) fn host<'a>(&'a self, sent: Option<&'a [u8]>) -> &'a [u8] {
        match &self.host {
            HostRule::Localhost => b"localhost",
            HostRule::Fixed(name) => name.as_bytes(),
            // Clients of pipes and sockets send their paths here.
            HostRule::Preserve => sent.filter(|name| is_host(name)).unwrap_or(b"localhost"),
        }
    }
}

fn is_host(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || b".-_:[]~%!$&'()*+,;=".contains(b))
}

fn path_not_allowed() -> Refusal {
    Refusal::new(
        Kind::NotAllowed,
        "this bridge does not pass the path",
        "ask for a path that it passes, or widen the bridge's paths",
    )
}

fn bad_target(message: &'static str) -> Refusal {
    Refusal::new(Kind::BadRequest, message, "send a path that begins with a slash")
}

/// The authority, where the target is a whole URL, and the path with its query.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), Refusal> {
    if target.bytes().any(|b| matches!(b, b'#' | b'<' | b'>' | b'`' | 0x7f)) {
        return Err(bad_target("the request's target has a character that is not allowed"));
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    if target == "*" {
        return if method == "OPTIONS" {
            Ok((None, target))
        } else {
            Err(bad_target("only OPTIONS has the target *"))
        };
    }
    let rest = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => rest,
        _ => return Err(bad_target("the request's target is neither a path nor an http URL")),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_host(authority.as_bytes()) {
        return Err(bad_target("the URL's authority is not a host's name"));
    }
    match path {
        "" => Ok((Some(authority), "/")),
        path if path.starts_with('/') => Ok((Some(authority), path)),
        _ => Err(bad_target("the URL has a query without a path")),
    }
}

/// Whether a path means what it says: nothing encoded, no dot segments, no empty ones.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr2(b'%', b'\\', bytes).is_none()
        && !bytes.windows(2).any(|pair| pair == b"/." || pair == b"//")
}

struct Normal {
    /// For comparing.
    decoded: String,
    /// For the upstream, without dot segments and empty ones.
    encoded: String,
    /// Whether `encoded` differs from the path.
    changed: bool,
    encoded_slash: bool,
}

fn normalise(path: &str) -> Result<Normal, Refusal> {
    let mut encoded_slash = false;
    let mut kept: Vec<(&str, String)> = Vec::new();
    let trailing_slash = path.ends_with('/');
    let mut last_is_dot = false;
    for raw in path.split('/').skip(1) {
        let decoded = decode(raw)?;
        // A backslash is a slash to some servers; so is an encoded one.
        encoded_slash |= decoded.contains(['/', '\\']);
        last_is_dot = false;
        match decoded.as_str() {
            "" => {}
            "." => last_is_dot = true,
            ".." => {
                last_is_dot = true;
                if kept.pop().is_none() {
                    return Err(bad_target("the path climbs out with `..`"));
                }
            }
            _ => kept.push((raw, decoded)),
        }
    }
    let mut decoded = String::with_capacity(path.len());
    let mut encoded = String::with_capacity(path.len());
    for (raw, text) in &kept {
        decoded.push('/');
        decoded.push_str(text);
        encoded.push('/');
        encoded.push_str(raw);
    }
    if kept.is_empty() || trailing_slash || last_is_dot {
        decoded.push('/');
        encoded.push('/');
    }
    let changed = encoded != path;
    Ok(Normal { decoded, encoded, changed, encoded_slash })
}

fn decode(segment: &str) -> Result<String, Refusal> {
    if !segment.contains('%') {
        return Ok(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| bad_target("the path has a `%` that is no encoded character"))?;
        if byte == 0 {
            return Err(bad_target("the path has an encoded NUL"));
        }
        bytes.push(byte);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(paths: &[&str]) -> PolicyRules {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        PolicyRules::new(&Policy { paths, ..Policy::default() }).unwrap()
    }

    fn goes_to(rules: &PolicyRules, target: &str) -> Result<String, (Kind, String)> {
        match rules.target("GET", target) {
            Ok(target) => Ok(target.path.into_owned()),
            Err(refusal) => Err((refusal.kind, refusal.message.into_owned())),
        }
    }

    #[test]
    fn without_restricted_paths_a_target_is_untouched() {
        let rules = rules(&[]);
        for target in ["/", "/a//b/./c/../d?x=%00&y", "/images/a%2Fb/json", "/%C3%A9?", "/a%5Cb"] {
            assert_eq!(goes_to(&rules, target).as_deref(), Ok(target));
        }
        for target in [
            "/..",
            "/a/../../b",
            "/%2e%2e",
            "/a%00",
            "/%",
            "/%zz",
            "/%2",
            "a",
            "",
            "/a#b",
            "ftp://x/",
        ] {
            assert_eq!(goes_to(&rules, target).unwrap_err().0, Kind::BadRequest, "{target}");
        }
    }

    #[test]
    fn restricted_paths_are_compared_as_the_upstream_gets_them() {
        let rules = rules(&["/v1/**", "/health"]);
        for (target, path) in [
            ("/v1/a", "/v1/a"),
            ("/v1/a/b/?q=/../x", "/v1/a/b/?q=/../x"),
            ("/x/../v1//a/./b", "/v1/a/b"),
            ("/%76%31/a", "/%76%31/a"),
            ("/health?x", "/health?x"),
            ("/v1/%2e/a", "/v1/a"),
        ] {
            assert_eq!(goes_to(&rules, target).as_deref(), Ok(path), "{target}");
        }
        for target in [
            "/",
            "/v2/a",
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "/v1/..",
            "/health/x",
            "/V1/a",
            "/v1/.%2e/x",
        ] {
            assert_eq!(goes_to(&rules, target).unwrap_err().0, Kind::NotAllowed, "{target}");
        }
        for target in ["/v1/a%2Fb", "/v1/..%5cadmin", "/v1/../../x", "/v1/%00"] {
            assert_eq!(goes_to(&rules, target).unwrap_err().0, Kind::BadRequest, "{target}");
        }
    }

    #[test]
    fn one_star_stays_within_a_segment() {
        let rules = rules(&["/containers/*/json"]);
        assert!(goes_to(&rules, "/containers/a/json").is_ok());
        assert!(goes_to(&rules, "/containers/a/b/json").is_err());
    }

    #[test]
    fn a_url_as_target_loses_its_authority() {
        let rules = rules(&[]);
        let target = rules.target("GET", "http://example.org:80/a?b").unwrap();
        assert_eq!((&*target.path, target.authority), ("/a?b", Some("example.org:80")));
        assert_eq!(rules.target("GET", "HTTP://x").unwrap().path, "/");
        assert!(rules.target("GET", "http://user@x/").is_err());
        assert!(rules.target("OPTIONS", "*").is_ok());
        assert!(rules.target("GET", "*").is_err());
        assert_eq!(rules.target("CONNECT", "x:1").unwrap_err().kind, Kind::NotImplemented);
    }

    #[test]
    fn a_method_that_is_not_listed_is_told_what_is() {
        let policy = Policy { methods: vec!["GET".into(), "HEAD".into()], ..Policy::default() };
        let rules = PolicyRules::new(&policy).unwrap();
        assert!(rules.target("GET", "/").is_ok());
        let refusal = rules.target("get", "/").unwrap_err();
        assert_eq!(
            (refusal.kind, refusal.allow.as_deref()),
            (Kind::MethodNotAllowed, Some("GET, HEAD"))
        );
    }

    #[test]
    fn upgrades_are_all_but_h2c_unless_listed() {
        let open = PolicyRules::new(&Policy::default()).unwrap();
        assert!(open.may_upgrade(b"websocket") && open.may_upgrade(b"tcp"));
        assert!(
            !open.may_upgrade(b"h2c")
                && !open.may_upgrade(b"websocket, H2C")
                && !open.may_upgrade(b" ")
        );
        let listed = Policy { upgrades: vec!["websocket".into()], ..Policy::default() };
        let listed = PolicyRules::new(&listed).unwrap();
        assert!(listed.may_upgrade(b"WebSocket") && !listed.may_upgrade(b"tcp"));
    }

    #[test]
    fn a_path_is_never_a_host() {
        let policy = Policy { host: HostRule::Preserve, ..Policy::default() };
        let rules = PolicyRules::new(&policy).unwrap();
        assert_eq!(rules.host(Some(b"example.org:8080")), b"example.org:8080");
        for odd in [&br"\\.\pipe\x"[..], b"/run/x.sock", b"", b"a b"] {
            assert_eq!(rules.host(Some(odd)), b"localhost");
        }
        assert_eq!(rules.host(None), b"localhost");
    }

    #[test]
    fn a_policy_that_is_none_is_refused() {
        let with = |methods: &[&str], paths: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            PolicyRules::new(&Policy {
                methods: own(methods),
                paths: own(paths),
                ..Policy::default()
            })
        };
        assert!(with(&["GE T"], &[]).unwrap_err().to_string().contains("not a method"));
        assert!(with(&[], &["v1"]).unwrap_err().to_string().contains("begin with a slash"));
        assert!(with(&[], &["/[a"]).unwrap_err().to_string().contains("not a glob"));
    }
}
