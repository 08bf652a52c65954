//! The `klto` program: parses the command line and exits; everything else is
//! in the library.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser as _;
use klto::cli;
use klto::cli::args::Cli;
use klto::model::error::Exit;

fn main() -> ExitCode {
    let bisect = std::env::args_os().any(|arg| arg == "--git-bisect");
    let exit = match Cli::try_parse() {
        // A panic's own 101 would tell `git bisect` that the commit is bad.
        Ok(cli) => catch_unwind(|| cli::dispatch(&cli)).unwrap_or(Exit::Inconclusive),
        Err(error) => {
            // --help and --version are answers, everything else is a usage error.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Pass
            }
        }
    };
    ExitCode::from(if bisect { exit.in_bisect() } else { exit }.code())
}
