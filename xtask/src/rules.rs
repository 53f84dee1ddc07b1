//! `cargo xtask rules`: the house's own rules, as checks of the files and of the crates.
//!
//! A line is exempt from a rule where it, or the comment right above it, says
//! `rules: allow(NAME)` and then why.

mod crates;
mod prose;
mod rust;

use std::fmt;
use std::path::Path;

use crate::source::Source;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    path: String,
    /// From one; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { rule, path, line, what } = self;
        match line {
            0 => write!(f, "{path}: {what} [{rule}]"),
            line => write!(f, "{path}:{line}: {what} [{rule}]"),
        }
    }
}

/// One file of the repository, by its path from the root with forward slashes.
struct File {
    path: String,
    text: String,
}

/// Runs every rule.
///
/// # Errors
///
/// The findings, one a line.
pub fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("`rules` takes no `{unknown}`"));
    }
    check(&crate::workspace())
}

/// Holds the repository at `root` against every rule.
///
/// # Errors
///
/// The findings, one a line.
pub fn check(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));

    let mut findings = crates::check(root)?;
    for file in &files {
        findings.extend(one_file(file));
    }
    findings.extend(prose::links(&files));
    findings.extend(prose::index(&files));
    findings.extend(prose::named_tests(&files));
    if findings.is_empty() {
        eprintln!("{} files keep the rules", files.len());
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Err(format!("{} breaches of the house's rules\n{}", lines.len(), lines.join("\n")))
}

/// What the rules about single files find in this one.
fn one_file(file: &File) -> Vec<Finding> {
    let mut findings = prose::check(file);
    if file.path.ends_with(".rs") {
        let source = Source::parse(&file.text);
        findings.extend(rust::check(&file.path, &source));
        findings.retain(|finding| !is_exempt(&source, finding));
    }
    findings
}

fn is_exempt(source: &Source, finding: &Finding) -> bool {
    let Some(index) = finding.line.checked_sub(1) else { return false };
    let mark = format!("rules: allow({})", finding.rule);
    let has_reason = |line: &str| {
        line.split_once(&mark).is_some_and(|(_, after)| after.trim_matches([' ', ':']).len() > 3)
    };
    let above = source.lines[..index].iter().rev().take_while(|line| line.trim().starts_with("//"));
    std::iter::once(&source.lines[index]).chain(above).any(|line| has_reason(line))
}

/// Folders that hold what was built or installed.
fn is_skipped(name: &str) -> bool {
    name.starts_with("target")
        || matches!(name, ".git" | "node_modules" | "__pycache__" | "artifacts" | "coverage")
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !is_skipped(&name) {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && name != ".git" {
            // What is not UTF-8 is a fuzzer's corpus or an image: no rule reads it.
            let bytes = std::fs::read(entry.path()).map_err(failed)?;
            files.extend(String::from_utf8(bytes).ok().map(|text| File { path, text }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that a file breaks.
    pub(super) fn broken(path: &str, text: &str) -> Vec<&'static str> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        one_file(&file).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn an_exemption_needs_a_reason() {
        let path = "crates/pipeway-bridge/tests/a.rs";
        let line = "std::thread::sleep(d);";
        assert_eq!(broken(path, line), ["sleep"]);
        assert_eq!(broken(path, &format!("// rules: allow(sleep)\n{line}")), ["sleep"]);
        assert_eq!(broken(path, &format!("// rules: allow(unsafe): why not\n{line}")), ["sleep"]);
        assert!(
            broken(path, &format!("// rules: allow(sleep): it is the load itself\n{line}"))
                .is_empty()
        );
    }

    #[test]
    fn a_finding_says_where_it_is() {
        let finding = Finding { rule: "x", path: "a.rs".into(), line: 3, what: "no".into() };
        assert_eq!(finding.to_string(), "a.rs:3: no [x]");
    }
}
