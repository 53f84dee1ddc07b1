//! Rules about Rust files.

use super::Finding;
use crate::source::{Source, identifiers};

/// The most lines that a file may have, tests not counted.
const MAX_LINES: usize = 800;

/// Names that say nothing about what they name.
const REFUSED_NAMES: &[&str] =
    &["util", "utils", "common", "base", "misc", "helper", "helpers", "manager", "managers"];

/// Holds one Rust file against the rules.
pub fn check(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |rule, line, what: String| {
        findings.push(Finding { rule, path: path.to_owned(), line, what });
    };
    names(path, source, &mut report);
    platform(path, source, &mut report);
    sleeps(path, source, &mut report);
    unsafe_blocks(path, source, &mut report);
    placeholders(source, &mut report);
    length(path, source, &mut report);
    findings
}

type Report<'a> = &'a mut dyn FnMut(&'static str, usize, String);

/// Whether the whole file is tests, benchmarks or examples.
fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "benches" | "examples" | "fuzz" | "interop"))
        || path.ends_with("/tests.rs")
}

/// Files, modules and items are named for what they provide.
fn names(path: &str, source: &Source, report: Report<'_>) {
    const RULE: &str = "names";
    let is_refused = |name: &str| REFUSED_NAMES.contains(&name);
    for part in path.trim_end_matches(".rs").split('/') {
        if is_refused(part) {
            report(RULE, 0, format!("`{part}` says nothing about what it holds"));
        }
    }
    const INTRODUCE: &[&str] =
        &["fn", "mod", "struct", "enum", "trait", "type", "union", "const", "static"];
    // A test's name is a sentence, in which any word may stand.
    for (number, line) in source.plain().filter(|_| !is_test_file(path)) {
        let words: Vec<&str> = identifiers(line).map(|(_, word)| word).collect();
        for pair in words.windows(2).filter(|pair| INTRODUCE.contains(&pair[0])) {
            let name = pair[1];
            if let Some(part) = segments(name).into_iter().find(|part| is_refused(part)) {
                report(RULE, number, format!("`{name}`: `{part}` says nothing"));
            }
            if pair[0] == "fn" && name.starts_with("get_") {
                report(RULE, number, format!("`{name}`: a getter has no `get_`"));
            }
        }
    }
}

/// The words that an identifier is made of, in small letters.
fn segments(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut after_small = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_small) {
            segments.push(String::new());
        }
        if c != '_' {
            let last = segments.last_mut().expect("there is always one");
            last.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase();
    }
    segments
}

/// No code but a crate's `sys` and the service files names an operating system.
fn platform(path: &str, source: &Source, report: Report<'_>) {
    const RULE: &str = "platform";
    let is_place = |part: &str| matches!(part.trim_end_matches(".rs"), "sys" | "service");
    let is_exempt =
        path.split('/').any(is_place) || path.starts_with("xtask/") || is_test_file(path);
    if is_exempt {
        return;
    }
    const SYSTEMS: &[&str] = &["windows", "unix", "target_os", "target_family"];
    const PATHS: &[&str] = &[
        "os::unix",
        "os::windows",
        "os::linux",
        "os::macos",
        "signal::unix",
        "signal::windows",
        "windows_sys::",
        "rustix::",
        "nix::",
        "libc::",
    ];
    for (number, line) in source.plain() {
        let words: Vec<&str> = identifiers(line).map(|(_, word)| word).collect();
        let has_cfg = words.iter().any(|word| matches!(*word, "cfg" | "cfg_attr"));
        if let Some(system) = words.iter().find(|word| has_cfg && SYSTEMS.contains(word)) {
            report(RULE, number, format!("`{system}` in a cfg; it belongs in a `sys` module"));
        }
        let dense: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        for wanted in PATHS {
            let is_there = dense
                .match_indices(wanted)
                .any(|(at, _)| !dense[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if is_there {
                report(RULE, number, format!("`{wanted}` belongs in a `sys` module"));
            }
        }
    }
}

/// Tests wait for what happens, never for time to pass.
fn sleeps(path: &str, source: &Source, report: Report<'_>) {
    if path.contains("/benches/") || path.contains("/examples/") {
        return;
    }
    for (number, line) in source.numbered() {
        let is_test = is_test_file(path) || source.in_test[number - 1];
        let mut words = identifiers(line).map(|(_, word)| word);
        let found = words.find(|word| matches!(*word, "sleep" | "sleep_until" | "sleep_ms"));
        if let (true, Some(word)) = (is_test, found) {
            report("sleep", number, format!("`{word}` in a test; wait for what happens instead"));
        }
    }
}

/// `unsafe` stands in the transport's `sys` only.
fn unsafe_blocks(path: &str, source: &Source, report: Report<'_>) {
    if path.starts_with("crates/pipeway-transport/src/sys/") {
        return;
    }
    for (number, line) in source.numbered() {
        if identifiers(line).any(|(_, word)| matches!(word, "unsafe" | "unsafe_code")) {
            report("unsafe", number, "`unsafe` belongs in the transport's sys".to_owned());
        }
    }
}

/// Nothing is left for later.
fn placeholders(source: &Source, report: Report<'_>) {
    for (number, line) in source.numbered() {
        let dense: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        for wanted in ["todo!", "unimplemented!"] {
            if dense.contains(wanted) {
                report("unfinished", number, format!("`{wanted}`"));
            }
        }
        let written = &source.lines[number - 1];
        for wanted in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("(being ", "built)")] {
            if written.contains(wanted) {
                report("unfinished", number, format!("`{wanted}`"));
            }
        }
    }
}

/// A file that grows too long is split by noun.
fn length(path: &str, source: &Source, report: Report<'_>) {
    let lines = source.plain().count();
    if !is_test_file(path) && lines > MAX_LINES {
        let what = format!("{lines} lines without its tests; split it before {MAX_LINES}");
        report("length", 0, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;

    const LIBRARY: &str = "crates/pipeway-bridge/src/accept.rs";
    const SYS: &str = "crates/pipeway-transport/src/sys/unix/socket.rs";
    const TEST: &str = "crates/pipeway-bridge/tests/http.rs";

    #[test]
    fn a_file_that_is_named_for_nothing_is_found() {
        assert_eq!(broken("crates/pipeway/src/util.rs", ""), ["names"]);
        assert_eq!(broken("crates/pipeway/src/common/mod.rs", ""), ["names"]);
        assert_eq!(broken(LIBRARY, ""), [""; 0]);
    }

    #[test]
    fn an_item_that_is_named_for_nothing_is_found() {
        assert_eq!(broken(LIBRARY, "struct SessionManager;"), ["names"]);
        assert_eq!(broken(LIBRARY, "fn io_helper() {}"), ["names"]);
        assert_eq!(broken(LIBRARY, "fn get_peer() {}"), ["names"]);
        assert_eq!(broken(TEST, "fn a_service_manager_hands_it_over() {}"), [""; 0]);
        assert_eq!(
            broken(LIBRARY, "use hyper_util::rt; fn database() { let common = 1; }"),
            [""; 0]
        );
    }

    #[test]
    fn an_operating_system_above_sys_is_found() {
        assert_eq!(broken(LIBRARY, "#[cfg(windows)]\nfn a() {}"), ["platform"]);
        assert_eq!(broken(LIBRARY, "if cfg!(target_os = \"linux\") {}"), ["platform"]);
        assert_eq!(broken(LIBRARY, "use std::os::unix::fs::PermissionsExt;"), ["platform"]);
        assert_eq!(broken(LIBRARY, "Endpoint::Unix(path)"), [""; 0]);
    }

    #[test]
    fn sys_the_service_files_and_tests_may_name_an_operating_system() {
        let code = "#[cfg(unix)]\nfn a() {}";
        for path in [SYS, TEST, "crates/pipeway/src/service/unix.rs"] {
            assert_eq!(broken(path, code), [""; 0], "{path}");
        }
        assert_eq!(broken(LIBRARY, &format!("#[cfg(test)]\nmod tests {{\n{code}\n}}")), [""; 0]);
    }

    #[test]
    fn a_sleeping_test_is_found() {
        assert_eq!(broken(TEST, "tokio::time::sleep(d).await;"), ["sleep"]);
        let module = "#[cfg(test)]\nmod tests { fn a() { std::thread::sleep(d); } }";
        assert_eq!(broken(LIBRARY, module), ["sleep"]);
        assert_eq!(broken(LIBRARY, "tokio::time::sleep(d).await;"), [""; 0]);
    }

    #[test]
    fn unsafe_outside_sys_is_found() {
        assert_eq!(broken(LIBRARY, "let a = unsafe { b() };"), ["unsafe"]);
        assert_eq!(broken(LIBRARY, "#![allow(unsafe_code)]"), ["unsafe"]);
        assert_eq!(broken(SYS, "let a = unsafe { b() };"), [""; 0]);
        assert_eq!(broken(LIBRARY, "// unsafe is denied"), [""; 0]);
    }

    #[test]
    fn what_is_left_for_later_is_found() {
        assert_eq!(broken(LIBRARY, "fn a() { todo!() }"), ["unfinished"]);
        assert_eq!(broken(LIBRARY, concat!("// TO", "DO: later")), ["unfinished"]);
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_its_tests_do_not_count() {
        let long = "fn a() {}\n".repeat(MAX_LINES + 1);
        assert_eq!(broken(LIBRARY, &long), ["length"]);
        assert_eq!(broken(LIBRARY, &format!("#[cfg(test)]\nmod tests {{\n{long}}}")), [""; 0]);
    }

    #[test]
    fn identifiers_are_split_into_words() {
        assert_eq!(segments("IoHelper_mut"), ["io", "helper", "mut"]);
        assert_eq!(segments("SDDL_BASE"), ["sddl", "base"]);
    }
}
