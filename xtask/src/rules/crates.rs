//! Which crate may depend on which, from `cargo tree`.

use std::path::Path;
use std::time::Duration;

use super::Finding;
use crate::process::{self, Show};

/// The crates by floor. A crate depends on lower floors only, in its tests too.
const FLOORS: &[(&str, u32)] = &[
    ("pipeway-mux", 0),
    ("pipeway-transport", 1),
    ("pipeway-directline", 2),
    ("pipeway-telemetry", 2),
    ("pipeway-bridge", 3),
    ("pipeway-agent", 3),
    ("pipeway", 4),
];

/// What few crates may depend on, and which (tests may use anything).
const USERS: &[(&str, &[&str])] = &[
    ("clap", &["pipeway"]),
    ("anyhow", &["pipeway"]),
    ("windows-sys", &["pipeway-transport"]),
    ("rustix", &["pipeway-transport"]),
    // Of telemetry for the thread that writes, whose files are its own: docs/decisions/0013-events.md.
    ("nix", &["pipeway-transport", "pipeway-telemetry"]),
    ("libc", &["pipeway-transport"]),
];

/// Tools that are no part of the product: they depend on no crate of it.
const TOOLS: &[&str] = &["api-snapshot"];

const RULE: &str = "floors";

/// One crate of the workspace depends on another crate.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    for_tests: bool,
}

/// Holds the workspace at `root` against the floors.
pub fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut all = Vec::new();
    for (kinds, for_tests) in [("normal,build", false), ("dev", true)] {
        let mut cargo = std::process::Command::new("cargo");
        cargo.current_dir(root).args(["tree", "--quiet", "--locked", "--workspace"]);
        cargo.args(["--depth", "1", "--target", "all", "--all-features", "--edges", kinds]);
        cargo.args(["--no-dedupe", "--prefix", "depth", "--format", " {p}", "--color", "never"]);
        let output = process::run(&mut cargo, Duration::from_secs(300), Show::Nothing)?;
        if !output.success {
            return Err(format!("{}:\n{}", output.ending, output.text));
        }
        all.extend(edges(&output.text, for_tests));
    }
    if all.is_empty() {
        return Err("`cargo tree` told of no dependency at all; is its output another now?".into());
    }
    Ok(judge(&all))
}

/// Reads `cargo tree --depth 1 --prefix depth --format " {p}"`.
fn edges(tree: &str, for_tests: bool) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut from = "";
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("0"), Some(name)) => from = name,
            (Some("1"), Some(name)) => {
                edges.push(Edge { from: from.to_owned(), to: name.to_owned(), for_tests });
            }
            _ => {}
        }
    }
    edges
}

fn judge(edges: &[Edge]) -> Vec<Finding> {
    let floor = |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, f)| *f);
    let mut findings = Vec::new();
    for Edge { from, to, for_tests } in edges {
        let mut report = |what: String| {
            findings.push(Finding { rule: RULE, path: format!("crate {from}"), line: 0, what });
        };
        if from == "xtask" {
            report(format!("depends on `{to}`; it is plain std"));
            continue;
        }
        if TOOLS.contains(&from.as_str()) {
            if to.starts_with("pipeway") {
                report(format!("depends on `{to}`; it is a tool"));
            }
            continue;
        }
        let Some(own) = floor(from) else {
            report("has no floor; give it one in xtask/src/rules/crates.rs".to_owned());
            continue;
        };
        match floor(to) {
            Some(other) if other >= own => {
                report(format!("(floor {own}) depends on `{to}` (floor {other}); only down"));
            }
            None if to.starts_with("pipeway") => report(format!("depends on `{to}`, unknown here")),
            _ => {}
        }
        let refused =
            USERS.iter().find(|(used, users)| used == to && !users.contains(&from.as_str()));
        if let (Some((_, users)), false) = (refused, for_tests) {
            report(format!("depends on `{to}`, which only `{}` may", users.join("`, `")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tree: &str) -> Vec<String> {
        judge(&edges(tree, false)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_crate_that_depends_upwards_is_found() {
        let found = words("0 pipeway-transport v0.1.0 (/a)\n1 pipeway-bridge v0.1.0 (/b)\n");
        assert_eq!(found, ["(floor 1) depends on `pipeway-bridge` (floor 3); only down"]);
    }

    #[test]
    fn tests_may_not_depend_upwards_either() {
        let tree = "0 pipeway-telemetry v0.1.0\n1 pipeway v0.1.0 (/b)\n";
        assert_eq!(judge(&edges(tree, true)).len(), 1);
    }

    #[test]
    fn a_dependency_of_xtask_is_found() {
        assert_eq!(
            words("0 xtask v0.1.0\n1 serde v1.0.0\n"),
            ["depends on `serde`; it is plain std"]
        );
    }

    #[test]
    fn a_tool_that_depends_on_the_product_is_found() {
        let tree = "0 api-snapshot v0.1.0\n1 public-api v0.52.0\n1 pipeway-bridge v0.1.0 (/b)\n";
        assert_eq!(words(tree), ["depends on `pipeway-bridge`; it is a tool"]);
    }

    #[test]
    fn the_programs_own_dependencies_are_refused_elsewhere_but_for_tests() {
        let tree = "0 pipeway-bridge v0.1.0\n1 anyhow v1.0.0\n";
        assert_eq!(words(tree), ["depends on `anyhow`, which only `pipeway` may"]);
        assert_eq!(judge(&edges(tree, true)), []);
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        assert_eq!(words("0 pipeway-new v0.1.0\n1 tokio v1.0.0\n").len(), 1);
    }

    #[test]
    fn depending_downwards_is_right() {
        let tree = "0 pipeway v0.1.0\n1 pipeway-bridge v0.1.0 (/b)\n1 clap v4.0.0\n\n\
                    0 pipeway-bridge v0.1.0\n1 tokio v1.0.0\n1 pipeway-transport v0.1.0 (/t)\n";
        assert_eq!(words(tree), [""; 0]);
    }
}
