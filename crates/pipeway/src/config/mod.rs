//! The configuration: flags over environment over file over defaults, with the source of each
//! value kept.

mod file;
mod gateway;
mod problem;
mod settings;
mod show;
mod through;
mod value;
mod verify;

use std::path::{Path, PathBuf};

use pipeway_bridge::{BridgeConfig, GatewayConfig, Limits, Policy, Timeouts};
use pipeway_telemetry::{FileOptions, Sink, SinkOptions};
use pipeway_transport::Endpoint;
use pipeway_transport::link::LinkConfig;

pub(crate) use problem::{Problem, nearest};
#[cfg(test)]
pub(crate) use settings::{BRIDGE_KEYS, EVENTS_KEYS, GATEWAY_KEYS, LINK_KEYS};
pub(crate) use settings::{
    BridgeLayer, BridgeSettings, EventsLayer, EventsSettings, GatewayLayer, GatewaySettings,
    LinkLayer, Source, Sourced,
};
pub(crate) use through::Through;
pub(crate) use value::{
    Count, Environment, EventsTo, Item, List, MethodItem, Name, NoneOr, PathItem, Size, Time,
    TimeOrZero, UpgradeItem, Value, Verify, Word, is_token, quoted, seconds_or_time, time_text,
};
pub(crate) use verify::token_file as check_token_file;

use self::through::Links;
use crate::exit::Exit;
use crate::output::{Failure, talk};
use crate::{env, service};

/// The bridges to serve and where their events go: good as far as can be told without starting.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that was read, and who named it.
    file: Option<Sourced<PathBuf>>,
    events: EventsSettings,
    links: Links,
    bridges: Vec<BridgeSettings>,
    gateways: Vec<GatewaySettings>,
}

/// A configuration that can be started.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The links, which open nothing yet.
    pub(crate) links: Vec<LinkConfig>,
    /// The bridges, and the number of the link that each goes through.
    pub(crate) bridges: Vec<(BridgeConfig, Option<usize>)>,
    /// The gateways, likewise.
    pub(crate) gateways: Vec<(GatewayConfig, Option<usize>)>,
    /// Where the events of all of them go.
    pub(crate) events: Sink,
}

impl Config {
    /// The configuration of one bridge from the command line.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`], or the code of what can't be; everything wrong has been told.
    pub(crate) fn from_flags(
        flags: BridgeLayer,
        link: LinkLayer,
        events: EventsLayer,
    ) -> Result<Self, Failure> {
        let mut faults = Vec::new();
        let (env_bridge, env_events) = from_env(&mut faults);
        let events = events.over(&env_events).resolve();
        let env_bridge = env_bridge.as_defaults(flags.protocol());
        let bridge = finish(flags.over(&env_bridge));
        let links = Links { named: Vec::new(), flags: link };
        let unknown = links.problems([&bridge.through]);
        faults.extend(unknown.into_iter().map(|problem| (Exit::Usage, problem)));
        let through = links.of(&bridge.through);
        if let Some(link) = &through {
            faults.extend(verify::link(link));
        }
        faults.extend(verify::bridge(&bridge, through.as_ref()));
        if faults.is_empty()
            && !is_mirrored(&bridge)
            && let Err(error) = to_config(bridge.clone(), &Sink::disabled()).check()
        {
            faults.push((Exit::Usage, Problem::of(&Source::Default, "bridge", error.to_string())));
        }
        match faults.first().map(|(exit, _)| *exit) {
            None => Ok(Config {
                file: None,
                events,
                links,
                bridges: vec![bridge],
                gateways: Vec::new(),
            }),
            Some(exit) => {
                tell(faults.iter().map(|(_, problem)| problem), "", "");
                Err(Failure::told(exit))
            }
        }
    }

    /// The configuration of one gateway from the command line.
    ///
    /// # Errors
    ///
    /// As [`from_flags`](Config::from_flags).
    pub(crate) fn from_gateway_flags(
        flags: GatewayLayer,
        link: LinkLayer,
        events: EventsLayer,
    ) -> Result<Self, Failure> {
        let mut faults = Vec::new();
        let (_, env_events) = from_env(&mut faults);
        // A bridge reads all of these variables too: what is wrong with them is found.
        let (env_gateway, _) = GatewayLayer::from_env();
        let events = events.over(&env_events).resolve();
        let gateway = gateway::finish(flags.over(&env_gateway));
        let links = Links { named: Vec::new(), flags: link };
        let unknown = links.problems([&gateway.through]);
        faults.extend(unknown.into_iter().map(|problem| (Exit::Usage, problem)));
        let through = links.of(&gateway.through);
        if let Some(link) = &through {
            faults.extend(verify::link(link));
        }
        faults.extend(gateway::verify(&gateway, through.as_ref()));
        match faults.first().map(|(exit, _)| *exit) {
            None => Ok(Config {
                file: None,
                events,
                links,
                bridges: Vec::new(),
                gateways: vec![gateway],
            }),
            Some(exit) => {
                tell(faults.iter().map(|(_, problem)| problem), "", "");
                Err(Failure::told(exit))
            }
        }
    }

    /// The configuration of a file: the named one, that of the environment, or the default one.
    ///
    /// # Errors
    ///
    /// [`Exit::Config`] for what is wrong in the file, [`Exit::Usage`] for what is wrong outside
    /// of it alone; everything wrong has been told.
    pub(crate) fn from_file(flag: Option<&Path>, events: EventsLayer) -> Result<Self, Failure> {
        let file = file_path(flag)?;
        let path = &file.value;
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Config, format!("can't read the configuration {}", path.display()))
                .cause(&error)
                .hint("name the file with --config FILE; docs/reference/config.md tells what goes into it")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // A token file or an events file is found from wherever the program is started.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let folder = absolute.parent().unwrap_or(Path::new("."));

        let mut outside = Vec::new();
        let (env_bridge, env_events) = from_env(&mut outside);
        let (layers, mut problems) = file::read(text, folder);
        let readable = problems.is_empty();
        let named = layers.links.into_iter().map(|(layer, span)| (layer.resolve(), span));
        let links = Links { named: named.collect(), flags: LinkLayer::default() };
        for (link, _) in &links.named {
            problems.extend(verify::link(link).into_iter().map(|(_, problem)| problem));
        }
        let mut bridges = Vec::new();
        for (layer, span) in layers.bridges {
            if readable {
                problems.extend(missing(&layer, &span));
            }
            let settings = finish(env_bridge.as_defaults(layer.protocol()).over(&layer));
            let link = links.of(&settings.through);
            let mut faults = verify::bridge(&settings, link.as_ref());
            if let Some(link) = link.filter(|link| link.name.value.is_none()) {
                faults.extend(verify::link(&link));
            }
            // What the bridge itself would refuse, if nothing above said it with its place.
            if readable
                && faults.is_empty()
                && settings.listen.value.is_some()
                && settings.to.value.is_some()
                && !is_mirrored(&settings)
                && let Err(error) = to_config(settings.clone(), &Sink::disabled()).check()
            {
                problems.push(Problem::in_file(span.clone(), error.to_string()));
            }
            problems.extend(faults.into_iter().map(|(_, problem)| problem));
            bridges.push((settings, span));
        }
        for (index, (bridge, span)) in bridges.iter().enumerate() {
            let earlier = bridges[..index].iter().map(|(bridge, _)| bridge);
            problems.extend(twice(bridge, span, earlier));
        }
        let bridges: Vec<_> = bridges.into_iter().map(|(bridge, _)| bridge).collect();
        let (env_gateway, _) = GatewayLayer::from_env();
        let names = bridges.iter().filter_map(|bridge| bridge.name.value.clone()).collect();
        let (gateways, faults) =
            gateway::read(layers.gateways, &env_gateway, &links, names, readable);
        problems.extend(faults);
        let users = bridges.iter().map(|bridge| &bridge.through);
        problems.extend(links.problems(users.chain(gateways.iter().map(|one| &one.through))));
        if problems.is_empty() && outside.is_empty() {
            let events = events.over(&env_events).over(&layers.events).resolve();
            return Ok(Config { file: Some(file), events, links, bridges, gateways });
        }
        problems.sort_by_key(Problem::start);
        problems.dedup();
        let exit = if problems.is_empty() { Exit::Usage } else { Exit::Config };
        let outside = outside.iter().map(|(_, problem)| problem);
        let count = problems.len() + outside.len();
        tell(outside.chain(&problems), &path.display().to_string(), text);
        talk(&match count {
            1 => "1 problem; nothing was started".to_owned(),
            count => format!("{count} problems; nothing was started"),
        });
        Err(Failure::told(exit))
    }

    /// The links and bridges, ready to be started, with their events going to one sink.
    ///
    /// # Errors
    ///
    /// If the file of events can't be opened.
    pub(crate) fn open(self) -> Result<Opened, Failure> {
        let events = open_events(&self.events)?;
        let users = self.bridges.iter().map(|bridge| &bridge.through);
        let users = users.chain(self.gateways.iter().map(|gateway| &gateway.through));
        let (links, numbers) = through::plan(&self.links, users);
        let mut numbers = numbers.into_iter();
        let bridges = self.bridges.into_iter().map(|bridge| to_config(bridge, &events));
        let bridges = bridges.zip(&mut numbers).collect();
        let gateways = self.gateways.into_iter().map(|one| gateway::to_config(one, &events));
        Ok(Opened { links, bridges, gateways: gateways.zip(numbers).collect(), events })
    }

    /// How many bridges and gateways there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.bridges.len(), self.gateways.len())
    }

    /// The resolved configuration as TOML, with the source of each value.
    pub(crate) fn show(&self) -> String {
        let links = self.links.named.iter().map(|(link, _)| link);
        show::show(self.file.as_ref(), &self.events, links, &self.bridges, &self.gateways)
    }
}

/// The file to read.
fn file_path(flag: Option<&Path>) -> Result<Sourced<PathBuf>, Failure> {
    if let Some(path) = flag {
        return Ok(Sourced { value: path.to_owned(), source: Source::Flag("--config") });
    }
    if let Some(path) = std::env::var_os(env::CONFIG).filter(|path| !path.is_empty()) {
        return Ok(Sourced { value: path.into(), source: Source::Env(env::CONFIG) });
    }
    match service::config_folder() {
        Some(folder) => {
            let path = folder.join("pipeway").join("pipeway.toml");
            Ok(Sourced { value: path, source: Source::Default })
        }
        None => Err(Failure::new(Exit::Config, "this user has no folder for configurations")
            .hint("name the file with --config FILE")),
    }
}

fn from_env(faults: &mut Vec<verify::Fault>) -> (BridgeLayer, EventsLayer) {
    for (name, nearest) in env::unknown() {
        let near = nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        talk(&format!("warning: the environment variable {name} is not known{near}"));
    }
    let (bridge, wrong_bridge) = BridgeLayer::from_env();
    let (events, wrong_events) = EventsLayer::from_env();
    for (source, message) in wrong_bridge.into_iter().chain(wrong_events) {
        faults.push((Exit::Usage, Problem::of(&source, "", message)));
    }
    (bridge, events)
}

/// Resolves a bridge; one without a name is named for where it listens.
fn finish(layer: BridgeLayer) -> BridgeSettings {
    let mut settings = layer.resolve();
    if settings.name.value.is_none() {
        settings.name.value = settings.listen.value.as_ref().map(name_of);
    }
    settings
}

fn name_of(listen: &Endpoint) -> Name {
    let text = match listen {
        Endpoint::Local(name) => name.as_str().to_owned(),
        Endpoint::Pipe(name) => name.as_str().to_owned(),
        Endpoint::Unix(path) => {
            path.as_path().file_stem().unwrap_or_default().to_string_lossy().into_owned()
        }
        Endpoint::Tcp(address) => format!("port-{}", address.port()),
        Endpoint::Stdio => "stdio".to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    Name(text.chars().map(plain).take(64).collect())
}

/// Whether a bridge has the same endpoint on both sides of its link, which only a bridge that
/// knows its link takes for two places.
fn is_mirrored(bridge: &BridgeSettings) -> bool {
    bridge.through.value.is_some() && bridge.listen.value == bridge.to.value
}

fn missing(layer: &BridgeLayer, span: &std::ops::Range<usize>) -> Vec<Problem> {
    let absent = |key: &str, example: &str| {
        Problem::in_file(span.clone(), format!("this bridge has no `{key}`"))
            .hint(format!("add {key} = \"{example}\""))
    };
    let mut problems = Vec::new();
    if layer.listen.is_none() {
        problems.push(absent("listen", "local:NAME"));
    }
    if layer.to.is_none() {
        problems.push(absent("to", "tcp:127.0.0.1:PORT"));
    }
    problems
}

/// What `bridge` has in common with an earlier one and must not.
fn twice<'a>(
    bridge: &BridgeSettings,
    span: &std::ops::Range<usize>,
    earlier: impl Iterator<Item = &'a BridgeSettings>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let at = |source: &Source, message: String| match source {
        Source::Default => Problem::in_file(span.clone(), message),
        source => Problem::of(source, "", message),
    };
    for other in earlier {
        if let (Some(name), Some(first)) = (&bridge.name.value, &other.name.value)
            && name == first
        {
            let message = format!("two bridges are named `{}`", name.0);
            problems.push(
                at(&bridge.name.source, message)
                    .hint("give each a name of its own: name = \"...\""),
            );
        }
        if let (Some(listen), Some(first)) = (&bridge.listen.value, &other.listen.value)
            && verify::same(listen, first)
        {
            let message = format!("two bridges listen on {listen}");
            problems.push(at(&bridge.listen.source, message).hint("each needs one of its own"));
        }
    }
    problems
}

fn tell<'a>(problems: impl Iterator<Item = &'a Problem>, file: &str, text: &str) {
    for problem in problems {
        talk(&problem.render(file, text));
    }
}

fn open_events(settings: &EventsSettings) -> Result<Sink, Failure> {
    let options =
        SinkOptions { show_query: settings.show_query.value, show_sid: settings.show_sid.value };
    match &settings.to.value {
        EventsTo::None => Ok(Sink::disabled()),
        EventsTo::Stderr => Ok(Sink::stderr(options)),
        EventsTo::File(path) => {
            let file = FileOptions {
                path: path.clone(),
                max_bytes: settings.max_size.value.0,
                max_files: u32::try_from(settings.max_files.value.0).unwrap_or(u32::MAX),
            };
            Sink::file(file, options).map_err(|error| {
                let exit = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => Exit::Permission,
                    _ => Exit::Failure,
                };
                let hint = match path.metadata() {
                    Ok(found) if found.is_dir() => "name a file in it with --events FILE",
                    Ok(found) if !found.is_file() => {
                        "name a file with --events FILE; --events stderr writes to standard error, \
                         --events none nothing"
                    }
                    _ => "make its folder, or name another file with --events FILE",
                };
                Failure::new(exit, format!("can't write events to {}", path.display()))
                    .cause(&error)
                    .hint(hint)
            })
        }
    }
}

fn to_config(bridge: BridgeSettings, events: &Sink) -> BridgeConfig {
    let listen = bridge.listen.value.expect("a bridge without `listen` was refused");
    let to = bridge.to.value.expect("a bridge without `to` was refused");
    let name = bridge.name.value.map_or_else(String::new, |name| name.0);
    let to_usize = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let mut config = BridgeConfig::new(name, listen, to);
    config.protocol = bridge.protocol.value;
    config.half_close = bridge.half_close.value;
    config.access = bridge.access.value;
    config.allow_remote = bridge.allow_remote.value;
    config.token_file = bridge.token_file.value;
    config.upstream_token_file = bridge.to_token_file.value;
    config.verify_server = bridge.verify_server.value.0;
    config.policy = Policy {
        methods: bridge.methods.value.into_items(),
        paths: bridge.paths.value.into_items(),
        upgrades: bridge.upgrades.value.into_items(),
        host: bridge.host.value,
    };
    config.limits = Limits {
        max_sessions: bridge.max_sessions.value.0,
        max_sessions_per_peer: bridge.max_sessions_per_peer.value.0.map(|count| count.0),
        max_head_bytes: to_usize(bridge.max_head_size.value.0),
        max_headers: bridge.max_headers.value.0,
        max_body_bytes: bridge.max_body_size.value.0.map(|size| size.0),
    };
    config.timeouts = Timeouts {
        connect: bridge.connect.value.0,
        first_request: bridge.first_request.value.0,
        head: bridge.head.value.0,
        first_byte: bridge.first_byte.value.0.map(|time| time.0),
        body_idle: bridge.body_idle.value.0,
        answer_idle: bridge.answer_idle.value.0.map(|time| time.0),
        keep_alive: bridge.keep_alive.value.0,
        upstream_idle: bridge.upstream_idle.value.0,
        upgrade_idle: bridge.upgrade_idle.value.0.map(|time| time.0),
        half_close_idle: bridge.half_close_idle.value.0,
        drain: bridge.drain.value.0,
    };
    config.busy_poll = bridge.busy_poll.value;
    config.events = events.clone();
    config
}
