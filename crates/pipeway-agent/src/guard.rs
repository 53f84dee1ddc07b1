//! Who may ask. A socket or a pipe is its owner's alone; a port is everybody's, so whoever comes
//! by one must show the token, and must not be a page in a browser: neither one that had its own
//! name resolve to this machine (`Host`), nor one that another site sent here (`Origin`).

use axum::http::{HeaderMap, StatusCode, header};
use pipeway_transport::Token;

use crate::api::Refused;

/// Names of this machine that `Host` and `Origin` may have.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Checks a request's head; `token` is what a client of a port must show.
///
/// # Errors
///
/// The refusal to answer.
pub(crate) fn check(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Refused> {
    let Some(token) = token else { return Ok(()) };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Err(Refused::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            "Host must be localhost, 127.0.0.1 or [::1]",
        ));
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(header::ORIGIN).unwrap_or_default();
        let authority =
            ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        if !authority.is_some_and(is_loopback) {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "wrong_origin",
                "a page of another site may not use this agent",
            ));
        }
    }
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    match (shown.next(), shown.next()) {
        (Some(value), None) if token.is_shown_by(value.as_bytes()) => Ok(()),
        _ => Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            "show the token of the agent's token file: Authorization: Bearer TOKEN",
        )),
    }
}

/// Whether an authority, with or without a port, is this machine's.
fn is_loopback(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => authority,
    };
    LOOPBACK_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
