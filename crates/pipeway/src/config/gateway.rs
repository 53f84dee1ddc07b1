//! Gateways of a configuration: from their layers to what the bridge takes, and what is wrong.

use std::ops::Range;

use pipeway_bridge::{GatewayConfig, GatewayLimits, GatewayTimeouts};
use pipeway_directline::{Limits, Pace, Strictness};
use pipeway_telemetry::Sink;

use super::problem::Problem;
use super::settings::{GatewayLayer, GatewaySettings, LinkSettings, Source};
use super::through::Links;
use super::value::Name;
use super::verify::{self, Fault};
use crate::exit::Exit;

/// Resolves a gateway; one without a name is named for its pipes.
pub(super) fn finish(layer: GatewayLayer) -> GatewaySettings {
    let mut settings = layer.resolve();
    if settings.name.value.is_none() {
        settings.name.value = settings.pipe.value.as_ref().map(|pipe| {
            let text = pipe.to_string();
            let last = text.rsplit(['/', ':', '\\']).next().unwrap_or_default();
            let plain =
                |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
            Name(last.chars().map(plain).take(64).collect())
        });
    }
    settings
}

/// Resolves the gateways of a file, and tells what is wrong with them. `names` are those of the
/// bridges; `readable` says that nothing in the file was left out.
pub(super) fn read(
    layers: Vec<(GatewayLayer, Range<usize>)>,
    environment: &GatewayLayer,
    links: &Links,
    mut names: Vec<Name>,
    readable: bool,
) -> (Vec<GatewaySettings>, Vec<Problem>) {
    let mut gateways: Vec<GatewaySettings> = Vec::with_capacity(layers.len());
    let mut problems = Vec::new();
    for (layer, span) in layers {
        if readable {
            for (is_absent, key, example) in [
                (layer.pipe.is_none(), "pipe", "my-site.directline"),
                (layer.to.is_none(), "to", "tcp:127.0.0.1:PORT"),
            ] {
                if is_absent {
                    let message = format!("this gateway has no `{key}`");
                    let problem = Problem::in_file(span.clone(), message);
                    problems.push(problem.hint(format!("add {key} = \"{example}\"")));
                }
            }
        }
        // As for a bridge, the environment is above the file.
        let settings = finish(environment.clone().over(&layer));
        let at = |source: &Source, message: String| match source {
            Source::Default => Problem::in_file(span.clone(), message),
            source => Problem::of(source, "", message),
        };
        if let Some(name) = &settings.name.value {
            if names.contains(name) {
                let message = format!("two bridges or gateways are named `{}`", name.0);
                let problem = at(&settings.name.source, message);
                problems.push(problem.hint("give each a name of its own: name = \"...\""));
            }
            names.push(name.clone());
        }
        if let Some(pipe) = &settings.pipe.value {
            let is_it = |other: &GatewaySettings| {
                let pipe_of = |place: &pipeway_directline::pipes::Place| {
                    place.incoming().to_string().to_ascii_lowercase()
                };
                other.pipe.value.as_ref().is_some_and(|other| pipe_of(other) == pipe_of(pipe))
            };
            if gateways.iter().any(is_it) {
                let problem = at(&settings.pipe.source, format!("two gateways listen on {pipe}"));
                problems.push(problem.hint("each needs pipes of its own"));
            }
        }
        let link = links.of(&settings.through);
        problems.extend(verify(&settings, link.as_ref()).into_iter().map(|(_, problem)| problem));
        if let Some(link) = link.filter(|link| link.name.value.is_none()) {
            problems.extend(verify::link(&link).into_iter().map(|(_, problem)| problem));
        }
        gateways.push(settings);
    }
    (gateways, problems)
}

/// What is wrong with a gateway, which goes through `link` if there is one.
pub(super) fn verify(settings: &GatewaySettings, link: Option<&LinkSettings>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(to) = &settings.to.value {
        let source = &settings.to.source;
        let through = settings.through.value.is_some();
        faults.extend(verify::upstream(to, source, settings.allow_remote.value, through, link));
    }
    let callback = &settings.callback;
    faults.extend(verify::listened(&callback.value, &callback.source, "callback"));
    faults.extend(verify::local(
        &callback.value,
        &callback.source,
        "callback",
        settings.allow_remote.value,
    ));
    faults.extend(verify::access(&settings.access));
    if faults.is_empty()
        && settings.pipe.value.is_some()
        && settings.to.value.is_some()
        && let Err(error) = to_config(settings.clone(), &Sink::disabled()).check()
    {
        // The one thing that is of a value of its own.
        let source = match error.to_string().contains("service_url") {
            true => &callback.source,
            false => &settings.pipe.source,
        };
        faults.push((Exit::Usage, Problem::of(source, "gateway", error.to_string())));
    }
    faults
}

/// What the bridge takes.
pub(super) fn to_config(gateway: GatewaySettings, events: &Sink) -> GatewayConfig {
    let pipe = gateway.pipe.value.expect("a gateway without `pipe` was refused");
    let to = gateway.to.value.expect("a gateway without `to` was refused");
    let name = gateway.name.value.map_or_else(String::new, |name| name.0);
    let to_usize = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let mut config = GatewayConfig::new(name, pipe, to);
    config.path = gateway.path.value;
    config.callback = gateway.callback.value;
    config.service_url = gateway.service_url.value;
    config.access = gateway.access.value;
    config.verify_server = gateway.verify_server.value.0.unwrap_or(true);
    config.allow_remote = gateway.allow_remote.value;
    config.limits = GatewayLimits {
        pipe: Limits {
            strictness: match gateway.lenient.value {
                true => Strictness::Lenient,
                false => Strictness::Strict,
            },
            chunk_bytes: u32::try_from(gateway.chunk_size.value.0).unwrap_or(u32::MAX),
            // A platform that takes longer pieces is none of those that lose their place in many.
            pace: match gateway.chunk_size.value.0 > u64::from(Limits::agent().chunk_bytes) {
                true => Pace::Modern,
                false => Pace::Automatic,
            },
            requests_max: gateway.max_requests.value.0,
            streams_max: gateway.max_streams.value.0,
            stream_bytes_max: gateway.max_stream_size.value.0,
            memory_bytes_max: to_usize(gateway.max_memory.value.0),
            outgoing_bytes_max: to_usize(gateway.max_outgoing.value.0),
            response_timeout: gateway.response.value.0,
            ..Limits::agent()
        },
        max_connections: gateway.max_connections.value.0,
    };
    config.timeouts = GatewayTimeouts {
        connect: gateway.connect.value.0,
        first_byte: gateway.first_byte.value.0.map(|time| time.0),
        body_idle: gateway.body_idle.value.0,
        keep_alive: gateway.keep_alive.value.0,
        drain: gateway.drain.value.0,
    };
    config.events = events.clone();
    config
}
