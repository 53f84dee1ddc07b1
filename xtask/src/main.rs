//! `cargo xtask COMMAND`: everything that a developer or CI does with this repository beyond
//! plain cargo.

mod windows;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match command.as_str() {
        "windows" => windows::run(&rest),
        _ => Err(format!("there is no command `{command}`; the commands are: windows")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
