//! `cargo xtask api`: holds the libraries' public API against the snapshots in the tree.
//!
//! rustdoc writes what is public as JSON, and `public-api` lists it as `cargo public-api` does. A
//! stable rustdoc writes JSON only where `RUSTC_BOOTSTRAP` is set. Set for cargo it would have
//! many dependencies built anew, so cargo is given this program for its rustdoc, which sets it for
//! the real one alone.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// The libraries that others depend on.
const LIBRARIES: &[&str] = &[
    "pipeway-agent",
    "pipeway-bridge",
    "pipeway-directline",
    "pipeway-mux",
    "pipeway-telemetry",
    "pipeway-transport",
];

/// The real rustdoc; where it is set, this program is cargo's rustdoc.
const RUSTDOC: &str = "PIPEWAY_API_RUSTDOC";

/// Auto traits that the standard library has for itself, and that come and go with its versions.
const PASSING_TRAITS: &[&str] = &["Freeze", "RefUnwindSafe", "UnwindSafe", "UnsafeUnpin"];

const USAGE: &str = "usage: api-snapshot check|update";

/// What became of the check.
enum Outcome {
    Same,
    Updated(Vec<String>),
    /// The compiler's JSON can't be read; why.
    LeftOut(String),
}

fn main() -> ExitCode {
    if let Some(rustdoc) = env::var_os(RUSTDOC) {
        return document(Path::new(&rustdoc));
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => run(false),
        ["update"] => run(true),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(Outcome::Same) => println!("the public API is as the snapshots say"),
        Ok(Outcome::Updated(files)) => files.iter().for_each(|file| println!("written: {file}")),
        // `cargo xtask test` reads this line.
        Ok(Outcome::LeftOut(why)) => println!("left out: {why}"),
        Err(why) => {
            eprintln!("api: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Stands in for rustdoc.
fn document(rustdoc: &Path) -> ExitCode {
    let mut command = Command::new(rustdoc);
    command.args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").env_remove(RUSTDOC);
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("could not start {}: {error}", rustdoc.display());
            ExitCode::FAILURE
        }
    }
}

fn run(update: bool) -> Result<Outcome, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies two folders below the workspace's");
    let folder = write_json(root)?;
    let mut written = Vec::new();
    let mut changes = String::new();
    for library in LIBRARIES {
        let json = folder.join(format!("{}.json", library.replace('-', "_")));
        let format = format_of(&json)?;
        if format != rustdoc_types::FORMAT_VERSION {
            return Ok(Outcome::LeftOut(format!(
                "this compiler writes its documentation in format {format}, and format {} is read here",
                rustdoc_types::FORMAT_VERSION
            )));
        }
        let now = list(&json)?;
        let name = format!("crates/{library}/api.txt");
        let file = root.join(&name);
        let before = fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
        if update {
            if before != now {
                fs::write(&file, &now).map_err(|error| format!("{name}: {error}"))?;
                written.push(name);
            }
        } else {
            changes.push_str(&difference(&name, &before, &now));
        }
    }
    if update {
        return Ok(Outcome::Updated(written));
    }
    if changes.is_empty() {
        return Ok(Outcome::Same);
    }
    Err(format!(
        "the public API is another than the snapshots say\n{changes}\
         if that is meant: `cargo xtask api --update`, and a line in CHANGELOG.md"
    ))
}

/// Lets rustdoc write its JSON, and says into which folder.
fn write_json(root: &Path) -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("this program's file: {error}"))?;
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, as the documentation's own step has it: with the same features its
    // dependencies are not built anew.
    cargo.args(["doc", "--quiet", "--workspace", "--lib", "--no-deps", "--all-features"]);
    cargo.arg("--locked").current_dir(root).env("RUSTDOC", own);
    cargo.env(RUSTDOC, env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()));
    cargo.env("RUSTDOCFLAGS", "-Z unstable-options --output-format json --cap-lints allow");
    let status = cargo.status().map_err(|error| format!("could not start cargo: {error}"))?;
    if status.success() {
        Ok(target.join("doc"))
    } else {
        Err(format!("the documentation was not written: {status}"))
    }
}

/// The version of the format, which stands last in the file.
fn format_of(json: &Path) -> Result<u32, String> {
    const KEY: &str = "\"format_version\":";
    let text = fs::read_to_string(json).map_err(|error| format!("{}: {error}", json.display()))?;
    text.rfind(KEY)
        .map(|at| text[at + KEY.len()..].trim_start())
        .and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
        .ok_or_else(|| format!("{} does not say its format", json.display()))
}

/// One line for each public item.
fn list(json: &Path) -> Result<String, String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()
        .map_err(|error| format!("{}: {error}", json.display()))?;
    let lines: Vec<String> =
        api.items().map(ToString::to_string).filter(|line| !is_passing(line)).collect();
    Ok(lines.join("\n") + "\n")
}

fn is_passing(line: &str) -> bool {
    line.starts_with("impl")
        && PASSING_TRAITS.iter().any(|name| line.contains(&format!("::{name} for ")))
}

/// The lines that are only in one of the two.
fn difference(name: &str, before: &str, now: &str) -> String {
    let only = |these: &str, those: &str, mark: char| -> String {
        let those: std::collections::HashSet<&str> = those.lines().collect();
        let these = these.lines().filter(|line| !those.contains(line));
        these.map(|line| format!("{mark} {line}\n")).collect()
    };
    let (gone, new) = (only(before, now, '-'), only(now, before, '+'));
    match (gone.is_empty() && new.is_empty(), before == now) {
        (_, true) => String::new(),
        (true, false) => format!("{name}: the same lines in another order\n"),
        (false, false) => format!("{name}:\n{gone}{new}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_line_by_line() {
        assert_eq!(difference("a", "x\ny\n", "x\ny\n"), "");
        assert_eq!(difference("a", "x\ny\n", "x\nz\n"), "a:\n- y\n+ z\n");
        assert_eq!(difference("a", "", "z\n"), "a:\n+ z\n");
        assert!(difference("a", "x\ny\n", "y\nx\n").contains("another order"));
    }

    #[test]
    fn traits_that_matter_to_callers_stay() {
        assert!(!is_passing("impl core::marker::Send for pipeway_transport::Stream"));
        assert!(is_passing("impl core::marker::Freeze for pipeway_transport::Stream"));
        assert!(is_passing("impl<R, W> core::panic::unwind_safe::UnwindSafe for a::Joined<R, W>"));
        assert!(!is_passing("pub fn a::Freeze for "));
    }
}
