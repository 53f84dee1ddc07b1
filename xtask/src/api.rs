//! `cargo xtask api`: the libraries' public API against the snapshots in the tree.
//!
//! `xtask/api` does it, a crate of its own since it has dependencies.

use std::process::Command;

/// Runs `cargo xtask api ARGS`.
///
/// # Errors
///
/// The API is another than the snapshots say, and was printed; or it could not be listed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let what = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "check",
        ["--update"] => "update",
        _ => return Err("usage: cargo xtask api [--update]".to_owned()),
    };
    let mut cargo = Command::new("cargo");
    cargo.args(arguments_for(what)).current_dir(crate::workspace());
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the public API was not what it should be".to_owned()),
        Err(error) => Err(format!("could not start cargo: {error}")),
    }
}

/// What cargo is told, for `check` or `update`.
pub fn arguments_for(what: &str) -> [&str; 7] {
    ["run", "--quiet", "--locked", "--package", "api-snapshot", "--", what]
}
