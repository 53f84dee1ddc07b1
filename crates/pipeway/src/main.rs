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
    let cli = match Cli::try_parse_from(args::written_out(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return wrong_line(&error),
    };
    let ended = match cli.command {
        Command::Bridge(args) => in_runtime(command::bridge(*args)),
        Command::Serve(args) => in_runtime(command::serve(args)),
        Command::Check(args) => command::check(args),
        Command::Agent(args) => in_runtime(command::agent(args)),
        Command::Exec(args) => return remote(in_runtime(command::exec(*args))),
        Command::Shell(args) => return remote(in_runtime(command::shell(*args))),
        Command::Guest(args) => in_runtime(command::guest(args)),
        Command::Curl(args) => in_runtime(command::curl(*args)),
        Command::Ws(args) => in_runtime(command::ws(args)),
        Command::Nc(args) => in_runtime(command::nc(*args)),
        Command::Preset(args) => command::preset(args),
        Command::Directline(args) => in_runtime(command::directline(args)),
        Command::Demo => in_runtime(command::demo()),
    };
    match ended {
        Ok(()) => Exit::Success.code().into(),
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    failure.report();
    failure.exit().code().into()
}

/// The end of a command on the other side.
fn remote(ended: Result<i32, Failure>) -> ExitCode {
    match ended {
        Ok(code) => service::exit_with(code),
        Err(failure) => failed(&failure),
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn wrong_line(error: &clap::Error) -> ExitCode {
    // Where the stream is closed there is nobody to tell.
    let _ = error.print();
    let command = std::env::args_os().nth(1).unwrap_or_default();
    if !error.use_stderr() {
        Exit::Success.code().into()
    } else if command == "exec" || command == "shell" {
        // Whatever else they end with is the code of a command.
        Exit::Own.code().into()
    } else {
        Exit::Usage.code().into()
    }
}

/// Runs `work` on one thread: what it does is waiting.
fn in_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failure, "the system gave no event queue").cause(&error)
    })?;
    let ended = runtime.block_on(work);
    // A read of standard input that nobody will answer must not keep the process.
    runtime.shutdown_background();
    ended
}
