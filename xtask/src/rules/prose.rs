//! Rules about documentation, and about what no file may hold.

use std::collections::{HashMap, HashSet};

use super::{File, Finding};

/// Folders that stand on somebody's machine and nowhere else.
const MACHINE_FOLDERS: &[&str] = &["/home/", "/root/", "/Users/", "/workspace/"];

/// Holds one file against the rules for every file.
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    // This file names what it looks for.
    if file.path == "xtask/src/rules/prose.rs" {
        return findings;
    }
    let mut report = |rule, line, what: String| {
        findings.push(Finding { rule, path: file.path.clone(), line, what });
    };
    for (index, line) in file.text.lines().enumerate() {
        if let Some(folder) = machine_folder(line) {
            report("machine", index + 1, format!("`{folder}` is a folder of somebody's machine"));
        }
    }
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let refused: &[&str] = match name {
        "package-lock.json" => &["\"resolved\""],
        ".npmrc" => &["registry="],
        _ if name.starts_with("requirements") && name.ends_with(".txt") => {
            &["--index-url", "--extra-index-url", "--find-links"]
        }
        _ => &[],
    };
    for (index, line) in file.text.lines().enumerate() {
        if let Some(word) = refused.iter().find(|word| line.contains(**word)) {
            report(
                "registry",
                index + 1,
                format!("`{word}` binds the file to one registry's host"),
            );
        }
    }
    findings
}

fn machine_folder(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.iter().copied().find(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let inside = |c: char| c.is_alphanumeric() || "_-.~/}*".contains(c);
            let after = line[at + folder.len()..].chars().next();
            !before.is_some_and(inside) && after.is_some_and(char::is_alphanumeric)
        })
    })
}

/// Relative links lead to a file that exists, and to a heading that it has.
pub fn links(files: &[File]) -> Vec<Finding> {
    let mut known: HashSet<&str> = HashSet::new();
    for file in files {
        known.insert(&file.path);
        for (at, _) in file.path.match_indices('/') {
            known.insert(&file.path[..at]);
        }
    }
    let pages: HashMap<&str, &File> = pages(files).map(|file| (file.path.as_str(), file)).collect();
    let mut findings = Vec::new();
    for file in pages.values() {
        for (line, link) in links_of(&file.text) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = resolve(&file.path, path);
            let page = pages.get(path.as_str());
            let what = if !known.contains(path.as_str()) {
                format!("the link `{link}` leads to no file")
            } else if !heading.is_empty()
                && page.is_some_and(|page| !headings(&page.text).any(|slug| slug == heading))
            {
                format!("the link `{link}` leads to no heading")
            } else {
                continue;
            };
            findings.push(Finding { rule: "links", path: file.path.clone(), line, what });
        }
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// Every test that a page names as `CRATE/tests/file.rs::test` exists.
pub fn named_tests(files: &[File]) -> Vec<Finding> {
    let sources: HashMap<&str, &str> =
        files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let mut findings = Vec::new();
    for file in pages(files) {
        for (index, line) in file.text.lines().enumerate() {
            // Every second part stands between backquotes.
            for code in line.split('`').skip(1).step_by(2) {
                let Some((path, test)) = code.split_once(".rs::") else { continue };
                let path = format!("crates/{path}.rs");
                let is_there = sources
                    .get(path.as_str())
                    .is_some_and(|text| text.contains(&format!("fn {test}(")));
                if !is_there {
                    let what = format!("there is no test `{code}` under crates/");
                    let path = file.path.clone();
                    findings.push(Finding { rule: "laws", path, line: index + 1, what });
                }
            }
        }
    }
    findings
}

/// Every page under docs/ is reached from docs/README.md.
pub fn index(files: &[File]) -> Vec<Finding> {
    const INDEX: &str = "docs/README.md";
    let Some(index) = files.iter().find(|file| file.path == INDEX) else {
        let what = "there is no index of the documentation".to_owned();
        return vec![Finding { rule: "index", path: INDEX.to_owned(), line: 0, what }];
    };
    let linked: HashSet<String> = links_of(&index.text)
        .into_iter()
        .map(|(_, link)| resolve(INDEX, link.split('#').next().unwrap_or_default()))
        .collect();
    pages(files)
        .filter(|file| file.path.starts_with("docs/") && file.path != INDEX)
        .filter(|file| !linked.contains(&file.path))
        .map(|file| Finding {
            rule: "index",
            path: file.path.clone(),
            line: 0,
            what: format!("not linked from {INDEX}"),
        })
        .collect()
}

fn pages(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".md"))
}

/// The relative links of a page, with their lines; none of those in code.
fn links_of(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        // Every second part stands between backquotes.
        let prose: String =
            line.split('`').enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, part)| part).collect();
        for part in prose.split("](").skip(1) {
            let link = part.split([')', ' ']).next().unwrap_or_default();
            if !link.contains("://") && !link.starts_with("mailto:") {
                links.push((index + 1, link.to_owned()));
            }
        }
    }
    links
}

/// The path that `link`, in the page `from`, leads to.
fn resolve(from: &str, link: &str) -> String {
    if link.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names by which a page's headings are linked to.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        line.trim_start_matches('#')
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_folder_of_somebodys_machine_is_found() {
        assert_eq!(machine_folder("see /workspace/a.txt"), Some("/workspace/"));
        assert_eq!(machine_folder("path = \"/home/bob/x\""), Some("/home/"));
        assert_eq!(
            machine_folder("https://example.org/home/bob, ~/workspace/x, {root}/workspace/x"),
            None
        );
    }

    #[test]
    fn a_lock_file_that_names_a_registry_is_found() {
        assert_eq!(broken("interop/package-lock.json", "\"resolved\": \"x\""), ["registry"]);
        assert_eq!(broken("interop/requirements.txt", "--index-url x"), ["registry"]);
        assert_eq!(broken("interop/requirements.txt", "websockets==1"), [""; 0]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let page =
            "[a](b.md) [c](../README.md) [d](#here) `[e](no.md)`\n```\n[f](no.md)\n```\n# Here";
        let files = [file("docs/a.md", page), file("README.md", "")];
        let found: Vec<String> = links(&files).into_iter().map(|finding| finding.what).collect();
        assert_eq!(found, ["the link `b.md` leads to no file"]);
    }

    #[test]
    fn a_link_to_a_heading_that_is_not_there_is_found() {
        let files =
            [file("a.md", "[a](b.md#what-it-is) [b](b.md#no)"), file("b.md", "## What it is")];
        let found: Vec<String> = links(&files).into_iter().map(|finding| finding.what).collect();
        assert_eq!(found, ["the link `b.md#no` leads to no heading"]);
    }

    #[test]
    fn a_named_test_that_is_not_there_is_found() {
        let files = [
            file("crates/a/tests/b.rs", "#[test]\nfn holds() {}"),
            file(
                "docs/laws.md",
                "`a/tests/b.rs::holds` `a/tests/b.rs::gone` `a/tests/c.rs::holds`",
            ),
        ];
        let found: Vec<String> = named_tests(&files).into_iter().map(|f| f.what).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("b.rs::gone") && found[1].contains("c.rs::holds"), "{found:?}");
    }

    #[test]
    fn a_page_that_the_index_forgot_is_found() {
        let files = [
            file("docs/README.md", "[a](reference/a.md)"),
            file("docs/reference/a.md", ""),
            file("docs/reference/b.md", ""),
        ];
        let found: Vec<String> = index(&files).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["docs/reference/b.md"]);
    }
}
