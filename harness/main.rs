//! The `klto` program: parses the command line and exits; everything else is
//! in the library.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser as _;
use klto::build::launcher;
use klto::build::process::sandbox;
use klto::cli;
use klto::cli::args::Cli;
use klto::model::error::Exit;
use klto::run::events::say;

fn main() -> ExitCode {
    if let Some(code) = launcher::launch().or_else(sandbox::launch) {
        return ExitCode::from(code);
    }
    let bisect = std::env::args_os().any(|arg| arg == "--git-bisect");
    let exit = match Cli::try_parse() {
        // A panic exits 101, which `git bisect` would take as a bad commit.
        Ok(cli) => catch_unwind(|| cli::dispatch(&cli)).unwrap_or(Exit::Inconclusive),
        Err(error) => {
            // --help and --version succeed; everything else is a usage error.
            if error.use_stderr() {
                say(error.render().ansi().to_string().trim_end());
                Exit::Usage
            } else {
                let _ = error.print();
                Exit::Pass
            }
        }
    };
    ExitCode::from(if bisect { exit.in_bisect() } else { exit }.code())
}
