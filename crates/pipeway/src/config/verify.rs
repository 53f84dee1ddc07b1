//! Checks of resolved values that reach beyond one value: what this system can do, what
//! contradicts something else, files that must be there.

use std::path::Path;

use pipeway_bridge::Protocol;
use pipeway_transport::{Access, Endpoint, HalfClose, Mode};

use super::problem::Problem;
use super::settings::{BridgeSettings, LinkSettings, Source, Sourced};
use super::through;
use crate::exit::Exit;
use crate::service;

/// A problem, and the exit code of a command line that has it.
pub(crate) type Fault = (Exit, Problem);

/// The most headers that a head may be allowed to have.
const HEADERS_MAX: usize = 1024;

/// The sizes that a head may be allowed to have, in bytes.
const HEAD_SIZES: std::ops::RangeInclusive<u64> = 256..=1 << 20;

/// The shortest token, in characters.
const TOKEN_MIN: usize = 16;

/// Checks one link.
pub(crate) fn link(settings: &LinkSettings) -> Vec<Fault> {
    if settings.to.value.is_none() {
        return Vec::new();
    }
    let Err(error) = through::to_config(settings, &[]).check() else { return Vec::new() };
    let source = &settings.to.source;
    let problem = Problem::of(source, "to", error.to_string());
    let hint = error.advice().unwrap_or("choose another link").to_owned();
    vec![(Exit::Unsupported, problem.hint(hint))]
}

/// Checks one bridge, which goes through `link` if there is one.
pub(crate) fn bridge(settings: &BridgeSettings, link: Option<&LinkSettings>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let listen = settings.listen.value.as_ref();
    if let Some(endpoint) = listen {
        let source = &settings.listen.source;
        faults.extend(listened(endpoint, source, "listen"));
        faults.extend(local(endpoint, source, "listen", settings.allow_remote.value));
        if let Endpoint::Tcp(_) = endpoint {
            let is_raw = settings.protocol.value == Protocol::Raw;
            let message = format!("{endpoint} is a port, which any user may connect to");
            if is_raw {
                faults.push((
                    Exit::Permission,
                    Problem::of(source, "listen", message)
                        .hint("raw bytes have no place for a token; listen on local:NAME, which is yours alone"),
                ));
            } else if settings.token_file.value.is_none() {
                faults.push((
                    Exit::Permission,
                    Problem::of(source, "listen", message)
                        .hint("name a token_file that clients must send the token of, or listen on local:NAME"),
                ));
            }
            if settings.access.value != Access::Owner {
                faults.push((
                    Exit::Unsupported,
                    Problem::of(&settings.access.source, "access", "a port has no owner")
                        .hint("leave access at owner, or listen on local:NAME"),
                ));
            }
        }
    }
    if let Some(endpoint) = &settings.to.value {
        let source = &settings.to.source;
        let through = settings.through.value.is_some();
        faults.extend(upstream(endpoint, source, settings.allow_remote.value, through, link));
        if !through && listen.is_some_and(|listen| same(listen, endpoint)) {
            let problem = Problem::of(source, "to", "the bridge would connect to itself");
            faults.push((Exit::Usage, problem.hint("`to` is where the service listens")));
        }
    }
    faults.extend(access(&settings.access));
    let max_headers = settings.max_headers.value.0;
    if max_headers > HEADERS_MAX {
        let message = format!("{max_headers} headers are too many");
        let problem = Problem::of(&settings.max_headers.source, "limits.max_headers", message);
        faults.push((Exit::Usage, problem.hint(format!("{HEADERS_MAX} is the most"))));
    }
    let max_head_size = settings.max_head_size.value.0;
    if !HEAD_SIZES.contains(&max_head_size) {
        let message = format!("a head of {max_head_size} bytes can't be the limit");
        let problem = Problem::of(&settings.max_head_size.source, "limits.max_head_size", message);
        faults.push((Exit::Usage, problem.hint("write a size from 256 to 1MiB")));
    }
    faults.extend(protocol(settings));
    if settings.protocol.value == Protocol::Raw {
        return faults;
    }
    if settings.token_file.value.is_some() && !matches!(listen, Some(Endpoint::Tcp(_)) | None) {
        let message = "a token is for listening on a port; this endpoint is protected by access";
        let problem = Problem::of(&settings.token_file.source, "token_file", message);
        faults.push((Exit::Usage, problem.hint("leave token_file out")));
    } else if let Some(path) = &settings.token_file.value
        && let Some((exit, message, hint)) = token_file(path)
    {
        let problem = Problem::of(&settings.token_file.source, "token_file", message);
        faults.push((exit, problem.hint(hint)));
    }
    if let Some(path) = &settings.to_token_file.value
        && let Some((exit, message, hint)) = token_file(path)
    {
        let problem = Problem::of(&settings.to_token_file.source, "to_token_file", message);
        faults.push((exit, problem.hint(hint)));
    }
    faults
}

/// What keeps `endpoint` from being listened on here.
pub(super) fn listened(endpoint: &Endpoint, source: &Source, key: &str) -> Option<Fault> {
    if *endpoint == Endpoint::Stdio {
        let problem = Problem::of(source, key, "stdio can't be listened on");
        let hint = "it is one connection, and already made; write local:NAME";
        return Some((Exit::Unsupported, problem.hint(hint)));
    }
    let (message, hint) = unsupported(endpoint)?;
    Some((Exit::Unsupported, Problem::of(source, key, message).hint(hint)))
}

/// Whether `endpoint` is one of other machines, and they were not meant.
pub(super) fn local(
    endpoint: &Endpoint,
    source: &Source,
    key: &str,
    allow_remote: bool,
) -> Option<Fault> {
    let Endpoint::Tcp(address) = endpoint else { return None };
    let is_remote = !allow_remote && !address.ip().to_canonical().is_loopback();
    is_remote.then(|| (Exit::Permission, remote(source, key, endpoint)))
}

/// What is wrong with what is connected to, perhaps `through` a link, which is told where it is
/// known.
pub(super) fn upstream(
    endpoint: &Endpoint,
    source: &Source,
    allow_remote: bool,
    through: bool,
    link: Option<&LinkSettings>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    if *endpoint == Endpoint::Stdio {
        let problem = Problem::of(source, "to", "stdio can't be connected to");
        faults.push((Exit::Unsupported, problem.hint("name the service's own endpoint")));
    } else if through {
        if let Some((message, hint)) = link.and_then(|link| unsupported_there(endpoint, link)) {
            faults.push((Exit::Unsupported, Problem::of(source, "to", message).hint(hint)));
        }
    } else if let Some((message, hint)) = unsupported(endpoint) {
        faults.push((Exit::Unsupported, Problem::of(source, "to", message).hint(hint)));
    }
    faults.extend(local(endpoint, source, "to", allow_remote));
    if matches!(endpoint, Endpoint::Tcp(address) if address.port() == 0) {
        let problem = Problem::of(source, "to", "port 0 can't be connected to");
        faults.push((Exit::Usage, problem.hint("write the service's port")));
    }
    faults
}

/// Whether this system has such an access.
pub(super) fn access(access: &Sourced<Access>) -> Option<Fault> {
    let wide = !matches!(access.value, Access::Owner | Access::Group(_));
    (wide && local_mode() != Some(Mode::NamedPipe)).then(|| {
        let message = format!("access `{}` is for named pipes on Windows", access.value);
        let problem = Problem::of(&access.source, "access", message);
        (Exit::Unsupported, problem.hint("use owner or group:NAME"))
    })
}

/// What was said for the other protocol.
fn protocol(settings: &BridgeSettings) -> Vec<Fault> {
    let half_close = &settings.half_close;
    let is_for_pipe = matches!(settings.listen.value, Some(Endpoint::Pipe(_) | Endpoint::Local(_)));
    let mut faults = Vec::new();
    match settings.protocol.value {
        Protocol::Raw => {
            for (key, source) in settings.said_for_http() {
                let message = format!("`{key}` is for HTTP, and a raw bridge reads nothing");
                faults.push((
                    Exit::Usage,
                    Problem::of(source, key, message)
                        .hint("leave it out, or leave out protocol = \"raw\" (--raw)"),
                ));
            }
            if half_close.value == HalfClose::Message && !is_for_pipe {
                let message = "a half-close by message is for listening on a named pipe";
                faults.push((
                    Exit::Usage,
                    Problem::of(&half_close.source, "half_close", message)
                        .hint("leave half_close out: a socket has one of its own"),
                ));
            }
        }
        Protocol::Http if half_close.source != Source::Default => {
            let message = "`half_close` is for raw bytes: HTTP says by itself where a message ends";
            faults.push((
                Exit::Usage,
                Problem::of(&half_close.source, "half_close", message)
                    .hint("leave it out, or add protocol = \"raw\" (--raw)"),
            ));
        }
        Protocol::Http => {}
    }
    faults
}

/// Whether two texts lead to the same place on this system.
pub(crate) fn same(one: &Endpoint, other: &Endpoint) -> bool {
    if matches!(one, Endpoint::Tcp(address) if address.port() == 0) {
        return false;
    }
    match (one.resolve(), other.resolve()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn remote(source: &Source, key: &str, endpoint: &Endpoint) -> Problem {
    Problem::of(source, key, format!("{endpoint} is not a loopback address"))
        .hint("use 127.0.0.1 or [::1], or say allow_remote = true if other machines are meant")
}

/// The kind of transport that `local:NAME` is on this system.
fn local_mode() -> Option<Mode> {
    "local:x".parse::<Endpoint>().ok()?.resolve().ok()?.mode()
}

/// Why this system can't use `endpoint`, and what to do.
fn unsupported(endpoint: &Endpoint) -> Option<(String, String)> {
    let resolved = match endpoint.resolve() {
        Ok(resolved) => resolved,
        Err(error) => {
            let hint = error.advice().unwrap_or("choose another endpoint").to_owned();
            return Some((error.to_string(), hint));
        }
    };
    let hint = "write local:NAME, which works on every system".to_owned();
    match (resolved.mode()?, local_mode()?) {
        (Mode::NamedPipe, Mode::Unix) => {
            Some((format!("{endpoint}: this system has no named pipes"), hint))
        }
        (Mode::Unix, Mode::NamedPipe) => {
            Some((format!("{endpoint}: Unix sockets are not used on this system"), hint))
        }
        _ => None,
    }
}

/// Why the other side of `link` can't use `endpoint`, where that can be told from here.
fn unsupported_there(endpoint: &Endpoint, link: &LinkSettings) -> Option<(String, String)> {
    let there = link.to.value.as_ref()?.local_mode()?;
    match (endpoint.mode()?, there) {
        (Mode::NamedPipe, Mode::Unix) => Some((
            format!("{endpoint}: there are no named pipes at the other side of this link"),
            "write unix:/path, or a loopback port".to_owned(),
        )),
        (Mode::Unix, Mode::NamedPipe) => Some((
            format!("{endpoint}: Unix sockets are not used at the other side of this link"),
            r"write npipe:NAME (or \\.\pipe\NAME), or a loopback port".to_owned(),
        )),
        _ => None,
    }
}

/// What is wrong with a token's file, and what to do.
pub(crate) fn token_file(path: &Path) -> Option<(Exit, String, String)> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let hint = "write a secret of 32 characters or more into it, readable by you alone";
            return Some((
                Exit::Permission,
                format!("{shown} can't be read: {error}"),
                hint.to_owned(),
            ));
        }
    };
    let token = text.trim_ascii();
    if token.len() < TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("{shown} has no line of at least {TOKEN_MIN} visible ASCII characters");
        let hint = "write a secret of 32 characters or more into it".to_owned();
        return Some((Exit::Permission, message, hint));
    }
    let exposed = service::exposed_to_others(path)?;
    Some((Exit::Permission, format!("{shown} {exposed}"), format!("run: chmod 600 {shown}")))
}
