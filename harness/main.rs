//! The `klto` program: parses the command line and exits; everything else is
//! in the library.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser as _;
use klto::cli::Cli;
use klto::commands;
use klto::error::Exit;

fn main() -> ExitCode {
    let bisect = std::env::args_os().any(|arg| arg == "--git-bisect");
    let exit = match Cli::try_parse() {
        // A panic's own 101 would tell `git bisect` that the commit is bad.
        Ok(cli) => catch_unwind(|| commands::dispatch(&cli)).unwrap_or(Exit::CannotTell),
        Err(error) => {
            // --help and --version are answers, everything else is a usage error.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Holds
            }
        }
    };
    ExitCode::from(if bisect { exit.in_bisect() } else { exit }.code())
}
