//! Windows programs, and paths as they see them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Windows program that the named variable tells of.
pub fn windows_program(variable: &str) -> Command {
    let mut command = Command::new("wine");
    command.arg(named(variable));
    for name in ["PIPEWAY_WINDOWS_PROGRAM", "PIPEWAY_WINDOWS_NODE", "PIPEWAY_WINDOWS_WSL"] {
        command.env_remove(name);
    }
    command
}

fn named(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set"));
    PathBuf::from(path)
}

/// A path of this system as Windows programs see it under Wine.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}
