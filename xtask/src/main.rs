//! `cargo xtask COMMAND`: everything that a developer or CI does with this repository beyond
//! plain cargo.

mod api;
mod bench;
mod instructions;
mod process;
mod rules;
mod source;
mod test;
mod tools;
mod windows;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [--no-install] [STEP...]   every check there is, or the named steps; `test --list` names them
  rules                           the house's own rules only
  api [--update]                  the libraries' public API against its snapshots, or new snapshots
  windows build|lint|test         the Windows program, cross-built, and its tests under Wine
  bench [--quick] [--markdown FILE]   this bridge, nginx and HAProxy side by side (Linux)
  instructions [--update]         the program's instructions for an exchange, against their bounds
  bench mux [--quick] [--markdown FILE]   the multiplexer, npm's and yamux side by side (Linux)
  bench link [--wine] [--quick] [--markdown FILE]  links and a process for each connection (Linux)
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "test" => test::run(&rest),
        "rules" => rules::run(&rest),
        "api" => api::run(&rest),
        "windows" => windows::run(&rest),
        "bench" => bench::run(&rest),
        "instructions" => instructions::run(&rest),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the workspace's folder").to_path_buf()
}
