//! Reading a configuration file: everything in it, and everything that is wrong with it.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, nearest, position};
use super::settings::{
    BRIDGE_KEYS, BridgeLayer, EVENTS_KEYS, EventsLayer, GATEWAY_KEYS, GatewayLayer, Key, LINK_KEYS,
    LinkLayer, Source,
};

/// The tables at the top of a file.
const TABLES: [&str; 5] = ["events", "defaults", "link", "bridge", "gateway"];

/// The tables inside a bridge's.
const INNER: [&str; 2] = ["limits", "timeouts"];

/// What a file says, without the defaults of this program.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileLayers {
    /// About events.
    pub(crate) events: EventsLayer,
    /// About each link, with the place of its table.
    pub(crate) links: Vec<(LinkLayer, Range<usize>)>,
    /// About each bridge, with the place of its table.
    pub(crate) bridges: Vec<(BridgeLayer, Range<usize>)>,
    /// About each gateway, with the place of its table.
    pub(crate) gateways: Vec<(GatewayLayer, Range<usize>)>,
}

/// Reads `text`; relative paths in it are of `folder`. Whatever is wrong is left out of the
/// layers and told as a problem.
pub(crate) fn read(text: &str, folder: &Path) -> (FileLayers, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was recovered would only be complained of a second time.
        let at = |error: &toml::de::Error| error.span().unwrap_or(text.len()..text.len());
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| Problem::in_file(at(error), format!("not TOML: {}", error.message())))
            .collect();
        // The parser may come upon one place twice.
        problems.sort_by_key(Problem::start);
        problems.dedup();
        return (FileLayers::default(), problems);
    }
    let mut reader = Reader { text, folder, problems: Vec::new() };
    let mut layers = FileLayers::default();
    let mut defaults = BridgeLayer::default();
    for (key, value) in root.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("events", DeValue::Table(table)) => layers.events = reader.events(table),
            ("defaults", DeValue::Table(table)) => defaults = reader.bridge(table, "defaults"),
            (name @ ("bridge" | "link" | "gateway"), DeValue::Array(tables)) => {
                for table in tables.iter() {
                    match table.get_ref() {
                        DeValue::Table(inner) if name == "link" => {
                            layers.links.push((reader.link(inner), table.span()));
                        }
                        DeValue::Table(inner) if name == "gateway" => {
                            layers.gateways.push((reader.gateway(inner), table.span()));
                        }
                        DeValue::Table(inner) => {
                            let layer = reader.bridge(inner, "bridge");
                            layers.bridges.push((layer, table.span()));
                        }
                        _ => reader.problems.push(
                            Problem::in_file(table.span(), format!("expected a table of a {name}"))
                                .hint(format!("begin each {name} with a line [[{name}]]")),
                        ),
                    }
                }
            }
            (name @ ("bridge" | "link" | "gateway"), _) => reader.problems.push(
                Problem::in_file(key.span(), format!("`{name}` is a list of tables")).hint(
                    format!(
                        "begin each {name} with a line [[{name}]], with two brackets on each side"
                    ),
                ),
            ),
            (name @ ("events" | "defaults"), _) => reader
                .problems
                .push(Problem::in_file(value.span(), format!("`{name}` is a table, [{name}]"))),
            (name, _) => {
                let problem =
                    Problem::in_file(key.span(), format!("unknown key `{}`", name.escape_debug()));
                reader.problems.push(if has_key(BRIDGE_KEYS, name) || INNER.contains(&name) {
                    problem
                        .hint("it belongs into a table of a bridge: put it below a line [[bridge]]")
                } else {
                    suggest(problem, name, TABLES)
                });
            }
        }
    }
    for (layer, _) in &mut layers.bridges {
        layer.protocol = layer.protocol.take().or_else(|| defaults.protocol.clone());
        let lower = defaults.as_defaults(layer.protocol());
        *layer = std::mem::take(layer).over(&lower);
    }
    let mut problems = reader.problems;
    if layers.bridges.is_empty() && layers.gateways.is_empty() && problems.is_empty() {
        problems.push(
            Problem::in_file(text.len()..text.len(), "there is no bridge").hint(
                "add a table: [[bridge]], with listen = \"local:NAME\" and to = \"unix:/path\" (or tcp:127.0.0.1:PORT)",
            ),
        );
    }
    (layers, problems)
}

struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn events(&mut self, table: &DeTable<'_>) -> EventsLayer {
        let mut layer = EventsLayer::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let read = layer.read(name, value.get_ref(), self.source(value), self.folder);
            match read {
                Some(read) => self.note(read.err(), value),
                None => {
                    let names = EVENTS_KEYS.iter().map(|key| key.name);
                    self.unknown(key.span(), name, "events", names);
                }
            }
        }
        layer
    }

    fn link(&mut self, table: &DeTable<'_>) -> LinkLayer {
        let mut layer = LinkLayer::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let read = layer.read(name, value.get_ref(), self.source(value), self.folder);
            match read {
                Some(read) => self.note(read.err(), value),
                None => {
                    let names = LINK_KEYS.iter().map(|key| key.name);
                    self.unknown(key.span(), name, "link", names);
                }
            }
        }
        layer
    }

    fn gateway(&mut self, table: &DeTable<'_>) -> GatewayLayer {
        let mut layer = GatewayLayer::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(inner) if INNER.contains(&name) => {
                    for (key, value) in inner {
                        self.gateway_value(&mut layer, name, key, value);
                    }
                }
                _ if INNER.contains(&name) => self.problems.push(
                    Problem::in_file(value.span(), format!("`{name}` is a table"))
                        .hint(format!("write [gateway.{name}], or {name}.KEY = VALUE")),
                ),
                _ => self.gateway_value(&mut layer, "", key, value),
            }
        }
        layer
    }

    /// Reads one value of a gateway's table, or of the one `within` it.
    fn gateway_value(
        &mut self,
        layer: &mut GatewayLayer,
        within: &str,
        key: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        let full = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        let known = within.is_empty() != full.contains('.');
        let read = known
            .then(|| layer.read(&full, value.get_ref(), self.source(value), self.folder))
            .flatten();
        match read {
            Some(read) => self.note(read.err(), value),
            None => {
                let of_table = |key: &'static Key| {
                    let (table, name) = key.name.split_once('.').unwrap_or(("", key.name));
                    (table == within).then_some(name)
                };
                let names = GATEWAY_KEYS.iter().filter_map(of_table);
                let inner = INNER.into_iter().filter(|_| within.is_empty());
                let names: Vec<&str> = names.chain(inner).collect();
                let within = if within.is_empty() { "gateway" } else { within };
                let message = format!("unknown key `{}` in {within}", name.escape_debug());
                self.problems.push(suggest(Problem::in_file(key.span(), message), name, names));
            }
        }
    }

    fn bridge(&mut self, table: &DeTable<'_>, within: &str) -> BridgeLayer {
        let mut layer = BridgeLayer::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if INNER.contains(&name) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.inner(&mut layer, inner, name),
                    _ => self.problems.push(
                        Problem::in_file(value.span(), format!("`{name}` is a table")).hint(
                            format!("write [{}{name}], or {name}.KEY = VALUE", prefix(within)),
                        ),
                    ),
                }
                continue;
            }
            if within == "defaults" && matches!(name, "name" | "listen") {
                self.problems.push(
                    Problem::in_file(
                        key.span(),
                        format!("`{name}` can't be the same for all bridges"),
                    )
                    .hint("write it in each [[bridge]]"),
                );
                continue;
            }
            let known = !name.contains('.');
            let read = known
                .then(|| layer.read(name, value.get_ref(), self.source(value), self.folder))
                .flatten();
            match read {
                Some(read) => self.note(read.err(), value),
                None => {
                    let names =
                        BRIDGE_KEYS.iter().map(|key| key.name).filter(|name| !name.contains('.'));
                    self.unknown(key.span(), name, within, names.chain(INNER));
                }
            }
        }
        layer
    }

    fn inner(&mut self, layer: &mut BridgeLayer, table: &DeTable<'_>, within: &str) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let full = format!("{within}.{name}");
            match layer.read(&full, value.get_ref(), self.source(value), self.folder) {
                Some(read) => self.note(read.err(), value),
                None => {
                    let names = BRIDGE_KEYS.iter().filter_map(|key| {
                        key.name.split_once('.').filter(|(table, _)| *table == within)
                    });
                    self.unknown(key.span(), name, within, names.map(|(_, name)| name));
                }
            }
        }
    }

    fn source(&self, value: &Spanned<DeValue<'_>>) -> Source {
        let span = value.span();
        Source::File { line: position(self.text, span.start).0, span }
    }

    fn note(
        &mut self,
        fault: Option<(Option<Range<usize>>, String)>,
        value: &Spanned<DeValue<'_>>,
    ) {
        if let Some((span, message)) = fault {
            self.problems.push(Problem::in_file(span.unwrap_or(value.span()), message));
        }
    }

    fn unknown<'k>(
        &mut self,
        span: Range<usize>,
        name: &str,
        within: &str,
        names: impl IntoIterator<Item = &'k str>,
    ) {
        let message = format!("unknown key `{}` in {within}", name.escape_debug());
        let problem = Problem::in_file(span, message);
        // The right key in the wrong table.
        let elsewhere = BRIDGE_KEYS.iter().find(|key| {
            key.name.split_once('.').is_some_and(|(_, last)| last == name)
                && key.name != name
                && !key.name.starts_with(within)
        });
        self.problems.push(match elsewhere {
            Some(key) if !matches!(within, "events" | "link") => {
                let (table, _) = key.name.split_once('.').unwrap_or_default();
                problem.hint(format!("it belongs into `{table}`: write {} = ...", key.name))
            }
            _ => suggest(problem, name, names),
        });
    }
}

fn prefix(within: &str) -> String {
    format!("{within}.")
}

fn has_key(keys: &[Key], name: &str) -> bool {
    keys.iter().any(|key| key.name == name)
}

fn suggest<'k>(problem: Problem, name: &str, names: impl IntoIterator<Item = &'k str>) -> Problem {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("the keys here are {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let (_, problems) = read(text, Path::new("/etc"));
        problems.iter().map(|problem| problem.render("f", text)).collect()
    }

    #[test]
    fn a_good_file_is_read_with_the_line_of_each_value() {
        let text = "[events]\nto = \"events.jsonl\"\n[defaults]\ntimeouts.drain = \"3s\"\n\
                    [[bridge]]\nlisten = \"local:a\"\nto = \"tcp:127.0.0.1:80\"\n\
                    paths = [\"/v1/**\"]\n[bridge.limits]\nmax_body_size = \"5MB\"\n";
        let (layers, problems) = read(text, Path::new("/etc"));
        assert_eq!(problems, []);
        let [(bridge, _)] = &layers.bridges[..] else { panic!("{layers:?}") };
        let drain = bridge.drain.as_ref().unwrap();
        assert_eq!(drain.value.0.as_secs(), 3);
        assert!(matches!(drain.source, Source::File { line: 4, .. }), "{drain:?}");
        assert_eq!(bridge.max_body_size.as_ref().unwrap().value.0.unwrap().0, 5_000_000);
        let events = layers.events.to.unwrap().value;
        let expected = Path::new("/etc").join("events.jsonl");
        assert_eq!(events, super::super::value::EventsTo::File(expected));
    }

    #[test]
    fn every_problem_of_a_file_is_told() {
        let text = "[[bridge]]\nlisen = \"local:a\"\nto = \"local\"\nconnect = \"1s\"\n\
                    methods = [\"GET\", 1]\n[bridge.timeouts]\nhead = 10\nfirst_bite = \"1s\"\n\
                    [event]\n";
        let all = messages(text).join("\n");
        for part in [
            "f:2:1: unknown key `lisen` in bridge",
            "did you mean `listen`?",
            "f:3:6: `local` is not an endpoint",
            "f:4:1: unknown key `connect` in bridge",
            "write timeouts.connect = ...",
            "f:5:19: expected a list of methods",
            "f:7:8: expected a time with its unit such as \"10s\", found a number",
            "did you mean `first_byte`?",
            "did you mean `events`?",
        ] {
            assert!(all.contains(part), "{part:?} is not in\n{all}");
        }
    }

    #[test]
    fn every_syntax_error_of_a_file_is_told() {
        let found = messages("a = \nb = [\n[[bridge]\n");
        assert!(found.len() >= 2, "{found:?}");
        assert!(found[0].starts_with("f:1:5: not TOML"), "{found:?}");
    }

    #[test]
    fn a_file_without_a_bridge_is_wrong() {
        assert!(messages("")[0].contains("there is no bridge"));
    }

    #[test]
    fn one_table_named_bridge_is_told_to_take_two_brackets() {
        assert!(messages("[bridge]\nlisten = \"local:a\"\n")[0].contains("two brackets"));
    }
}
