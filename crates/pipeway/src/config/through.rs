//! Which link a bridge goes through, and which links there are.

use std::ops::Range;

use pipeway_transport::link::{LinkConfig, LinkSpec};

use super::problem::{Problem, nearest};
use super::settings::{LinkLayer, LinkSettings, Source, Sourced};
use super::value::{Name, Value, quoted};

/// What a bridge or a gateway says of the link that it goes through, and where.
pub(crate) type Said = Sourced<Option<Through>>;

/// Which link a bridge or a gateway goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// One that has a table of its own in the file.
    Named(Name),
    /// One without options, told in place.
    InPlace(LinkSpec),
}

impl Value for Through {
    const EXPECTED: &'static str =
        "a link: the name of a [[link]], \"wsl:DISTRIBUTION\", \"windows\" or \"command:[...]\"";

    fn from_text(text: &str) -> Result<Self, String> {
        // A name has no colon, and `windows` is nobody's name.
        if text.contains(':') || text.eq_ignore_ascii_case("windows") || text.is_empty() {
            LinkSpec::from_text(text).map(Through::InPlace)
        } else {
            Name::from_text(text).map(Through::Named)
        }
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Through::Named(name) => quoted(&name.0),
            Through::InPlace(spec) => quoted(&spec.to_string()),
        })
    }
}

/// The links of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// Those that have a table of their own.
    pub(super) named: Vec<(LinkSettings, Range<usize>)>,
    /// The options of the one that is told in place, from flags.
    pub(super) flags: LinkLayer,
}

impl Links {
    /// The link that is meant, if any is.
    pub(super) fn of(&self, through: &Said) -> Option<LinkSettings> {
        match through.value.as_ref()? {
            Through::Named(name) => {
                let is_it = |link: &&LinkSettings| link.name.value.as_ref() == Some(name);
                self.named.iter().map(|(link, _)| link).find(is_it).cloned()
            }
            Through::InPlace(spec) => {
                let mut link = self.flags.clone().resolve();
                let source = through.source.clone();
                link.to = Sourced { value: Some(spec.clone()), source };
                Some(link)
            }
        }
    }

    /// What is wrong with the links, and with how they are named by those who go through them.
    pub(super) fn problems<'a>(&self, users: impl IntoIterator<Item = &'a Said>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, (link, span)) in self.named.iter().enumerate() {
            problems.extend(missing(link, span));
            let Some(name) = &link.name.value else { continue };
            let earlier = &self.named[..index];
            if earlier.iter().any(|(other, _)| other.name.value.as_ref() == Some(name)) {
                let message = format!("two links are named `{}`", name.0);
                problems.push(
                    Problem::of(&link.name.source, "name", message)
                        .hint("give each a name of its own"),
                );
            }
            if name.0.eq_ignore_ascii_case("windows") {
                problems.push(
                    Problem::of(&link.name.source, "name", "`windows` is a kind of link")
                        .hint("give this one another name"),
                );
            }
        }
        for through in users {
            let Some(Through::Named(name)) = &through.value else { continue };
            let names = || {
                let names = self.named.iter().filter_map(|(link, _)| link.name.value.as_ref());
                names.map(|name| name.0.as_str())
            };
            if names().any(|known| known == name.0) {
                continue;
            }
            let message = format!("there is no link `{}`", name.0);
            let problem = Problem::of(&through.source, "through", message);
            problems.push(problem.hint(match nearest(&name.0, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if matches!(through.source, Source::Flag(_)) => {
                    "write wsl:DISTRIBUTION, windows or command:[...]; names are those of [[link]] in a file"
                        .to_owned()
                }
                None => "add a table [[link]] of that name, or write wsl:DISTRIBUTION, windows or command:[...]"
                    .to_owned(),
            }));
        }
        problems
    }
}

fn missing(link: &LinkSettings, span: &Range<usize>) -> Vec<Problem> {
    let absent = |key: &str, example: &str| {
        Problem::in_file(span.clone(), format!("this link has no `{key}`"))
            .hint(format!("add {key} = \"{example}\""))
    };
    let mut problems = Vec::new();
    if link.name.value.is_none() {
        problems.push(absent("name", "dev"));
    }
    if link.to.value.is_none() {
        problems.push(absent("to", "wsl:Ubuntu"));
    }
    problems
}

/// The links to start, and for each user the number of its own. Those whose links are told alike
/// share one.
pub(super) fn plan<'a>(
    links: &Links,
    users: impl IntoIterator<Item = &'a Said>,
) -> (Vec<LinkConfig>, Vec<Option<usize>>) {
    let mut planned: Vec<(LinkSettings, LinkConfig)> = Vec::new();
    let mut numbers = Vec::new();
    for through in users {
        let number = links.of(through).map(|link| {
            if let Some(known) = planned.iter().position(|(other, _)| alike(other, &link)) {
                return known;
            }
            let taken: Vec<&str> = planned.iter().map(|(_, config)| config.name.as_str()).collect();
            let config = to_config(&link, &taken);
            planned.push((link, config));
            planned.len() - 1
        });
        numbers.push(number);
    }
    (planned.into_iter().map(|(_, config)| config).collect(), numbers)
}

/// Whether one process does for both.
fn alike(one: &LinkSettings, other: &LinkSettings) -> bool {
    one.to.value == other.to.value
        && one.user.value == other.user.value
        && one.guest.value == other.guest.value
        && one.environment.value == other.environment.value
        && one.start_timeout.value.0 == other.start_timeout.value.0
        && one.heartbeat.value.0 == other.heartbeat.value.0
}

/// A link for the transport; one without a name gets one that is not `taken`.
pub(super) fn to_config(link: &LinkSettings, taken: &[&str]) -> LinkConfig {
    let to = link.to.value.clone().expect("a link without `to` was refused");
    let name = match &link.name.value {
        Some(name) => name.0.clone(),
        None => {
            let short = to.short_name();
            let mut names = std::iter::once(short.clone())
                .chain((2..).map(|number| format!("{short}-{number}")));
            names.find(|name| !taken.contains(&name.as_str())).unwrap_or(short)
        }
    };
    let mut config = LinkConfig::new(name, to);
    config.user = link.user.value.clone().map(|user| user.0);
    config.guest = link.guest.value.clone().map(|guest| guest.0);
    config.environment = link.environment.value.clone().into_variables();
    config.start_timeout = link.start_timeout.value.0;
    config.heartbeat = link.heartbeat.value.0;
    config.wsl_program =
        std::env::var_os(crate::env::WSL_PROGRAM).filter(|path| !path.is_empty()).map(Into::into);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(through: &str) -> Said {
        Sourced { value: Some(Through::from_text(through).unwrap()), source: Source::Default }
    }

    fn link(name: &str, to: &str) -> (LinkSettings, Range<usize>) {
        let mut link = LinkLayer::default().resolve();
        link.name.value = Some(Name(name.into()));
        link.to.value = Some(to.parse().unwrap());
        (link, 0..0)
    }

    #[test]
    fn bridges_whose_links_are_told_alike_share_one() {
        let mut dev = link("dev", "wsl:Ubuntu");
        dev.0.user.value = Some(super::super::value::Word("me".into()));
        let links = Links { named: vec![dev, link("box", "wsl:Debian")], flags: <_>::default() };
        let bridges = ["dev", "wsl:Ubuntu", "wsl:ubuntu", "dev", "wsl:Debian", "box"].map(bridge);
        let (configs, numbers) = plan(&links, &bridges);
        let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(names, ["dev", "Ubuntu", "Debian"]);
        assert_eq!(numbers, [0, 1, 1, 0, 2, 2].map(Some));
    }

    #[test]
    fn two_programs_of_one_name_have_two_names() {
        let bridges = [r#"command:["ssh","a"]"#, r#"command:["ssh","b"]"#].map(bridge);
        let (configs, _) = plan(&Links::default(), &bridges);
        let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
        assert_eq!(names, ["ssh", "ssh-2"]);
    }

    #[test]
    fn a_name_that_is_no_link_is_told_with_the_nearest() {
        let links = Links { named: vec![link("devel", "windows")], flags: <_>::default() };
        let [problem] = &links.problems(&[bridge("devil")])[..] else { panic!("one problem") };
        assert_eq!(problem.hint.as_deref(), Some("did you mean `devel`?"));
    }
}
