//! `cargo xtask COMMAND`: everything that a developer or CI does with this repository beyond
//! plain cargo.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let _rest: Vec<String> = arguments.collect();
    eprintln!("xtask: there is no command `{command}`");
    ExitCode::FAILURE
}
