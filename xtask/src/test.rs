//! `cargo xtask test`: every check there is, one step after the other.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::instructions::Verdict;
use crate::process::{self, Output, Show};
use crate::tools::{Machine, WINDOWS_KIT};

const MINUTE: Duration = Duration::from_secs(60);

const HELP: &str = "\
cargo xtask test [--no-install] [--list] [STEP...]

Runs every check, or the named ones, and stops at the first that fails. What this machine lacks
is installed (Debian's packages as root or by sudo without a password; npm and PyPI packages into
this folder), or left out and listed at the end. With CI=true, leaving out what Debian can run is
a failure.

  --no-install   install nothing from Debian
  --list         name the steps and end
";

/// How a step ended.
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

/// What a step found besides its outcome.
#[derive(Default)]
struct Found {
    /// Tests that passed and failed; a step without any counts as one.
    tests: Option<Counts>,
    /// Parts that were left out though the step ran, and why.
    left_out: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

struct Step {
    name: &'static str,
    run: fn(&mut Machine, &mut Found) -> Outcome,
}

/// The cheap ones first, so that what is easily mended is told early.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: fmt },
    Step { name: "rules", run: rules },
    Step { name: "deny", run: deny },
    Step { name: "clippy", run: clippy },
    Step { name: "docs", run: docs },
    Step { name: "api", run: api },
    Step { name: "tests", run: tests },
    Step { name: "doctests", run: doctests },
    Step { name: "demo", run: demo },
    Step { name: "instructions", run: instructions },
    Step { name: "macos", run: macos },
    Step { name: "windows", run: windows },
];

struct Line {
    name: &'static str,
    word: &'static str,
    seconds: f64,
    counts: Option<Counts>,
}

/// Runs the steps that `arguments` name, or all.
///
/// # Errors
///
/// What failed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut may_install = true;
    let mut chosen: Vec<&str> = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--no-install" => may_install = false,
            "--list" => {
                STEPS.iter().for_each(|step| println!("{}", step.name));
                return Ok(());
            }
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            name if STEPS.iter().any(|step| step.name == name) => chosen.push(name),
            other => return Err(format!("there is no step or option `{other}`\n\n{HELP}")),
        }
    }
    let mut machine = Machine::look(&crate::workspace(), may_install);
    let mut lines = Vec::new();
    let mut left_out = Vec::new();
    let mut failure: Option<String> = None;
    for step in STEPS.iter().filter(|step| chosen.is_empty() || chosen.contains(&step.name)) {
        if failure.is_some() {
            lines.push(Line { name: step.name, word: "not run", seconds: 0.0, counts: None });
            continue;
        }
        eprintln!("\n=== {}", step.name);
        let started = Instant::now();
        let mut found = Found::default();
        let outcome = (step.run)(&mut machine, &mut found);
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::LeftOut(why) if machine.ci && machine.debian => {
                failure =
                    Some(format!("{}: left out, and CI leaves nothing out: {why}", step.name));
                "FAILED"
            }
            Outcome::LeftOut(why) => {
                left_out.push(format!("{}: {why}", step.name));
                "left out"
            }
            Outcome::Failed(why) => {
                failure = Some(format!("{}: {why}", step.name));
                "FAILED"
            }
        };
        left_out.extend(found.left_out.into_iter().map(|what| format!("{}: {what}", step.name)));
        let seconds = started.elapsed().as_secs_f64();
        lines.push(Line { name: step.name, word, seconds, counts: found.tests });
    }
    print!("{}", summary(&lines, &left_out, failure.as_deref()));
    match failure {
        None => Ok(()),
        // Why stands in the summary.
        Some(_) => Err("a check failed".to_owned()),
    }
}

/// The table at the end, what was left out, and the line that counts.
fn summary(lines: &[Line], left_out: &[String], failure: Option<&str>) -> String {
    let mut text = String::from("\nstep         result     seconds   tests\n");
    let mut total = Counts::default();
    for line in lines {
        let tests = line.counts.map(|counts| counts.passed.to_string()).unwrap_or_default();
        let row = format!("{:<12} {:<9} {:>8.1} {tests:>7}", line.name, line.word, line.seconds);
        let _ = writeln!(text, "{}", row.trim_end());
        match (line.counts, line.word) {
            (Some(counts), word) => {
                total.passed += counts.passed;
                // A runner that fails without a failed test failed all the same.
                total.failed += if word == "FAILED" { counts.failed.max(1) } else { 0 };
            }
            (None, "passed") => total.passed += 1,
            (None, "FAILED") => total.failed += 1,
            (None, _) => {}
        }
    }
    if !left_out.is_empty() {
        text.push_str("\nleft out:\n");
        left_out.iter().for_each(|what| {
            let _ = writeln!(text, "- {what}");
        });
    }
    if let Some(why) = failure {
        let _ = writeln!(text, "\nfailed: {why}");
    }
    let _ = writeln!(text, "\n{} passed, {} failed", total.passed, total.failed);
    text
}

fn fmt(machine: &mut Machine, _: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(["fmt", "--all", "--check"]);
    shown(&mut command, 5 * MINUTE)
}

fn rules(machine: &mut Machine, _: &mut Found) -> Outcome {
    match crate::rules::check(&machine.root) {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

fn deny(machine: &mut Machine, found: &mut Found) -> Outcome {
    if let Err(why) = machine.cargo_tool("deny") {
        return Outcome::LeftOut(why);
    }
    let mut command = machine.command("cargo-deny");
    command.args(["--workspace", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    let outcome = shown(&mut command, 10 * MINUTE);
    if !matches!(outcome, Outcome::Passed) {
        return outcome;
    }
    // The advisories are a Git repository elsewhere: whoever can't reach it is told, not failed.
    let mut fetch = machine.command("cargo-deny");
    fetch.args(["--workspace", "fetch", "db"]);
    if let Err(why) = machine.wait_for(&mut fetch, 2 * MINUTE) {
        let why = why.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        found.left_out.push(format!("advisories (their database can't be had here: {why})"));
        return Outcome::Passed;
    }
    let mut advisories = machine.command("cargo-deny");
    advisories.args(["--workspace", "check", "--disable-fetch", "advisories"]);
    shown(&mut advisories, 5 * MINUTE)
}

fn clippy(machine: &mut Machine, _: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(["clippy", "--workspace", "--all-targets", "--all-features", "--locked"]);
    command.args(["--", "-D", "warnings"]);
    shown(&mut command, 20 * MINUTE)
}

fn docs(machine: &mut Machine, _: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(["doc", "--workspace", "--no-deps", "--all-features", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    shown(&mut command, 20 * MINUTE)
}

fn api(machine: &mut Machine, found: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(crate::api::arguments_for("check"));
    let (text, outcome) = outcome_of(process::run(&mut command, 20 * MINUTE, Show::Live));
    // A newer compiler's format is no failure, in CI either: nothing here can read it yet.
    found.left_out = text
        .lines()
        .filter_map(|line| line.strip_prefix("left out: "))
        .map(|why| format!("the snapshots ({why})"))
        .collect();
    outcome
}

fn tests(machine: &mut Machine, found: &mut Found) -> Outcome {
    // The tests stop programs with it; Debian's smallest installation has none.
    if !cfg!(windows)
        && !machine.has("kill")
        && let Err(why) = machine.debian_packages(&["procps"])
    {
        return Outcome::Failed(format!("there is no `kill` here, and {why}"));
    }
    let interop = prepare_interop(machine);
    let mut command = match machine.cargo_tool("nextest") {
        Ok(()) => {
            let mut command = cargo(machine);
            command.args(["nextest", "run", "--no-tests", "fail"]);
            if machine.ci {
                command.args(["--profile", "ci"]);
            }
            command
        }
        Err(why) => {
            found.left_out.push(format!("nextest ({why}); cargo's own runner was used"));
            let mut command = cargo(machine);
            command.arg("test");
            command
        }
    };
    command.args(["--workspace", "--all-features", "--locked"]);
    // The documentation's tests are a step of their own.
    if command.get_args().next().is_some_and(|first| first == "test") {
        command.args(["--lib", "--bins", "--tests", "--examples"]);
    }
    match interop {
        Ok(Some(python)) => {
            command.env("PIPEWAY_REQUIRE_INTEROP", "1").env("PIPEWAY_PYTHON", python);
        }
        Ok(None) => {}
        Err(why) if machine.ci && machine.debian => {
            return Outcome::Failed(format!("other people's clients can't be had: {why}"));
        }
        Err(why) => found.left_out.push(format!("other people's clients ({why})")),
    }
    counted(&mut command, 30 * MINUTE, found)
}

/// Installs other people's clients, and says which Python has them; `None` where the workspace
/// has no such tests.
fn prepare_interop(machine: &mut Machine) -> Result<Option<std::path::PathBuf>, String> {
    let folder = machine.root.join("interop");
    if !folder.join("package-lock.json").is_file() {
        return Ok(None);
    }
    if !machine.has("curl") {
        machine.debian_packages(&["curl"])?;
    }
    if machine.debian {
        machine.debian_packages(&["socat", "openssh-client", "openssh-server", "podman"])?;
        // The client from elsewhere will do: Debian's package brings an engine along.
        if !machine.has("docker") {
            machine.debian_packages(&["docker.io"])?;
        }
    }
    machine.node()?;
    let stamp = folder.join("node_modules/.package-lock.json");
    if !is_newer(&stamp, &folder.join("package-lock.json")) {
        eprintln!("installing from npm into {}", folder.display());
        let mut npm = machine.command(if cfg!(windows) { "npm.cmd" } else { "npm" });
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        machine.wait_for(&mut npm, 10 * MINUTE)?;
    }
    let programs =
        machine.python_environment("interop-python", &folder.join("requirements.txt"), &[])?;
    Ok(Some(programs.join(if cfg!(windows) { "python.exe" } else { "python3" })))
}

fn is_newer(made: &Path, source: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    match (modified(made), modified(source)) {
        (Ok(made), Ok(source)) => made >= source,
        _ => false,
    }
}

fn doctests(machine: &mut Machine, found: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(["test", "--doc", "--workspace", "--all-features", "--locked"]);
    counted(&mut command, 20 * MINUTE, found)
}

fn demo(machine: &mut Machine, _: &mut Found) -> Outcome {
    let mut command = cargo(machine);
    command.args(["run", "--release", "--locked", "--", "demo"]);
    shown(&mut command, 20 * MINUTE)
}

/// Counts the instructions of the program that the demo's step built.
fn instructions(machine: &mut Machine, found: &mut Found) -> Outcome {
    if !machine.has("valgrind")
        && let Err(why) = machine.debian_packages(&["valgrind"])
    {
        return Outcome::LeftOut(why);
    }
    match crate::instructions::check_built() {
        Ok(Verdict::Within) => Outcome::Passed,
        // Another compiler is no failure, in CI either: its bounds are not known.
        Ok(Verdict::LeftOut(why)) => {
            found.left_out.push(format!("the bounds ({why})"));
            Outcome::Passed
        }
        Err(why) => Outcome::Failed(why),
    }
}

/// Checks the types for macOS: nothing is linked and nothing runs. Debian's compiler brings the
/// source of its standard library, so nothing from elsewhere is needed.
fn macos(machine: &mut Machine, _: &mut Found) -> Outcome {
    if cfg!(target_os = "macos") {
        return Outcome::LeftOut("this is macOS: the step `tests` ran there already".to_owned());
    }
    if !machine.debian {
        return Outcome::LeftOut("it is done with Debian's compiler and its source".to_owned());
    }
    if let Err(why) = machine.debian_packages(WINDOWS_KIT) {
        return Outcome::LeftOut(why);
    }
    let mut command = machine.command("/usr/bin/cargo");
    command.args(["check", "-Zbuild-std=std,panic_unwind", "--target", "aarch64-apple-darwin"]);
    command.args(["--workspace", "--all-targets", "--all-features", "--locked"]);
    command.env("PATH", "/usr/bin:/bin").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    command.env("RUSTFLAGS", "-D warnings").env("CARGO_TARGET_DIR", "target-macos");
    command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
    command.env_remove("RUSTUP_TOOLCHAIN");
    shown(&mut command, 20 * MINUTE)
}

fn windows(machine: &mut Machine, found: &mut Found) -> Outcome {
    if cfg!(windows) {
        return Outcome::LeftOut("this is Windows: the step `tests` ran there already".to_owned());
    }
    if machine.debian
        && let Err(why) = machine
            .debian_packages(WINDOWS_KIT)
            .and_then(|()| machine.node())
            .and_then(|()| machine.cargo_tool("nextest"))
    {
        return Outcome::LeftOut(why);
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Outcome::Failed(format!("this program's file is unknown: {error}")),
    };
    let interop = prepare_interop(machine);
    let mut command = machine.command(own);
    command.arg("windows");
    match interop {
        Ok(python) => command.envs(python.map(|python| ("PIPEWAY_PYTHON", python))),
        Err(why) if machine.ci && machine.debian => {
            return Outcome::Failed(format!("other people's servers can't be had: {why}"));
        }
        // What is left out for it is told by name.
        Err(_) => &mut command,
    };
    if machine.ci && machine.debian {
        command.arg("--strict");
    }
    let (text, outcome) = outcome_of(process::run(&mut command, 60 * MINUTE, Show::Live));
    let mut left_out: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("left out: "))
        .map(str::to_owned)
        .collect();
    if let (Outcome::Passed, Some(all)) =
        (&outcome, left_out.iter().position(|what| what.starts_with("everything")))
    {
        return Outcome::LeftOut(left_out.swap_remove(all));
    }
    found.left_out = left_out;
    found.tests = Some(counts(&text));
    outcome
}

fn cargo(machine: &Machine) -> Command {
    let mut command = machine.command("cargo");
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

fn shown(command: &mut Command, limit: Duration) -> Outcome {
    outcome_of(process::run(command, limit, Show::Live)).1
}

fn counted(command: &mut Command, limit: Duration, found: &mut Found) -> Outcome {
    let (text, outcome) = outcome_of(process::run(command, limit, Show::Live));
    found.tests = Some(counts(&text));
    outcome
}

fn outcome_of(result: Result<Output, String>) -> (String, Outcome) {
    match result {
        Ok(output) if output.success => (output.text, Outcome::Passed),
        Ok(output) => (output.text, Outcome::Failed(output.ending)),
        Err(why) => (String::new(), Outcome::Failed(why)),
    }
}

/// Adds up the summaries of nextest and of cargo's own runner.
fn counts(output: &str) -> Counts {
    let mut total = Counts::default();
    for line in output.lines().map(without_colour) {
        let nextest = line.trim_start().starts_with("Summary") && line.contains(" run: ");
        if !nextest && !line.starts_with("test result: ") {
            continue;
        }
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => total.passed += number,
                "failed" | "timed" | "exec" => total.failed += number,
                _ => {}
            }
        }
    }
    total
}

/// The line without the terminal's colour codes.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, code)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = code.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod self_tests {
    use super::*;

    #[test]
    fn both_runners_summaries_are_added_up() {
        let output = "     Summary [   0.512s] 14 tests run: 11 passed (1 slow), 1 failed, 2 timed out, 3 skipped\n\
                      test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(counts(output), Counts { passed: 16, failed: 3 });
    }

    #[test]
    fn colours_do_not_hide_a_count() {
        let output = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.5s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped";
        assert_eq!(counts(output), Counts { passed: 2, failed: 0 });
    }

    #[test]
    fn other_lines_are_not_counted() {
        assert_eq!(counts("the upstream says: 3 passed, 4 failed"), Counts::default());
    }

    #[test]
    fn the_summary_ends_with_the_line_that_counts() {
        let lines = [
            Line { name: "fmt", word: "passed", seconds: 0.1, counts: None },
            Line {
                name: "tests",
                word: "FAILED",
                seconds: 2.0,
                counts: Some(Counts { passed: 7, failed: 0 }),
            },
            Line { name: "demo", word: "not run", seconds: 0.0, counts: None },
        ];
        let text = summary(&lines, &["windows: no wine".to_owned()], Some("tests: code 1"));
        assert!(text.contains("left out:\n- windows: no wine\n"), "{text}");
        assert!(text.contains("failed: tests: code 1\n"), "{text}");
        assert!(text.ends_with("\n8 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn an_unknown_step_is_refused() {
        let why = run(&["no-such".to_owned()]).expect_err("there is no such step");
        assert!(why.contains("`no-such`"), "{why}");
    }
}
