//! The program.

mod args;
mod command;
mod config;
mod env;
mod exit;
mod output;
mod service;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::output::Failure;

fn main() -> ExitCode {
    // Help, the version and a wrong command line end here, with clap's own codes 0 and 2.
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Bridge(args) => in_runtime(command::bridge(*args)),
        Command::Serve(args) => in_runtime(command::serve(args)),
        Command::Check(args) => command::check(args),
        Command::Agent(args) => in_runtime(command::agent(args)),
        Command::Curl(args) => in_runtime(command::curl(*args)),
        Command::Ws(args) => in_runtime(command::ws(args)),
        Command::Demo => in_runtime(command::demo()),
    };
    let exit = match ended {
        Ok(()) => Exit::Success,
        Err(failure) => {
            failure.report();
            failure.exit()
        }
    };
    ExitCode::from(exit.code())
}

/// Runs `work` on one thread: what it does is waiting.
fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failure, "the system gave no event queue").cause(&error)
    })?;
    let ended = runtime.block_on(work);
    // A read of standard input that nobody will answer must not keep the process.
    runtime.shutdown_background();
    ended
}
