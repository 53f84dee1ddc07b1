//! `cargo xtask instructions`: how many instructions the built program takes for an exchange,
//! held against the bounds in the tree. docs/benchmarks.md tells how they are counted.

#[cfg(unix)]
mod lockstep;
mod table;
#[cfg(unix)]
mod upstream;

use std::path::{Path, PathBuf};
use std::process::Command;

use table::{Row, Table};

use crate::words::Words;

const HELP: &str = "\
cargo xtask instructions [OPTION...]

Counts the instructions of the release program for an exchange, under valgrind's callgrind, and
fails where one is above its bound in crates/pipeway/instructions.txt.

  --update         write what was counted, and bounds 5 % above it, into that file
  --pipeway FILE   count this program's instead of building it
";

/// Where the bounds stand.
const FILE: &str = "crates/pipeway/instructions.txt";

/// How far a new bound is above what was counted.
const ROOM_PERCENT: u64 = 5;

/// Of the shorter of the two runs whose difference is told.
const EXCHANGES: u32 = 300;

/// An exchange that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Get,
    GetWithEvents,
    Message,
    Connection,
}

const CASES: &[(Case, &str)] = &[
    (Case::Get, "get"),
    (Case::GetWithEvents, "get-with-events"),
    (Case::Message, "websocket-message"),
    (Case::Connection, "connection"),
];

/// How counting ended, where it did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Within,
    /// Nothing can be said here; why.
    LeftOut(String),
}

/// Runs `cargo xtask instructions ARGS`.
///
/// # Errors
///
/// An exchange is above its bound, or could not be counted.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut update = false;
    let mut program = None;
    let mut words = Words::new(arguments, HELP);
    if words.ask_for_help() {
        print!("{HELP}");
        return Ok(());
    }
    while let Some(option) = words.next() {
        match option {
            "--update" => update = true,
            "--pipeway" => program = Some(words.path()?),
            _ => return Err(words.unknown()),
        }
    }
    let program = program.map_or_else(build, Ok)?;
    if update {
        let rows = count(&program)?;
        let table = Table { compiler: compiler()?, rows };
        let file = crate::workspace().join(FILE);
        std::fs::write(&file, table.to_string())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        print!("{table}");
        return Ok(());
    }
    match check(&program)? {
        Verdict::Within => Ok(()),
        Verdict::LeftOut(why) => Err(format!("nothing was compared: {why}")),
    }
}

/// Counts the program's instructions and holds them against the bounds.
///
/// # Errors
///
/// Which exchange is above its bound, or why it could not be counted.
pub fn check(program: &Path) -> Result<Verdict, String> {
    let file = crate::workspace().join(FILE);
    let text =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let table = Table::read(&text).map_err(|why| format!("{FILE}: {why}"))?;
    let compiler = compiler()?;
    if compiler != table.compiler {
        return Ok(Verdict::LeftOut(format!(
            "the bounds are those of {}, and this is {compiler}",
            table.compiler
        )));
    }
    table.hold(&count(program)?)?;
    Ok(Verdict::Within)
}

/// The same of the program as the README builds it.
///
/// # Errors
///
/// That of [`check`], or it can't be built.
pub fn check_built() -> Result<Verdict, String> {
    check(&build()?)
}

fn count(program: &Path) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for &(case, name) in CASES {
        let once = one(program, case, EXCHANGES)?;
        let twice = one(program, case, 2 * EXCHANGES)?;
        let instructions = twice.saturating_sub(once) / u64::from(EXCHANGES);
        eprintln!("{name}: {instructions} instructions");
        let at_most = instructions + instructions * ROOM_PERCENT / 100;
        rows.push(Row { name: name.to_owned(), instructions, at_most });
    }
    Ok(rows)
}

#[cfg(unix)]
fn one(program: &Path, case: Case, exchanges: u32) -> Result<u64, String> {
    lockstep::count(program, case, exchanges).map_err(|why| format!("{case:?}: {why}"))
}

#[cfg(not(unix))]
fn one(_: &Path, _: Case, _: u32) -> Result<u64, String> {
    Err("there is no valgrind for this system".to_owned())
}

/// The release program, as the README builds it.
fn build() -> Result<PathBuf, String> {
    crate::bench::build(&["--package", "pipeway", "--bin", "pipeway"])
        .map(|folder| folder.join("pipeway"))
}

/// The compiler's version and what it compiles for: another one makes other instructions.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(crate::workspace())
        .output()
        .map_err(|error| format!("rustc can't be started: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| {
        told.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .ok_or_else(|| format!("rustc tells no `{name}`"))
    };
    Ok(format!("rustc {} {}", value("release:")?, value("host:")?))
}
